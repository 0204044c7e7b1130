"""`search`, `show`, `requests`: finding models and reading what is known. Docker Hub and Hugging Face are played by a
Peer."""

import json

HUB = {
    "GET /v2/repositories/ai/?": {"results": [
        {"name": "gemma3", "description": "Google's", "pull_count": 3400, "star_count": 7, "last_updated": "2026-01-01T00:00:00Z"},
        {"name": "smollm2", "description": "Tiny LLM built for speed, edge devices, and local development", "pull_count": 1250000, "star_count": 33, "last_updated": "2026-02-01T00:00:00Z"},
        {"name": "smollm3", "description": "Next", "pull_count": 12, "star_count": 1},
    ]},
    "GET /v2/repositories/ai/smollm2/tags": {"results": [{"name": "latest", "full_size": 270600000}, {"name": "360M-Q4_K_M"}]},
    "GET /v2/repositories/ai/smollm3/tags": (500, "broken"),
}
HF = {
    "GET /api/models?": [
        {"id": "bartowski/SmolLM2-GGUF", "downloads": 999, "likes": 4, "lastModified": "2026-03-01T00:00:00Z"},
        {"id": "org/smol", "downloads": 5000, "likes": 0},
    ],
    "GET /api/models/bartowski/": {"siblings": [{"rfilename": "a-F16.gguf", "size": 9}, {"rfilename": "a-Q4_K_M.gguf", "size": 105000000}]},
    "GET /api/models/org/": {"siblings": [{"rfilename": "a.safetensors", "size": 1500000000}, {"rfilename": "b.safetensors", "size": 1500000000}]},
}
NOWHERE = "http://127.0.0.1:1"


def cells(done):
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in done.stdout.splitlines()]


def test_search_of_both_sources(cli, peer):
    hub, hf = peer(HUB), peer(HF)
    env = {"TUG_HUB_URL": hub.url, "HF_ENDPOINT": hf.url + "/"}
    assert cells(cli.tug("search", "smol", env=env)) == [
        ["NAME", "DESCRIPTION", "BACKEND", "SIZE", "DOWNLOADS", "STARS", "SOURCE"],
        ["ai/smollm2", "Tiny LLM built for speed, edge devices, and loc...", "llama.cpp", "270.60MB", "1.2M", "33", "Docker Hub"],
        ["ai/smollm3", "Next", "unknown", "n/a", "12", "1", "Docker Hub"],
        ["hf.co/org/smol", "vllm", "3.00GB", "5.0K", "0", "HuggingFace"],
        ["hf.co/bartowski/SmolLM2-GGUF", "llama.cpp", "105.00MB", "999", "4", "HuggingFace"],
    ]
    assert "GET /api/models?apps=vllm,llama.cpp&direction=-1&limit=32&search=smol&sort=downloads" in [f"{m} {p}" for m, p, _ in hf.asked]


def test_search_limits_and_sources(cli, peer):
    hub, hf = peer(HUB), peer(HF)
    env = {"TUG_HUB_URL": hub.url, "HF_ENDPOINT": hf.url}
    assert len(cells(cli.tug("search", "smol", "-n", "1", env=env))) == 3
    for source, first in [("hub", "ai/gemma3"), ("docker", "ai/gemma3"), ("hf", "hf.co/org/smol")]:
        names = [row[0] for row in cells(cli.tug("search", "--source", source, env=env))[1:]]
        assert first in names and len({n.split("/")[0] for n in names}) == 1
    done = cli.tug("search", "--source", "quay", env=env, check=False)
    assert done.returncode == 1 and "all|dockerhub" in done.stderr


def test_search_json(cli, peer):
    hub = peer(HUB)
    rows = json.loads(cli.tug("search", "smollm2", "--source", "docker", "--json", env={"TUG_HUB_URL": hub.url}).stdout)
    assert rows == [{
        "Name": "ai/smollm2", "Description": "Tiny LLM built for speed, edge devices, and local development",
        "Downloads": 1250000, "Stars": 33, "Source": "Docker Hub", "Official": True,
        "UpdatedAt": "2026-02-01T00:00:00Z", "Backend": "llama.cpp", "Size": "270.60MB"}]


