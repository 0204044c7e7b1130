"""`docker model …` with real Docker CLIs, 20.10 and 28: discovery, help, flags, exit codes, the plugin socket, hooks.

No dockerd is needed: the CLIs come from scripts/docker-cli.
"""

import http.server
import json
import os
import pty
import signal
import socket
import subprocess
import threading

import pytest

from conftest import BUILD, EMBEDDER, ROOT, TUG, Daemon, wait_for
from proxy import Proxy

ARITY = "'docker model pull' requires 1 argument.\n\nUsage:  docker model pull MODEL\n\nSee 'docker model pull --help' for more information\n"


@pytest.fixture(scope="session")
def clis():
    done = subprocess.run([ROOT / "scripts" / "docker-cli"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"no Docker CLIs: {done.stderr}"
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


class Docker:
    def __init__(self, cli, config, env):
        self.cli, self.config, self.env = cli, config, env

    def __call__(self, *args, env=None, check=None, timeout=60):
        done = subprocess.run([self.cli, *map(str, args)], env=self.env | (env or {}), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)
        if check is not None:
            assert done.returncode == check, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def plugin_dir(config):
    folder = config / "cli-plugins"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "docker-model").symlink_to(TUG)
    return config


@pytest.fixture(params=["old", "new"])
def docker(request, clis, loaded, tmp_path):
    """A real CLI that has Tug as its plugin, talking to the `loaded` daemon."""
    config = plugin_dir(tmp_path / "config")
    return Docker(clis[request.param], config, loaded.env | {"DOCKER_CONFIG": str(config)})


@pytest.fixture
def new_docker(clis, loaded, tmp_path):
    config = plugin_dir(tmp_path / "config")
    return Docker(clis["new"], config, loaded.env | {"DOCKER_CONFIG": str(config)})


def metadata(**env):
    return subprocess.run([BUILD / "docker-model", "docker-cli-plugin-metadata"], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=10)


def test_metadata_whatever_the_environment_says(tmp_path):
    nowhere = str(tmp_path / "none" / "at" / "all")
    for env in ({}, {"HOME": nowhere, "TUG_HOME": nowhere, "DOCKER_CONFIG": nowhere, "MODEL_RUNNER_HOST": "!!"},
                {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}, {"DOCKER_CLI_PLUGIN_SOCKET": "@gone"}):
        done = metadata(**env)
        assert done.returncode == 0 and done.stderr == ""
        data = json.loads(done.stdout)
        assert data["SchemaVersion"] == "0.1.0" and data["Vendor"] and data["ShortDescription"] == "Docker Model Runner"
        # Compose's rule: one leading v, parts that are not numbers count as 0.
        parts = [int(p) if p.isdigit() else 0 for p in data["Version"].removeprefix("v").split(".")]
        assert parts >= [1, 0, 6], "Compose would drop runtime_flags"
    assert not (tmp_path / "none").exists(), "metadata makes nothing"


def test_discovery(docker):
    plugins = json.loads(docker("info", "--format", "{{json .ClientInfo.Plugins}}").stdout)
    model = next(p for p in plugins if p["Name"] == "model")
    assert model["Path"] == str(docker.config / "cli-plugins" / "docker-model") and not model.get("Err")
    assert "model*" in docker("--help").stdout


def test_both_shapes_say_the_same(docker, loaded):
    direct = loaded.tug("ls", "--json", program=docker.config / "cli-plugins" / "docker-model")
    plugin = docker("model", "ls", "--json", check=0)
    assert json.loads(plugin.stdout) and plugin.stdout == direct.stdout
    assert plugin.stderr == "" and direct.stderr == ""
    status = docker("model", "status", "--json", check=0)
    assert json.loads(status.stdout)["running"] is True and status.stderr == ""


def test_global_flags(docker, tmp_path):
    want = docker("model", "ls", "-q", check=0).stdout
    assert len(want.split()) == 2
    ca = tmp_path / "ca.pem"
    for flags in (["-D"], ["--debug"], ["-l", "error"], ["--log-level=debug"], ["-H", "unix:///nowhere.sock"],
                  ["--host", "tcp://127.0.0.1:1"], ["-c", "default"], ["--context=default"], ["-Dlerror"],
                  ["--config", docker.config], [f"--config={docker.config}"], ["--tls=false"],
                  ["--tlscacert", ca, "--tlscert", ca, "--tlskey", ca]):
        assert docker(*flags, "model", "ls", "-q", check=0).stdout == want, flags


def test_help(docker):
    text = docker("model", "--help", check=0).stdout
    assert text.startswith("Usage:  docker model COMMAND\n\nDocker Model Runner")
    assert "\nCommands:\n" in text and "Run 'docker model COMMAND --help' for more information on a command." in text
    names = [line.split()[0] for line in text.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
    assert names == sorted(names) and {"run", "pull", "ls"} & set(names) == {"run", "pull"}
    for shape in (["help", "model"], ["model", "help"], ["model", "-h"], ["model"]):
        assert docker(*shape, check=0).stdout == text, shape
    pull = docker("model", "pull", "--help", check=0).stdout
    assert pull.startswith("Usage:  docker model pull MODEL\n")
    for shape in (["help", "model", "pull"], ["model", "help", "pull"], ["model", "pull", "-h"]):
        assert docker(*shape, check=0).stdout == pull, shape


def test_wrong_words_and_exit_codes(docker):
    assert docker("model", "pull", check=1).stderr == ARITY
    done = docker("model", "lst", check=1)
    assert done.stderr == "docker model: 'lst' is not a command. Did you mean 'docker model list'?\nSee 'docker model --help'\n"
    done = docker("model", "ls", "--jsn", check=1)
    assert done.stderr.startswith("unknown flag: --jsn\n\nUsage:  docker model list [OPTIONS] [MODEL]")
    done = docker("model", "inspect", "no/such", check=1)
    assert done.stderr.startswith("Failed to inspect model: ") and done.stdout == ""


def test_daemon_down(docker):
    down = {"MODEL_RUNNER_HOST": "http://127.0.0.1:1"}
    done = docker("model", "ls", env=down, check=1)
    assert done.stderr.startswith("Failed to list models: ") and "127.0.0.1:1" in done.stderr
    assert docker("model", "status", env=down, check=1).stdout.startswith("Docker Model Runner is not running")
    done = docker("model", "status", "--json", env=down)
    assert json.loads(done.stdout)["running"] is False and done.stderr == ""


class SlowRunner:
    """A model runner whose pull begins and never ends. `connected` and `left` are events."""

    def __init__(self):
        self.connected, self.left = threading.Event(), threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"type":"progress","message":"","model":"m","total":100,"pulled":1,'
                                 b'"layer":{"id":"sha256:%s","size":100,"current":1}}\n' % (b"a" * 64))
                outer.connected.set()
                try:
                    self.connection.recv(1)  # the client says nothing more: this is its end
                except ConnectionResetError:  # it had not read all that came
                    pass
                outer.left.set()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def slow():
    runner = SlowRunner()
    yield runner
    runner.server.shutdown()
    runner.server.server_close()


def start(argv, env):
    return subprocess.Popen([str(a) for a in argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_docker_cancels_the_pull(new_docker, slow, sent):
    """docker without a terminal only closes the plugin socket."""
    p = start([new_docker.cli, "model", "pull", "slow"], new_docker.env | {"MODEL_RUNNER_HOST": slow.url})
    assert slow.connected.wait(20)
    p.send_signal(sent)
    out, err = p.communicate(timeout=20)
    assert slow.left.wait(20), "the daemon is told at once"
    assert p.returncode == 130 and "rror" not in err, (p.returncode, out, err)


@pytest.mark.parametrize("cli", ["old", "new"])
def test_ctrl_c_in_a_terminal(clis, new_docker, slow, cli):
    """There the whole foreground group gets the signal; 20.10 has no plugin socket at all."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(clis[cli], ["docker", "model", "pull", "slow"], new_docker.env | {"MODEL_RUNNER_HOST": slow.url})
    assert slow.connected.wait(20)
    os.write(terminal, b"\x03")
    assert slow.left.wait(20)
    screen = b""
    try:
        while piece := os.read(terminal, 4096):
            screen += piece
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130 and b"rror" not in screen, screen


def test_a_cancelled_pull_goes_on_later(new_docker, loaded, registry):
    """With the real daemon: the signal ends the transfer, nothing half-written shows, and what came is not asked for again."""
    loaded.tug("tag", "ai/all-minilm", f"{registry.host}/team/cancelled:v1")
    loaded.tug("push", f"{registry.host}/team/cancelled:v1")
    loaded.tug("rm", f"{registry.host}/team/cancelled:v1")
    proxy, size = Proxy(registry.port, rate=30_000_000), os.path.getsize(EMBEDDER)
    try:
        # A home of its own, since `loaded` has the blobs.
        d = Daemon(new_docker.config.parent / "home")
        name = f"{proxy.host}/team/cancelled:v1"
        p = start([new_docker.cli, "model", "pull", name], new_docker.env | {"TUG_HOME": str(d.home), "MODEL_RUNNER_HOST": d.url})
        wait_for("a quarter of the blob", lambda: proxy.blob_bytes > size // 4, 60)
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=20)
        assert p.returncode == 130
        assert json.loads(d.tug("ls", "--json").stdout) == []
        proxy.rate = None
        d.tug("pull", name)
        assert proxy.blob_bytes < size + 16_000_000, "it goes on where it stopped"
    finally:
        d.stop()
        proxy.stop()


def plugin_socket():
    listener = socket.socket(socket.AF_UNIX)
    name = f"tug_test_{os.getpid()}_{os.urandom(4).hex()}"
    listener.bind("\0" + name)
    listener.listen(4)
    listener.settimeout(20)
    return listener, "@" + name


def test_the_socket_alone(new_docker, slow):
    """The protocol without docker: connect, send nothing, the end cancels; nothing before that does."""
    listener, name = plugin_socket()
    env = new_docker.env | {"MODEL_RUNNER_HOST": slow.url, "DOCKER_CLI_PLUGIN_SOCKET": name}
    p = start([BUILD / "docker-model", "pull", "slow"], env)
    peer, _ = listener.accept()
    assert slow.connected.wait(20)
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(1)
    assert p.poll() is None
    peer.close()
    p.communicate(timeout=20)
    assert p.returncode == 130
    listener.close()


def test_the_socket_ends_what_waits_for_nothing_of_ours(new_docker, slow):
    """A command that never asked for interrupts ends too: here one that waits for its answer's head."""
    listener, name = plugin_socket()
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        env = new_docker.env | {"MODEL_RUNNER_HOST": "127.0.0.1:%d" % mute.getsockname()[1], "DOCKER_CLI_PLUGIN_SOCKET": name}
        p = start([BUILD / "docker-model", "ls"], env)
        peer, _ = listener.accept()
        accepted, _ = mute.accept()
        accepted.recv(100)
        peer.close()
        p.communicate(timeout=20)
        assert p.returncode == 130
        accepted.close()
    listener.close()


def test_a_dead_socket_is_ignored(new_docker, loaded):
    for name in ("@tug_nobody_listens_here", "/nowhere/sock", "x" * 300):
        done = loaded.tug("ls", program=BUILD / "docker-model", env={"DOCKER_CLI_PLUGIN_SOCKET": name})
        assert done.stdout.startswith("MODEL NAME") and done.stderr == ""


def test_killed_in_the_middle(loaded, registry, tmp_path):
    """Compose ends its children with SIGKILL: the daemon stays whole and the next pull succeeds."""
    name = f"{registry.host}/team/killed:v1"
    loaded.tug("tag", "ai/all-minilm", name)
    loaded.tug("push", name)
    loaded.tug("rm", name)
    p = start([BUILD / "docker-model", "pull", name], loaded.env)
    assert p.stdout.readline(), "it has begun"
    p.kill()
    p.communicate(timeout=20)
    assert loaded.get("/models").status == 200
    loaded.tug("pull", name, program=BUILD / "docker-model")
    assert name in loaded.tug("inspect", name).stdout
    loaded.tug("rm", name)


def test_hooks_say_nothing(new_docker):
    """With hooks asked for, docker calls us after each command in a terminal; no advice comes of it."""
    (new_docker.config / "config.json").write_text(json.dumps(
        {"plugins": {"model": {"hooks": "model", "error-hooks": "model"}}, "features": {"hooks": "true"}}))
    ours, theirs = pty.openpty()
    p = subprocess.Popen([new_docker.cli, "model", "ps"], env=new_docker.env | {"DOCKER_CLI_HOOKS": "true"},
                         stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        screen += piece
    os.close(ours)
    assert p.wait(20) == 0
    assert b"MODEL NAME" in screen and b"next" not in screen.lower() and b"Template" not in screen
    hook = '{"RootCmd":"pull","Flags":{"quiet":"true"},"CommandError":""}'
    done = subprocess.run([BUILD / "docker-model", "model", "docker-cli-plugin-hooks", hook], capture_output=True, text=True,
                          env=new_docker.env | {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}, timeout=10)
    assert done.returncode == 0 and json.loads(done.stdout) == {"Type": 0, "Template": ""}
