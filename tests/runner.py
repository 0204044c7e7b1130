"""install-runner and its siblings: this machine's daemon under systemd, in the background, or in a container."""

import http.client
import os
import socket
import stat

import pytest
from conftest import Daemon, alive, free_port
from machine import machine  # noqa: F401  (a fixture)
from service import ask, install, packages  # noqa: F401


@pytest.fixture
def home(tmp_path):
    """A home without a daemon; what the test starts there is stopped."""
    d = Daemon(tmp_path / "home", check=False)
    d.env.pop("XDG_RUNTIME_DIR", None)
    yield d
    d.tug("stop-runner", "--background", check=False)


def answers(port):
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        c.request("GET", "/version")
        return c.getresponse().status == 200
    except OSError:
        return False


def test_in_the_background_each_command_can_be_said_twice(home):
    port, other = free_port(), free_port()
    back = "--background"
    said = home.tug("install-runner", back, "--port", port, "--gpu", "cuda", "--do-not-track")
    assert f"runs at http://127.0.0.1:{port}" in said.stdout and answers(port)
    assert "--gpu cuda has no meaning here" in said.stderr and "--do-not-track has no meaning here" in said.stderr
    pid = int((home.home / "daemon.lock").read_text().split()[0])
    again = home.tug("install-runner", back, "--port", other).stdout
    assert f"Model Runner process {pid} is already running" in again and "reinstall-runner" in again
    assert home.tug("start-runner", back).stdout == f"Model Runner process {pid} is already running\n"
    home.tug("restart-runner", back, "--port", other)
    assert not alive(pid) and answers(other) and not answers(port)
    home.tug("reinstall-runner", back, "--port", port)
    assert answers(port) and not answers(other)
    assert "Stopped Model Runner" in home.tug("uninstall-runner", back).stdout and not answers(port)
    for command in ("stop-runner", "uninstall-runner"):
        assert home.tug(command, back).stdout == "Model Runner is not running\n"


def test_models_go_only_when_that_is_asked(home):
    port = free_port()
    home.tug("install-runner", "--background", "--port", port)
    home.port = port
    home.package("ai/smollm2")
    home.tug("stop-runner", "--background")
    home.tug("start-runner", "--background", "--port", port)
    assert "smollm2" in home.tug("list").stdout
    home.tug("uninstall-runner", "--background", "--models")
    home.tug("start-runner", "--background", "--port", port)
    assert "smollm2" not in home.tug("list").stdout


@pytest.mark.parametrize(
    "argv, text",
    [
        (["install-runner", "--tls"], "serves plain http"),
        (["install-runner", "--backend", "vllm"], "llama.cpp alone"),
        (["install-runner", "--backend", "x"], 'unknown backend: "x"'),
        (["install-runner", "--gpu", "x"], "none|auto|cuda"),
        (["install-runner", "--port", "70000"], "65535"),
        (["start-runner", "--host", "0.0.0.0"], "--insecure"),
        (["start-runner", "--host", "a b"], "neither a name nor an address"),
        (["uninstall-runner", "--backend", "diffusers"], "no such backend"),
        (["stop-runner", "--images"], "--images"),
    ],
)
def test_what_is_refused_says_why(home, argv, text):
    done = home.tug(*argv, check=False)
    assert done.returncode == 1 and text in done.stderr, done
    assert not (home.home / "daemon.lock").exists()


def test_a_taken_port_is_told(home):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = home.tug("install-runner", "--background", "--port", s.getsockname()[1], check=False)
    assert done.returncode != 0 and "is taken" in done.stderr
    assert "Model Runner is not running" in home.tug("stop-runner", "--background").stdout


def test_another_host_is_not_ours_to_manage(home):
    done = home.tug("stop-runner", env={"MODEL_RUNNER_HOST": "http://elsewhere:12434"}, check=False)
    assert done.returncode == 1 and "names another runner" in done.stderr


DOCKER = """#!/bin/sh
echo "$@" >>"$0.log"
case "$1 $8" in
"ps "*) [ ! -e "$0.up" ] || echo 0123456789ab ;;
"run "*) : >"$0.up" ;;
"rm "*) rm -f "$0.up" ;;
"rmi "*) echo "no such image" >&2; exit 1 ;;
esac
"""


def test_a_container(home, tmp_path):
    """By docker's command line; here one that writes down what it is told."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    env = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    log = lambda: (tmp_path / "bin" / "docker.log").read_text()  # noqa: E731
    out = home.tug("install-runner", "--container", "--port", 12999, "--image", "tug:9", env=env).stdout
    assert out == "Model Runner container tug-model-runner (0123456789ab) runs at http://127.0.0.1:12999\n"
    run = next(line for line in log().splitlines() if line.startswith("run "))
    assert "--publish 127.0.0.1:12999:12434" in run and "--volume tug-model-runner-models:/var/lib/tug" in run
    assert "--env TUG_INSECURE=1" in run and run.endswith(" tug:9")  # what is published decides who reaches it
    out = home.tug("install-runner", "--container", env=env).stdout
    assert out == "Model Runner container tug-model-runner (0123456789ab) is already running\n"
    home.tug("restart-runner", "--container", env=env | {"TUG_API_KEY": "hunter2"})
    assert "--env TUG_API_KEY " in log() and "hunter2" not in log()
    assert "Stopped Model Runner container" in home.tug("stop-runner", "--container", env=env).stdout
    done = home.tug("uninstall-runner", "--container", "--images", env=env, check=False)
    assert done.returncode == 1 and "no such image" in done.stderr  # docker's own word
    done = home.tug("install-runner", "--container", env={"PATH": str(tmp_path)}, check=False)
    assert done.returncode != 0 and "docker" in done.stderr


def test_under_systemd(machine, packages):  # noqa: F811
    m = machine
    install(m, packages[0])
    m.run("systemctl", "disable", "--now", "tug.socket")
    plugin = "/usr/libexec/docker/cli-plugins/docker-model"
    out = m.run(plugin, "install-runner", "--port", "12500", "--debug").stdout
    assert out == "Model Runner tug.socket runs at http://127.0.0.1:12500\n"
    assert m.run("systemctl", "is-enabled", "tug.socket").stdout.strip() == "enabled"
    assert "v" in m.run("curl", "-sS", "http://127.0.0.1:12500/version").stdout
    assert "Model Runner tug.socket is already running" in m.run(plugin, "start-runner").stdout
    m.run(plugin, "restart-runner")  # keeps what was asked for
    assert m.run("curl", "-sS", "http://127.0.0.1:12500/version").returncode == 0
    m.run(plugin, "reinstall-runner")  # begins anew
    assert "version" in ask(m, "/version")
    assert m.run("curl", "-sS", "http://127.0.0.1:12500/version", check=False).returncode != 0
    m.run(plugin, "uninstall-runner")
    assert m.state("tug.socket") == "inactive" and m.state("tug.service") == "inactive"
    assert m.run("systemctl", "is-enabled", "tug.socket", check=False).stdout.strip() == "disabled"
    left = m.run("find", "/etc/systemd/system", "-name", "runner.conf").stdout
    assert not left
    done = m.run(plugin, "install-runner", "--host", "no-such-host.invalid", "--insecure", check=False)
    assert done.returncode != 0 and "journalctl" in done.stderr
