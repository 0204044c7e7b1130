"""Tug under systemd: units that verify, socket activation and sd_notify, upgrades that lose nothing, a package that
installs, starts and goes. With a real systemd, on a machine of machine.py."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

import pytest
from conftest import BUILD, LICENSE, MODEL, ROOT, TUG, Registry, free_port, wait_for
from machine import Machine, machine  # noqa: F401  (a fixture)
from proxy import Proxy

SIZE = os.path.getsize(MODEL)
EXPOSURE_MAX = 1.5  # docs/service.md names it


# ---- without a machine -----------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path):
    env = os.environ | {"DESTDIR": str(tmp_path / "stage"), "PREFIX": "/"}
    subprocess.run([ROOT / "scripts" / "install", BUILD], env=env, check=True, capture_output=True)
    return tmp_path / "stage"


@pytest.mark.parametrize("kind", ["system", "user"])
def test_units_verify(installed, kind, tmp_path):
    """By systemd's own check, with nothing to say about them."""
    units = installed / "lib" / "systemd" / kind
    service = units / "tug.service"
    service.write_text(service.read_text().replace("ExecStart=/bin/tug", f"ExecStart={installed}/bin/tug"))
    argv = ["systemd-analyze", f"--{kind}", "verify", *units.iterdir()]
    env = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([str(a) for a in argv], env=env, capture_output=True, text=True, timeout=60)
    said = [line for line in done.stderr.splitlines() if "tug" in line]
    assert done.returncode == 0 and not said, done.stderr


def test_the_unit_is_as_hardened_as_the_documentation_says(installed):
    unit = installed / "lib/systemd/system/tug.service"
    argv = ["systemd-analyze", "security", "--offline=yes", f"--threshold={int(EXPOSURE_MAX * 10)}", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-200:]
    assert f"at most {EXPOSURE_MAX}" in (ROOT / "docs" / "service.md").read_text()


