"""A client that goes away stops its work within one step: counted in decoded rows, through the daemon and on the engine."""

import http.client
import json
import time

import pytest

from conftest import wait_for

# A step computes at most this many rows of a prompt (the engine's n_ubatch).
STEP_ROWS = 512


@pytest.fixture
def small(make_daemon):
    d = make_daemon("--keep-alive", "-1").package("ai/smollm2")
    assert d.chat("ai/smollm2", "Hi", max_tokens=1).status == 200
    return d


def rows(d):
    return d.metric("tug_engine_decoded_rows_total")


def running(d):
    return d.metric("tug_engine_requests_running") + d.metric("tug_engine_requests_waiting")


def send(d, body):
    c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=60)
    c.request("POST", "/v1/chat/completions", json.dumps({"model": "ai/smollm2"} | body), {"Content-Type": "application/json"})
    return c


def settled(d):
    """The counter when nothing runs any more; it must stay there."""
    wait_for("the engine to be idle", lambda: running(d) == 0, 10)
    at = rows(d)
    time.sleep(0.3)
    assert rows(d) == at
    return at


@pytest.mark.parametrize("streamed", [True, False])
def test_in_decode(small, streamed):
    before = settled(small)
    c = send(small, {"stream": streamed, "max_tokens": 4000, "messages": [{"role": "user", "content": "Tell a story."}]})
    wait_for("some tokens", lambda: rows(small) > before + 60, 60)
    at = rows(small)
    c.sock.close()
    assert settled(small) - at < 60, "it went on without its client"


def test_in_prefill(small):
    before = settled(small)
    words = " ".join(f"word{i}" for i in range(1800))
    c = send(small, {"max_tokens": 10, "messages": [{"role": "user", "content": words}]})
    wait_for("the prefill", lambda: running(small) == 1, 30)
    c.sock.close()
    assert settled(small) - before <= 3 * STEP_ROWS, "the prompt was computed to its end"


def test_before_the_answer_of_a_loading_model(small):
    """The client that caused a load goes away: the load goes on, and the engine has nothing to do."""
    small.tug("unload", "--all")
    c = send(small, {"max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]})
    wait_for("the load", lambda: small.get("/engines/ps").json != [], 10)
    c.sock.close()
    wait_for("its end", lambda: not any(e.get("loading") for e in small.get("/engines/ps").json), 60)
    assert len(small.get("/engines/ps").json) == 1
    assert settled(small) < 50


def test_choices_stop_together(small):
    before = settled(small)
    c = send(small, {"stream": True, "n": 4, "max_tokens": 2000, "messages": [{"role": "user", "content": "Tell a story."}]})
    wait_for("some tokens", lambda: rows(small) > before + 100, 60)
    at = rows(small)
    c.sock.close()
    assert settled(small) - at < 120
