"""Which daemon: contexts as Docker Model Runner keeps them, MODEL_RUNNER_HOST, TLS; and when what answers is no daemon."""

import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from conftest import BUILD, TUG


@pytest.fixture
def tug(tmp_path):
    """The CLI with a docker folder of its own, and no daemon named."""
    config = tmp_path / "docker"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TUG_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(config),
           "LC_ALL": "C.UTF-8"}

    def run(*args, code=0, env=None, program=TUG):
        done = subprocess.run([program, *map(str, args)], env=run.env | (env or {}), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=30)
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    run.env, run.config, run.file = env, config, config / "model" / "contexts.json"
    return run


def test_a_life(tug):
    assert tug("context", "ls").stdout == (
        "NAME     HOST           DESCRIPTION                   CURRENT  \n"
        "default  (auto-detect)  Auto-detected Docker context  *        \n")
    assert not tug.config.exists(), "looking makes nothing"
    done = tug("context", "create", "office", "--host", "http://10.0.0.7:12434", "--description", "The big one")
    assert done.stdout == 'Context "office" created.\n'
    tug("context", "create", "attic", "--host", "https://h:1/x", "--tls", "--tls-skip-verify")
    assert tug("context", "use", "office").stdout == 'Current context is now "office".\n'
    rows = [line.split() for line in tug("context", "list").stdout.splitlines()]
    assert rows[2] == ["attic", "https://h:1/x"] and rows[3] == ["office", "http://10.0.0.7:12434", "The", "big", "one", "*"]
    assert rows[1][-1] == "context", "default is not current any more"

    file = json.loads(tug.file.read_text())
    assert file["version"] == 1 and file["current"] == "office"
    assert file["contexts"]["attic"]["tls"] == {"enabled": True, "skipVerify": True}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", file["contexts"]["office"]["createdAt"])
    assert tug.file.read_text().startswith('{\n    "version": 1,') and tug.file.stat().st_mode & 0o777 == 0o600
    assert (tug.file.parent / "contexts.lock").exists()

    shown = json.loads(tug("context", "inspect", "office", "default").stdout)
    assert shown[0]["name"] == "office" and shown[0]["tls"] == {"enabled": False} and shown[0]["description"] == "The big one"
    assert shown[1]["name"] == "default"

    active = tug("context", "rm", "office", code=1)
    assert active.stderr == 'context "office" is currently active; switch to another context first\n'
    several = tug("context", "remove", "office", "nope", "attic", code=1)
    assert several.stdout == 'Context "attic" removed.\n'
    assert several.stderr.splitlines() == [
        'Error: office: context "office" is currently active; switch to another context first',
        'Error: nope: context "nope" not found', "one or more contexts could not be removed"]
    assert tug("context", "use", "default").stdout == 'Current context is now "default".\n'
    assert "current" not in json.loads(tug.file.read_text())
    assert tug("context", "rm", "office").stdout == 'Context "office" removed.\n'


@pytest.mark.parametrize("args, text", [
    (["create", "x"], "--host is required"),
    (["create", "x", "--host", "h:12434"], "invalid --host URL: must include scheme and host, e.g. http://192.168.1.100:12434"),
    (["create", "x", "--host", "ftp://h"], "invalid --host URL"),
    (["create", "default", "--host", "http://h"], 'context name "default" is reserved'),
    (["create", "../x", "--host", "http://h"], 'invalid context name "../x"'),
    (["create", "x", "--host", "http://h", "--tls-ca-cert", "/none.pem"], '--tls-ca-cert: cannot read "/none.pem": '),
    (["create", "a", "--host", "http://h"], 'context "a" already exists'),
    (["use", "nope"], 'context "nope" not found'),
    (["inspect", "nope"], 'context "nope" not found'),
    (["rm", "default"], 'context "default" cannot be removed'),
    (["rm"], "'tug context rm' requires at least 1 argument."),
    (["us", "a"], "'us' is not a command. Did you mean 'tug context use'?"),
])
def test_wrong(tug, args, text):
    tug("context", "create", "a", "--host", "http://h:1")
    before = tug.file.read_text()
    done = tug("context", *args, code=1)
    assert text in done.stderr and done.stdout == ""
    assert tug.file.read_text() == before


