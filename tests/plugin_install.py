"""`tug plugin install`: Tug becomes docker's `model` command, nothing that was there is lost, and real docker finds it."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import BUILD, TUG
from docker_plugin import clis  # noqa: F401  a fixture


SYSTEM_DIRS = [f"{p}/docker/cli-plugins" for p in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")]


class Run:
    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "docker"
        self.plugin = self.config / "cli-plugins" / "docker-model"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TUG_HOME": str(folder / "home"), "LC_ALL": "C.UTF-8",
                    "DOCKER_CONFIG": str(self.config)}

    def __call__(self, *args, code=0, env=None, program=TUG, **kw):
        done = subprocess.run([program, *map(str, args)], env=self.env | (env or {}), capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL, **kw)
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def tug(tmp_path):
    return Run(tmp_path)


def other(path, vendor="Docker Inc.", version="v1.2.6"):
    """A plugin of somebody else."""
    metadata = {"SchemaVersion": "0.1.0", "Vendor": vendor, "Version": version, "ShortDescription": "Docker Model Runner"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{json.dumps(metadata)}'\n")
    path.chmod(0o755)
    return path.read_text()


def test_install_and_uninstall(tug, clis):  # noqa: F811
    done = tug("plugin", "install")
    assert done.stdout == f"Linked {tug.plugin} to {TUG.resolve()}\n", "the folder is made"
    assert os.readlink(tug.plugin) == str(TUG.resolve())
    for cli in clis.values():
        plugins = json.loads(tug("info", "--format", "{{json .ClientInfo.Plugins}}", program=cli).stdout)
        assert [p["Vendor"] for p in plugins if p["Name"] == "model"] == ["Tug"]
        assert tug("model", "--help", program=cli).stdout.startswith("Usage:  docker model COMMAND")
    assert tug("plugin", "install").stdout == f"{tug.plugin} is this Tug already.\n"
    assert all(f"{p}/docker-model" in tug("plugin", "status").stdout for p in SYSTEM_DIRS)
    row = next(line for line in tug("plugin", "status").stdout.splitlines() if line.startswith(str(tug.plugin)))
    assert "this Tug" in row and row.rstrip().endswith("*")
    assert tug("plugin", "uninstall").stdout == f"Removed {tug.plugin}\n"
    assert not tug.plugin.is_symlink()
    assert tug("plugin", "uninstall").stdout == f"There is no {tug.plugin}\n"


def test_from_the_plugin_itself(tug):
    """Through the link the program is the same, so the link goes to the file and not to itself."""
    tug("plugin", "install", program=BUILD / "docker-model")
    assert os.readlink(tug.plugin) == str(TUG.resolve())
    assert tug("plugin", "install", program=tug.plugin).stdout.endswith("already.\n")


def test_home_is_the_default(tug):
    del tug.env["DOCKER_CONFIG"]
    tug("plugin", "install")
    assert (tug.folder / ".docker" / "cli-plugins" / "docker-model").is_symlink()


def test_a_given_folder(tug):
    folder = tug.folder / "a" / "b"
    tug("plugin", "install", folder)
    assert (folder / "docker-model").is_symlink() and not tug.plugin.exists()
    tug("plugin", "uninstall", folder)
    assert not (folder / "docker-model").is_symlink()


def test_a_foreign_plugin_is_kept(tug):
    text = other(tug.plugin)
    done = tug("plugin", "install", code=1)
    assert f"{tug.plugin} is there already, and is not Tug's: Docker Model Runner v1.2.6 of Docker Inc." in done.stderr
    assert "--force" in done.stderr and tug.plugin.read_text() == text
    assert tug("plugin", "uninstall", code=1).stderr.endswith("Nothing was removed.\n") and tug.plugin.read_text() == text
    status = tug("plugin", "status", code=1).stdout
    assert "Docker Model Runner v1.2.6 of Docker Inc." in status and "'docker model' is not Tug" in status

    tug("plugin", "install", "--force")
    assert tug.plugin.is_symlink() and (tug.plugin.parent / "replaced-docker-model").read_text() == text
    assert tug("plugin", "uninstall").stdout.endswith(f"Moved back: {tug.plugin}\n")
    assert tug.plugin.read_text() == text and os.access(tug.plugin, os.X_OK)


def test_what_else_may_be_there(tug):
    tug.plugin.parent.mkdir(parents=True)
    tug.plugin.write_text("hello")
    assert "a file that is no Docker plugin" in tug("plugin", "install", code=1).stderr
    tug.plugin.unlink()
    tug.plugin.mkdir()
    assert "no file" in tug("plugin", "install", code=1).stderr
    tug.plugin.rmdir()
    tug.plugin.symlink_to("/nowhere/at/all")
    everybodys = [p for p in SYSTEM_DIRS if os.path.exists(f"{p}/docker-model")]
    assert "which does not exist" in tug("plugin", "status", code=0 if everybodys else 1).stdout
    tug("plugin", "install")
    tug.plugin.unlink()
    other(tug.plugin, vendor="Tug", version="v1.0.9")
    assert "not Tug" not in tug("plugin", "status").stdout, "an older Tug is Tug"
    tug("plugin", "install")
    assert os.readlink(tug.plugin) == str(TUG.resolve()), "and is replaced without being asked"


def test_the_first_one_is_used(tug):
    """cliPluginsExtraDirs of config.json come before the user's folder."""
    extra = tug.folder / "extra"
    other(extra / "docker-model")
    tug("plugin", "install")
    (tug.config / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(extra), 5]}))
    lines = tug("plugin", "status", code=1).stdout.splitlines()
    assert lines[1].startswith(str(extra)) and lines[1].rstrip().endswith("*") and not lines[2].rstrip().endswith("*")


def test_folders_that_do_not_work(tug):
    tug.config.write_text("a file")
    done = tug("plugin", "install", code=1)
    assert str(tug.config) in done.stderr and "'tug plugin install DIR'" in done.stderr
    tug.config.unlink()
    tug.plugin.parent.mkdir(parents=True)
    tug.plugin.parent.chmod(0o555)
    program = tug.folder / "tug"
    shutil.copy(TUG, program)
    tug.folder.chmod(0o755)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    done = tug("plugin", "install", code=1, program=program, **nobody)
    assert "Permission denied" in done.stderr and "'tug plugin install DIR'" in done.stderr
    assert list(tug.plugin.parent.iterdir()) == []
