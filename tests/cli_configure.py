"""`configure` and Compose's `compose up|down|metadata`: what is sent to the daemon, and what comes back."""

import json

MODEL = "ai/smollm2"


def sent(cli, peer, *args, answer=(202, "")):
    p = peer({"POST /engines/_configure": answer, "GET /models/": {"id": "sha256:1"}})
    done = cli.tug("configure", *args, env={"MODEL_RUNNER_HOST": p.url})
    assert done.stdout == ""
    return p.asked_for("POST /engines/_configure")[0], done.stderr


def test_configure_sends_what_was_given_and_nothing_else(cli, peer):
    for args, body in [
        ([MODEL], {}),
        (["--context-size", "4096", MODEL], {"context-size": 4096}),
        (["--context-size=-1", MODEL], {"context-size": -1}),
        ([MODEL, "--keep-alive", "-1"], {"keep_alive": "-1"}),
        (["--mode", "embedding", MODEL], {"mode": "embedding"}),
        (["--think", MODEL], {"llamacpp": {"reasoning-budget": -1}}),
        (["--think=false", MODEL], {"llamacpp": {"reasoning-budget": 0}}),
        (["--speculative-draft-model", "ai/tiny", "--speculative-num-tokens", "4",
          "--speculative-min-acceptance-rate", "0.5", MODEL],
         {"speculative": {"draft_model": "ai/tiny", "num_tokens": 4, "min_acceptance_rate": 0.5}}),
        (["--context-size", "4096", MODEL, "--", "--temp", "0.1", "--no-mmap"],
         {"context-size": 4096, "runtime-flags": ["--temp", "0.1", "--no-mmap"]}),
        ([MODEL, "--"], {"runtime-flags": []}),
    ]:
        got, words = sent(cli, peer, *args)
        assert got == {"model": MODEL} | body, args
        assert words == "", args


def test_settings_of_another_engine_are_kept_and_explained(cli, peer):
    got, words = sent(cli, peer, "--hf_overrides", '{"a":1}', "--gpu-memory-utilization", "0.5", MODEL)
    assert got["vllm"] == {"hf-overrides": {"a": 1}, "gpu-memory-utilization": 0.5}
    assert "vLLM" in words and "no effect" in words


def test_the_daemons_warnings_are_shown(cli, peer):
    _, words = sent(cli, peer, MODEL, "--", "--log-colors", answer=(202, {"warnings": ["--log-colors has no meaning here"]}))
    assert words == "Warning: --log-colors has no meaning here\n"


def test_configure_refuses(cli, peer):
    p = peer({})
    for args, text in [
        ([], "Exactly one model must be specified, got 0: []"),
        (["a", "b"], "Exactly one model must be specified, got 2: [a b]"),
        (["--mode", "chat", "a"], "completion|embedding|reranking|image-generation"),
        (["--context-size", "many", "a"], 'invalid value "many" for --context-size'),
        (["--context-size", "-2", "a"], "--context-size"),
        (["--keep-alive", "soon", "a"], "5m"),
        (["--speculative-min-acceptance-rate", "1.5", "a"], "from 0 to 1"),
        (["--gpu-memory-utilization", "2", "a"], "from 0 to 1"),
        (["--hf_overrides", "{", "a"], "invalid --hf_overrides"),
        (["--hf_overrides", "[]", "a"], "must be a JSON object"),
        (["--temp", "1", "a"], "unknown flag: --temp"),
    ]:
        done = cli.tug("configure", *args, check=False, env={"MODEL_RUNNER_HOST": p.url})
        assert done.returncode == 1 and text in done.stderr, (args, done.stderr)
    assert p.asked == []


def test_configure_says_why_the_daemon_refused(cli, peer):
    p = peer({"POST /engines/_configure": (409, {"error": {"message": "runner already active"}})})
    done = cli.tug("configure", MODEL, check=False, env={"MODEL_RUNNER_HOST": p.url})
    assert done.returncode == 1 and done.stderr == "Failed to configure model: runner already active\n"


def test_configure_show(cli, peer):
    p = peer({"GET /engines/_configure": [{"Backend": "llama.cpp", "Model": MODEL}]})
    done = cli.tug("configure", "show", MODEL, env={"MODEL_RUNNER_HOST": p.url})
    assert done.stdout == '[\n  {\n    "Backend": "llama.cpp",\n    "Model": "ai/smollm2"\n  }\n]\n'
    assert p.asked[-1][1] == "/engines/_configure?model=ai/smollm2"
    cli.tug("configure", "show", env={"MODEL_RUNNER_HOST": p.url})
    assert p.asked[-1][1] == "/engines/_configure"


# ---- Compose's provider protocol ----------------------------------------------------------------------

