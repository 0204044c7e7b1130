"""A pull ends with the right bytes or a clear error, whatever the registry does; nothing half-written shows."""

import hashlib
import json
import os
import signal
import subprocess
import threading

import pytest

from conftest import MODEL, TUG, wait_for
from proxy import Proxy, blob, cut, manifest

SIZE = os.path.getsize(MODEL)


@pytest.fixture(scope="module")
def pushed(registry, tmp_path_factory):
    """The starter model in the real registry, as demo/smollm2:v1."""
    from conftest import Daemon

    d = Daemon(tmp_path_factory.mktemp("pusher") / "home")
    d.package(f"{registry.host}/demo/smollm2:v1")
    d.tug("push", f"{registry.host}/demo/smollm2:v1")
    d.stop()
    return registry


@pytest.fixture
def proxied(pushed):
    """A function that makes a proxy with a fault in front of the registry."""
    made = []

    def make(fault=None, rate=None):
        made.append(Proxy(pushed.port, fault, rate))
        return made[-1]

    yield make
    for p in made:
        p.stop()


def partials(daemon):
    folder = daemon.home / "models/.tug/partial"
    return sorted(folder.rglob("data")) if folder.exists() else []


def check_stored(daemon, host):
    """Every blob has the digest that its name says, and the model answers to its name."""
    for path in (daemon.home / "models/blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        assert path.stat().st_mode & 0o222 == 0
    assert json.loads(daemon.tug("inspect", f"{host}/demo/smollm2:v1").stdout)["config"]["format"] == "gguf"
    assert not partials(daemon)


def check_nothing_visible(daemon):
    assert json.loads(daemon.tug("ls", "--json").stdout) == []


def test_pull_push_round_trip(daemon, pushed):
    done = daemon.tug("pull", f"{pushed.host}/demo/smollm2:v1")
    assert "Model pulled successfully" in done.stdout and "Downloaded" in done.stdout
    check_stored(daemon, pushed.host)
    again = daemon.tug("pull", f"{pushed.host}/demo/smollm2:v1")
    assert "Using cached model" in again.stdout


def test_a_cut_connection_goes_on_where_it_stopped(daemon, proxied):
    cuts = []

    def fault(handler, answer):
        if blob(handler) and len(answer[2]) > 5_000_000 and len(cuts) < 3:
            cuts.append(handler.headers.get("Range"))
            return cut(handler, *answer, after=20_000_000, reset=len(cuts) % 2 == 0)
        return answer

    p = proxied(fault)
    daemon.tug("pull", f"{p.host}/demo/smollm2:v1")
    check_stored(daemon, p.host)
    ranges = [r for m, path, r in p.requests if m == "GET" and "/blobs/" in path and r]
    assert len(ranges) >= 3, p.requests
    starts = [int(r.split("=")[1].split("-")[0]) for r in ranges]
    assert starts == sorted(starts) and starts[0] > 10_000_000


def test_kill_9_resumes(daemon, proxied):
    """Killed in mid-pull, the next daemon asks only for what is missing."""
    p = proxied(rate=40_000_000)
    name = f"{p.host}/demo/smollm2:v1"
    pull = subprocess.Popen([TUG, "pull", name], env=daemon.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for("half of the blob", lambda: p.blob_bytes > SIZE // 2, 60)
    daemon.kill()
    pull.kill()  # it would wait for the next daemon, see below
    pull.communicate(timeout=30)
    before = p.blob_bytes
    daemon.start()
    check_nothing_visible(daemon)
    assert partials(daemon)
    p.rate = None
    daemon.tug("pull", name)
    check_stored(daemon, p.host)
    # What was on the wire when it died may be fetched again; everything acknowledged may not.
    assert p.blob_bytes - before < SIZE - SIZE // 2 + 16_000_000


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_pull_goes_on_over_a_restart_of_the_daemon(daemon, proxied, end):
    """As in an upgrade: the client waits for the next daemon, which goes on at the byte where the last one stopped."""
    p = proxied(rate=40_000_000)
    name = f"{p.host}/demo/smollm2:v1"
    pull = subprocess.Popen([TUG, "pull", name], env=daemon.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for("half of the blob", lambda: p.blob_bytes > SIZE // 2, 60)
    daemon.process.send_signal(end)
    daemon.process.wait(timeout=8)  # less than --grace: who watches a transfer does not hold up the end
    before = p.blob_bytes
    p.rate = None
    daemon.start()
    out, said = pull.communicate(timeout=60)
    assert pull.returncode == 0, said
    assert b"Retrying download (attempt 1/4) in 1s..." in said and b"pulled successfully" in out
    check_stored(daemon, p.host)
    assert p.blob_bytes - before < SIZE - SIZE // 2 + 16_000_000


def test_a_pull_whose_daemon_does_not_come_back_says_so(daemon, proxied):
    p = proxied(rate=10_000_000)
    pull = subprocess.Popen(
        [TUG, "pull", f"{p.host}/demo/smollm2:v1"], env=daemon.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for("a part of the blob", lambda: p.blob_bytes > 2_000_000, 60)
    daemon.kill()
    first = pull.stderr.readline() + pull.stderr.readline()
    assert b"attempt 1/4" in first and b"attempt 2/4" in first
    pull.send_signal(signal.SIGINT)  # does not wait for the rest
    pull.communicate(timeout=10)
    assert pull.returncode != 0


def test_client_killed_daemon_lives(daemon, proxied):
    """The CLI killed in mid-pull: the transfer pauses, the daemon goes on, the next pull resumes."""
    p = proxied(rate=40_000_000)
    name = f"{p.host}/demo/smollm2:v1"
    pull = subprocess.Popen([TUG, "pull", name], env=daemon.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("a quarter of the blob", lambda: p.blob_bytes > SIZE // 4, 60)
    pull.send_signal(signal.SIGKILL)
    pull.wait()
    check_nothing_visible(daemon)
    p.rate = None
    daemon.tug("pull", name)
    check_stored(daemon, p.host)
    assert p.blob_bytes < SIZE + 24_000_000


def test_two_clients_one_transfer(daemon, proxied):
    p = proxied(rate=60_000_000)
    name = f"{p.host}/demo/smollm2:v1"
    pulls = [subprocess.Popen([TUG, "pull", name], env=daemon.env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for pull in pulls:
        out, _ = pull.communicate(timeout=120)
        assert pull.returncode == 0 and "Model pulled successfully" in out
    check_stored(daemon, p.host)
    assert p.blob_bytes < SIZE * 1.1


def refused(daemon, name, *parts):
    done = daemon.tug("pull", name, check=False, timeout=240)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("Failed to pull model: "), done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr
    check_nothing_visible(daemon)
    return done.stderr


def test_wrong_bytes(daemon, proxied):
    def fault(handler, answer):
        status, headers, body = answer
        if blob(handler) and len(body) > 5_000_000:
            body = body[:1_000_000] + bytes([body[1_000_000] ^ 1]) + body[1_000_001:]
        return status, headers, body

    p = proxied(fault)
    refused(daemon, f"{p.host}/demo/smollm2:v1", "sha256:", p.host)
    assert 2 <= p.times("GET", "/blobs/") <= 8, "wrong bytes are fetched once again, not for ever"
    assert not list((daemon.home / "models/blobs/sha256").glob("*")) or not partials(daemon)


def test_manifest_bytes_are_not_its_digest(daemon, pushed, proxied):
    def fault(handler, answer):
        status, headers, body = answer
        return (status, headers, body.replace(b'"schemaVersion"', b'"schemaversion"')) if manifest(handler) else answer

    p = proxied(fault)
    refused(daemon, f"{p.host}/demo/smollm2:v1")


def test_size_lies(daemon, proxied):
    """A manifest whose size of a layer is one byte off, under a digest of its own that fits."""
    changed = []

    def fault(handler, answer):
        status, headers, body = answer
        if not manifest(handler):
            return answer
        if status == 200 and body:
            m = json.loads(body)
            m["layers"][0]["size"] += 1
            changed.append(json.dumps(m, separators=(",", ":")).encode())
        kept = [("Content-Type", "application/vnd.oci.image.manifest.v1+json")]
        return (200, kept, changed[-1]) if changed else (status, kept, body)

    p = proxied(fault)
    refused(daemon, f"{p.host}/demo/smollm2:v1", str(SIZE), "size")


def test_html_instead_of_a_manifest(daemon, proxied):
    def fault(handler, answer):
        return 200, [("Content-Type", "text/html")], b"<html>Welcome to the hotel's wireless network</html>"

    p = proxied(fault)
    refused(daemon, f"{p.host}/demo/smollm2:v1", p.host, "web page")


def test_ranges_ignored(daemon, proxied):
    """A server without ranges: the second try begins at 0 and never writes at the wrong place."""
    cuts = []

    def fault(handler, answer):
        status, headers, body = answer
        if blob(handler) and len(body) > 5_000_000 and not cuts:
            cuts.append(1)
            return cut(handler, *answer, after=3_000_000)
        return answer

    p = proxied(fault)
    original = p.serve

    def without_range(handler, port):
        del handler.headers["Range"]
        original(handler, port)

    p.serve = without_range
    daemon.tug("pull", f"{p.host}/demo/smollm2:v1")
    check_stored(daemon, p.host)


def test_busy_registry_is_asked_again(daemon, proxied):
    answers = []

    def fault(handler, answer):
        if blob(handler) and len(answers) < 2:
            answers.append(1)
            return 503, [("Retry-After", "1")], b"busy"
        return answer

    p = proxied(fault)
    daemon.tug("pull", f"{p.host}/demo/smollm2:v1")
    check_stored(daemon, p.host)


def test_registry_is_down(daemon):
    from conftest import free_port

    host = f"localhost:{free_port()}"
    refused(daemon, f"{host}/demo/smollm2:v1", host, "connect")


def test_unknown_tag(daemon, pushed):
    refused(daemon, f"{pushed.host}/demo/smollm2:nothing", "nothing")


def test_not_a_reference(daemon):
    for name in ("UPPER CASE", "a:b:c", "../etc/passwd", "x" * 600):
        done = daemon.tug("pull", name, check=False)
        assert done.returncode != 0 and done.stderr.strip(), name


def test_registry_wants_a_login(daemon, tmp_path):
    from conftest import Registry

    password = tmp_path / "htpasswd"
    password.write_text("tug:$2y$05$1l9ZZ8Ps7yZ8q0Wk2Qm3auHBCkyqKBaGZ7Xw5uxJQdCwqU5l8nYzK\n")
    r = Registry(tmp_path / "registry", f"auth:\n  htpasswd:\n    realm: tug\n    path: {password}\n")
    try:
        message = refused(daemon, f"{r.host}/demo/smollm2:v1", r.host)
        assert "docker login" in message
    finally:
        r.stop()


def test_pull_while_offline_uses_what_is_here(daemon, proxied):
    p = proxied()
    name = f"{p.host}/demo/smollm2:v1"
    daemon.tug("pull", name)
    p.stop()
    done = daemon.tug("pull", name)
    assert "Using cached model" in done.stdout
    p.stop = lambda: None


def test_many_tags_at_once(daemon, pushed):
    """Two pulls and eight tags at the same time: no entry of the index is lost."""
    daemon.tug("pull", f"{pushed.host}/demo/smollm2:v1")
    threads = [
        threading.Thread(target=daemon.tug, args=("tag", f"{pushed.host}/demo/smollm2:v1", f"many/tags:t{i}"))
        for i in range(8)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tags = json.loads(daemon.tug("ls", "--json").stdout)[0]["tags"]
    assert len(tags) == 9
