"""A machine for tests that need one: Debian with a real systemd as process 1, in namespaces, gone at the end.

Nothing outside sees it: its own processes, network (loopback alone), mounts and control group. The root file system is
a cached one (scripts/debian-root), under an overlay that is thrown away.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess
import threading

import pytest
from conftest import ROOT, alive, children, wait_for

CLONE_NEWNET = 0x40000000


def base():
    assert os.geteuid() == 0, "a machine can only be started by root: run the tests as root"
    done = subprocess.run([ROOT / "scripts" / "debian-root"], capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Machine:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.share = self.folder / "share"
        self.share.mkdir(parents=True)
        self.name = f"tug-test-{os.getpid()}-{self.folder.name}"
        self.log = self.folder / "boot.log"
        with open(self.log, "wb") as log:
            argv = [ROOT / "tests" / "boot", base(), self.folder, self.name]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the start of systemd", self.booted, 60)

    def booted(self):
        assert self.process.poll() is None, self.log.read_text()
        below = children(self.process.pid)
        if not below:
            return False
        self.pid = below[0]
        state = self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(self, *argv, check=True, timeout=120, **env):
        enter = ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd", "--"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        clean += ["DEBIAN_FRONTEND=noninteractive", *(f"{k}={v}" for k, v in env.items())]
        done = subprocess.run(
            [*enter, *clean, *map(str, argv)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
        if check:
            assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def popen(self, *argv, **kw):
        enter = ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd", "--"]
        return subprocess.Popen([*enter, *map(str, argv)], stdin=subprocess.DEVNULL, text=True, **kw)

    def state(self, unit):
        return self.run("systemctl", "is-active", unit, check=False).stdout.strip()

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit, check=False).stdout

    def path(self, inside):
        """A file of the machine, seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root{inside}")

    def in_its_network(self, make):
        """What make() returns, made by a thread whose sockets are the machine's (and those of threads and programs that
        it starts)."""
        result = []

        def run():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.pid}/ns/net") as ns:
                assert libc.setns(ns.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            result.append(make())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return result[0]

    def stop(self):
        pid = getattr(self, "pid", None)
        self.process.kill()
        self.process.wait()
        if pid is not None:
            wait_for("the end of the machine", lambda: not alive(pid))
        for group in pathlib.Path("/sys/fs/cgroup").glob(f"**/{self.name}"):
            for folder in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                folder.rmdir()
            group.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def machine(tmp_path):
    m = Machine(tmp_path / "machine")
    yield m
    m.stop()