PULL = '{"type":"progress","message":"","total":2000,"layer":{"id":"sha256:%s","size":2000,"current":1000},"mode":"pull"}\n' % ("a" * 64)
PULLED = '{"type":"success","message":"Model pulled successfully","total":0,"layer":{"size":0,"current":0},"mode":"pull"}\n'


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_compose_metadata(cli):
    text = cli.tug("compose", "metadata").stdout
    assert not text.endswith("\n")
    metadata = json.loads(text)
    assert metadata["description"] == "Docker Model Runner" and metadata["down"] == {"parameters": None}
    rows = metadata["up"]["parameters"]
    assert [r["name"] for r in rows] == sorted(r["name"] for r in rows)
    assert {r["name"]: (r["type"], r["required"], r.get("default")) for r in rows} == {
        "backend": ("string", False, "llama.cpp"),
        "context-size": ("int64", False, "-1"),
        "model": ("stringArray", True, "[]"),
        "runtime-flags": ("string", False, None),
        "speculative-draft-model": ("string", False, None),
        "speculative-min-acceptance-rate": ("float64", False, "0"),
        "speculative-num-tokens": ("int", False, "0"),
    }


def test_compose_up(cli, peer):
    p = peer({"GET /models/": {"id": "sha256:1"}, "POST /engines/_configure": (202, "")})
    for project in (["--project-name=p2", "up"], ["--project-name", "p2", "up"], ["up", "--project-name", "p2"], ["up"]):
        done = cli.tug("compose", *project, "--model=ai/smollm2", "--model=ai/all-minilm", "--context-size=2048",
                       "--runtime-flags=--temp '0.1'", "ai-runner", env={"MODEL_RUNNER_HOST": p.url})
        assert [(line["type"], line["message"]) for line in lines(done)] == [
            ("info", "Initializing model runner..."),
            ("setenv", "MODEL=ai/smollm2,ai/all-minilm"),
            ("info", "Successfully configured backend for model ai/smollm2"),
            ("info", "Successfully configured backend for model ai/all-minilm"),
            ("setenv", f"URL={p.url}/engines/v1/"),
        ]
    body = {"context-size": 2048, "raw-runtime-flags": "--temp '0.1'"}
    assert p.asked_for("POST /engines/_configure")[:2] == [{"model": m} | body for m in ("ai/smollm2", "ai/all-minilm")]
    assert p.asked_for("POST /models/create") == []


def test_compose_up_pulls_what_is_missing(cli, peer):
    p = peer({"GET /models/": (404, "model not found"), "POST /models/create": PULL + PULLED,
              "POST /engines/_configure": (202, "")})
    done = cli.tug("compose", "up", "--model", "ai/smollm2", env={"MODEL_RUNNER_HOST": p.url})
    words = [line["message"] for line in lines(done) if line["type"] == "info"]
    assert words[1].startswith("Unable to find model") and words[2] == "Downloaded 1.00kB of 2.00kB" and words[-2] == "Model pulled successfully"
    assert p.asked_for("POST /models/create") == [{"from": "ai/smollm2"}]


def test_compose_up_tells_compose_what_went_wrong(cli, peer):
    down = "http://127.0.0.1:1"
    broken = peer({"GET /models/": (404, "model not found"), "POST /models/create": (404, "Model not found")})
    busy = peer({"GET /models/": {"id": "sha256:1"}, "POST /engines/_configure": (409, "runner already active")})
    for args, host, text in [
        (["ai-runner"], down, "option 'model' is required"),
        (["--model=x", "--backend=vllm"], down, "not part of Tug"),
        (["--model=x"], down, "cannot reach the daemon"),
        (["--model=x"], broken.url, "Failed to pull model x: Model not found"),
        (["--model=x"], busy.url, "Failed to configure model x: runner already active"),
    ]:
        done = cli.tug("compose", "up", *args, check=False, env={"MODEL_RUNNER_HOST": host})
        last = lines(done)[-1]
        assert done.returncode == 1 and last["type"] == "error" and text in last["message"], done.stdout


def test_compose_up_for_real(make_daemon):
    """Twice, as Compose does; the settings are there afterwards, and the model answers at the URL."""
    d = make_daemon()
    d.package("ai/smollm2")
    args = ["compose", "--project-name=p2", "up", "--model=ai/smollm2", "--context-size=2048", "--runtime-flags=--temp 0.1", "ai-runner"]
    first = lines(d.tug(*args))
    assert lines(d.tug(*args)) == first
    [config] = json.loads(d.tug("configure", "show", "ai/smollm2").stdout)
    assert config["Config"]["context-size"] == 2048 and config["Config"]["runtime-flags"] == ["--temp", "0.1"]
    url = dict(line["message"].split("=", 1) for line in first if line["type"] == "setenv")["URL"]
    assert url.startswith("http://") and url.endswith("/engines/v1/")
    assert d.post("/engines/v1/chat/completions", {"model": "ai/smollm2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}).status == 200
    d.tug("configure", "--keep-alive", "-1", "ai/smollm2")
    [config] = json.loads(d.tug("configure", "show", "ai/smollm2").stdout)
    assert config["Config"]["context-size"] == 2048, "what was not named stays"
    d.tug("configure", "--context-size", "-1", "ai/smollm2", "--")
    [config] = json.loads(d.tug("configure", "show", "ai/smollm2").stdout)
    assert config["Config"].get("context-size", -1) == -1 and not config["Config"].get("runtime-flags")


def test_compose_down_does_nothing(cli):
    done = cli.tug("compose", "--project-name=p2", "down", "--model=x", "ai-runner", env={"MODEL_RUNNER_HOST": "http://127.0.0.1:1"})
    assert done.stdout == "" and done.stderr == ""
