"""Programs that talk to Docker Model Runner, call by call, as their sources have it: Testcontainers' module and
docker-agent. What they send is sent here; what they read of the answers is checked."""

import json
import subprocess

import pytest
from conftest import BUILD

PLUGIN = BUILD / "docker-model"


@pytest.fixture
def host_of_desktop(loaded):
    """Testcontainers reaches the runner by Desktop's name, through a socat container."""
    return {"Host": "model-runner.docker.internal"}


def test_testcontainers_waits_for_the_words_of_desktop(loaded, host_of_desktop):
    answer = loaded.get("/", headers=host_of_desktop)
    assert answer.status == 200 and b"The service is running" in answer.body
    assert b"Docker Model Runner is running" in loaded.get("/").body  # and others for those of the runner


def test_testcontainers_pulls_and_looks_at_models(loaded, host_of_desktop):
    answer = loaded.post("/models/create", {"from": "ai/smollm2"}, headers=host_of_desktop)
    assert answer.status == 200  # nobody answers for docker.io here: the model that is there serves
    models = loaded.get("/models", headers=host_of_desktop).json
    assert all(isinstance(m["created"], int) and m["id"].startswith("sha256:") for m in models)
    one = loaded.get("/models/ai/smollm2", headers=host_of_desktop).json
    for field in ("format", "quantization", "parameters", "architecture", "size"):
        assert isinstance(one["config"][field], str)
    assert one["tags"]


@pytest.mark.parametrize("base", ["/engines/v1", "/engines/llama.cpp/v1"])
def test_testcontainers_bases(loaded, host_of_desktop, base):
    body = {"model": "ai/smollm2", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
    answer = loaded.post(f"{base}/chat/completions", body, headers=host_of_desktop)
    assert answer.json["choices"][0]["message"]["content"]


def stdout_of(daemon, *argv):
    """docker-agent reads stdout alone, and the exit code."""
    env = daemon.env | {"MODEL_RUNNER_HOST": daemon.url, "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
    done = subprocess.run([PLUGIN, "model", *argv], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_docker_agent_finds_the_runner(loaded):
    code, out, said = stdout_of(loaded, "status", "--json")
    status = json.loads(out)
    assert code == 0 and said == "" and status["running"] is True and "llama.cpp" in status["backends"]
    assert status["endpoint"].startswith("http://") and status["endpoint"].endswith("/v1/")
    assert "model-runner.docker.internal" not in status["endpoint"]  # which would send it to docker's socket


def test_docker_agent_makes_sure_of_a_model_and_configures_it(loaded):
    assert stdout_of(loaded, "inspect", "ai/smollm2")[0] == 0
    assert stdout_of(loaded, "inspect", "ai/is-not-here")[0] != 0
    flags = ["--", "--temp", "0.2", "--top-p", "0.9", "--frequency-penalty", "0", "--presence-penalty", "0"]
    code, _, said = stdout_of(loaded, "configure", "--context-size=2048", "ai/smollm2", *flags)
    assert code == 0, said
    shown = json.loads(stdout_of(loaded, "configure", "show", "ai/smollm2")[1])
    assert shown[0]["Config"]["context-size"] == 2048
    assert stdout_of(loaded, "configure", "--context-size=-1", "ai/smollm2")[0] == 0


def test_docker_agent_talks(loaded):
    base = "/engines/v1/"
    assert loaded.get(base + "models").json["object"] == "list"
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    body = {
        "model": "ai/smollm2",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 8,
        "tools": [tool],
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }
    answer = loaded.post(base + "/chat/completions", body)  # it joins the base with a slash of its own
    events = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    assert answer.status == 200 and events[-1] == "[DONE]"
    usage = json.loads(events[-2])
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] >= 1
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    body = {
        "model": "ai/smollm2",
        "max_tokens": 64,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}},
        "messages": [{"role": "user", "content": "Is water wet? Answer in JSON."}],
    }
    answer = loaded.post(base + "chat/completions", body)
    assert answer.status == 200 and isinstance(json.loads(answer.json["choices"][0]["message"]["content"])["yes"], bool)
    answer = loaded.post(base + "embeddings", {"model": "ai/all-minilm", "input": ["one", "two"]})
    assert [e["index"] for e in answer.json["data"]] == [0, 1]
