"""The daemon: loads on the first request, unloads when idle, survives its engines, ends cleanly, is alone in its home."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import ENGINE, MODEL, TUG, Daemon, alive, children, free_port, wait_for


@pytest.fixture
def small(make_daemon):
    return make_daemon().package("ai/smollm2")


def stream(daemon, max_tokens=400):
    """A running streamed answer, after its first token."""
    c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=120)
    body = {"model": "ai/smollm2", "stream": True, "max_tokens": max_tokens, "ignore_eos": True}
    body["messages"] = [{"role": "user", "content": "Tell me a long story about the sea."}]
    c.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    r = c.getresponse()
    assert r.status == 200
    while b'"content":"' not in (line := r.readline()) or b'"content":""' in line:
        assert line, "the stream ended before its first token"
    return c, r


def test_first_request_starts_one_engine(small):
    assert small.engines() == []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: small.chat("ai/smollm2", f"Say {i}", max_tokens=2).status, range(8)))
    assert answers == [200] * 8
    assert len(small.engines()) == 1
    (entry,) = small.get("/engines/ps").json
    assert entry["backend_name"] == "llama.cpp" and entry["mode"] == "completion"


def test_idle_timeout(make_daemon):
    d = make_daemon("--keep-alive", "500ms").package("ai/smollm2")
    assert d.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    (engine,) = d.engines()
    wait_for("the unload", lambda: d.get("/engines/ps").json == [], 10)
    wait_for("the engine's end", lambda: not alive(engine), 10)
    assert d.chat("ai/smollm2", "Hi", max_tokens=1).status == 200


def test_unload(small):
    assert small.tug("unload", "ai/smollm2").stdout == "No such model(s) running.\n"
    small.tug("run", "--detach", "ai/smollm2")
    assert "smollm2" in small.tug("ps").stdout
    assert small.tug("unload", "ai/smollm2").stdout == "Unloaded 1 model(s).\n"
    assert small.tug("unload", "--all").stdout == "No models are running.\n"
    done = small.tug("unload", check=False)
    assert done.returncode == 1 and "requires MODEL unless --all" in done.stderr


def test_two_models_at_once(loaded):
    assert loaded.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    assert loaded.post("/v1/embeddings", {"model": "ai/all-minilm", "input": "x"}).status == 200
    assert len(loaded.get("/engines/ps").json) == 2


def test_no_room_the_longest_idle_leaves(make_daemon, tmp_path):
    """Memory for about one and a half models: the idle one makes room, the one in use never does."""
    d = make_daemon("--memory", "600").package("ai/smollm2")
    d.package("ai/other", license="/usr/share/common-licenses/GPL-3")
    assert d.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    assert d.chat("ai/other", "Hi", max_tokens=1).status == 200
    names = [e["model_name"] for e in d.get("/engines/ps").json]
    assert len(names) == 1 and "other" in names[0]


def test_larger_than_memory(make_daemon):
    d = make_daemon("--memory", "50").package("ai/smollm2")
    answer = d.chat("ai/smollm2", "Hi")
    assert answer.status in (500, 503, 507) and "ai/smollm2" in answer.error["message"]
    assert sum(any(c.isdigit() for c in word) for word in answer.error["message"].split()) >= 2


def test_engine_killed_under_a_request(small):
    c, r = stream(small)
    (engine,) = small.engines()
    os.kill(engine, signal.SIGKILL)
    with pytest.raises(http.client.IncompleteRead) as cut:  # it must not look like a whole answer
        r.read()
    rest = cut.value.partial
    assert b"[DONE]" not in rest
    assert b'"error"' in rest and b"signal 9" in rest, rest[-500:]
    c.close()
    assert small.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    assert small.engines() != [engine]


def test_engine_killed_while_idle(small):
    assert small.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    os.kill(small.engines()[0], signal.SIGKILL)
    wait_for("the daemon to see its end", lambda: small.get("/engines/ps").json == [], 5)
    answer = small.chat("ai/smollm2", "Hi", max_tokens=1)
    assert answer.status == 200, answer.body


def test_a_template_that_does_not_compile(make_daemon, tmp_path):
    template = tmp_path / "broken.jinja"
    template.write_text("{% for m in messages %}{{ m.content }")
    d = make_daemon()
    d.tug("package", "--gguf", MODEL, "--chat-template", template, "ai/broken")
    answer = d.chat("ai/broken", "Hi")
    assert answer.status in (500, 503) and "template" in answer.error["message"]
    wait_for("the engine's end", lambda: d.engines() == [], 10)
    done = d.tug("run", "ai/broken", "Hi", check=False)
    assert done.returncode == 1 and "template" in done.stderr


def test_an_engine_that_dies_while_loading(make_daemon, tmp_path):
    fake = tmp_path / "engine"
    fake.write_text("#!/bin/sh\necho 'no GPU today' >&2\nexit 3\n")
    fake.chmod(0o755)
    d = make_daemon("--engine", fake).package("ai/smollm2")
    answer = d.chat("ai/smollm2", "Hi")
    assert answer.status in (500, 503)
    assert "no GPU today" in answer.error["message"] and "3" in answer.error["message"]


def test_sigterm_lets_running_answers_finish(make_daemon):
    d = make_daemon("--grace", "30s").package("ai/smollm2")
    c, r = stream(d, max_tokens=60)
    d.process.send_signal(signal.SIGTERM)
    wait_for("the refusal of new requests", lambda: refuses(d), 5)
    rest = r.read()
    assert b"[DONE]" in rest
    assert d.process.wait(timeout=30) == 0


def refuses(d):
    try:
        return d.get("/v1/models").status == 503
    except OSError:
        return True


def test_sigterm_does_not_wait_for_ever(make_daemon):
    d = make_daemon("--grace", "300ms").package("ai/smollm2")
    c, r = stream(d, max_tokens=4000)
    engines = d.engines()
    began = time.monotonic()
    d.process.send_signal(signal.SIGTERM)
    assert d.process.wait(timeout=20) == 0
    assert time.monotonic() - began < 10
    wait_for("the end of the engines", lambda: not any(map(alive, engines)), 5)


def test_kill_9_leaves_no_engine(small):
    assert small.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    engines = small.kill()
    assert engines
    wait_for("the end of the engines", lambda: not any(map(alive, engines)), 5)
    small.start()
    assert small.chat("ai/smollm2", "Hi", max_tokens=1).status == 200


def test_port_taken(make_daemon, tmp_path):
    first = make_daemon(home="one")
    done = subprocess.run([TUG, "serve", "--home", tmp_path / "two", "--port", str(first.port)], capture_output=True, text=True)
    assert done.returncode != 0
    assert str(first.port) in done.stderr and f"{first.process.pid}" in done.stderr and "tug" in done.stderr


def test_one_daemon_per_home(small):
    done = subprocess.run([TUG, "serve", "--home", small.home, "--port", "0"], capture_output=True, text=True)
    assert done.returncode != 0 and str(small.process.pid) in done.stderr


def test_foreign_host_and_origin(small):
    assert small.get("/v1/models", headers={"Host": "evil.example"}).status == 403
    assert small.get("/v1/models", headers={"Origin": "https://evil.example"}).status == 403
    answer = small.get("/v1/models", headers={"Origin": "http://localhost:3000"})
    assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


def test_off_loopback_needs_a_key(tmp_path):
    done = subprocess.run([TUG, "serve", "--home", tmp_path / "h", "--listen", "0.0.0.0:0"], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "--api-key" in done.stderr and "--insecure" in done.stderr


def test_api_key(make_daemon):
    d = make_daemon("--api-key", "secret")
    assert d.get("/v1/models").status == 401
    assert d.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status == 401
    assert d.get("/v1/models", headers={"Authorization": "Bearer secret"}).status == 200
    assert d.tug("ls", check=False, env={"TUG_API_KEY": ""}).returncode != 0
    d.tug("ls", env={"TUG_API_KEY": "secret"})


def test_no_daemon_answers_run_starts_one(tmp_path):
    """Eight `tug` at once find no daemon: exactly one starts, and all are answered."""
    d = Daemon(tmp_path / "home", check=False, env={"TUG_LISTEN": f"127.0.0.1:{free_port()}", "TUG_CONTEXT_SIZE": "256"})
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            outs = list(pool.map(lambda _: d.tug("ls", "--json").stdout, range(8)))
        assert outs == ["[]\n"] * 8
        pid = int((d.home / "daemon.lock").read_text().split()[0])
        assert alive(pid)
        d.package("ai/smollm2")
        assert d.tug("run", "ai/smollm2", "Hi").stdout.strip()
    finally:
        assert "Stopped." in d.tug("serve", "--stop").stdout
    assert not alive(pid)


def test_status_and_version_start_nothing(tmp_path):
    d = Daemon(tmp_path / "home", check=False, env={"MODEL_RUNNER_HOST": f"http://127.0.0.1:{free_port()}"})
    assert d.tug("status", check=False).returncode == 1
    done = d.tug("status", "--json")
    assert json.loads(done.stdout)["running"] is False and done.stderr == ""
    assert "(not reachable)" in d.tug("version").stdout
    done = d.tug("ls", check=False)
    assert done.returncode == 1 and "MODEL_RUNNER_HOST" in done.stderr


def test_model_runner_host(small, tmp_path):
    other = Daemon(tmp_path / "elsewhere", check=False, env={"MODEL_RUNNER_HOST": small.url})
    assert "smollm2" in other.tug("ls").stdout
    assert not (tmp_path / "elsewhere/models").exists()


def test_unix_socket(small):
    out = subprocess.run(
        ["curl", "-sS", "--unix-socket", small.home / "run/tug.sock", "http://localhost/engines/status"],
        capture_output=True, text=True,
    )
    assert "llama.cpp" in json.loads(out.stdout)
    assert (small.home / "run").stat().st_mode & 0o077 == 0


def test_idle_daemon_is_small(make_daemon):
    d = make_daemon()
    d.get("/")
    status = pathlib.Path(f"/proc/{d.process.pid}/status").read_text()
    rss_kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert rss_kib < 24 * 1024, status
    libraries = pathlib.Path(f"/proc/{d.process.pid}/maps").read_text()
    assert "libllama" not in libraries and "libstdc++" not in libraries


def test_nothing_leaks(small):
    """Descriptors and threads after a hundred requests, good and bad, are what they were."""
    assert small.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    fds, threads = (pathlib.Path(f"/proc/{small.process.pid}/{what}") for what in ("fd", "task"))
    wait_for("quiet", lambda: len(list(threads.iterdir())) < 12, 5)
    before = len(list(fds.iterdir()))
    for i in range(100):
        small.get("/v1/models")
        small.post("/v1/chat/completions", "{" if i % 2 else {"model": "ai/none", "messages": []})
        s = socket.create_connection(("127.0.0.1", small.port))
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        s.close()
    wait_for("the descriptors to come back", lambda: len(list(fds.iterdir())) <= before + 1, 10)
    wait_for("the threads to end", lambda: len(list(threads.iterdir())) < 12, 10)


def test_concurrent_mixed_load(small):
    """Chats, lists, tags and disconnects at once: every answer is right, the daemon stays."""
    errors = []

    def worker(i):
        try:
            for k in range(3):
                if i % 4 == 0:
                    c, r = stream(small)
                    c.sock.close() if c.sock else None
                    r.close()
                elif i % 4 == 1:
                    small.tug("tag", "ai/smollm2", f"t/x{i}:{k}")
                else:
                    assert small.chat("ai/smollm2", "Hi", max_tokens=3).status == 200
        except Exception as e:  # shown below, with its thread
            errors.append((i, repr(e)))

    threads = [threading.Thread(target=worker, args=(i,)) for i in range(12)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors
    assert len(json.loads(small.tug("ls", "--json").stdout)[0]["tags"]) == 10
    assert len(children(small.process.pid)) == 1 and ENGINE.exists()