def test_search_finds_nothing(cli, peer):
    hub = peer(HUB)
    done = cli.tug("search", "zebra", "--source", "hub", env={"TUG_HUB_URL": hub.url})
    assert done.stdout == 'No models found matching "zebra"\n'


def test_search_when_a_source_is_down(cli, peer):
    hub = peer(HUB)
    done = cli.tug("search", "smol", env={"TUG_HUB_URL": hub.url, "HF_ENDPOINT": NOWHERE})
    assert len(cells(done)) == 3 and done.stderr.startswith("Warning: failed to search HuggingFace: ")
    odd = peer({"GET /": (429, "slow down")})
    done = cli.tug("search", env={"TUG_HUB_URL": odd.url, "HF_ENDPOINT": NOWHERE}, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "search failed: all search sources failed: [Docker Hub: it answered with status 429; HuggingFace: " in done.stderr
    for nonsense in ("[", "{}", "[]", '{"results":7}', '{"results":[7]}'):
        odd = peer({"GET /": nonsense})
        done = cli.tug("search", env={"TUG_HUB_URL": odd.url, "HF_ENDPOINT": odd.url}, check=False)
        assert "hf.co/" not in done.stdout and "ai/" not in done.stdout


def test_show(loaded):
    lines = loaded.tug("show", "ai/smollm2").stdout.splitlines()
    model = json.loads(loaded.tug("inspect", "ai/smollm2").stdout)
    assert lines[0] == f"Model:       {model['id']}"
    assert lines[1] == f"Tags:        {', '.join(model['tags'])}"
    assert lines[2].startswith("Created:     20") and lines[3] == ""
    assert "Format:        gguf" in lines and "Architecture:  llama" in lines
    at = lines.index("GGUF Metadata:")
    keys = [line.split(":")[0].strip() for line in lines[at + 1:]]
    assert keys == sorted(keys) and "general.architecture" in keys and all(len(line) < 300 for line in lines)
    done = loaded.tug("show", "ai/none", check=False)
    assert done.returncode == 1 and done.stderr.startswith("Failed to get model ai/none: ")


def test_show_of_a_registry(loaded, registry):
    name = f"{registry.host}/team/show:v1"
    loaded.tug("tag", "ai/smollm2", name)
    loaded.tug("push", name)
    loaded.tug("rm", name)
    assert "Architecture:  llama" in loaded.tug("show", "--remote", name).stdout


def test_requests_flags(cli, peer):
    records = [{"count": 1, "model": "sha256:1", "config": {}, "records": []}]
    events = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in [
        ("existing_request", records), ("connected", {"status": "connected"}), ("new_request", records)])
    p = peer({"GET /engines/requests": lambda r: events if "include_existing" in r[1] or "follow" in r[1] else records})
    env = {"MODEL_RUNNER_HOST": p.url}
    done = cli.tug("requests", env=env)
    assert json.loads(done.stdout) == records and done.stdout.endswith("\n") and done.stdout.count("\n") == 1
    cli.tug("requests", "--model", "ai/smollm2", env=env)
    assert p.asked[-1][1] == "/engines/requests?model=ai/smollm2"
    done = cli.tug("requests", "--follow", "--include-existing", "--model", "x", env=env)
    assert p.asked[-1][1] == "/engines/requests?model=x&include_existing=true"
    assert [json.loads(line) for line in done.stdout.splitlines()] == [records, records]
    assert done.stderr == "Connected to request stream. Press Ctrl+C to stop.\nStream closed by server.\n"
    done = cli.tug("requests", "--include-existing", env=env, check=False)
    assert done.returncode == 1 and "--include-existing can only be used with --follow" in done.stderr


def test_purge(make_daemon):
    d = make_daemon()
    d.package("ai/smollm2")
    d.chat("ai/smollm2", "Hi", max_tokens=1)
    done = d.tug("purge", stdin="n\n")
    assert done.stdout == ("WARNING! This will remove the entire models directory.\n"
                           "Are you sure you want to continue? [y/N] Operation cancelled.\n")
    assert json.loads(d.tug("ls", "--json").stdout) != []
    assert d.tug("purge", "--force").stdout == ""
    assert json.loads(d.tug("ls", "--json").stdout) == [] and d.engines() == []
