"""Whatever a client sends, it gets a 4xx that names the field; nothing crashes, and the next request is answered."""

import json
import socket

import pytest

from conftest import SEED_MODEL

CHAT = "/v1/chat/completions"
GOOD = {"model": "ai/smollm2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}

FIELDS = [
    # field named by the error, what replaces or is added to a good request
    ("messages", {"messages": None}),
    ("messages", {"messages": []}),
    ("messages", {"messages": "Hi"}),
    ("messages[0]", {"messages": ["Hi"]}),
    ("messages[0].role", {"messages": [{"content": "Hi"}]}),
    ("messages[0].role", {"messages": [{"role": "wizard", "content": "Hi"}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": 7}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}),
    ("temperature", {"temperature": "hot"}),
    ("temperature", {"temperature": -1}),
    ("temperature", {"temperature": 2.5}),
    ("top_p", {"top_p": 2}),
    ("top_k", {"top_k": 1.5}),
    ("min_p", {"min_p": []}),
    ("seed", {"seed": "lucky"}),
    ("stop", {"stop": 5}),
    ("stop", {"stop": [1]}),
    ("max_tokens", {"max_tokens": "many"}),
    ("max_tokens", {"max_tokens": -2}),
    ("n", {"n": 0}),
    ("n", {"n": 1.5}),
    ("presence_penalty", {"presence_penalty": 3}),
    ("frequency_penalty", {"frequency_penalty": "x"}),
    ("logit_bias", {"logit_bias": [1]}),
    ("logit_bias", {"logit_bias": {"ship": 1}}),
    ("logit_bias", {"logit_bias": {"99999999": 1}}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 99}),
    ("stream", {"stream": "yes"}),
    ("stream_options", {"stream": True, "stream_options": 1}),
]


@pytest.mark.parametrize("field, change", FIELDS, ids=[f"{f}-{json.dumps(c)[:40]}" for f, c in FIELDS])
def test_field(loaded, field, change):
    answer = loaded.post(CHAT, GOOD | change)
    assert answer.status == 400, answer.body
    assert field in answer.error["message"] or field == answer.error["param"], answer.body
    assert answer.error["type"] == "invalid_request_error"


BODIES = {
    "empty": b"",
    "not JSON": b"hello",
    "cut": b'{"model": "ai/smollm2", "messages": [',
    "array": b"[]",
    "number": b"1",
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "bad UTF-8": b'{"model": "ai/smollm2", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "NUL in a string": b'{"model": "ai/smo\\u0000llm2", "messages": []}',
    "duplicate key": b'{"model": "ai/smollm2", "model": "ai/other", "messages": []}',
    "no model": b'{"messages": [{"role": "user", "content": "Hi"}]}',
    "model of a wrong type": b'{"model": 5, "messages": []}',
    "model that is no name": b'{"model": "../../etc/passwd", "messages": [{"role": "user", "content": "Hi"}]}',
    "huge number": b'{"model": "ai/smollm2", "max_tokens": 1e400, "messages": []}',
}


@pytest.mark.parametrize("name", BODIES)
def test_body(loaded, name):
    answer = loaded.post(CHAT, BODIES[name], headers={"Content-Type": "application/json"})
    assert 400 <= answer.status < 500, answer.body
    assert answer.error["message"]


def test_body_over_the_limit(loaded):
    answer = loaded.post(CHAT, b'{"model": "' + b"x" * (33 * 1024 * 1024) + b'"}')
    assert answer.status == 413 and "33554432" in answer.error["message"].replace(",", "")


def test_unknown_model_says_how_to_pull(loaded):
    answer = loaded.chat("ai/nothing:7b", "Hi")
    assert answer.status == 404
    assert answer.error["code"] == "model_not_found" and "tug pull ai/nothing:7b" in answer.error["message"]


def test_model_in_path_and_body_differ(loaded):
    body = GOOD | {"model": "ai/all-minilm"}
    answer = loaded.post(f"/engines/{SEED_MODEL}/v1/chat/completions", body)
    assert answer.status == 400
    assert "llama3.2" in answer.error["message"] and "all-minilm" in answer.error["message"]


@pytest.mark.parametrize(
    "path",
    [
        CHAT,
        "/engines/v1/chat/completions",
        "/engines/llama.cpp/v1/chat/completions",
        f"/engines/{SEED_MODEL}/v1/chat/completions",
        "//v1//chat/completions",
    ],
)
def test_every_path_form(loaded, path):
    body = {k: v for k, v in GOOD.items() if k != "model"} if SEED_MODEL in path else GOOD
    answer = loaded.post(path, body)
    assert answer.status == 200, answer.body
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("name", ["smollm2", "ai/smollm2", "ai/smollm2:latest", "docker.io/ai/smollm2", "index.docker.io/ai/smollm2"])
def test_every_name_form(loaded, name):
    assert loaded.chat(name, "Hi", max_tokens=1).status == 200


def test_chat_with_an_embedding_model(loaded):
    answer = loaded.chat("ai/all-minilm", "Hi")
    assert answer.status == 400 and "embedding" in answer.error["message"]


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/../../etc/passwd", 400),
        ("GET", "/models/%2e%2e/x", 400),
        ("GET", "/models/ai/nothing", 404),
        ("DELETE", "/models/ai/nothing", 404),
        ("POST", "/models/ai/smollm2/dance", 405),
        ("POST", "/models/ai/smollm2/tag", 400),
        ("POST", "/models/create", 400),
        ("GET", "/v1/models/ai/nothing", 404),
    ],
)
def test_routes(loaded, method, path, status):
    answer = loaded.request(method, path)
    assert answer.status == status, answer.body
    assert answer.error["message"]


def test_native_shapes(loaded):
    assert loaded.get("/").body.strip() == b"Docker Model Runner is running"
    assert "version" in loaded.get("/version").json
    models = loaded.get("/models").json
    assert {"id", "tags", "created", "config"} <= set(models[0])
    one = loaded.get("/models/ai/smollm2").json
    assert one["id"].startswith("sha256:") and "docker.io/ai/smollm2:latest" in one["tags"]
    assert loaded.get("/models/" + one["id"][7:19]).json == one
    listed = loaded.get("/engines/v1/models").json
    assert listed["object"] == "list" and listed["data"][0]["owned_by"] == "docker"
    assert "llama.cpp" in loaded.get("/engines/status").json
    assert loaded.get("/engines/df").json["models_disk_usage"] > 100_000_000
    metrics = loaded.get("/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain") and b"# TYPE" in metrics.body


def test_progress_lines(loaded):
    """Two forms: JSON lines when asked for, and HTML-escaped ones, as Docker's CLI reads them."""
    plain = loaded.post("/models/create", {"from": "localhost:1/no/registry"})
    assert plain.status >= 400 or b"&#34;type&#34;:&#34;error&#34;" in plain.body


def test_rubbish_on_the_socket(loaded):
    for data in (b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST " + b"A" * 100_000, b"\x16\x03\x01\x02\x00"):
        with socket.create_connection(("127.0.0.1", loaded.port), timeout=10) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
    assert loaded.chat("ai/smollm2", "Hi", max_tokens=1).status == 200


def test_model_output_is_never_a_500(loaded):
    """Hot sampling makes rubbish of all kinds, incomplete characters too: always a 200 with valid JSON."""
    for seed in range(6):
        answer = loaded.chat("ai/smollm2", "日本語 🚢", temperature=2, top_p=1, top_k=0, min_p=0, seed=seed, max_tokens=40)
        assert answer.status == 200
        assert isinstance(answer.json["choices"][0]["message"]["content"], str)
