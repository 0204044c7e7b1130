"""Beside chat: tokens and templates, rerank and score, vectors cut short, best_of, suffix, and what is told of fields."""

import math

import openai
import pytest


@pytest.fixture
def client(loaded):
    return openai.OpenAI(base_url=loaded.url + "/v1", api_key="any", max_retries=0)


def post(loaded, path, model="ai/smollm2", **body):
    return loaded.post(path, {"model": model} | body)


def test_tokens_and_back(loaded):
    text = "Hello, wörld 🚢 <|im_end|>"
    answer = post(loaded, "/tokenize", content=text).json
    assert answer["count"] == len(answer["tokens"]) > 3 and answer["max_model_len"] > 0
    assert post(loaded, "/detokenize", tokens=answer["tokens"]).json["content"] == text
    pieces = post(loaded, "/tokenize", content="Hello there", with_pieces=True).json["tokens"]
    assert "".join(p["piece"] for p in pieces) == "Hello there"
    plain = post(loaded, "/tokenize", content="<|im_end|>", parse_special=False).json["count"]
    assert plain > post(loaded, "/tokenize", content="<|im_end|>").json["count"] == 1


def test_counting_a_chat_is_what_it_costs(loaded):
    messages = [{"role": "user", "content": "Say hello."}]
    counted = post(loaded, "/tokenize", messages=messages).json["count"]
    assert counted == post(loaded, "/v1/chat/completions", messages=messages, max_tokens=1).json["usage"]["prompt_tokens"]
    prompt = post(loaded, "/apply-template", messages=messages).json["prompt"]
    assert "Say hello." in prompt and prompt.endswith("assistant\n")
    tools = [{"type": "function", "function": {"name": "look_here"}}]
    assert "look_here" in post(loaded, "/apply-template", messages=messages, tools=tools).json["prompt"]


