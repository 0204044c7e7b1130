"""`package`: its flags, what it refuses, and variants of a model that share its layers."""

import json
import pathlib

import pytest

from conftest import LICENSE, MODEL


def test_from_makes_a_variant(make_daemon):
    d = make_daemon()
    d.package("ai/smollm2")
    before = json.loads(d.tug("df", "--json").stdout)["models_disk_usage"]
    done = d.tug("package", "--from", "smollm2", "--context-size", "4096", "smollm2:4k")
    assert done.stderr.splitlines() == [
        'Reading model from daemon: "smollm2"', "Setting context size 4096", "Creating lightweight model variant...",
        "Model variant created successfully"]
    variant, source = (json.loads(d.tug("inspect", name).stdout) for name in ("smollm2:4k", "smollm2"))
    assert variant["config"]["context_size"] == 4096 and variant["id"] != source["id"]
    assert variant["config"] | {"context_size": 0} == source["config"] | {"context_size": 0}
    assert json.loads(d.tug("df", "--json").stdout)["models_disk_usage"] - before < 100_000, "layers are shared"
    assert d.chat("smollm2:4k", "Hi", max_tokens=1).status == 200
    assert d.tug("package", "--from", "smollm2", "copy").returncode == 0
    assert json.loads(d.tug("inspect", "copy").stdout)["id"] == source["id"]
    for args, text in [
        (["--from", "none", "x"], "none"),
        (["--from", "smollm2", "--license", LICENSE, "x"], "only --context-size can be changed"),
        (["--from", "smollm2", "x@sha256:" + "0" * 64], "must have a tag"),
    ]:
        done = d.tug("package", *args, check=False)
        assert done.returncode == 1 and text in done.stderr and "Failed to package model: " in done.stderr


def test_from_then_push(make_daemon, registry):
    d = make_daemon()
    d.package("ai/smollm2")
    name = f"{registry.host}/team/variant:2k"
    done = d.tug("package", "--from", "ai/smollm2", "--context-size", "2048", "--push", name)
    assert "Model pushed successfully" in done.stderr
    d.tug("rm", name)
    d.tug("pull", name)
    assert json.loads(d.tug("inspect", name).stdout)["config"]["context_size"] == 2048


def test_every_file_in_one_package(make_daemon, tmp_path):
    d = make_daemon()
    template, second = tmp_path / "t.jinja", tmp_path / "NOTICE"
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    second.write_text("a second licence")
    done = d.tug("package", "--gguf", MODEL, "--license", LICENSE, "-l", second, "--chat-template", template,
                 "--context-size", "1024", "my/all:v1")
    for words in (f'Adding GGUF file from "{MODEL}"', f'Adding license file from "{second}"',
                  f'Adding chat template file from "{template}"', "Setting context size 1024", "Model loaded successfully"):
        assert words in done.stderr
    index = json.loads((d.home / "models" / "index.json").read_text())
    digest = index["manifests"][0]["digest"].split(":")[1]
    layers = json.loads((d.home / "models" / "blobs" / "sha256" / digest).read_text())["layers"]
    assert [layer["mediaType"].rsplit(".", 1)[-1] for layer in layers] == ["v3", "license", "license", "jinja"]


@pytest.mark.parametrize("args,text", [
    (["x"], "One of --gguf, --safetensors-dir, --dduf, or --from is required."),
    (["--gguf", "a", "--from", "b", "x"], "Cannot specify more than one of --gguf, --safetensors-dir, --dduf, or --from. Please use only one source."),
    (["--safetensors-dir", "/tmp", "x"], "GGUF models only"),
    (["--dduf", "/tmp/a", "x"], "GGUF models only"),
    (["--gguf", MODEL, "--format", "cncf", "--context-size", "5", "x"], "--context-size is not supported with --format cncf: "),
    (["--gguf", "/nowhere.gguf", "x"], "/nowhere.gguf"),
    (["--gguf", MODEL, "--format", "zip", "x"], "docker|cncf"),
])
def test_refused(loaded, args, text):
    done = loaded.tug("package", *args, check=False)
    assert done.returncode == 1 and text in done.stderr, done.stderr
