"""The seed's own examples run unchanged: curl, the Python program, the Node summarizer, the commands.

They ask for ai/llama3.2:1B-Q8_0 on port 12434; here that name is a tag of the starter model, and
the port is the daemon's own, since the tests may not assume that 12434 is free.
"""

import json
import os
import pathlib
import subprocess

import openai
import pytest

from conftest import MODEL, ROOT, SEED_MODEL, free_port, wait_for

BASE = f"/engines/{SEED_MODEL}/v1"
BODY = {
    "model": SEED_MODEL,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Explain Docker volumes in 3 sentences."},
    ],
    "temperature": 0.7,
    "max_tokens": 256,
}


def test_curl(loaded):
    command = ["curl", "-sS", loaded.url + BASE + "/chat/completions", "-H", "Content-Type: application/json"]
    done = subprocess.run([*command, "-d", json.dumps(BODY)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")
    assert answer["model"] == SEED_MODEL
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["completion_tokens"] <= 256


@pytest.fixture
def client(loaded):
    return openai.OpenAI(base_url=loaded.url + BASE, api_key="not-needed")


def test_python_plain(client):
    answer = client.chat.completions.create(
        model=SEED_MODEL, messages=[{"role": "user", "content": "Say hello."}], max_tokens=32
    )
    assert answer.choices[0].message.content.strip()
    assert answer.choices[0].message.role == "assistant"


def test_python_stream(client):
    stream = client.chat.completions.create(
        model=SEED_MODEL, messages=[{"role": "user", "content": "Count to five."}], max_tokens=32, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert len(pieces) > 3
    assert "".join(pieces).strip()


def test_node_summarizer(loaded, tmp_path):
    """An express service that posts to ${AI_API_URL}/chat/completions with fetch."""
    port = free_port()
    env = os.environ | {"NODE_PATH": str(ROOT / "tests/node/node_modules"), "AI_API_URL": loaded.url + BASE, "AI_MODEL": SEED_MODEL, "PORT": str(port)}
    log = open(tmp_path / "node.log", "wb")
    node = subprocess.Popen(["node", str(ROOT / "examples/node-summarizer/server.js")], env=env, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for("the summarizer", lambda: subprocess.run(["curl", "-sf", url + "/health"], capture_output=True).returncode == 0)
        text = json.dumps({"text": "Docker volumes keep data outside a container, so that it outlives the container."})
        done = subprocess.run(
            ["curl", "-sS", url + "/summarize", "-H", "Content-Type: application/json", "-d", text],
            capture_output=True, text=True, timeout=120,
        )
        assert json.loads(done.stdout)["summary"].strip(), done.stdout + pathlib.Path(log.name).read_text()
    finally:
        node.terminate()
        node.wait()


def test_temperature_zero_gives_the_same_bytes(loaded):
    """Each prompt three times, others in between: cold, with its prefix cached, beside more cached cells."""
    prompts = ["Name three colours.", "Write a poem about the sea.", "word " * 150 + "continue"]
    answers = {p: set() for p in prompts}
    for _ in range(3):
        for p in prompts:
            answer = loaded.chat(SEED_MODEL, p, temperature=0, max_tokens=40)
            answers[p].add(answer.json["choices"][0]["message"]["content"])
    assert [len(texts) for texts in answers.values()] == [1, 1, 1], answers


def test_list_inspect_rm_prune(daemon):
    daemon.package("ai/smollm2").tug("tag", "ai/smollm2", SEED_MODEL)
    table = daemon.tug("list").stdout.splitlines()
    assert table[0].split() == "MODEL NAME PARAMETERS QUANTIZATION ARCHITECTURE MODEL ID CREATED CONTEXT SIZE".split()
    assert sorted(line.split()[0] for line in table[1:]) == ["llama3.2:1B-Q8_0", "smollm2"]
    model = json.loads(daemon.tug("inspect", SEED_MODEL).stdout)
    assert model["config"]["format"] == "gguf"
    assert model["config"]["architecture"] == "llama"
    assert sorted(model["tags"]) == ["docker.io/ai/llama3.2:1B-Q8_0", "docker.io/ai/smollm2:latest"]
    assert daemon.tug("rm", SEED_MODEL).stdout == "Untagged: docker.io/ai/llama3.2:1B-Q8_0\n"
    assert "Deleted: sha256:" in daemon.tug("rm", "ai/smollm2").stdout
    assert len(daemon.tug("list").stdout.splitlines()) == 1
    assert "Total reclaimed space:" in daemon.tug("prune", "-f").stdout
    assert not list((daemon.home / "models/blobs/sha256").iterdir()), "blobs that nothing refers to are left"
    assert pathlib.Path(MODEL).exists()
