"""`launch`, `skills`, `gateway`: what apps and agents are told of the daemon."""

import os
import pathlib

import pytest


@pytest.fixture
def apps(tmp_path):
    """A folder for PATH with an app that shows its environment and its words."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("codex", "claude", "docker"):
        app = folder / name
        app.write_text(f'#!/bin/sh\necho "{name}: $*"\nenv | grep -E "^(OPENAI|OPEN_AI|ANTHROPIC)"\nexit 7\n')
        app.chmod(0o755)
    return folder


def test_the_apps(cli):
    out = cli.tug("launch").stdout.splitlines()
    assert out[0] == "Supported apps:"
    assert [line.split()[0] for line in out[1:]] == ["anythingllm", "claude", "codex", "openclaw", "opencode", "openwebui"]


def test_an_app_gets_the_daemons_address(loaded, apps):
    env = {"PATH": f"{apps}:/usr/bin:/bin"}
    done = loaded.tug("launch", "codex", "--model", "ai/smollm2", "--", "exec", "--x=a b", env=env, check=False)
    assert done.returncode == 7, "the app's own exit code"
    lines = done.stdout.splitlines()
    assert lines[0] == "codex: --model ai/smollm2 exec --x=a b"
    assert f"OPENAI_BASE_URL={loaded.url}/v1" in lines and "OPENAI_API_KEY=sk-docker-model-runner" in lines


def test_an_app_that_needs_a_route(cli, peer, apps):
    env = {"PATH": f"{apps}:/usr/bin:/bin"}
    has = peer({"POST /anthropic/v1/messages": (400, {"error": {"message": "Missing required field: model"}})})
    done = cli.tug("launch", "claude", env=env | {"MODEL_RUNNER_HOST": has.url}, check=False)
    assert done.returncode == 7
    assert f"ANTHROPIC_BASE_URL={has.url}/anthropic" in done.stdout and "ANTHROPIC_MODEL" not in done.stdout
    has_not = peer({})
    done = cli.tug("launch", "claude", env=env | {"MODEL_RUNNER_HOST": has_not.url}, check=False)
    assert done.returncode == 1 and "this daemon has no /anthropic/v1/messages" in done.stderr and done.stdout == ""


def test_dry_run_and_config(loaded, apps):
    done = loaded.tug("launch", "opencode", "--dry-run")
    assert done.stdout.startswith("Would run: OPENAI_API_BASE=") and done.stdout.endswith(" opencode\n")
    assert f"OPENAI_BASE_URL={loaded.url}/engines/v1" in loaded.tug("launch", "openclaw", "--config").stdout.splitlines()


def test_a_container(loaded, apps):
    words = loaded.tug("launch", "openwebui", "--dry-run", "--port", "3333", "--model", "ai/smollm2").stdout
    assert words.startswith("Would run: docker run --rm --interactive --name tug-openwebui --add-host host.docker.internal:host-gateway --publish 127.0.0.1:3333:8080 ")
    assert f"--env OPENAI_BASE_URL=http://host.docker.internal:{loaded.port}/engines/v1 " in words
    assert words.endswith("--volume tug-openwebui:/app/backend/data ghcr.io/open-webui/open-webui:main\n")
    done = loaded.tug("launch", "anythingllm", "--detach", "--image", "local/any", env={"PATH": str(apps) + ":/usr/bin:/bin"}, check=False)
    assert done.returncode == 7 and done.stdout.startswith("docker: run --rm --detach ") and "local/any" in done.stdout


def test_refused(loaded, cli):
    nowhere = {"PATH": "/nowhere"}
    for args, text in [
        (["emacs"], 'unsupported app "emacs"'),
        (["codex", "--port", "1"], "container"),
        (["codex"], "codex is not in PATH; it comes from https://"),
        (["codex", "--detach"], "codex is not in PATH"),
        (["openwebui"], "docker is not in PATH"),
    ]:
        done = loaded.tug("launch", *args, env=nowhere, check=False)
        assert done.returncode == 1 and text in done.stderr, done.stderr
    done = cli.tug("launch", "codex", env={"MODEL_RUNNER_HOST": "unix:/tmp/none"}, check=False)
    assert done.returncode == 1 and "other programs need http://HOST:PORT" in done.stderr


def test_skills(cli, tmp_path):
    env = {"HOME": str(tmp_path)}
    done = cli.tug("skills", "--claude", "--codex", "--opencode", "--dest", tmp_path / "d", env=env)
    for folder in ("d", ".claude/skills", ".codex/skills", ".config/opencode/skills"):
        skill = tmp_path / folder / "docker-model-runner" / "SKILL.md"
        assert skill.read_text().startswith("---\nname: docker-model-runner\n")
        assert f"Installed Docker Model Runner skills to {tmp_path / folder}\n" in done.stdout
    cli.tug("skills", "--claude", env=env)
    skill.write_text("mine")
    done = cli.tug("skills", "--opencode", env=env, check=False)
    assert done.returncode == 1 and "--force" in done.stderr and skill.read_text() == "mine"
    cli.tug("skills", "--opencode", "-f", env=env)
    assert skill.read_text() != "mine"
    done = cli.tug("skills", env=env, check=False)
    assert done.returncode == 1 and "--claude" in done.stderr


def test_gateway_says_what_to_use(cli):
    done = cli.tug("gateway", "-c", "x.yaml", check=False)
    assert done.returncode == 1 and "not part of Tug" in done.stderr and "LiteLLM" in done.stderr
