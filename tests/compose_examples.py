"""The compose files under examples/ work as they are shipped, and so does the image of the Dockerfile.

They ask for ai/llama3.2:1B-Q8_0, which is the starter model under that tag here; the images of the services
that use it are busybox, imported, since nothing can be pulled.
"""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import BUILD, MODEL, LICENSE, ROOT, SEED_MODEL, TUG, Daemon, wait_for
from docker_engine import IMAGE

DB = "tug-test/db:1"
BASE = "tug-test/debian:1"
TUG_IMAGE = "tug-test/tug:1"


@pytest.fixture(autouse=True)
def inside(dockerd):
    with dockerd.network():
        yield


@pytest.fixture
def compose(dockerd, tmp_path):
    """A function: docker compose for a shipped file. The projects are taken down at the end."""
    env = os.environ | {"DOCKER_HOST": f"unix://{dockerd.socket}", "DOCKER_CONFIG": str(dockerd.config(tmp_path / "docker")),
                        "HOME": str(tmp_path), "APP_IMAGE": IMAGE, "DB_IMAGE": DB, "TUG_IMAGE": TUG_IMAGE}
    used = set()

    def run(file, *args, check=True, **more):
        used.add(file)
        command = [dockerd.clis["new"], "compose", "-p", "x" + file.parent.name + file.stem, "-f", str(file), *args]
        done = subprocess.run(command, env=env | more, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
        if check:
            assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    yield run
    for file in used:
        run(file, "down", "-t", "0", "--volumes")


@pytest.fixture
def runner(make_daemon, dockerd):
    dockerd.tar_import({"bin/busybox": dockerd.parts / "bin" / "busybox", "bin/sleep": "busybox", "bin/sh": "busybox"}, DB,
                       'CMD ["/bin/sh", "-c", "trap exit TERM; /bin/sleep 600 & wait"]')
    return make_daemon("--listen", "127.0.0.1:12434").package(SEED_MODEL)


def answer(text):
    [line] = [line for line in text.splitlines() if '"choices"' in line]
    said = json.loads(line[line.index("{"):])
    assert said["model"] == SEED_MODEL
    return said["choices"][0]["message"]["content"].strip()


def test_seed_example(compose, runner):
    done = compose(ROOT / "examples/compose/compose.yaml", "up", "--no-color", "--exit-code-from", "app", "-t", "0")
    assert answer(done.stdout)


def test_models_example(compose, runner):
    done = compose(ROOT / "examples/compose/models.yaml", "up", "--no-color", "--exit-code-from", "app", TUG_HOME=str(runner.home))
    assert answer(done.stdout)


def libraries(*programs):
    found = set()
    for program in programs:
        out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        found |= {word for line in out.splitlines() for word in line.split() if word.startswith(("/lib", "/usr/lib"))}
    return found


@pytest.fixture(scope="module")
def image(dockerd, tmp_path_factory):
    """What `make` made, in an image of the shipped Dockerfile. Its base is files of this machine instead of Debian's image."""
    context = tmp_path_factory.mktemp("context")
    subprocess.run([ROOT / "scripts/install", BUILD], env=os.environ | {"PREFIX": "/usr", "DESTDIR": str(context / "stage")}, check=True, capture_output=True)
    shutil.copytree(ROOT / "packaging/container", context / "packaging/container")
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, context)
    strip = shutil.which("strip")
    parts = [pathlib.Path(p) for p in libraries(TUG, BUILD / "tug-engine", *context.glob("stage/usr/lib/tug/lib/*.so"), strip)]
    files = {str(p).lstrip("/"): p for p in parts}
    files |= {"bin/busybox": dockerd.parts / "bin" / "busybox", "usr/bin/strip": pathlib.Path(strip),
              "etc/ssl/certs/ca-certificates.crt": pathlib.Path("/etc/ssl/certs/ca-certificates.crt")}
    files |= {f"bin/{a}": "busybox" for a in ("sh", "cp", "mkdir", "chmod", "rm", "ls", "head", "grep", "echo")}
    with dockerd.network():
        dockerd.tar_import(files, BASE, "ENV PATH=/bin:/usr/bin")
        dockerd.docker("build", "-q", "--build-arg", f"BASE={BASE}", "-t", TUG_IMAGE, context)
        size = json.loads(dockerd.docker("image", "inspect", TUG_IMAGE).stdout)[0]["Size"]
    return size


def test_dockerfile_is_short():
    assert len((ROOT / "Dockerfile").read_text().splitlines()) < 30


def test_image(image, dockerd, capsys):
    with capsys.disabled():
        print(f"\nthe image of Tug has {image / 1e6:.0f} MB")
    assert image < 80e6
    config = json.loads(dockerd.docker("image", "inspect", TUG_IMAGE).stdout)[0]["Config"]
    assert config["User"] == "1000:1000" and config["Volumes"] == {"/var/lib/tug": {}}
    done = dockerd.docker("run", "--rm", TUG_IMAGE, check=False)
    assert done.returncode != 0 and "--api-key" in done.stderr, "it listens everywhere only with a key, or when told so"
    assert dockerd.docker("run", "--rm", TUG_IMAGE, "version").stdout.startswith("Client:")


def test_container_example(image, compose, dockerd, cli):
    file = ROOT / "examples/container/compose.yaml"
    host = {"MODEL_RUNNER_HOST": "http://127.0.0.1:12434"}
    compose(file, "up", "-d", "--wait", "--no-build", "model-runner")
    cli.tug("package", "--gguf", MODEL, "--license", LICENSE, SEED_MODEL, env=host)
    assert answer(compose(file, "up", "--no-color", "--no-build", "--exit-code-from", "app", "app").stdout)
    done = compose(file, "top", "model-runner")
    assert "tug-engine" in done.stdout and not [line for line in done.stdout.splitlines() if "tug-engine" in line and line.split()[0] == "root"]
    compose(file, "down", "-t", "20")
    compose(file, "up", "-d", "--wait", "--no-build", "model-runner")
    assert "llama3.2" in cli.tug("ls", env=host).stdout, "the volume keeps the models"