def test_many_at_once(tug):
    """The lock: none of those who write at the same time is lost."""
    running = [subprocess.Popen([TUG, "context", "create", f"c{i}", "--host", f"http://h:{i + 1}"], env=tug.env,
                                stdout=subprocess.DEVNULL) for i in range(12)]
    assert [p.wait(30) for p in running] == [0] * 12
    assert len(json.loads(tug.file.read_text())["contexts"]) == 12


def test_the_environment_wins(tug, loaded):
    tug("context", "create", "here", "--host", loaded.url)
    tug("context", "create", "nowhere", "--host", "http://127.0.0.1:1")
    tug("context", "use", "here")
    assert len(tug("ls", "-q").stdout.split()) == 2
    tug("context", "use", "nowhere")
    done = tug("ls", code=1)
    assert 'that is the context "nowhere"' in done.stderr and "127.0.0.1:1" in done.stderr
    env = {"MODEL_RUNNER_HOST": loaded.url}
    assert len(tug("ls", "-q", env=env).stdout.split()) == 2
    assert tug("context", "ls", env=env).stderr == f'Warning: MODEL_RUNNER_HOST="{loaded.url}" overrides the active context.\n'
    assert tug("ls", "-q", env={"MODEL_RUNNER_HOST": loaded.url.removeprefix("http://")}).stdout
    assert not (tug.config.parent / "home" / "daemon.lock").exists(), "no daemon of our own was started"


def test_a_context_on_a_socket(tug, loaded):
    tug("context", "create", "sock", "--host", f"unix://{loaded.home}/run/tug.sock")
    tug("context", "use", "sock")
    assert len(tug("ls", "-q").stdout.split()) == 2


