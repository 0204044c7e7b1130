"""A common beginning is computed once, whoever asks and when: counted in rows given to llama_decode, never in time."""

import threading

import pytest

from conftest import wait_for
from engine_alone import Engine, MODEL, chat

PREFIX = "You answer politely. " + " ".join(f"rule{i}" for i in range(330))  # about 1,000 tokens
SHORT = " ".join(f"rule{i}" for i in range(40))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    e = Engine("--model", MODEL, "--ctx-size", "8192", log=tmp_path_factory.mktemp("prefix") / "log").ready()
    yield e
    assert e.stop() == 0


def metric(e, name):
    for line in e.request("GET", "/metrics")[1].decode().splitlines():
        if line.startswith(f"tug_engine_{name} "):
            return float(line.split()[1])
    raise KeyError(name)


def ask(e, prompt, **more):
    status, answer = chat(e, prompt, max_tokens=1, **more)
    assert status == 200
    usage = answer["usage"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def rows(e):
    wait_for("the engine to be idle", lambda: metric(e, "requests_running") + metric(e, "requests_waiting") == 0, 20)
    return metric(e, "decoded_rows_total")


def test_sixteen_at_once_compute_one_prefix(engine):
    before = rows(engine)
    got = [None] * 16
    threads = [
        threading.Thread(target=lambda i=i: got.__setitem__(i, ask(engine, f"{PREFIX} Question {chr(65 + i)}?"))) for i in range(16)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    prompt = min(p for p, _ in got)
    assert prompt > 900
    tails = 16 * 24  # what differs, and the template's end
    assert rows(engine) - before <= 1.1 * prompt + tails
    assert sum(cached for _, cached in got) >= 14 * 0.97 * prompt


def test_a_cache_key_separates(engine):
    first = ask(engine, "Tenants " + SHORT, prompt_cache_key="a")
    assert first[1] < 20
    assert ask(engine, "Tenants " + SHORT, prompt_cache_key="a")[1] == first[0] - 1
    assert ask(engine, "Tenants " + SHORT, prompt_cache_key="b")[1] == 0
    assert ask(engine, "Tenants " + SHORT)[1] < 40  # no key: another tenant too; the template's beginning is known


def test_a_conversation_survives_others(engine):
    """Others push it out of the cells, not out of memory."""
    prompt, _ = ask(engine, "Alpha " + SHORT)
    for i in range(3):
        ask(engine, f"{i} other " + SHORT)
    assert metric(engine, "prefix_parked_total") > 0
    before = rows(engine)
    assert ask(engine, "Alpha " + SHORT)[1] == prompt - 1
    assert rows(engine) - before == 1
    assert metric(engine, "prefix_unparked_total") > 0
