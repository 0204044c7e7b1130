"""Completion: cobra's protocol as the Docker CLI reads it, and Tab in real shells: bash, zsh, fish."""

import os
import socket
import subprocess

import pytest

from conftest import BUILD, TUG, free_port, wait_for
from docker_plugin import clis, new_docker  # noqa: F401  fixtures


def complete(tug, *words, env=None, verb="__complete", program=TUG):
    done = tug(verb, *words, env=env, program=program)
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(":"), done.stdout
    assert done.stderr.startswith("Completion ended with directive: ShellCompDirective")
    return lines[:-1], int(lines[-1][1:])


def values(lines):
    return [line.split("\t")[0] for line in lines]


@pytest.mark.parametrize("words, expected, directive", [
    (["pul"], ["pull"], 4),
    (["lo"], ["logs"], 4),
    (["ls"], ["ls"], 4),
    (["nothing-like-it"], [], 4),
    (["nothing-like-it", ""], [], 4),
    (["--v"], ["--version"], 4),
    (["help", "pul"], ["pull"], 4),
    (["completion", ""], ["bash", "zsh", "fish"], 4),
    (["completion", "bash", ""], [], 4),
    (["ls", "--j"], ["--json"], 4),
    (["ls", "--json", "--qu"], ["--quiet"], 4),
    (["logs", "-f", "--no"], ["--no-engines"], 4),
    (["package", "--format", ""], ["docker", "cncf"], 4),
    (["package", "--format=c"], ["cncf"], 4),
    (["package", "--gguf", ""], [], 0),
    (["package", "-l", ""], [], 0),
    (["package", "-l", "x", "--for"], ["--format"], 4),
    (["package", "--gguf=a/b", "--push", "--mm"], ["--mmproj"], 4),
    (["run", "smollm2", "--", "-"], [], 4),
    (["inspect", "sm"], ["smollm2"], 4),
    (["inspect", "ai/sm"], ["ai/smollm2"], 4),
    (["inspect", "docker.io/ai/sm"], ["docker.io/ai/smollm2:latest"], 4),
    (["inspect", "llama3.2:1"], ["llama3.2:1B-Q8_0"], 4),
    (["inspect", ""], ["all-minilm", "llama3.2:1B-Q8_0", "smollm2"], 4),
    (["inspect", "smollm2", ""], [], 4),
    (["rm", "smollm2", "al"], ["all-minilm"], 4),
    (["tag", "smol"], ["smollm2"], 4),
    (["tag", "smollm2", ""], [], 4),
    (["serve", "--lo"], ["--log-level"], 4),
])
def test_protocol(loaded, words, expected, directive):
    lines, got = complete(loaded.tug, *words)
    found = values(lines)
    assert (sorted(found) if "inspect" in words else found) == expected and got == directive


def test_descriptions(loaded):
    assert complete(loaded.tug, "pul")[0] == ["pull\tFetch a model from a registry"]
    assert complete(loaded.tug, "pul", verb="__completeNoDesc")[0] == ["pull"]
    assert complete(loaded.tug)[1] == 4, "no word at all is an empty one"


def test_no_daemon_is_started(tmp_path):
    """Nor is one waited for that does not answer."""
    home = tmp_path / "home"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TUG_HOME": str(home)}
    for host in ("http://127.0.0.1:%d" % free_port(), "unix:" + str(tmp_path / "none.sock"), "nonsense://"):
        done = subprocess.run([TUG, "__complete", "rm", ""], env=env | {"MODEL_RUNNER_HOST": host}, capture_output=True,
                              text=True, timeout=20)
        assert (done.returncode, done.stdout) == (0, ":4\n")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        host = "127.0.0.1:%d" % mute.getsockname()[1]
        done = subprocess.run([TUG, "__complete", "rm", ""], env=env | {"MODEL_RUNNER_HOST": host}, capture_output=True, text=True,
                              timeout=20)
        assert (done.returncode, done.stdout) == (0, ":4\n")
    assert not home.exists()


