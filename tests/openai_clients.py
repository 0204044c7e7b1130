"""The official OpenAI clients, Python and Node, get what they get from OpenAI."""

import base64
import json
import math
import os
import struct
import subprocess

import openai
import pytest

from conftest import ROOT


@pytest.fixture
def client(loaded):
    return openai.OpenAI(base_url=loaded.url + "/v1", api_key="any", max_retries=0)


def ask(client, text="Count from one to ten.", **more):
    more = {"max_tokens": 24, "temperature": 0} | more
    return client.chat.completions.create(model="ai/smollm2", messages=[{"role": "user", "content": text}], **more)


def test_usage_and_length(client):
    answer = ask(client, max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")


def test_max_completion_tokens(client):
    assert ask(client, max_tokens=openai.NOT_GIVEN, max_completion_tokens=3).usage.completion_tokens == 3


def test_stream_is_the_plain_answer(client):
    plain = ask(client).choices[0].message.content
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == plain
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("stop", "length")
    assert chunks[-1].usage.completion_tokens > 0 and chunks[-1].choices == []
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


def test_no_usage_unless_asked(client):
    assert all(c.usage is None and c.choices for c in ask(client, stream=True))


def test_stop_string_is_cut(client):
    full = ask(client, max_tokens=40).choices[0].message.content
    stop = full[8:12]
    answer = ask(client, max_tokens=40, stop=[stop])
    assert answer.choices[0].message.content == full[: full.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_choices(client):
    answer = ask(client, n=3, temperature=1.0, seed=7)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert len({c.message.content for c in answer.choices}) > 1
    assert answer.usage.completion_tokens <= 72


def test_choices_streamed(client):
    texts = {}
    for chunk in ask(client, n=2, temperature=1.0, seed=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert sorted(texts) == [0, 1] and all(texts.values())


def test_seed(client):
    one, two, other = (
        ask(client, temperature=1.2, seed=seed, max_tokens=32).choices[0].message.content for seed in (11, 11, 12)
    )
    assert one == two != other


def test_logprobs(client):
    answer = ask(client, logprobs=True, top_logprobs=3, max_tokens=6)
    content = answer.choices[0].logprobs.content
    assert len(content) == 6
    assert "".join(t.token for t in content) == answer.choices[0].message.content
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
        assert token.token == token.top_logprobs[0].token  # greedy takes the likeliest
        assert math.exp(token.logprob) <= 1.0
        assert bytes(token.bytes).decode(errors="replace") == token.token


def test_logit_bias_forbids_a_token(loaded, client):
    first = ask(client, max_tokens=1, logprobs=True, top_logprobs=2).choices[0].logprobs.content[0]
    wanted = first.top_logprobs[1].token
    # The engine's tokens are not OpenAI's: the ids come from forbidding each until the answer changes.
    changed = None
    for token in range(0, 49152, 4096):
        bias = {str(t): -100 for t in range(token, token + 4096)}
        answer = ask(client, max_tokens=1, logit_bias=bias).choices[0].message.content
        if answer != first.token:
            changed = answer
            break
    assert changed is not None and changed != first.token
    assert wanted is not None


def test_penalties_change_repetition(client):
    plain = ask(client, "Repeat the word tug.", max_tokens=60).choices[0].message.content
    punished = ask(client, "Repeat the word tug.", max_tokens=60, frequency_penalty=2, presence_penalty=2)
    assert punished.choices[0].message.content != plain


def test_completions(client):
    answer = client.completions.create(model="ai/smollm2", prompt="The capital of France is", max_tokens=6, temperature=0)
    assert "Paris" in answer.choices[0].text
    assert answer.object == "text_completion"
    pieces = client.completions.create(
        model="ai/smollm2", prompt="The capital of France is", max_tokens=6, temperature=0, stream=True
    )
    assert "".join(c.choices[0].text for c in pieces) == answer.choices[0].text


def test_completions_several_prompts(client):
    answer = client.completions.create(model="ai/smollm2", prompt=["One, two,", "A, B,"], max_tokens=4, temperature=0)
    assert [c.index for c in answer.choices] == [0, 1]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_embeddings(client):
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "The stock market fell today."]
    answer = client.embeddings.create(model="ai/all-minilm", input=texts, encoding_format="float")
    cat, kitten, stocks = (d.embedding for d in answer.data)
    assert len(cat) == 384 and abs(sum(x * x for x in cat) - 1) < 1e-3
    assert cosine(cat, kitten) > 0.4 > cosine(cat, stocks)
    assert answer.usage.prompt_tokens > 0
    alone = client.embeddings.create(model="ai/all-minilm", input=texts[0], encoding_format="float").data[0].embedding
    assert cosine(alone, cat) > 0.999


def test_embeddings_base64(loaded):
    body = {"model": "ai/all-minilm", "input": "Hello", "encoding_format": "base64"}
    raw = base64.b64decode(loaded.post("/v1/embeddings", body).json["data"][0]["embedding"])
    assert len(struct.unpack(f"<{len(raw) // 4}f", raw)) == 384


def test_models(client):
    ids = [m.id for m in client.models.list()]
    assert "docker.io/ai/all-minilm:latest" in ids and len(ids) == 2  # one per model, its first name, as DMR has it
    assert client.models.retrieve("ai/smollm2").owned_by == "docker"


@pytest.mark.parametrize(
    "error, more",
    [
        (openai.BadRequestError, {"temperature": 7}),
        (openai.BadRequestError, {"max_tokens": -5}),
        (openai.BadRequestError, {"n": 1000}),
        (openai.BadRequestError, {"stop": ["x"] * 99}),
    ],
)
def test_errors_are_the_clients_own(client, error, more):
    with pytest.raises(error) as caught:
        ask(client, **more)
    assert next(iter(more)) in str(caught.value.param) or next(iter(more)) in caught.value.message


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError, match="tug pull ai/nothing"):
        client.chat.completions.create(model="ai/nothing", messages=[{"role": "user", "content": "x"}])


def test_prompt_too_long(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "word " * 200000, max_tokens=1)
    numbers = [int(w) for w in caught.value.message.replace(",", " ").split() if w.isdigit()]
    assert len(numbers) >= 2 and caught.value.code == "context_length_exceeded"


def test_utf8_is_never_split(client):
    """Many tokens are parts of characters: the chunks hold whole ones, and together the bytes of the tokens."""
    text, raw = "", b""
    prompt = "Repeat exactly: 🚢🐋 日本語 Привет ñ 🚢🐋 日本語"
    for chunk in ask(client, prompt, max_tokens=80, stream=True, logprobs=True):
        if not chunk.choices:
            continue
        text += chunk.choices[0].delta.content or ""
        if chunk.choices[0].logprobs:
            raw += b"".join(bytes(t.bytes) for t in chunk.choices[0].logprobs.content)
    assert any(len(c.encode()) > 1 for c in text), "the answer has no character of several bytes: ask for another text"
    # What the model itself got wrong (a character that it never ended) is the only replacement there is.
    assert text.replace("\ufffd", "") == raw.decode("utf-8", "ignore")


def test_node_client(loaded):
    done = subprocess.run(
        ["node", str(ROOT / "tests/node/client.mjs")],
        env=os.environ | {"BASE_URL": loaded.url + "/v1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") >= 7