def test_socket_activation_and_notification_without_systemd(tmp_path):
    """systemd-socket-activate listens; the daemon starts at the first connection and tells its state."""
    port = free_port()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(20)
    argv = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-E", f"TUG_HOME={tmp_path}/home"]
    argv += ["-E", f"NOTIFY_SOCKET={tmp_path}/notify", str(TUG), "serve"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait_for("the socket", lambda: b"Listening" in (tmp_path / "log").read_bytes())
        client = socket.create_connection(("127.0.0.1", port))
        assert notify.recv(1000).decode() == f"READY=1\nSTATUS=Listening on http://localhost:{port}"
        client.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        client.close()
    finally:
        process.terminate()
    assert notify.recv(1000).decode().startswith("STOPPING=1\nSTATUS=")
    assert process.wait(timeout=20) == 0


# ---- the package -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """This version, and one that is newer by its number."""
    folder = tmp_path_factory.mktemp("deb")
    argv = [ROOT / "scripts" / "deb", BUILD, folder]
    done = subprocess.run(argv, env=os.environ | {"XZ_LEVEL": "0"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    this = pathlib.Path(done.stdout.strip())
    subprocess.run(["dpkg-deb", "-R", this, folder / "newer"], check=True)
    control = folder / "newer" / "DEBIAN" / "control"
    control.write_text(re.sub("^Version: .*$", "Version: 99.0.0", control.read_text(), flags=re.M))
    newer = folder / "newer.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", folder / "newer", newer], check=True, capture_output=True)
    return this, newer


def install(m, package):
    shutil.copy(package, m.share / "tug.deb")
    done = m.run("dpkg", "-i", "/run/share/tug.deb")
    assert "error" not in done.stderr, done.stderr


def ask(m, path, *more):
    return m.run("curl", "-sS", "--max-time", "60", f"http://127.0.0.1:12434{path}", *more).stdout


def give_model(m, name="ai/smollm2"):
    shutil.copy(MODEL, m.share / "model.gguf")
    shutil.copy(LICENSE, m.share / "LICENSE")
    m.run("tug", "package", "--gguf", "/run/share/model.gguf", "--license", "/run/share/LICENSE", name)


def test_the_package_names_what_it_needs(packages):
    fields = subprocess.run(["dpkg-deb", "-f", packages[0]], capture_output=True, text=True, check=True).stdout
    depends = re.search(r"^Depends: (.*)$", fields, re.M)[1]
    for library in ("libc6", "libcurl4", "libjansson4", "libmicrohttpd12", "libssl3", "libstdc++6"):
        assert library in depends
    listed = subprocess.run(["dpkg-deb", "-c", packages[0]], capture_output=True, text=True, check=True).stdout
    assert "./usr/libexec/docker/cli-plugins/docker-model -> ../../../bin/tug" in listed
    assert "/usr/lib/tug/installed" not in listed  # dpkg keeps the list


def test_a_package_installs_starts_and_goes(machine, packages):  # noqa: F811
    m = machine
    install(m, packages[0])
    assert m.state("tug.socket") == "active" and m.state("tug.service") == "inactive"
    assert json.loads(ask(m, "/version"))["version"]  # which starts it
    assert m.state("tug.service") == "active"
    give_model(m)
    body = {"model": "ai/smollm2", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
    answer = json.loads(ask(m, "/v1/chat/completions", "-H", "Content-Type: application/json", "-d", json.dumps(body)))
    assert answer["choices"][0]["message"]["content"], m.journal("tug.service")
    status = m.run("systemctl", "show", "-p", "StatusText", "-p", "MainPID", "tug.service").stdout
    assert "Listening on http://localhost:12434" in status
    pid = re.search(r"MainPID=(\d+)", status)[1]
    who = m.run("stat", "-c", "%u", f"/proc/{pid}").stdout.strip()
    assert int(who) > 60000  # a user that exists only while it runs
    assert m.run("docker-model", "list", check=False).returncode == 127  # a plugin, not a command
    assert "smollm2" in m.run("/usr/libexec/docker/cli-plugins/docker-model", "list").stdout
    m.run("dpkg", "-r", "tug")
    assert m.state("tug.socket") != "active" and m.state("tug.service") != "active"
    assert not m.path("/usr/lib/tug").exists() and not m.path("/usr/bin/tug").exists()
    assert m.path("/var/lib/private/tug/models/index.json").exists()  # removed is not purged
    install(m, packages[0])
    assert "smollm2" in ask(m, "/v1/models")
    m.run("dpkg", "-P", "tug")
    places = ["/usr", "/etc", "/var/lib", "/run/systemd"]
    left = m.run("find", *places, "-name", "tug*", "-o", "-name", "*docker-model*")
    assert not left.stdout, left.stdout


def test_an_upgrade_loses_nothing_and_a_download_goes_on(machine, packages):  # noqa: F811
    m = machine
    install(m, packages[0])
    give_model(m)
    conf = m.path("/etc/tug/tug.conf")
    conf.write_text(conf.read_text() + "# of the administrator\n")
    settings = m.path("/etc/default/tug")
    settings.write_text("TUG_KEEP_ALIVE=17m\n")
    r = m.in_its_network(lambda: Registry(m.folder / "registry"))
    try:
        m.run("tug", "tag", "ai/smollm2", f"{r.host}/demo/smollm2:v1")
        m.run("tug", "push", f"{r.host}/demo/smollm2:v1")
        m.run("tug", "rm", f"{r.host}/demo/smollm2:v1")
        m.run("systemctl", "stop", "tug.service")
        p = m.in_its_network(lambda: Proxy(r.port, rate=20_000_000))
        # Another store, since blobs that are there already are not fetched.
        settings.write_text(settings.read_text().replace("TUG_KEEP", "TUG_HOME=/var/lib/tug/second\nTUG_KEEP"))
        pull = m.popen("tug", "pull", f"{p.host}/demo/smollm2:v1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for("half of the blob", lambda: p.blob_bytes > SIZE // 2, 60)
        before = p.blob_bytes
        pid = m.run("systemctl", "show", "-p", "MainPID", "tug.service").stdout
        install(m, packages[1])
        assert m.run("systemctl", "show", "-p", "MainPID", "tug.service").stdout != pid
        p.rate = None
        out, said = pull.communicate(timeout=60)
        assert pull.returncode == 0 and "pulled successfully" in out, said
        assert p.blob_bytes - before < SIZE - SIZE // 2 + 16_000_000
    finally:
        r.stop()
    assert "TUG_KEEP_ALIVE=17m" in settings.read_text() and conf.read_text().endswith("# of the administrator\n")
    assert f"{p.host}/demo/smollm2" in ask(m, "/models")
    m.run("sed", "-i", "/TUG_HOME/d", "/etc/default/tug")
    m.run("systemctl", "restart", "tug.service")
    assert "ai/smollm2" in ask(m, "/models")


def test_requests_during_a_restart_wait(machine, packages):  # noqa: F811
    """The socket stays: no connection is refused, none is turned away by the daemon that ends."""
    m = machine
    install(m, packages[0])
    ask(m, "/version")
    loop = "for i in $(seq 60); do curl -sS -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:12434/models || echo no; done"
    clients = m.popen("sh", "-c", loop, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for _ in range(3):
        m.run("systemctl", "restart", "tug.service")
    out, _ = clients.communicate(timeout=120)
    assert out.split() == ["200"] * 60


def test_a_daemon_that_cannot_start_says_why_and_stops_trying(machine, packages):  # noqa: F811
    m = machine
    install(m, packages[0])
    m.path("/etc/default/tug").write_text("TUG_KEEP_ALIVE=for-ever-and-a-day\n")
    assert m.run("systemctl", "start", "tug.service", check=False).returncode != 0
    wait_for("the end of trying", lambda: m.state("tug.service") == "failed", 60)
    assert "TUG_KEEP_ALIVE" in m.journal("tug.service")


def test_a_user_runs_one_of_his_own(machine, packages):  # noqa: F811
    """The user's units, by a systemd of the user, and the runner commands that find it."""
    m = machine
    install(m, packages[0])
    m.run("systemctl", "disable", "--now", "tug.socket")
    m.run("useradd", "--create-home", "--uid", "1000", "anna")
    m.run("install", "-d", "-o", "1000", "-g", "1000", "-m", "700", "/run/user/1000")
    where = "XDG_RUNTIME_DIR=/run/user/1000"
    manager = ["systemd-run", "--uid=1000", "-p", "Delegate=yes", "-E", where, "-E", "HOME=/home/anna"]
    m.run(*manager, "--unit=anna", "/lib/systemd/systemd", "--user")
    wait_for("anna's systemd", lambda: m.path("/run/user/1000/systemd/private").exists())
    anna = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env", where, "HOME=/home/anna"]
    out = m.run(*anna, "tug", "install-runner", "--port", "12600").stdout
    assert out == "Model Runner tug.socket runs at http://127.0.0.1:12600\n"
    assert "version" in m.run("curl", "-sS", "http://127.0.0.1:12600/version").stdout
    show = m.run(*anna, "systemctl", "--user", "show", "-p", "StatusText", "-p", "MainPID", "tug.service").stdout
    assert "Listening on http://localhost:12600" in show
    pid = re.search(r"MainPID=(\d+)", show)[1]
    assert m.run("stat", "-c", "%u", f"/proc/{pid}").stdout.strip() == "1000"
    assert m.path("/home/anna/.local/share/tug/models").exists()  # where tug without systemd has them
    m.run(*anna, "tug", "uninstall-runner")
    assert m.run("curl", "-sS", "http://127.0.0.1:12600/version", check=False).returncode != 0
    assert not m.run("find", "/home/anna/.config", "-name", "runner.conf").stdout