def test_docker_completes_the_plugin(new_docker, loaded):  # noqa: F811
    def ask(*words):
        return new_docker("__complete", "model", *words, check=0).stdout.splitlines()

    assert ask("pul") == ["pull\tFetch a model from a registry", ":4"]
    assert {"pull\tFetch a model from a registry", "push\tSend a model to a registry", ":4"} <= set(ask("pu"))
    assert ask("inspect", "sm") == ["smollm2", ":4"]
    assert "--json\tPrint what the API answers" in ask("ls", "--")
    assert new_docker("__completeNoDesc", "model", "pul", check=0).stdout.splitlines()[0].startswith("pull")
    assert new_docker("__complete", "mod", check=0).stdout.splitlines()[0].startswith("model\t")


def test_apps_are_those_of_launch(loaded):
    apps = [line.split()[0] for line in loaded.tug("launch").stdout.splitlines()[1:]]
    assert complete(loaded.tug, "launch", "")[0] == apps
    assert complete(loaded.tug, "launch", "claude", "--", "") == ([], 4)


def test_docker_20_10_calls_the_plugin_itself(loaded):
    """Its bash script: the plugin, __completeNoDesc, and the words behind `docker model`."""
    assert complete(loaded.tug, "pul", verb="__completeNoDesc", program=BUILD / "docker-model")[0] == ["pull"]
    assert complete(loaded.tug, "inspect", "sm", verb="__completeNoDesc", program=BUILD / "docker-model")[0] == ["smollm2"]


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='$ '; source <(tug completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "PS1='$ '; autoload -Uz compinit; compinit -D -u; source <(tug completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "function fish_prompt; echo -n '$ '; end; tug completion fish | source"),
}


@pytest.fixture(params=SHELLS)
def shell(request, loaded, tmp_path):
    """A shell in a terminal of tmux; at(line, keys) says what the line has become after them."""
    argv, setup = SHELLS[request.param]
    sock = tmp_path / "tmux"
    (tmp_path / "model-file.gguf").touch()
    (tmp_path / "smallfile").touch()

    def tmux(*args):
        done = subprocess.run(["tmux", "-S", str(sock), *args], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    env = {"TUG_HOME": loaded.env["TUG_HOME"], "PATH": f"{BUILD}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path),
           "TERM": "screen"}
    line = " ".join(f"{k}='{v}'" for k, v in env.items())
    tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "50", "-c", str(tmp_path),
         f"env -i {line} {' '.join(argv)}")

    class Shell:
        name = request.param

        def screen(self):
            return tmux("capture-pane", "-p")

        def type(self, text):
            tmux("send-keys", "-l", text)

        def enter(self, text, wait):
            self.type(text)
            tmux("send-keys", "Enter")
            wait_for(f"{wait!r} on the screen of {self.name}", lambda: wait in self.screen(), 20)

        def becomes(self, typed, tabs, want):
            self.enter("clear; echo rea''dy", "ready")
            self.type(typed)
            for _ in range(tabs):
                tmux("send-keys", "Tab")
            try:
                wait_for(want, lambda: want in self.screen(), 10)
            except AssertionError:
                raise AssertionError(f"{self.name}: {typed!r} and Tab gave:\n{self.screen()}") from None
            tmux("send-keys", "C-c")

    s = Shell()
    s.enter(setup + "; echo set''up", "setup")
    yield s
    tmux("kill-server")


def test_tab(shell):
    shell.becomes("tug pul", 1, "tug pull")
    shell.becomes("tug ls --js", 1, "tug ls --json")
    shell.becomes("tug package --format=c", 1, "--format=cncf")
    shell.becomes("tug package --gguf mod", 1, "--gguf model-file.gguf")
    shell.becomes("tug inspect llama3.2:1B", 1, "tug inspect llama3.2:1B-Q8_0")
    shell.becomes("tug inspect sm", 1, "tug inspect smollm2")
    shell.becomes("tug pu", 2, "push")


def test_a_list_has_descriptions(shell):
    shell.becomes("tug pu", 2, "Fetch a model from a registry")
