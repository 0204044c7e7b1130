"""A private dockerd: real containers, the real Compose, and nothing of either outside of a folder.

It has network, mount and process namespaces of its own, so that its docker0, its iptables rules and its
mounts are nobody else's, several can run at once, and all of it ends when one process is killed. It has no
way to the internet: whatever a test needs is imported. Code that shall see its network runs in
`with engine.network():`; processes and sockets made there stay there.

Needs root, cgroups and the right to make namespaces; without them it fails and says so.
"""

import contextlib
import ctypes
import http.client
import io
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("TUG_TEST_BUILD", ROOT / "build"))
IMAGE = "tug-test/busybox:1"
APPLETS = ["sh", "env", "wget", "cat", "sleep", "true", "timeout", "echo", "grep", "ls", "id", "nc"]
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def script(name):
    done = subprocess.run([ROOT / "scripts" / name], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"scripts/{name}: {done.stderr}"
    return done.stdout


def set_network(fd):
    assert libc.setns(fd, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self.path))


class Engine:
    def __init__(self):
        assert os.geteuid() == 0, "the tests with real containers need root: dockerd cannot run without"
        self.parts = pathlib.Path(script("docker-engine").strip())
        self.clis = dict(line.split(" ", 1) for line in script("docker-cli").splitlines())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tug-docker-"))
        self.socket = self.folder / "docker.sock"
        self.cgroup = f"/{self.folder.name}"
        self.log = self.folder / "log"
        self.start()
        self.tar_import({"bin/busybox": self.parts / "bin" / "busybox"} | {f"bin/{a}": "busybox" for a in APPLETS}, IMAGE, "ENV PATH=/bin", 'CMD ["sh"]')

    def start(self):
        path = f"{self.parts}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
        run = (f"ip link set lo up && exec dockerd --storage-driver=vfs --data-root={self.folder}/data --exec-root={self.folder}/exec"
               f" --pidfile={self.folder}/pid --cgroup-parent={self.cgroup} -H unix://{self.socket}")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", run],
                env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop(keep=True)
                raise AssertionError(f"dockerd does not run here: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid = int(children[0])
        self.inside = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def answers(self):
        try:
            c = Unix(self.socket)
            c.request("GET", "/_ping")
            return c.getresponse().status == 200
        except OSError:
            return False

    @contextlib.contextmanager
    def network(self):
        """This thread, and what it starts, in dockerd's network."""
        set_network(self.inside)
        try:
            yield self
        finally:
            set_network(self.outside)

    def config(self, folder):
        """A Docker configuration with the real Compose and with Tug as docker-model."""
        plugins = pathlib.Path(folder) / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(self.parts / "cli-plugins" / "docker-compose")
        (plugins / "docker-model").symlink_to(BUILD / "tug")
        return folder

    def docker(self, *args, cli="new", env=None, check=True, timeout=120, **kw):
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0"}
        done = subprocess.run([self.clis[cli], *map(str, args)], env=base | (env or {}), capture_output=True, timeout=timeout, **kw)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        if check:
            assert done.returncode == 0, f"docker {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def tar_import(self, files, name, *changes):
        """An image of these files: a path on this machine, or the target of a link. No registry is asked."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as t:
            for inside, source in files.items():
                entry = tarfile.TarInfo(inside)
                if isinstance(source, pathlib.Path):
                    data = source.read_bytes()
                    entry.size, entry.mode = len(data), 0o755 if os.access(source, os.X_OK) else 0o644
                    t.addfile(entry, io.BytesIO(data))
                else:
                    entry.type, entry.linkname = tarfile.SYMTYPE, source
                    t.addfile(entry)
        args = [a for c in changes for a in ("--change", c)]
        self.docker("import", *args, "-", name, input=tar.getvalue())

    def stop(self, keep=False):
        if self.process.poll() is None:
            if hasattr(self, "pid"):
                os.kill(self.pid, signal.SIGTERM)  # containers end in order
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()  # and the namespace's first process with it, and so all
                self.process.wait()
        for group in pathlib.Path("/sys/fs/cgroup").glob(f"**{self.cgroup}"):
            for folder in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                folder.rmdir()
            group.rmdir()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
