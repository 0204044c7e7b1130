"""tug-engine by itself, without a daemon: OpenAI's API by the official client, and its life by the engine protocol."""

import concurrent.futures
import http.client
import json
import math
import os
import signal
import socket
import subprocess
import time

import openai
import pytest

from conftest import EMBEDDER, ENGINE, MODEL, alive, wait_for

QUESTION = [{"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France?"}]
LONG = "The quick brown fox jumps over the lazy dog, and then it sleeps. " * 200


class Engine:
    """As the daemon starts it: one end of a socketpair, a line when it is ready."""

    def __init__(self, folder, model, *flags, wait=True):
        self.path = folder / "engine.sock"
        self.log = folder / "engine.log"
        self.ours, theirs = socket.socketpair()
        self.flags = flags
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        argv = [ENGINE, "--model", model, "--listen", f"127.0.0.1:{self.port}", "--ready-fd", theirs.fileno(), *flags]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, argv)), pass_fds=[theirs.fileno()], stdout=log, stderr=log)
        theirs.close()
        self.lines = self.ours.makefile("r")
        if wait:
            line = self.lines.readline()
            assert line.startswith("ready "), f"{line!r}\n{self.log.read_text()}"
            self.ready = json.loads(line[len("ready "):])
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0, timeout=300)

    def request(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        c.request(method, path, body if isinstance(body, (bytes, str)) or body is None else json.dumps(body))
        answer = c.getresponse()
        data = answer.read()
        c.close()
        return answer.status, json.loads(data) if data.startswith(b"{") else data.decode()

    def metric(self, name):
        for line in self.request("GET", "/metrics")[1].splitlines():
            if line.startswith(f"tug_engine_{name} "):
                return float(line.split()[1])
        raise AssertionError(name)

    def raw(self, body, path="/v1/chat/completions"):
        """A socket with the request sent, for clients that leave."""
        data = json.dumps(body).encode()
        s = socket.create_connection(("127.0.0.1", self.port))
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        return s

    def idle(self):
        return self.metric("requests_running") == 0 and self.metric("requests_waiting") == 0

    def stop(self, how="eof"):
        if self.process.poll() is not None:
            return self.process.returncode
        if how == "eof":
            self.lines.close()
            self.ours.close()
        elif how == "line":
            self.ours.sendall(b"stop\n")
        else:
            self.process.send_signal(how)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    e = Engine(tmp_path_factory.mktemp("engine"), MODEL, "--ctx-size", "8192", "--parallel", "32")
    yield e
    wait_for("an idle engine", e.idle)
    assert e.stop() == 0, e.log.read_text()


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    e = Engine(tmp_path_factory.mktemp("embedder"), EMBEDDER)
    yield e
    assert e.stop("line") == 0, e.log.read_text()


def chat(engine, **more):
    return engine.client.chat.completions.create(
        **{"model": "ai/any", "messages": QUESTION, "temperature": 0, "max_tokens": 24} | more)


def test_a_plain_answer(engine):
    a = chat(engine)
    assert a.object == "chat.completion" and a.model == "ai/any" and a.id.startswith("chatcmpl-")
    assert a.choices[0].message.role == "assistant" and "Paris" in a.choices[0].message.content
    assert a.choices[0].finish_reason == "stop"
    assert a.usage.total_tokens == a.usage.prompt_tokens + a.usage.completion_tokens
    assert abs(time.time() - a.created) < 60
    assert a.timings["predicted_n"] == a.usage.completion_tokens
    again = chat(engine)
    assert again.choices[0].message.content == a.choices[0].message.content
    assert again.usage.prompt_tokens_details.cached_tokens > 0


def test_a_stream_says_the_same(engine):
    chunks = list(chat(engine, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    whole = chat(engine)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].choices[0].delta.content == ""
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1
    assert all(c.usage is None for c in chat(engine, stream=True))


def test_tokens_arrive_one_by_one(engine):
    times = []
    for c in chat(engine, stream=True, max_tokens=16, messages=[{"role": "user", "content": "Tell me a story."}]):
        times.append(time.monotonic())
    assert len(times) >= 16
    assert times[-1] - times[1] > 0.5 * (times[-1] - times[0]) / 16  # spread out, not all at the end


def test_several_choices(engine):
    a = chat(engine, n=3, temperature=1.5, seed=7, max_tokens=16, messages=[{"role": "user", "content": "Tell me a story."}])
    texts = [c.message.content for c in a.choices]
    assert [c.index for c in a.choices] == [0, 1, 2] and len(set(texts)) == 3
    assert a.usage.completion_tokens <= 48
    again = chat(engine, n=3, temperature=1.5, seed=7, max_tokens=16, messages=[{"role": "user", "content": "Tell me a story."}])
    assert again.usage.prompt_tokens == a.usage.prompt_tokens
    parts = ["", "", ""]
    for c in chat(engine, n=3, stream=True, temperature=1.5, seed=7, max_tokens=16):
        parts[c.choices[0].index] += c.choices[0].delta.content or ""
    assert all(parts)


def test_logprobs(engine):
    a = chat(engine, logprobs=True, top_logprobs=3)
    rows = a.choices[0].logprobs.content
    assert b"".join(bytes(r.bytes) for r in rows).decode().startswith(a.choices[0].message.content)
    for r in rows:
        assert r.logprob <= 0 and len(r.top_logprobs) == 3
        assert r.top_logprobs[0].token == r.token  # greedy
        assert [t.logprob for t in r.top_logprobs] == sorted((t.logprob for t in r.top_logprobs), reverse=True)
    streamed = [r for c in chat(engine, stream=True, logprobs=True) if c.choices[0].logprobs for r in c.choices[0].logprobs.content]
    assert [r.token for r in streamed] == [r.token for r in rows]
    c = engine.client.completions.create(model="m", prompt="The capital of France is", max_tokens=4, temperature=0, logprobs=2)
    l = c.choices[0].logprobs
    assert "".join(l.tokens) == c.choices[0].text and len(l.top_logprobs) == len(l.tokens) == len(l.token_logprobs)
    assert l.text_offset == [sum(map(len, l.tokens[:i])) for i in range(len(l.tokens))]


def test_stop_strings_end_the_answer(engine):
    a = chat(engine, stop=["capital"])
    assert a.choices[0].message.content == "The " and a.choices[0].finish_reason == "stop"
    text = "".join(c.choices[0].delta.content or "" for c in chat(engine, stop="France", stream=True))
    assert text == "The capital of "


def test_max_tokens_end_with_length(engine):
    for name in ("max_tokens", "max_completion_tokens"):
        a = chat(engine, **{"max_tokens": openai.NOT_GIVEN} | {name: 3})
        assert a.choices[0].finish_reason == "length" and a.usage.completion_tokens == 3


def test_logit_bias_forbids_a_token(engine):
    rows = chat(engine, logprobs=True).choices[0]
    text = rows.message.content
    ids = engine.client.completions.create(model="m", prompt=[100], max_tokens=1, echo=True)  # token prompts are taken
    assert ids.choices[0].text
    a = engine.client.completions.create(model="m", prompt="The capital of France is", max_tokens=1, temperature=0)
    b = engine.client.completions.create(model="m", prompt="The capital of France is", max_tokens=1, temperature=0,
                                         logit_bias={str(i): -100 for i in range(7000, 7100)})
    assert a.choices[0].text == " Paris" and b.choices[0].text != a.choices[0].text, text


def test_prefill_goes_on_with_the_assistants_words(engine):
    a = chat(engine, messages=QUESTION + [{"role": "assistant", "content": "The capital of France"}])
    assert a.choices[0].message.content.startswith(" is Paris")


def test_completions(engine):
    c = engine.client.completions.create(model="m", prompt=["The capital of France is", "One, two,"], max_tokens=3, temperature=0, n=2)
    assert [x.index for x in c.choices] == [0, 1, 2, 3]
    assert c.choices[0].text == c.choices[1].text and "Paris" in c.choices[0].text
    assert c.usage.completion_tokens == 12
    e = engine.client.completions.create(model="m", prompt="One, two,", max_tokens=1, temperature=0, echo=True)
    assert e.choices[0].text.startswith("One, two,")
    parts = engine.client.completions.create(model="m", prompt="One, two,", max_tokens=3, temperature=0, stream=True, echo=True)
    assert "".join(p.choices[0].text for p in parts).startswith(e.choices[0].text)


def test_characters_are_never_split(engine):
    ask = [{"role": "user", "content": "Repeat exactly: 😀🎉👩‍👩‍👧‍👦 日本語 é"}]
    with engine.client.chat.completions.with_streaming_response.create(
            model="m", messages=ask, temperature=0, max_tokens=48, stream=True) as r:
        data = b"".join(r.iter_bytes())
    text = ""
    for line in data.decode("utf-8").splitlines():  # raises if a chunk were no UTF-8
        if line.startswith("data: {"):
            text += (json.loads(line[6:])["choices"][0]["delta"].get("content") or "")
    biased = engine.client.completions.create(model="m", prompt="😀😀😀😀😀😀😀😀", max_tokens=24, temperature=0, stream=True)
    pieces = [p.choices[0].text for p in biased]
    assert "\ufffd" not in text + "".join(pieces)
    assert "😀" in "".join(pieces)


@pytest.mark.parametrize("body, param", [
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({"messages": QUESTION, "temperature": 7}, "temperature"),
    ({"messages": QUESTION, "n": "two"}, "n"),
    ({"messages": QUESTION, "logit_bias": {"9999999": 1}}, "logit_bias"),
    ({"messages": QUESTION, "tools": [{"type": "search"}]}, "tools[0]"),
    ({"messages": []}, "messages"),
])
def test_wrong_requests_name_the_field(engine, body, param):
    status, answer = engine.request("POST", "/v1/chat/completions", body)
    assert status == 400 and answer["error"]["param"] == param and param in answer["error"]["message"]


def test_broken_json_has_a_place(engine):
    status, answer = engine.request("POST", "/v1/chat/completions", '{"messages": [}')
    assert status == 400 and "line 1" in answer["error"]["message"]


def test_a_long_prompt_is_refused_with_both_numbers(engine):
    with pytest.raises(openai.BadRequestError) as e:
        chat(engine, messages=[{"role": "user", "content": LONG * 5}])
    assert e.value.body["code"] == "context_length_exceeded" and "8192" in str(e.value)
    with pytest.raises(openai.BadRequestError, match="more than .* tokens.* 8192"):  # megabytes are not even tokenized
        chat(engine, messages=[{"role": "user", "content": LONG * 100}])
    with pytest.raises(openai.BadRequestError, match="more than .* tokens.* 8192"):
        engine.client.completions.create(model="m", prompt=LONG * 100)


def test_a_generator_has_no_embeddings_and_an_embedder_no_text(engine, embedder):
    with pytest.raises(openai.BadRequestError, match="embedding model"):
        engine.client.embeddings.create(model="m", input="x")
    with pytest.raises(openai.BadRequestError, match="embedding model"):
        chat(embedder)


def test_embeddings(embedder):
    assert embedder.ready["embedding"] is True
    texts = ["A cat sat on the mat.", "A kitten lay on the rug.", "The stock market fell."]
    a = embedder.client.embeddings.create(model="m", input=texts)  # the client asks for base64
    b = embedder.client.embeddings.create(model="m", input=texts, encoding_format="float")
    v = [d.embedding for d in a.data]
    assert [d.index for d in a.data] == [0, 1, 2] and len(v[0]) == 384
    assert all(math.isclose(x, y, abs_tol=1e-6) for p, q in zip(v, (d.embedding for d in b.data)) for x, y in zip(p, q))
    dot = lambda p, q: sum(x * y for x, y in zip(p, q))
    assert math.isclose(dot(v[0], v[0]), 1, abs_tol=1e-3) and dot(v[0], v[1]) > dot(v[0], v[2]) + 0.2
    assert a.usage.prompt_tokens == a.usage.total_tokens > 10
    many = embedder.client.embeddings.create(model="m", input=[f"text {i}" for i in range(200)])
    assert len(many.data) == 200
    one = embedder.client.embeddings.create(model="m", input="text 77")
    assert all(math.isclose(x, y, abs_tol=1e-3) for x, y in zip(one.data[0].embedding, many.data[77].embedding))
    with pytest.raises(openai.BadRequestError, match="384"):
        embedder.client.embeddings.create(model="m", input="x", dimensions=385)


def test_a_client_that_leaves_while_decoding_stops_its_work(engine):
    wait_for("an idle engine", engine.idle)
    s = engine.raw({"messages": [{"role": "user", "content": "Tell me a very long story."}], "max_tokens": 4000,
                    "stream": True, "ignore_eos": True, "n": 2})
    assert b"data: " in s.recv(4096) + s.recv(4096)
    before, cancelled = engine.metric("decoded_rows_total"), engine.metric("requests_cancelled_total")
    s.close()
    wait_for("the end of the work", engine.idle, 5)
    rows = engine.metric("decoded_rows_total")
    time.sleep(0.3)
    assert engine.metric("decoded_rows_total") == rows  # nothing goes on
    assert rows - before < 60  # of 8,000
    assert engine.metric("requests_cancelled_total") == cancelled + 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_in_prefill_stops_its_work(engine, stream):
    wait_for("an idle engine", engine.idle)
    before = engine.metric("decoded_rows_total")
    s = engine.raw({"messages": [{"role": "user", "content": f"{time.time()} " + LONG}], "max_tokens": 5, "stream": stream})
    wait_for("the prompt", lambda: engine.metric("requests_running") == 1)
    s.close()
    wait_for("the end of the work", engine.idle, 5)
    done = engine.metric("decoded_rows_total") - before
    time.sleep(0.3)
    assert engine.metric("decoded_rows_total") - before == done < 2800  # of some 3,000 and more


def test_many_streams_at_once(engine):
    def one(i):
        parts = list(chat(engine, stream=True, max_tokens=12, messages=[{"role": "user", "content": f"Count from {i} on."}],
                          stream_options={"include_usage": True}))
        return parts[-1].usage.completion_tokens, "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(one, range(32)))
    assert all(0 < n <= 12 and text for n, text in answers)


def test_what_there_is_to_know(engine):
    assert engine.request("GET", "/health") == (200, {"status": "ok"})
    model = engine.client.models.list().data[0]
    assert engine.client.models.retrieve(model.id).id == model.id
    status, props = engine.request("GET", "/props")
    assert status == 200 and props["n_ctx"] == 8192 and "llama.cpp" in props["build_info"]
    assert engine.request("GET", "/nothing")[0] == 404
    assert engine.request("GET", "/v1/chat/completions")[0] == 405
    assert engine.request("POST", "/completions", {"prompt": "x", "max_tokens": 1})[0] == 200
    assert engine.ready["context"] == 8192 and engine.ready["memory_bytes"] > 50e6 and engine.ready["pid"] == engine.process.pid


@pytest.mark.parametrize("how", ["line", signal.SIGTERM])
def test_a_stop_lets_running_answers_finish(tmp_path, how):
    e = Engine(tmp_path, MODEL, "--ctx-size", "2048")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(chat, e, max_tokens=40, messages=[{"role": "user", "content": "Tell me a story."}])
        wait_for("the request", lambda: e.metric("requests_running") == 1)
        assert e.stop(how) == 0
        assert running.result().usage.completion_tokens > 5


def test_the_daemons_end_is_the_engines(tmp_path):
    e = Engine(tmp_path, MODEL, "--ctx-size", "2048")
    s = e.raw({"messages": QUESTION, "max_tokens": 2000, "stream": True, "ignore_eos": True})
    s.recv(100)
    start = time.monotonic()
    assert e.stop("eof") == 0 and time.monotonic() - start < 5


def test_the_daemons_end_while_loading(tmp_path):
    e = Engine(tmp_path, MODEL, wait=False)
    assert e.stop("eof") == 0


BAD = [
    ("no file", None, [], "nothing.gguf"),
    ("not GGUF", b"<html>no</html>" * 100, [], "GGUF"),
    ("truncated", "half", [], "model.gguf"),
    ("broken template", "whole", ["{% if messages %}{{ messages[0].content }"], "Expected }}"),
    ("empty template", "whole", [""], "empty"),
]


@pytest.mark.parametrize("what, content, template, says", BAD, ids=[b[0] for b in BAD])
def test_what_cannot_be_loaded_says_why(tmp_path, what, content, template, says):
    path = tmp_path / ("nothing.gguf" if content is None else "model.gguf")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "half":
        with open(MODEL, "rb") as f:
            path.write_bytes(f.read(os.path.getsize(MODEL) // 2))
    elif content == "whole":
        path.symlink_to(MODEL)
    flags = []
    if template:
        (tmp_path / "t.jinja").write_text(template[0])
        flags = ["--chat-template-file", tmp_path / "t.jinja"]
    e = Engine(tmp_path, path, *flags, wait=False)
    line = e.lines.readline()
    assert line.startswith("failed "), line
    why = json.loads(line[len("failed "):])
    assert says in why["message"] and why["code"].isupper()
    assert e.process.wait(timeout=20) == 1 and not alive(e.process.pid)


def test_a_template_that_raises_is_the_requests_fault(tmp_path):
    (tmp_path / "t.jinja").write_text("{% if messages|length > 1 %}{{ raise_exception('one message only, please') }}{% endif %}{{ messages[0].content }}")
    e = Engine(tmp_path, MODEL, "--ctx-size", "512", "--chat-template-file", tmp_path / "t.jinja")
    with pytest.raises(openai.BadRequestError, match="one message only, please"):
        chat(e, messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}])
    assert chat(e, messages=[{"role": "user", "content": "One, two,"}]).choices[0].message.content
    assert e.stop() == 0


@pytest.mark.parametrize("flags, says", [
    (["--listen", "0.0.0.0:0"], "--api-key-file"),
    (["--listen", "nowhere"], "HOST:PORT"),
    (["--ctx-size", "many"], "--ctx-size"),
    (["--kv-type", "q3"], "f16 or q8_0"),
    (["--wings"], "--wings"),
    (["--model"], "needs a value"),
])
def test_wrong_options_say_so(flags, says):
    done = subprocess.run([ENGINE, "--model", MODEL, *flags], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and says in done.stderr and done.stdout == ""


def test_a_key_is_wanted_when_there_is_one(tmp_path):
    (tmp_path / "key").write_text("secret\n")
    e = Engine(tmp_path, MODEL, "--ctx-size", "512", "--api-key-file", tmp_path / "key")
    with pytest.raises(openai.AuthenticationError):
        chat(e)
    e.client.api_key = "secret"
    assert chat(e, max_tokens=1).usage.completion_tokens == 1
    assert e.request("GET", "/health")[0] == 200
    assert e.stop() == 0
