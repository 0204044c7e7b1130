"""Real Compose on a real dockerd: `models:` and `provider:` bring models up, and containers chat with them.

The models are the starter models, pulled from a real registry that stands in for Docker Hub.
"""

import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from conftest import EMBEDDER, MODEL, ROOT, SEED_MODEL, TUG, Daemon, Registry, alive, children, wait_for
from docker_engine import IMAGE
from proxy import Proxy

SIZE = os.path.getsize(MODEL)
CHAT = ("wget -qO- --header 'Content-Type: application/json' --post-data "
        '\'{"model":"\'"$%s"\'","messages":[{"role":"user","content":"Say hello."}],"max_tokens":8}\' "${%s%%/}/chat/completions"')


@pytest.fixture(autouse=True)
def inside(dockerd):
    """Tests run in dockerd's network: there the daemon has its default port, and docker0 is a neighbour."""
    with dockerd.network():
        yield


@pytest.fixture(scope="module")
def hub(dockerd, tmp_path_factory):
    """Docker Hub, as far as these tests know it."""
    with dockerd.network():
        registry = Registry(tmp_path_factory.mktemp("hub"))
        d = Daemon(tmp_path_factory.mktemp("pusher") / "home")
        for name, file in ((f"{registry.host}/ai/smollm2", MODEL), (f"{registry.host}/ai/all-minilm", EMBEDDER)):
            d.package(name, file).tug("push", name)
        d.stop()
        yield registry
        registry.stop()


@pytest.fixture
def runner(hub, make_daemon):
    return make_daemon("--registry-mirror", f"http://{hub.host}", "--listen", "127.0.0.1:12434")


