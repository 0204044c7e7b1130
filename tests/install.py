"""`make install` and `make uninstall`: all parts find each other, wherever they lie, and nothing stays behind."""

import os
import pathlib
import subprocess

import conftest
from conftest import BUILD, ROOT, Daemon


def install(*args, check=True, **env):
    done = subprocess.run(
        [ROOT / "scripts" / "install", *args], env=os.environ | env, capture_output=True, text=True, timeout=120
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*"))


def chat_from(program, home, monkeypatch):
    """Starts the daemon as this program and asks the model something through the same program."""
    monkeypatch.setattr(conftest, "TUG", program)
    d = Daemon(home)
    try:
        d.tug("package", "--gguf", conftest.MODEL, "--license", conftest.LICENSE, "ai/smollm2", program=program)
        assert d.tug("run", "ai/smollm2", "Say hello.", program=program).stdout.strip()
        engines = [os.readlink(f"/proc/{pid}/exe") for pid in d.engines()]
        maps = "".join(pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in d.engines())
        return engines, {line.split()[-1] for line in maps.splitlines() if "/lib/" in line and "ggml" in line}
    finally:
        d.stop()


def test_what_is_installed_runs_from_there_and_after_a_move(tmp_path, monkeypatch):
    stage = tmp_path / "stage"
    install(BUILD, DESTDIR=str(stage), PREFIX="/opt/tug")
    for place in (stage / "opt" / "tug", tmp_path / "moved"):
        if not place.exists():
            (stage / "opt" / "tug").rename(place)
        engines, libraries = chat_from(place / "bin" / "tug", tmp_path / f"home-{place.name}", monkeypatch)
        assert engines == [str(place / "lib" / "tug" / "tug-engine")]
        assert libraries and all(path.startswith(str(place / "lib" / "tug" / "lib")) for path in libraries)


def test_the_plugin_link_is_the_installed_program(tmp_path, monkeypatch):
    install(BUILD, DESTDIR=str(tmp_path), PREFIX="/usr")
    link = tmp_path / "usr/libexec/docker/cli-plugins/docker-model"
    assert os.readlink(link) == "../../../bin/tug"
    engines, _ = chat_from(link, tmp_path / "home", monkeypatch)
    assert engines == [str(tmp_path / "usr/lib/tug/tug-engine")]


def test_uninstall_leaves_nothing_of_ours_and_all_of_others(tmp_path):
    stage = {"DESTDIR": str(tmp_path), "PREFIX": "/usr/local"}
    others = tmp_path / "usr/local/share/doc/other/README"
    others.parent.mkdir(parents=True)
    others.write_text("not ours\n")
    before = files(tmp_path)
    install(BUILD, **stage)
    assert "usr/local/lib/systemd/system/tug.service" in files(tmp_path)
    unit = (tmp_path / "usr/local/lib/systemd/system/tug.service").read_text()
    assert "ExecStart=/usr/local/bin/tug serve" in unit and "@" not in unit.replace("@system", "").replace("@priv", "")
    install(BUILD, **stage)  # again: nothing is counted twice
    install("--uninstall", **stage)
    assert files(tmp_path) == before


def test_an_upgrade_removes_what_the_new_version_lacks(tmp_path):
    stage = {"DESTDIR": str(tmp_path), "PREFIX": "/usr"}
    install(BUILD, **stage)
    listed = tmp_path / "usr/lib/tug/installed"
    gone = tmp_path / "usr/lib/tug/lib/libggml-cpu-of-an-older-version.so"
    gone.write_text("old")
    listed.write_text(listed.read_text() + "f lib/tug/lib/libggml-cpu-of-an-older-version.so\n")
    install(BUILD, **stage)
    assert not gone.exists() and "older" not in listed.read_text()
    assert (tmp_path / "usr/bin/tug").exists()
    install("--uninstall", **stage)
    assert files(tmp_path) == []


def test_a_running_program_is_replaced_not_overwritten(tmp_path):
    stage = {"DESTDIR": str(tmp_path), "PREFIX": "/usr"}
    install(BUILD, **stage)
    tug = tmp_path / "usr/bin/tug"
    with open(tug, "rb") as running:
        install(BUILD, **stage)
        assert os.fstat(running.fileno()).st_ino != tug.stat().st_ino


def test_errors_name_the_thing_and_the_way_out(tmp_path):
    cases = [
        ([BUILD], {"PREFIX": "relative/path"}, "PREFIX=relative/path is not an absolute path"),
        ([tmp_path], {"DESTDIR": str(tmp_path / "d")}, "has no tug; run 'make' first"),
        (["--uninstall"], {"DESTDIR": str(tmp_path / "d")}, "nothing of Tug is installed in"),
        ([BUILD], {"DESTDIR": str(tmp_path), "PREFIX": "/file/below"}, "give a PREFIX that is yours"),
    ]
    (tmp_path / "file").write_text("")
    for args, env, text in cases:
        done = install(*args, check=False, **env)
        assert done.returncode != 0 and text in done.stderr, (args, done.stderr)