@pytest.mark.parametrize(
    "path, body, param",
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": 3}, "content"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [1, 10**9]}, "tokens"),
        ("/apply-template", {}, "messages"),
        ("/rerank", {"model": "ai/all-minilm", "query": "a"}, "documents"),
        ("/rerank", {"model": "ai/all-minilm", "query": "a", "documents": []}, "documents"),
        ("/rerank", {"model": "ai/all-minilm", "query": "a", "documents": ["b", ""]}, "documents[1]"),
        ("/score", {"model": "ai/all-minilm", "text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, "text_2"),
        ("/rerank", {"query": "a", "documents": ["b"]}, "model"),
    ],
)
def test_what_is_refused(loaded, path, body, param):
    answer = post(loaded, path, **body)
    assert answer.status == 400 and answer.json["error"]["param"] == param, answer.json


DOCUMENTS = ["Stocks fell on Tuesday.", "A kitten rests on a rug.", "Rain is expected in the north."]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/engines/v1/rerank", "/engines/llama.cpp/v1/rerank"])
def test_rerank(loaded, path):
    answer = post(loaded, path, "ai/all-minilm", query="A cat sits on the mat.", documents=DOCUMENTS, top_n=2,
                  return_documents=True).json
    assert [r["index"] for r in answer["results"]][0] == 1 and len(answer["results"]) == 2
    assert answer["results"][0]["document"]["text"] == DOCUMENTS[1]
    assert answer["results"][0]["relevance_score"] > answer["results"][1]["relevance_score"]
    assert answer["usage"]["total_tokens"] > 0


def test_score(loaded):
    one = post(loaded, "/score", "ai/all-minilm", text_1="A cat sits on the mat.", text_2=DOCUMENTS).json["data"]
    assert max(one, key=lambda d: d["score"])["index"] == 1
    same = post(loaded, "/score", "ai/all-minilm", text_1=DOCUMENTS, text_2=DOCUMENTS).json["data"]
    assert all(abs(d["score"] - 1) < 1e-3 for d in same)


def test_dimensions(client):
    text = "A cat sits on the mat."
    whole = client.embeddings.create(model="ai/all-minilm", input=text, encoding_format="float").data[0].embedding
    cut = client.embeddings.create(model="ai/all-minilm", input=text, dimensions=64, encoding_format="float").data[0].embedding
    assert len(cut) == 64 and abs(sum(x * x for x in cut) - 1) < 1e-3
    length = math.sqrt(sum(x * x for x in whole[:64]))
    assert all(abs(a - b / length) < 1e-5 for a, b in zip(cut, whole))
    coded = client.embeddings.create(model="ai/all-minilm", input=text, dimensions=64).data[0].embedding  # base64
    assert all(abs(a - b) < 1e-6 for a, b in zip(cut, coded))
    with pytest.raises(openai.BadRequestError, match="at most 384"):
        client.embeddings.create(model="ai/all-minilm", input=text, dimensions=385)


def test_inputs_of_each_kind(loaded, client):
    ids = post(loaded, "/tokenize", "ai/all-minilm", content="A cat.", add_special=True).json["tokens"]
    by_text = client.embeddings.create(model="ai/all-minilm", input="A cat.", encoding_format="float").data[0].embedding
    by_ids = client.embeddings.create(model="ai/all-minilm", input=ids, encoding_format="float").data[0].embedding
    lists = client.embeddings.create(model="ai/all-minilm", input=[ids, ids], encoding_format="float").data
    assert all(abs(a - b) < 1e-3 for a, b in zip(by_text, by_ids))
    assert [d.index for d in lists] == [0, 1] and all(abs(a - b) < 1e-3 for a, b in zip(lists[1].embedding, by_text))


def test_best_of(client):
    args = {"model": "ai/smollm2", "prompt": "The sea is", "max_tokens": 8, "temperature": 1.2, "seed": 4, "logprobs": 0}
    every = client.completions.create(**args, n=4)
    best = client.completions.create(**args, n=1, best_of=4)
    mean = {c.text: sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in every.choices}
    assert len(best.choices) == 1 and best.choices[0].text == max(mean, key=mean.get)
    assert best.usage.completion_tokens == every.usage.completion_tokens


def test_suffix_needs_a_model_that_fills_in(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="ai/smollm2", prompt="def add(", suffix="return a + b", max_tokens=8)
    assert caught.value.param == "suffix" and "fill in the middle" in caught.value.message


def test_unknown_fields_are_told(loaded):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    warned = post(loaded, "/v1/chat/completions", **body, temprature=1)
    assert warned.status == 200 and "temprature" in warned.headers["X-Tug-Warning"]
    streamed = post(loaded, "/v1/chat/completions", **body, temprature=1, stream=True)
    assert "temprature" in streamed.headers["X-Tug-Warning"]
    quiet = post(loaded, "/v1/chat/completions", **body, user="u", metadata={"a": "b"}, store=True, service_tier="flex")
    assert "X-Tug-Warning" not in quiet.headers and quiet.json["service_tier"] == "flex"


@pytest.mark.parametrize("sampler", [{"top_n_sigma": 0.001}, {"samplers": ["top_k", "temperature"], "top_k": 1},
                                     {"mirostat": 2, "mirostat_tau": 0.001}])
def test_samplers_that_leave_the_likeliest_are_greedy(client, sampler):
    args = {"model": "ai/smollm2", "messages": [{"role": "user", "content": "Count to five."}], "max_tokens": 12}
    greedy = client.chat.completions.create(**args, temperature=0)
    drawn = client.chat.completions.create(**args, temperature=1.0, extra_body=sampler)
    if "mirostat" in sampler:  # it begins at twice its aim and needs a token to come down
        assert drawn.usage.completion_tokens > 0
    else:
        assert drawn.choices[0].message.content == greedy.choices[0].message.content


def test_what_a_sampler_cannot_be(loaded):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    for field, value in (("samplers", ["magic"]), ("dry_multiplier", 0.8), ("mirostat", 7), ("typical_p", 2)):
        answer = post(loaded, "/v1/chat/completions", **body, **{field: value})
        assert answer.status == 400 and answer.json["error"]["param"] == field
