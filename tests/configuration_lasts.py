"""A model's settings: merged, kept on disk with the model, and what the engine really runs with."""

import concurrent.futures
import json
import threading
import time

import pytest
from conftest import EMBEDDER, Daemon, wait_for

MODEL = "ai/smollm2"
FULL = "docker.io/ai/smollm2:latest"


def configure(d, path="/engines/_configure", model=MODEL, **settings):
    body = {"model": model} | {k.replace("_", "-") if k != "keep_alive" else k: v for k, v in settings.items()}
    return d.post(path, body)


def settings(d, model=MODEL):
    answer = d.get(f"/engines/_configure?model={model}")
    assert answer.status == 200
    return answer.json


def config(d, model=MODEL):
    entries = settings(d, model)
    return entries[0]["Config"] if entries else None


def ps(d):
    return d.get("/engines/ps").json


def loaded_idle(d, seconds=30):
    wait_for("the model to be loaded", lambda: any(not e.get("loading") and not e.get("in_use") for e in ps(d)), seconds)


def props(d):
    """What the engine itself says."""
    import http.client
    import socket

    sockets = sorted((d.home / "run").glob("m-*.sock"))
    c = http.client.HTTPConnection("localhost")
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(str(sockets[-1]))
    c.request("GET", "/props")
    return json.loads(c.getresponse().read())


@pytest.fixture
def d(make_daemon):
    return make_daemon().package(MODEL)


def test_what_is_given_changes_and_the_rest_stays(d):
    assert settings(d) == []
    assert configure(d, context_size=2048, runtime_flags=["--temp", "0.5"]).status == 202
    assert configure(d, keep_alive="1h").status == 202
    assert configure(d, keep_alive=90).status == 202
    [entry] = settings(d)
    assert entry["Config"] == {"context-size": 2048, "runtime-flags": ["--temp", "0.5"], "keep_alive": "1m30s"}
    assert entry["Backend"] == "llama.cpp" and entry["Mode"] == "completion" and entry["Model"] == FULL
    assert entry["ModelID"] == d.get(f"/models/{MODEL}").json["id"]
    assert d.get("/engines/_configure").json == [entry]
    assert d.get("/engines/llama.cpp/_configure?model=" + entry["ModelID"]).json == [entry]
    assert configure(d, context_size=-1, runtime_flags=None).status == 202
    assert config(d) == {"keep_alive": "1m30s"}
    assert configure(d, keep_alive=None).status == 202
    assert settings(d) == []


def test_every_form_of_the_name_is_the_same_model(d):
    id = d.get(f"/models/{MODEL}").json["id"]
    for i, name in enumerate([MODEL, FULL, "smollm2", id, id[7:19]]):
        assert configure(d, model=name, context_size=1024 + i).status == 202, name
        assert config(d) == {"context-size": 1024 + i}


def test_settings_survive_restart_tag_and_idle_unload(d):
    configure(d, context_size=1536, runtime_flags=["--temp", "0"], keep_alive="-1")
    d.tug("tag", MODEL, "other:v2")
    wanted = {"context-size": 1536, "runtime-flags": ["--temp", "0"], "keep_alive": "-1"}
    d.stop()
    d.start()
    assert config(d) == config(d, "other:v2") == wanted
    assert d.chat("other:v2", "Hi", max_tokens=1).status == 200
    assert ps(d)[0]["keep_alive"] == "-1"
    assert props(d)["n_ctx"] == 1536
    d.post("/engines/unload", {"all": True})
    assert d.chat(MODEL, "Hi", max_tokens=1).status == 200
    assert props(d)["n_ctx"] == 1536
    d.kill()
    d.start()
    assert config(d) == wanted


def test_settings_go_with_the_last_name(d):
    configure(d, keep_alive="9m", context_size=1024)
    loaded_idle(d)
    d.post("/engines/unload", {"all": True})
    d.tug("tag", MODEL, "other:v2")
    assert d.request("DELETE", f"/models/{MODEL}").status == 200
    assert config(d, "other:v2") == {"context-size": 1024, "keep_alive": "9m0s"}
    assert d.request("DELETE", "/models/other:v2").status == 200
    assert d.get("/engines/_configure").json == []
    d.package(MODEL)
    assert settings(d) == []


def test_configuring_loads_in_the_background_and_at_once(d):
    start = time.monotonic()
    assert configure(d, context_size=1024).status == 202
    assert time.monotonic() - start < 5
    loaded_idle(d)
    assert props(d)["n_ctx"] == 1024
    pids = d.engines()
    assert configure(d, context_size=1024).status == 202
    assert configure(d).status == 202
    assert configure(d, keep_alive="1h").status == 202  # needs no other engine
    assert d.engines() == pids and ps(d)[0]["keep_alive"] == "1h0m0s"
    assert configure(d, context_size=1280).status == 202
    wait_for("another engine", lambda: d.engines() and d.engines() != pids)
    loaded_idle(d)
    assert d.chat(MODEL, "Hi", max_tokens=1).status == 200
    assert props(d)["n_ctx"] == 1280


