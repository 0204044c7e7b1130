"""The store is a standard OCI image layout with Docker Model Runner's artifacts in it; skopeo reads and writes it."""

import hashlib
import http.client
import json
import os
import subprocess

from conftest import LICENSE, MODEL, wait_for

REF = "docker.io/ai/smollm2:latest"


def skopeo(*args):
    done = subprocess.run(["skopeo", *map(str, args)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_layout_and_fields(daemon):
    daemon.package("ai/smollm2")
    store = daemon.home / "models"
    assert json.loads((store / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((store / "index.json").read_text())
    (entry,) = index["manifests"]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == REF
    assert entry["annotations"]["io.containerd.image.name"] == REF
    manifest = json.loads(skopeo("inspect", "--raw", f"oci:{store}:{REF}"))
    assert manifest["config"]["mediaType"] == "application/vnd.docker.ai.model.config.v0.1+json"
    assert [layer["mediaType"] for layer in manifest["layers"]] == [
        "application/vnd.docker.ai.gguf.v3",
        "application/vnd.docker.ai.license",
    ]
    for layer, path in zip(manifest["layers"], (MODEL, LICENSE)):
        assert layer["size"] == os.path.getsize(path)
        assert layer["digest"] == "sha256:" + hashlib.sha256(open(path, "rb").read()).hexdigest()
        assert layer["annotations"]["org.cncf.model.filepath"] == os.path.basename(path)
    config = json.loads((store / "blobs/sha256" / manifest["config"]["digest"][7:]).read_text())
    assert set(config) == {"config", "descriptor", "rootfs"}
    assert config["config"]["format"] == "gguf" and config["config"]["quantization"] == "MOSTLY_Q4_1"
    assert config["config"]["parameters"] == "134.52M" and config["config"]["architecture"] == "llama"
    assert config["config"]["gguf"]["general.architecture"] == "llama"
    assert config["rootfs"] == {"type": "rootfs", "diff_ids": [layer["digest"] for layer in manifest["layers"]]}
    ids = {line.split()[4] for line in daemon.tug("ls").stdout.splitlines()[1:]}
    assert ids == {entry["digest"][7:19]}


def test_equal_files_equal_ids(daemon, tmp_path):
    """What Docker Model Runner cannot: packaging the same file later gives the same model."""
    copy = tmp_path / os.path.basename(MODEL)
    copy.write_bytes(open(MODEL, "rb").read())
    daemon.package("one/model").package("two/model", copy)
    models = json.loads(daemon.tug("ls", "--json").stdout)
    assert len(models) == 1 and len(models[0]["tags"]) == 2


def test_skopeo_out_and_back(daemon, tmp_path):
    daemon.package("ai/smollm2")
    store, other = daemon.home / "models", tmp_path / "other"
    before = json.loads(daemon.tug("inspect", "ai/smollm2").stdout)
    skopeo("copy", f"oci:{store}:{REF}", f"oci:{other}:x")
    daemon.tug("rm", "ai/smollm2")
    assert json.loads(daemon.tug("ls", "--json").stdout) == []
    skopeo("copy", f"oci:{other}:x", f"oci:{store}:{REF}")
    after = json.loads(daemon.tug("inspect", "ai/smollm2").stdout)
    assert after | {"created": 0} == before | {"created": 0}  # when it came here
    assert daemon.chat("ai/smollm2", "Hi", max_tokens=2).status == 200
    daemon.tug("tag", "ai/smollm2", "my/copy:1")  # a change of ours keeps what skopeo wrote
    skopeo("inspect", "--raw", f"oci:{store}:{REF}")


def test_rm_frees_exactly_what_nothing_refers_to(daemon, tmp_path):
    other = tmp_path / "LICENSE.other"
    other.write_text("another licence\n")
    daemon.package("a/one").package("a/two", license=other)
    blobs = daemon.home / "models/blobs/sha256"
    assert len(list(blobs.iterdir())) == 7  # one GGUF shared; two licences, two configs, two manifests
    daemon.tug("rm", "a/two")
    assert len(list(blobs.iterdir())) == 4
    assert hashlib.sha256(other.read_bytes()).hexdigest() not in os.listdir(blobs)
    daemon.tug("tag", "a/one", "a/three")
    assert daemon.tug("rm", "a/one").stdout == "Untagged: docker.io/a/one:latest\n"
    assert len(list(blobs.iterdir())) == 4
    daemon.tug("rm", "a/three")
    assert list(blobs.iterdir()) == []


def test_rm_by_id_with_several_names(daemon):
    daemon.package("a/one").tug("tag", "a/one", "a/two")
    model = daemon.tug("ls", "-q").stdout.strip()
    done = daemon.tug("rm", model, check=False)
    assert done.returncode != 0 and "must be forced" in done.stderr
    out = daemon.tug("rm", "-f", model).stdout
    assert out.count("Untagged:") == 2 and out.count("Deleted:") == 1


def test_rm_of_a_loaded_model(daemon):
    """One that is only kept in memory leaves it; one that answers somebody stays, and so do its files."""
    daemon.package("ai/smollm2")
    body = {"model": "ai/smollm2", "stream": True, "max_tokens": 2000, "ignore_eos": True}
    c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    c.request("POST", "/v1/chat/completions", json.dumps(body | {"messages": [{"role": "user", "content": "Hi"}]}))
    r = c.getresponse()
    r.readline()
    done = daemon.tug("rm", "ai/smollm2", check=False)
    assert done.returncode != 0 and "in use" in done.stderr
    assert "smollm2" in daemon.tug("ls").stdout
    r.close()
    c.close()
    wait_for("the end of the answer", lambda: not daemon.get("/engines/ps").json[0].get("in_use"))
    assert "Deleted:" in daemon.tug("rm", "ai/smollm2").stdout
    assert daemon.get("/engines/ps").json == []


def test_df_and_prune(daemon):
    daemon.package("a/one").package("a/one", license=MODEL.replace(".gguf", ".LICENSE"))
    daemon.package("b/two", license="/usr/share/common-licenses/GPL-3")
    table = daemon.tug("df").stdout.splitlines()
    assert table[0].split() == ["TYPE", "SIZE"] and table[1].split()[0] == "Models"
    daemon.tug("tag", "a/one", "b/two")  # the old b/two has no name any more
    assert "<none>" in daemon.tug("ls").stdout
    assert "Deleted: sha256:" in daemon.tug("prune", "-f").stdout
    assert "<none>" not in daemon.tug("ls").stdout
    refused = daemon.tug("prune", stdin="n\n")
    assert "Operation cancelled." in refused.stdout
    daemon.tug("prune", "-f", "--all")
    assert json.loads(daemon.tug("ls", "--json").stdout) == []


def test_a_file_that_is_no_model(daemon, tmp_path):
    rows = {
        "text": b"this is not a model\n" * 100,
        "empty": b"",
        "truncated": open(MODEL, "rb").read(200_000),
        "hostile": b"GGUF" + (3).to_bytes(4, "little") + b"\xff" * 64,
    }
    for name, data in rows.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(data)
        done = daemon.tug("package", "--gguf", path, "a/model", check=False)
        assert done.returncode != 0 and path.name in done.stderr, (name, done.stderr)
        assert done.stderr.splitlines()[-1].startswith("Failed to package model: ")
    done = daemon.tug("package", "--gguf", tmp_path / "missing.gguf", "a/model", check=False)
    assert "missing.gguf" in done.stderr
    assert json.loads(daemon.tug("ls", "--json").stdout) == []


def test_cncf_model_pack(daemon):
    daemon.tug("package", "--format", "cncf", "--gguf", MODEL, "--license", LICENSE, "ai/pack")
    manifest = json.loads(skopeo("inspect", "--raw", f"oci:{daemon.home}/models:docker.io/ai/pack:latest"))
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert json.loads(daemon.tug("inspect", "ai/pack").stdout)["config"]["format"] == "gguf"
    assert daemon.chat("ai/pack", "Hi", max_tokens=2).status == 200


def test_export_and_load(daemon, tmp_path):
    daemon.package("ai/smollm2")
    tar = daemon.get("/models/ai/smollm2/export")
    assert tar.headers["Content-Type"] == "application/x-tar"
    model = json.loads(daemon.tug("inspect", "ai/smollm2").stdout)["id"]
    daemon.tug("rm", "ai/smollm2")
    answer = daemon.post("/models/load", tar.body, headers={"Accept": "application/json"})
    assert b"Model loaded successfully" in answer.body
    assert json.loads(daemon.tug("ls", "--json").stdout)[0]["id"] == model
    broken = bytearray(tar.body)
    broken[len(broken) // 2] ^= 1
    daemon.tug("rm", model[7:19])
    answer = daemon.post("/models/load", bytes(broken), headers={"Accept": "application/json"})
    assert b"Model loaded successfully" not in answer.body
    assert json.loads(daemon.tug("ls", "--json").stdout) == []
