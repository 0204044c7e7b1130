"""tug-engine run by hand against a GGUF file: no daemon, no store. Both builds of llama.cpp are held by these tests."""

import http.client
import json
import signal
import subprocess

import pytest

from conftest import EMBEDDER, ENGINE, MODEL, alive, free_port, wait_for


class Engine:
    def __init__(self, *flags, log):
        self.port = free_port()
        self.log = log
        with open(log, "wb") as out:
            argv = [ENGINE, "--listen", f"127.0.0.1:{self.port}", *flags]
            self.process = subprocess.Popen(list(map(str, argv)), stdout=out, stderr=out)

    def ready(self):
        wait_for("the engine", lambda: self.process.poll() is not None or self.answers(), 120)
        assert self.process.poll() is None, self.log.read_text()
        return self

    def answers(self):
        try:
            return self.request("GET", "/health")[0] == 200
        except OSError:
            return False

    def request(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        c.request(method, path, json.dumps(body) if body is not None else None)
        r = c.getresponse()
        return r.status, r.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    e = Engine("--model", MODEL, log=tmp_path_factory.mktemp("engine") / "log").ready()
    yield e
    assert e.stop() == 0


def chat(e, prompt="What is a tugboat?", **more):
    body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 24} | more
    status, data = e.request("POST", "/v1/chat/completions", body)
    return status, json.loads(data)


def test_engine_chats(engine):
    status, answer = chat(engine)
    assert status == 200 and "boat" in answer["choices"][0]["message"]["content"].lower()


def test_engine_same_bytes_twice(engine):
    assert chat(engine)[1]["choices"] == chat(engine)[1]["choices"]


def test_engine_reuses_a_prefix(engine):
    words = " ".join(f"w{i}" for i in range(200))
    chat(engine, words + " first", max_tokens=1)
    usage = chat(engine, words + " second", max_tokens=1)[1]["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 300


def test_engine_lists_its_model(engine):
    status, data = engine.request("GET", "/v1/models")
    assert status == 200 and json.loads(data)["data"][0]["object"] == "model"


def test_engine_refuses_embeddings_or_answers(engine):
    status, data = engine.request("POST", "/v1/embeddings", {"input": "Hello"})
    assert status in (200, 400) and json.loads(data)


def test_engine_embeds(tmp_path):
    e = Engine("--model", EMBEDDER, log=tmp_path / "log").ready()
    status, data = e.request("POST", "/v1/embeddings", {"input": ["Hello", "World"]})
    assert status == 200 and [len(d["embedding"]) for d in json.loads(data)["data"]] == [384, 384]
    assert e.stop() == 0


def test_engine_says_why_it_cannot_load(tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(open(MODEL, "rb").read(100_000))
    for path, word in ((bad, "bad.gguf"), (tmp_path / "none.gguf", "none.gguf")):
        e = Engine("--model", path, log=tmp_path / "log")
        assert e.process.wait(timeout=30) == 1
        assert word in (tmp_path / "log").read_text()


def test_engine_ends_with_its_parent(tmp_path):
    """The ready descriptor's end is the order to exit: a daemon that dies leaves nothing behind."""
    script = (
        "import socket, subprocess, sys\n"
        "a, b = socket.socketpair()\n"
        "p = subprocess.Popen([sys.argv[1], '--model', sys.argv[2], '--listen', 'unix:' + sys.argv[3], '--ready-fd', str(b.fileno())], pass_fds=[b.fileno()])\n"
        "b.close()\n"
        "print(p.pid, a.makefile().readline(), flush=True)\n"
        "a.shutdown(socket.SHUT_RDWR); a.close(); p.wait()\n"
    )
    done = subprocess.run(
        ["python3", "-c", script, str(ENGINE), MODEL, str(tmp_path / "s.sock")], capture_output=True, text=True, timeout=60
    )
    pid, line = done.stdout.split(" ", 1)
    assert line.startswith("ready {"), done.stdout + done.stderr
    ready = json.loads(line[6:])
    assert ready["pid"] == int(pid) and ready["memory_bytes"] > 0 and ready["context"] > 0
    assert not alive(int(pid))


def test_a_reranker_gives_no_vectors(tmp_path):
    """Its rows are a score for each class, shorter than a vector: reading one of the model's width would run past it."""
    gguf = bytearray(open(EMBEDDER, "rb").read())
    at = gguf.index(b"bert.pooling_type") + len(b"bert.pooling_type")
    assert gguf[at : at + 4] == (4).to_bytes(4, "little"), "a u32"
    gguf[at + 4 : at + 8] = (4).to_bytes(4, "little")  # LLAMA_POOLING_TYPE_RANK
    path = tmp_path / "reranker.gguf"
    path.write_bytes(gguf)
    e = Engine("--model", path, log=tmp_path / "log").ready()
    try:
        status, answer = e.request("POST", "/v1/embeddings", {"input": ["a text", "another"]})
        assert status >= 400 and "reranker" in json.loads(answer)["error"]["message"]
        assert e.request("GET", "/health")[0] == 200
    finally:
        assert e.stop() == 0
