"""Fixtures of the end-to-end tests: a daemon of its own for each test that asks, a real registry, the starter models.

Each test file is named for the promise that it holds. Everything runs on loopback, on ports that
the system gives, below a temporary folder; processes are stopped by their pids. A daemon that a
test leaves must leave no engine behind: that is checked at each end.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from docker_engine import Engine
from peer import Peer

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("TUG_TEST_BUILD", ROOT / "build"))
TUG = BUILD / "tug"
ENGINE = BUILD / "tug-engine"


def needed(name):
    value = os.environ.get(name)
    assert value, f"{name} is not set: run the tests by `make test` or scripts/test"
    return value


MODEL = needed("TUG_TEST_MODEL")
LICENSE = needed("TUG_TEST_LICENSE")
EMBEDDER = needed("TUG_TEST_EMBEDDER")
# The seed's examples ask for this name; here it is the starter model under that tag.
SEED_MODEL = "ai/llama3.2:1B-Q8_0"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=20):
    """Polls a foreign program that has no event for us; our own daemon tells by its ready descriptor."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid):
    """Pids of all living descendants."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += [int(child), *children(int(child))]
        except FileNotFoundError:
            pass
    return found


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Daemon:
    """`tug serve` with a home of its own. `tug(...)` is the CLI that talks to it."""

    def __init__(self, home, *flags, env=None, check=True):
        self.home = pathlib.Path(home)
        self.env = {k: v for k, v in os.environ.items() if k not in ("MODEL_RUNNER_HOST", "DOCKER_CONFIG")}
        self.env |= {"TUG_HOME": str(self.home), "DOCKER_CONFIG": str(self.home / "docker"), "LC_ALL": "C.UTF-8"}
        self.env |= env or {}
        self.flags = flags
        self.process = None
        self.log = self.home.parent / f"{self.home.name}.log"
        if check:
            self.start()

    def start(self, *flags):
        reading, writing = os.pipe()
        argv = [TUG, "serve", "--home", self.home, "--ready-fd", str(writing), "--port", "0"]
        argv = [str(a) for a in argv] + [str(f) for f in (*self.flags, *flags)]
        if "--listen" in argv:
            at = argv.index("--port")
            del argv[at : at + 2]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(argv, env=self.env, pass_fds=[writing], stdout=log, stderr=log)
        os.close(writing)
        with os.fdopen(reading) as f:
            line = f.readline()
        assert line == "ready\n", f"{line!r}: {self.log.read_text()}"
        addresses = (self.home / "run" / "address").read_text().split()
        self.url = next(a for a in addresses if a.startswith("http://"))
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def tug(self, *args, check=True, stdin=None, timeout=120, env=None, program=TUG):
        done = subprocess.run(
            [str(program), *map(str, args)],
            env=self.env | (env or {}),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"tug {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def request(self, method, path, body=None, headers=None, timeout=120):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers = {"Content-Type": "application/json"} | (headers or {})
        c.request(method, path, body, headers or {})
        answer = Answer(c.getresponse())
        c.close()
        return answer

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def chat(self, model, prompt, **more):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}]} | more
        return self.post("/v1/chat/completions", body)

    def package(self, name, model=MODEL, license=LICENSE):
        self.tug("package", "--gguf", model, "--license", license, name)
        return self

    def metric(self, name):
        """The sum of a metric over its labels."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                total += float(line.rsplit(" ", 1)[1])
        return total

    def engines(self):
        return [pid for pid in children(self.process.pid) if "tug-engine" in self.command(pid)]

    @staticmethod
    def command(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except FileNotFoundError:
            return ""

    def kill(self):
        engines = self.engines()
        self.process.kill()
        self.process.wait()
        return engines

    def stop(self, seconds=30):
        if self.process is None or self.process.poll() is not None:
            return None
        engines = self.engines()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=seconds)
        wait_for("the end of the engines", lambda: not any(map(alive, engines)), 5)
        return code


@pytest.fixture
def tmp_path():
    """pytest's own is too long for a unix socket below it."""
    folder = tempfile.mkdtemp(prefix="tug-")
    yield pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def daemon(tmp_path):
    d = Daemon(tmp_path / "home")
    yield d
    assert d.stop() in (0, None), d.log.read_text()


@pytest.fixture
def make_daemon(tmp_path):
    """A function that makes daemons with flags; all are stopped at the end."""
    made = []

    def make(*flags, home="home", **kw):
        made.append(Daemon(tmp_path / home, *flags, **kw))
        return made[-1]

    yield make
    for d in made:
        d.stop()


@pytest.fixture(scope="session")
def loaded(tmp_path_factory):
    """One daemon for all tests that only ask: the starter models under the names that the examples use."""
    d = Daemon(tmp_path_factory.mktemp("loaded") / "home", "--keep-alive", "-1")
    d.package("ai/smollm2").tug("tag", "ai/smollm2", SEED_MODEL)
    d.package("ai/all-minilm", EMBEDDER)
    yield d
    assert d.stop() == 0, d.log.read_text()


class Registry:
    """Debian's docker-registry on a loopback port, with a folder of its own."""

    def __init__(self, folder, auth=""):
        self.port = free_port()
        self.host = f"localhost:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.yml"
        config.write_text(
            f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n"
            f"  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{self.port}\n{auth}"
        )
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=self.log, stderr=self.log)
        wait_for("the registry", self.answers)

    def answers(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
            c.request("GET", "/v2/")
            return c.getresponse().status in (200, 401)
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.stop()


@pytest.fixture
def peer():
    """A function that starts a Peer with the given answers; all are stopped at the end."""
    made = []

    def make(answers):
        made.append(Peer(answers))
        return made[-1]

    yield make
    for p in made:
        p.stop()


@pytest.fixture
def cli(tmp_path):
    """tug(...) without a daemon of its own: `env` says where to."""
    return Daemon(tmp_path / "home", check=False)


@pytest.fixture(scope="session")
def dockerd():
    engine = Engine()
    yield engine
    engine.stop()