def test_sampling_flags_are_the_defaults_of_requests(d):
    flags = ["--temp", "0", "--top-k=3", "--top-p", "0.9", "--min-p", "0.1", "--seed", "-1", "--repeat-penalty", "1.1", "-n", "7"]
    assert configure(d, runtime_flags=flags).status == 202
    answers = [d.chat(MODEL, "Tell me of the sea").json for _ in range(2)]
    texts = {a["choices"][0]["message"]["content"] for a in answers}
    assert len(texts) == 1, "temperature 0 is no draw"
    assert answers[0]["usage"]["completion_tokens"] <= 7
    p = props(d)["default_generation_settings"]["params"]
    assert (p["temperature"], p["top_k"], p["top_p"], p["min_p"], p["seed"], p["n_predict"]) == (0, 3, 0.9, 0.1, -1, 7)
    more = d.chat(MODEL, "Tell me of the sea", max_tokens=12, temperature=1.5, seed=1).json
    assert more["usage"]["completion_tokens"] > 7, "the request wins"


def test_the_runtime_flag_of_the_context_wins_over_the_setting(d):
    configure(d, context_size=2048, runtime_flags=["--ctx-size", "1024", "--threads", "1", "--parallel", "2"])
    assert d.chat(MODEL, "Hi", max_tokens=1).status == 200
    p = props(d)
    assert (p["n_ctx"], p["total_slots"]) == (1024, 2)


def test_who_says_the_context(make_daemon):
    d = make_daemon("--context-size", "2048").package(MODEL)
    assert d.chat(MODEL, "Hi", max_tokens=1).status == 200
    assert props(d)["n_ctx"] == 2048, "the daemon's over the artifact's"
    configure(d, context_size=1024)
    assert d.chat(MODEL, "Hi", max_tokens=1).status == 200
    assert props(d)["n_ctx"] == 1024, "the model's own over the daemon's"
    configure(d, context_size=None)
    assert d.chat(MODEL, "Hi", max_tokens=1).status == 200
    assert props(d)["n_ctx"] == 2048


def test_raw_flags_are_shell_words(d):
    assert configure(d, raw_runtime_flags="--temp '0.1'  --top-k \"5\"").status == 202
    assert config(d)["runtime-flags"] == ["--temp", "0.1", "--top-k", "5"]
    # they count only where there are no others
    assert configure(d, raw_runtime_flags="--temp 1", runtime_flags=["--temp", "0.2"]).status == 202
    assert config(d)["runtime-flags"] == ["--temp", "0.2"]


def test_flags_without_a_meaning_are_named_and_kept(d):
    flags = ["--verbose-prompt", "--log-prefix", "--log-timestamps", "--log-colors", "--mirostat", "2", "--no-mmap", "--mlock"]
    answer = configure(d, runtime_flags=flags)
    assert answer.status == 202
    warnings = answer.json["warnings"]
    for name in ["--verbose-prompt", "--log-prefix", "--log-timestamps", "--log-colors", "--mirostat"]:
        assert any(name in w for w in warnings), name
        assert any(name in w for w in answer.headers.get_all("Warning")), name
    assert len(warnings) == 5 and settings(d)[0]["Warnings"] == warnings
    assert config(d)["runtime-flags"] == flags
    assert "--mirostat" in d.get("/logs").body.decode()