def test_docker_config_flag(tug, loaded, tmp_path):
    """docker --config DIR model …: the contexts are in DIR."""
    other = tmp_path / "other"
    env = {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
    tug("--config", other, "model", "context", "create", "x", "--host", "http://h:1", program=BUILD / "docker-model", env=env)
    assert (other / "model" / "contexts.json").exists() and not tug.file.exists()


def test_completion_knows_contexts(tug):
    tug("context", "create", "office", "--host", "http://h:1")
    assert tug("__complete", "context", "use", "").stdout.splitlines() == [
        "default\tThe daemon of this machine", "office\thttp://h:1", ":4"]
    assert tug("__complete", "context", "c").stdout.startswith("create\t")


def as_nobody(tug, folder, *args):
    """Root may read everything; so it runs as somebody else, from where that one may run it."""
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    program = folder / "tug"
    if not program.exists():
        shutil.copy(TUG, program)
    folder.chmod(0o755)
    return subprocess.run([program, *args], env=tug.env, capture_output=True, text=True, timeout=30, **user)


def test_a_folder_that_cannot_be_read(tug, tmp_path):
    """Which daemon was meant cannot be known: an error that says what to do, and no other daemon is asked or started."""
    tug.config.write_text("a file, not a folder")
    for args in (["ls"], ["pull", "x"], ["context", "ls"], ["context", "create", "x", "--host", "http://h"]):
        done = tug(*args, code=1)
        assert str(tug.config) in done.stderr, done.stderr
    assert "set DOCKER_CONFIG" in tug("ls", code=1).stderr
    assert not (tmp_path / "home").exists()
    tug.config.unlink()
    tug.file.parent.mkdir(parents=True)
    tug.file.write_text('{"version": 1, "contexts": {}}')
    tug.file.parent.chmod(0)
    done = as_nobody(tug, tmp_path, "ls")
    assert done.returncode == 1 and "Permission denied" in done.stderr and "set DOCKER_CONFIG" in done.stderr
    tug.file.parent.chmod(0o700)
    tug.file.write_text('{"version": 1, "contexts": {"a"')
    done = tug("ls", code=1)
    assert str(tug.file) in done.stderr and "repair it or remove it" in done.stderr
    tug.file.write_text('{"version": 1, "current": "gone", "contexts": {}}')
    assert "'tug context use'" in tug("ls", code=1).stderr


class Server:
    """Something that speaks HTTP, or TLS, but need not be a model runner."""

    def __init__(self, status=200, body=b"", headers=(), certificate=None):
        outer = self
        self.paths = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.paths.append(self.path)
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None
        self.address = f"127.0.0.1:{self.server.server_port}"
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve():
    made = []

    def make(*args, **kw):
        made.append(Server(*args, **kw))
        return made[-1]

    yield make
    for s in made:
        s.stop()


JSON = ("Content-Type", "application/json")


def test_a_prefix_is_kept(tug, serve):
    s = serve(body=b"[]", headers=[JSON])
    tug("ls", env={"MODEL_RUNNER_HOST": f"http://{s.address}/exp/vDD4.40/"})
    assert s.paths == ["/exp/vDD4.40/models"]


@pytest.mark.parametrize("status, headers, body", [
    (404, [("Server", "nginx/1.22"), ("Content-Type", "text/html")], b"<html>not here</html>"),
    (200, [("Server", "nginx/1.22"), ("Content-Type", "text/html")], b"<html>welcome</html>"),
])
def test_a_web_server(tug, serve, status, headers, body):
    s = serve(status, body, headers)
    done = tug("ls", code=1, env={"MODEL_RUNNER_HOST": s.address})
    assert done.stderr == (f"Failed to list models: what answers at http://{s.address} is no model runner "
                           f"(status {status}, it calls itself nginx/1.22); is MODEL_RUNNER_HOST right?\n")
    assert tug("status", code=1, env={"MODEL_RUNNER_HOST": s.address}).stdout.startswith("Docker Model Runner is not running")


def test_not_even_http(tug):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()

        def greet():
            c, _ = s.accept()
            c.recv(1000)
            c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            c.close()

        threading.Thread(target=greet, daemon=True).start()
        done = tug("ls", code=1, env={"MODEL_RUNNER_HOST": "127.0.0.1:%d" % s.getsockname()[1]})
        assert "is no model runner" in done.stderr and "MODEL_RUNNER_HOST" in done.stderr


def test_docker_model_runner_itself_is_none_of_these(tug, serve):
    """It names no server, and its errors are plain text: they are shown as they are."""
    s = serve(404, b"Model not found\n", [("Content-Type", "text/plain; charset=utf-8")])
    assert tug("inspect", "x", code=1, env={"MODEL_RUNNER_HOST": s.address}).stderr == "Failed to inspect model: Model not found\n"


def test_a_daemon_of_another_version(tug, serve):
    s = serve(404, b'{"error":{"message":"no such route"}}', [("Server", "tug/0.9.9"), JSON])
    done = tug("df", code=1, env={"MODEL_RUNNER_HOST": s.address})
    assert "no such route\nThe daemon is Tug 0.9.9 and this is " in done.stderr and "restart" in done.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", str(file) + ".crt"], check=True, capture_output=True)
    file.write_text(file.read_text() + open(str(file) + ".crt").read())
    return file


def test_tls(tug, serve, certificate):
    s = serve(body=b"[]", headers=[JSON], certificate=certificate)
    https = {"MODEL_RUNNER_HOST": f"https://{s.address}"}
    assert "certificate" in tug("ls", code=1, env=https).stderr
    tug("ls", env=https | {"MODEL_RUNNER_TLS_CA_CERT": f"{certificate}.crt"})
    tug("ls", env=https | {"MODEL_RUNNER_TLS_SKIP_VERIFY": "true"})
    tug("ls", env={"MODEL_RUNNER_HOST": s.address, "MODEL_RUNNER_TLS": "true", "MODEL_RUNNER_TLS_SKIP_VERIFY": "1"})
    done = tug("ls", code=1, env=https | {"MODEL_RUNNER_TLS_CA_CERT": "/none.pem"})
    assert "/none.pem" in done.stderr
    assert "MODEL_RUNNER_TLS=maybe must be true or false" in tug("ls", code=1, env=https | {"MODEL_RUNNER_TLS": "maybe"}).stderr
    tug("context", "create", "sure", "--host", f"https://{s.address}", "--tls", "--tls-ca-cert", f"{certificate}.crt")
    tug("context", "use", "sure")
    tug("ls")
    tug("ls", env={"MODEL_RUNNER_TLS_CA_CERT": "/none.pem"}, code=1)
