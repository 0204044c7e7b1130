"""Each request has an id that appears in its answer, the log and the recorder; what the recorder keeps, and what it never does."""

import http.client
import json
import socket

import pytest
from conftest import wait_for

MODEL = "ai/smollm2"
SECRET = "Bearer hunter2-secret"
PROMPT = "A prompt that nobody may see"


@pytest.fixture
def d(make_daemon):
    return make_daemon().package(MODEL)


def records(d, query=""):
    return d.get("/engines/requests" + query).json


def follow(d, query=""):
    c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=60)
    c.request("GET", "/engines/requests" + query, headers={"Accept": "text/event-stream"})
    response = c.getresponse()
    assert response.status == 200 and response.getheader("Content-Type") == "text/event-stream"
    return c, response


def event(response):
    """(name, data) of the next event; comments are passed over."""
    name = data = None
    while True:
        line = response.readline().decode()
        assert line, "the stream ended"
        if line.startswith("event: "):
            name = line[7:].strip()
        elif line.startswith("data: "):
            data = json.loads(line[6:])
        elif line == "\n" and name:
            return name, data


def test_an_id_everywhere(d):
    answer = d.post("/v1/chat/completions", {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": PROMPT}]},
                    headers={"X-Request-Id": "my-trace.42:a_b", "Authorization": SECRET, "User-Agent": "tester/1"})
    assert answer.headers["X-Request-Id"] == "my-trace.42:a_b"
    [group] = records(d)
    assert group["count"] == 1 and group["model"] == d.get(f"/models/{MODEL}").json["id"]
    [r] = group["records"]
    assert (r["id"], r["model"], r["method"], r["url"]) == ("my-trace.42:a_b", MODEL, "POST", "/v1/chat/completions")
    assert (r["status_code"], r["user_agent"]) == (200, "tester/1") and r["response_bytes"] == len(answer.body)
    log = d.get("/logs").body.decode()
    assert "id=my-trace.42:a_b" in log
    for text in [json.dumps(records(d)), log]:
        assert "hunter2" not in text and PROMPT not in text


def test_ids_that_could_tear_a_log_are_not_taken(d):
    for bad in ["", "a b", "x" * 65, "a\tb", 'a"b', "ä", "a=b"]:
        answer = d.get("/version", headers={"X-Request-Id": bad.encode("latin-1")})
        assert answer.headers["X-Request-Id"].startswith("req-"), bad
    assert d.get("/version", headers={"X-Request-Id": "x" * 64}).headers["X-Request-Id"] == "x" * 64


def test_errors_and_streams_are_recorded(d):
    bad = d.post("/v1/chat/completions", {"model": MODEL, "messages": 3})
    assert bad.status == 400
    streamed = d.chat(MODEL, "Hi", max_tokens=3, stream=True)
    assert streamed.status == 200
    [group] = records(d)
    first, second = group["records"]
    assert first["status_code"] == 400 and "messages" in first["error"]
    assert second["status_code"] == 200 and "error" not in second and second["response_bytes"] == len(streamed.body)
    assert d.post("/v1/chat/completions", {"model": "ai/nowhere", "messages": []}).status == 404
    assert records(d)[0]["count"] == 2, "no model, no record"


def test_bodies_are_kept_where_they_are_wanted(make_daemon):
    d = make_daemon("--record-bodies").package(MODEL)
    answer = d.post("/v1/chat/completions", {"model": MODEL, "max_tokens": 2, "messages": [{"role": "user", "content": PROMPT}]},
                    headers={"Authorization": SECRET})
    [group] = records(d)
    [r] = group["records"]
    assert json.loads(r["request"])["messages"][0]["content"] == PROMPT
    assert json.loads(r["response"])["choices"] == answer.json["choices"]
    assert "hunter2" not in json.dumps(group)
    streamed = d.chat(MODEL, "Hi", max_tokens=4, stream=True, temperature=0, stream_options={"include_usage": True})
    chunks = [json.loads(line[6:]) for line in streamed.body.decode().splitlines() if line.startswith("data: {")]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    folded = json.loads(records(d)[0]["records"][1]["response"])
    assert folded["object"] == "chat.completion"
    [choice] = folded["choices"]
    assert choice["message"] == {"role": "assistant", "content": text} and choice["finish_reason"] == "length"
    assert folded["usage"]["completion_tokens"] == 4
    # A large one is cut, and says so.
    d.chat(MODEL, "x" * 300_000, max_tokens=1)
    r = records(d)[0]["records"][-1]
    assert len(r["request"]) < 140_000 and r["request"].endswith(" bytes]") and "truncated" in r["request"]
    assert r["request_bytes"] > 300_000


def test_the_last_ten_of_each_model(d):
    d.tug("tag", MODEL, "other:v1")
    for i in range(12):
        d.post("/v1/chat/completions", {"model": "other:v1", "messages": i}, headers={"X-Request-Id": f"n{i}"})
    [group] = records(d, "?model=" + MODEL)
    assert [r["id"] for r in group["records"]] == [f"n{i}" for i in range(2, 12)]
    assert group["count"] == 10 and group["records"][0]["model"] == "other:v1"
    assert d.get("/engines/requests?model=ai/nowhere").status == 404
    assert d.get("/engines/requests?include_existing=perhaps").status == 400


def test_settings_are_shown_beside_the_records(d):
    assert records(d) == []
    d.post("/engines/_configure", {"model": MODEL, "context-size": 1024})
    d.chat(MODEL, "Hi", max_tokens=1)
    assert records(d)[0]["config"] == {"context-size": 1024}


def test_following(d):
    d.post("/v1/chat/completions", {"model": MODEL, "messages": 1}, headers={"X-Request-Id": "before"})
    c1, plain = follow(d)
    c2, existing = follow(d, f"?model={MODEL}&include_existing=true")
    assert event(plain) == ("connected", {"status": "connected"})
    name, [group] = event(existing)
    assert name == "existing_request" and group["records"][0]["id"] == "before" and group["count"] == 1
    assert event(existing)[0] == "connected"
    d.post("/v1/chat/completions", {"model": MODEL, "messages": 2}, headers={"X-Request-Id": "after"})
    for stream in (plain, existing):
        name, [group] = event(stream)
        assert name == "new_request" and group["records"][0]["id"] == "after"
    c1.close()
    c2.close()


def test_a_follower_that_does_not_read_harms_nobody(make_daemon):
    d = make_daemon("--record-bodies").package(MODEL)
    s = socket.create_connection(("127.0.0.1", d.port))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.sendall(b"GET /engines/requests HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    assert s.recv(100).startswith(b"HTTP/1.1 200")
    big = "y" * 120_000
    for i in range(40):
        assert d.post("/v1/chat/completions", {"model": MODEL, "messages": [big]}).status == 400
    assert records(d)[0]["count"] == 10
    s.close()


def test_the_cli_follows(d):
    assert d.tug("requests").stdout.strip() == "[]"
    d.chat(MODEL, "Hi", max_tokens=1)
    [group] = json.loads(d.tug("requests", "--model", MODEL).stdout)
    assert group["count"] == 1


def test_logs_of_daemon_and_engines(d):
    d.chat(MODEL, "Hi", max_tokens=1)
    both = d.get("/logs").body.decode()
    assert "tug info: the daemon is ready" in both and "engine info: ready" in both
    own = d.get("/logs?no-engines=true").body.decode()
    assert "tug info: the daemon is ready" in own and "engine info: ready" not in own
    bad = d.get("/logs?follow=perhaps")
    assert bad.status == 400 and "follow" in bad.error["message"]
    c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=60)
    c.request("GET", "/logs?follow&no-engines")
    stream = c.getresponse()
    d.post("/v1/chat/completions", {"model": MODEL, "messages": 1}, headers={"X-Request-Id": "look-for-me"})
    while b"id=look-for-me" not in stream.readline():
        pass
    c.close()
