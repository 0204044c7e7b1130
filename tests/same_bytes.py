"""At temperature 0 a request that runs alone gets the same bytes, whatever ran before it."""

import concurrent.futures

PROMPTS = ["Write a poem about the sea.", "Name three colours.", "Count to ten in words."]


def answers(d):
    return [d.chat("ai/smollm2", p, temperature=0, max_tokens=40).json["choices"][0]["message"]["content"] for p in PROMPTS]


def churn(d, i):
    """Prompts and answers of many lengths side by side: cells are taken and left in every order."""
    def one(k):
        return d.chat("ai/smollm2", f"{i}: tell me {'very ' * (7 * k)}much about {k}.", max_tokens=8 + 9 * k).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(8))) == {200}


def test_after_any_traffic(make_daemon):
    d = make_daemon("--context-size", "4096")
    d.package("ai/smollm2")
    first = answers(d)
    for i in range(2):
        churn(d, i)
        assert answers(d) == first, i
        assert answers(d) == first, f"{i}, with the prefixes of just now"