def test_refused_with_the_reason_and_nothing_changes(d):
    configure(d, context_size=1024)
    for body, status, text in [
        ({"runtime-flags": ["--model", "x"]}, 400, '"--model" is not allowed for backend "llama.cpp"'),
        ({"runtime-flags": ["--log-file=x"]}, 400, "files"),
        ({"runtime-flags": ["--made-up"]}, 400, '"--made-up" is not allowed'),
        ({"runtime-flags": ["--temp", "/etc/passwd"]}, 400, "paths are not allowed"),
        ({"runtime-flags": ["--chat-template", "a\\b"]}, 400, "paths are not allowed"),
        ({"runtime-flags": ["--temp=-x"]}, 400, "cannot start with '-' unless followed by a digit"),
        ({"runtime-flags": ["--temp", "hot"]}, 400, "--temp: 'hot' is not a number from 0 to 100"),
        ({"runtime-flags": ["--threads", "4096"]}, 400, "--threads: '4096' is not a whole number from -1 to 1024"),
        ({"runtime-flags": ["--top-k"]}, 400, "--top-k needs a value"),
        ({"runtime-flags": ["--mlock=1"]}, 400, "takes no value"),
        ({"runtime-flags": ["loose"]}, 400, '"loose" belongs to no runtime flag'),
        ({"runtime-flags": "--temp 1"}, 400, "`runtime-flags` must be an array"),
        ({"runtime-flags": [1]}, 400, "runtime-flags[0] must be a string"),
        ({"runtime-flags": ["--temp"] * 400}, 400, "runtime-flags"),
        ({"raw-runtime-flags": "--temp '1"}, 400, "a quote is not closed"),
        ({"mode": "poetry"}, 400, "completion, embedding, reranking or image-generation"),
        ({"context-size": -2}, 400, "context-size"),
        ({"context-size": "big"}, 400, "context-size"),
        ({"keep_alive": "soon"}, 400, "keep_alive must be a duration"),
        ({"keep_alive": True}, 400, "keep_alive must be a duration"),
        ({"speculative": {"draft_model": "ai/nowhere"}}, 404, "ai/nowhere"),
        ({"speculative": {"num_tokens": -1}}, 400, "num_tokens"),
        ({"speculative": {"min_acceptance_rate": 2}}, 400, "min_acceptance_rate"),
        ({"llamacpp": {"reasoning-budget": "much"}}, 400, "reasoning-budget"),
        ({"model": "ai/nowhere"}, 404, "tug pull ai/nowhere"),
        ({"model": ""}, 400, "model is required"),
    ]:
        answer = d.post("/engines/_configure", {"model": MODEL} | body)
        assert answer.status == status and text in answer.error["message"], (body, answer.body)
    assert config(d) == {"context-size": 1024}
    assert d.post("/engines/vllm/_configure", {"model": MODEL}).status == 404
    assert d.post("/engines/_configure", "[]").status == 400
    assert d.get("/engines/_configure?model=ai/nowhere").status == 404


def test_a_model_that_answers_is_not_taken_away(d):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(d.chat, MODEL, "Count from one to a thousand", max_tokens=300, ignore_eos=True)
        wait_for("the request to run", lambda: any(e.get("in_use") for e in ps(d)))
        busy = configure(d, context_size=1024)
        assert busy.status == 409
        assert "runner already active" in busy.error["message"] and "idle" in busy.error["message"]
        assert settings(d) == []
        assert configure(d, keep_alive="2h").status == 202  # needs no other engine
        assert running.result().status == 200
    assert configure(d, context_size=1024).status == 202


def test_a_damaged_file_is_ignored_and_said(d):
    configure(d, context_size=1024)
    [file] = (d.home / "models/.tug/settings").iterdir()
    for damage in [b"{", b"\xff\xfe", b'{"version":1,"settings":[]}', b'{"version":1,"settings":{"runtime-flags":["--x"]}}']:
        file.write_bytes(damage)
        assert settings(d) == []
        assert "settings of a model cannot be read" in d.get("/logs").body.decode()
        d.post("/engines/unload", {"all": True})
        assert d.chat(MODEL, "Hi", max_tokens=1).status == 200
        assert configure(d, keep_alive="7m").status == 202
        assert config(d) == {"keep_alive": "7m0s"}
    file.write_bytes(b'{"version":2,"settings":{}}')
    later = configure(d, keep_alive="8m")
    assert later.status == 422 and "version 2" in later.error["message"]
    assert file.read_bytes() == b'{"version":2,"settings":{}}'


def test_many_at_once_lose_nothing(d):
    """As Compose: for each model of each `up`, beside everything else."""
    flags = {"context_size": 1024, "keep_alive": "3h", "runtime_flags": ["--temp", "0.3"], "mode": "completion"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda kv: configure(d, **dict([kv])), list(flags.items()) * 4))
    # A load that is on its way is no reason to refuse.
    assert {a.status for a in answers} == {202}
    assert config(d) == {"context-size": 1024, "keep_alive": "3h0m0s", "runtime-flags": ["--temp", "0.3"], "mode": "completion"}
    assert d.chat(MODEL, "Hi", max_tokens=1).status == 200


def test_an_embedding_model_is_loaded_for_embeddings(make_daemon):
    d = make_daemon().package("ai/minilm", model=EMBEDDER)
    assert configure(d, model="ai/minilm", runtime_flags=["--embeddings"]).status == 202
    assert settings(d, "ai/minilm")[0]["Mode"] == "embedding"
    loaded_idle(d)
    assert ps(d)[0]["mode"] == "embedding"
    assert d.post("/v1/embeddings", {"model": "ai/minilm", "input": "sea"}).status == 200


def test_speculation_is_kept_and_said_to_be_without_effect(d):
    answer = configure(d, speculative={"draft_model": MODEL, "num_tokens": 4})
    assert answer.status == 202 and "no draft models yet" in answer.json["warnings"][0]
    configure(d, speculative={"min_acceptance_rate": 0.5})
    assert config(d)["speculative"] == {"draft_model": MODEL, "num_tokens": 4, "min_acceptance_rate": 0.5}


def test_inspect_shows_the_settings(d):
    assert "settings" not in d.get(f"/models/{MODEL}").json
    configure(d, context_size=1024)
    assert d.get(f"/models/{MODEL}").json["settings"] == {"context-size": 1024}