class Project:
    def __init__(self, dockerd, folder, daemon, services, **more):
        self.dockerd, self.folder = dockerd, pathlib.Path(folder)
        self.env = daemon.env | {"DOCKER_HOST": f"unix://{dockerd.socket}", "DOCKER_CONFIG": str(self.folder / "docker")}
        dockerd.config(self.env["DOCKER_CONFIG"])
        self.file = self.folder / "compose.yaml"
        self.file.write_text(json.dumps({"name": "t" + self.folder.name.lower().replace("_", "x")[4:], "services": services} | more))

    def argv(self, *args):
        return [self.dockerd.clis["new"], "compose", "-f", str(self.file), *args]

    def compose(self, *args, check=True, timeout=120, env=None):
        done = subprocess.run(self.argv(*args), env=self.env | (env or {}), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        if check:
            assert done.returncode == 0, f"compose {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, **kw):
        """Until the services have ended; their output by service."""
        done = self.compose("up", "--no-color", "--abort-on-container-failure", **kw)
        said = {}
        for line in done.stdout.splitlines():
            name, bar, text = line.partition(" | ")
            if bar:
                said.setdefault(re.sub(r"-\d+$", "", name.strip()), []).append(text)
        return done, {name: "\n".join(lines) for name, lines in said.items()}


@pytest.fixture
def project(dockerd, tmp_path, runner):
    made = []

    def make(services, daemon=runner, **more):
        made.append(Project(dockerd, tmp_path, daemon, services, **more))
        return made[-1]

    yield make
    for p in made:
        p.compose("down", "-t", "0", "--volumes")


def service(command, **more):
    return {"image": IMAGE, "command": ["sh", "-c", command.replace("$", "$$")]} | more


def variables(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def configured(daemon, model):
    return [c for c in daemon.get("/engines/_configure").json if model in json.dumps(c)]


def test_models_short_and_long_form(project, runner, hub):
    p = project(
        {
            "short": service(f"env; {CHAT % ('LLM_MODEL', 'LLM_URL')}", models=["llm", "my-embed"]),
            "long": service("env", models={"llm": {"endpoint_var": "AI_URL", "model_var": "AI_NAME"}}),
        },
        models={
            "llm": {"model": "ai/smollm2", "context_size": 512, "runtime_flags": ["--temp", "0"]},
            "my-embed": {"model": "ai/all-minilm:latest"},
        },
    )
    done, said = p.up()
    url = "http://172.17.0.1:12434/v1/"
    got = variables(said["short"])
    assert got["LLM_URL"] == got["MY_EMBED_URL"] == url
    assert got["LLM_MODEL"] == "ai/smollm2" and got["MY_EMBED_MODEL"] == "ai/all-minilm:latest"
    got = variables(said["long"])
    assert got["AI_URL"] == url and got["AI_NAME"] == "ai/smollm2" and "LLM_URL" not in got
    answer = json.loads(said["short"].splitlines()[-1])
    assert answer["choices"][0]["message"]["content"].strip() and answer["model"] == "ai/smollm2"
    [settings] = configured(runner, "smollm2")
    text = json.dumps(settings)
    assert "512" in text and "--temp" in text, text

    # Again, with the registry gone and the model in memory: nothing is fetched, nothing is loaded anew.
    engines = runner.engines()
    assert engines
    hub.process.send_signal(signal.SIGSTOP)
    try:
        _, said = p.up(timeout=30)
    finally:
        hub.process.send_signal(signal.SIGCONT)
    assert json.loads(said["short"].splitlines()[-1])["choices"]
    assert set(engines) <= set(runner.engines())
    p.compose("down", "-t", "0")
    assert runner.get("/").status == 200 and set(engines) <= set(runner.engines()), "down stops no model"


def test_up_without_any_registry(project, make_daemon, hub, dockerd):
    """The model is here; the mirror refuses connections, and Docker Hub has no address."""
    daemon = make_daemon("--registry-mirror", "http://localhost:1", home="alone").package("ai/smollm2")
    p = project({"app": service("env", models=["llm"])}, daemon, models={"llm": {"model": "smollm2"}})
    done, said = p.up(timeout=30)
    got = variables(said["app"])
    assert got["LLM_MODEL"] == "smollm2" and got["LLM_URL"] == f"http://172.17.0.1:{daemon.port}/v1/"
    assert daemon.chat("smollm2", "Hi", max_tokens=1).status == 200


def test_two_models_in_parallel(project, runner):
    """A service waits for neither more nor less than its own models; both are fetched at once."""
    embed = "wget -qO- --header 'Content-Type: application/json' --post-data '{\"model\":\"'$EMB_MODEL'\",\"input\":\"a\"}' ${EMB_URL}embeddings"
    p = project(
        {"chats": service(CHAT % ("LLM_MODEL", "LLM_URL"), models=["llm"]), "embeds": service(embed, models=["emb"])},
        models={"llm": {"model": "ai/smollm2"}, "emb": {"model": "ai/all-minilm", "runtime_flags": ["--embeddings"]}},
    )
    _, said = p.up()
    assert json.loads(said["chats"])["choices"][0]["message"]["content"].strip()
    assert len(json.loads(said["embeds"])["data"][0]["embedding"]) == 384
    assert len(runner.engines()) == 2


def test_provider(project, runner):
    p = project(
        {
            "app": service("env", depends_on=["ai_runner"]),
            "ai_runner": {"provider": {"type": "model", "options": {"model": "ai/smollm2", "context-size": 512, "runtime-flags": "--temp 0.5"}}},
        }
    )
    for _ in range(2):
        _, said = p.up()
        got = variables(said["app"])
        assert got["AI_RUNNER_MODEL"] == "ai/smollm2"
        assert got["AI_RUNNER_URL"] == "http://172.17.0.1:12434/engines/v1/"
    [settings] = configured(runner, "smollm2")
    assert "512" in json.dumps(settings)
    p.compose("down", "-t", "0")


def test_provider_without_its_model(project):
    p = project({"app": service("env", depends_on=["m"]), "m": {"provider": {"type": "model", "options": {"model": "ai/none-such"}}}})
    done = p.compose("up", check=False)
    assert done.returncode != 0
    assert "ai/none-such" in done.stdout + done.stderr, "the reason is shown"


def test_missing_model(project, hub):
    p = project({"app": service("env", models=["llm"])}, models={"llm": {"model": f"{hub.host}/ai/none-such"}})
    done = p.compose("up", check=False)
    assert done.returncode != 0
    assert f"{hub.host} has no ai/none-such:latest" in done.stdout + done.stderr


def test_flag_that_is_refused(project):
    p = project({"app": service("env", models=["llm"])}, models={"llm": {"model": "ai/smollm2", "runtime_flags": ["--model", "/etc/passwd"]}})
    assert p.compose("up", check=False).returncode != 0


def test_no_bridge_for_containers(project, make_daemon):
    """An address that no container reaches is not handed out."""
    daemon = make_daemon("--docker-bridge", "off", home="off").package("ai/smollm2")
    p = project({"app": service("env", models=["llm"])}, daemon, models={"llm": {"model": "ai/smollm2"}})
    done = p.compose("up", check=False)
    assert done.returncode != 0 and "status" in done.stderr
    direct = daemon.tug("status", "--json", env={"COMPOSE_PROJECT_NAME": "x"}, check=False)
    assert direct.returncode != 0 and direct.stdout == "" and "--docker-bridge" in direct.stderr
    assert json.loads(daemon.tug("status", "--json").stdout)["endpoint"] == f"{daemon.url}/v1/"


@pytest.fixture
def slow(hub, make_daemon):
    """A daemon whose hub gives 8 MB/s, and that hub."""
    proxy = Proxy(hub.port, rate=8e6)
    yield make_daemon("--registry-mirror", f"http://{proxy.host}", home="slow"), proxy
    proxy.stop()


def begin(p, proxy):
    """`compose up`, until a few megabytes of the model are here."""
    up = subprocess.Popen(p.argv("up"), env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for("the pull", lambda: proxy.blob_bytes > 8e6, 30)
    return up


def check_goes_on(p, daemon, proxy):
    """What was fetched before is not fetched again."""
    assert daemon.get("/").status == 200
    proxy.rate = None
    p.up()
    assert proxy.blob_bytes < SIZE * 1.1, "the pull began anew"
    assert daemon.chat("ai/smollm2", "Hi", max_tokens=1).status == 200


def test_interrupt_during_a_pull(project, slow):
    daemon, proxy = slow
    p = project({"app": service("true", models=["llm"])}, daemon, models={"llm": {"model": "ai/smollm2"}})
    up = begin(p, proxy)
    up.send_signal(signal.SIGINT)
    out = up.communicate(timeout=30)[0].decode()
    assert up.returncode == 130, out
    check_goes_on(p, daemon, proxy)


def plugins(pid):
    return [c for c in children(pid) if b"docker-model" in pathlib.Path(f"/proc/{c}/cmdline").read_bytes()]


def test_plugin_is_killed_during_a_pull(project, slow):
    daemon, proxy = slow
    p = project({"app": service("true", models=["llm"])}, daemon, models={"llm": {"model": "ai/smollm2"}})
    up = begin(p, proxy)
    [plugin] = plugins(up.pid)
    os.kill(plugin, signal.SIGKILL)
    out = up.communicate(timeout=30)[0].decode()
    assert up.returncode not in (0, None) and "killed" in out, out
    check_goes_on(p, daemon, proxy)


def test_old_cli(project, dockerd):
    """The Docker CLI of Debian bookworm, 20.10, with the same Compose."""
    p = project({"app": service(CHAT % ("LLM_MODEL", "LLM_URL"), models=["llm"])}, models={"llm": {"model": "ai/smollm2:latest"}})
    done = dockerd.docker("compose", "-f", p.file, "up", "--no-color", "--no-log-prefix", cli="old", env=p.env)
    assert '"choices":[{' in done.stdout, done.stdout + done.stderr


def test_names_that_containers_use(project):
    names = ["model-runner", "model-runner.docker.internal", "host.docker.internal"]
    command = "; ".join(f"wget -qO- http://{n}:12434/; echo" for n in names)
    p = project({"app": service(command, extra_hosts=[f"{n}:host-gateway" for n in names])})
    _, said = p.up()
    # Docker Desktop's own name gets the words that Docker Desktop says.
    assert said["app"].splitlines() == ["Docker Model Runner is running", "The service is running", "Docker Model Runner is running"]


@pytest.mark.parametrize("listen", [["127.0.0.1:12434", "172.17.0.1:12434"], ["0.0.0.0:12434"], ["127.0.0.1:12434"]])
def test_told_to_listen_there(make_daemon, listen):
    """However it comes to listen on the bridge, it says so."""
    daemon = make_daemon(*[f for a in listen for f in ("--listen", a)], "--insecure")
    status = json.loads(daemon.tug("status", "--json").stdout)
    assert status["endpoint"] == "http://172.17.0.1:12434/v1/" and status["endpointHost"] == "http://127.0.0.1:12434/v1/"
    assert status["kind"] == "Docker Engine" and status["running"]
    named = json.loads(daemon.tug("status", "--json", env={"MODEL_RUNNER_HOST": "http://localhost:12434"}).stdout)
    assert named["endpoint"] == named["endpointHost"] == "http://localhost:12434/v1/"
    assert named["kind"] == "Docker Engine (Manual Install)"


def test_bridge_comes_later(make_daemon):
    """Docker starts after the daemon, and with another address the next time."""
    daemon = make_daemon("--docker-bridge", "late0")
    endpoint = lambda: json.loads(daemon.tug("status", "--json").stdout)["endpoint"]
    assert endpoint() == f"{daemon.url}/v1/"
    ip = lambda *args: subprocess.run(["ip", *args], check=True)
    ip("link", "add", "late0", "type", "bridge")
    try:
        for address in ("172.29.0.1", "172.30.0.1"):
            ip("address", "add", f"{address}/16", "dev", "late0")
            wait_for("the listener", lambda: endpoint() == f"http://{address}:{daemon.port}/v1/")
            done = subprocess.run(["curl", "-sS", f"http://{address}:{daemon.port}/"], capture_output=True, text=True)
            assert done.stdout == "Docker Model Runner is running", done.stderr
            ip("address", "del", f"{address}/16", "dev", "late0")
    finally:
        ip("link", "del", "late0")


def test_neighbours_are_refused(runner, dockerd):
    """Another machine that sends packets for docker0's address to us: by a route through a network that is not Docker's."""
    sh = "ip link add lan0 type veth peer name lan1 && ip addr add 10.77.0.1/24 dev lan0 && ip link set lan0 up && ip link set lan1 netns %d"
    lan = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        wait_for("the other machine", lambda: os.readlink(f"/proc/{lan.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        subprocess.run(["sh", "-c", sh % lan.pid], check=True)
        there = ["nsenter", f"--net=/proc/{lan.pid}/ns/net", "sh", "-c"]
        subprocess.run([*there, "ip addr add 10.77.0.2/24 dev lan1 && ip link set lan1 up && ip route add 172.17.0.0/16 via 10.77.0.1"], check=True)
        done = subprocess.run([*there, "curl -sS --max-time 10 http://172.17.0.1:12434/"], capture_output=True, text=True)
        assert done.returncode != 0 and done.stdout == ""
        assert "no container of this machine peer=10.77.0.2" in runner.log.read_text(), runner.log.read_text()
    finally:
        lan.kill()
        lan.wait()
    done = subprocess.run(["curl", "-sS", "http://172.17.0.1:12434/"], capture_output=True, text=True)
    assert done.stdout == "Docker Model Runner is running"
