"""The commands as a person types them: texts, tables, exit codes, pipes."""

import json
import os
import pty
import re
import subprocess

import pytest

from conftest import BUILD, MODEL, ROOT, TUG


def test_help_of_every_command(loaded):
    names = re.findall(r"^  ([a-z-]+) ", loaded.tug("--help").stdout, re.M)
    assert {"run", "pull", "push", "package", "tag", "list", "inspect", "rm", "prune", "df", "ps", "unload", "logs", "serve", "status", "version"} <= set(names)
    for name in names:
        out = loaded.tug(name, "--help").stdout
        assert out.startswith(f"Usage:  tug {name}"), out
        assert out == loaded.tug("help", name).stdout


def test_wrong_words(loaded):
    for args, text in [
        (["lst"], "Did you mean 'tug list'?"),
        (["pull"], "requires 1 argument"),
        (["pull", "--quick", "x"], "unknown flag: --quick"),
        (["serve", "--port", "99999"], "from 0 to 65535"),
    ]:
        done = loaded.tug(*args, check=False)
        assert done.returncode == 1 and text in done.stderr, done.stderr


def test_run_prints_only_the_answer(loaded):
    done = loaded.tug("run", "ai/smollm2", "Say", "hello.")
    assert done.stdout.strip() and done.stderr == ""


def test_prompt_on_stdin(loaded):
    done = loaded.tug("run", "ai/smollm2", stdin="Say hello.")
    assert done.stdout.strip()
    done = loaded.tug("run", "ai/smollm2", "Summarize:", stdin="The sea is wide and blue.")
    assert done.stdout.strip()
    done = loaded.tug("run", "ai/smollm2", stdin="", check=False)
    assert done.returncode == 1 and "standard input is empty" in done.stderr


def test_run_of_a_missing_model(loaded):
    done = loaded.tug("run", "localhost:1/no/model", "Hi", check=False)
    assert done.returncode == 1
    assert "Unable to find model 'localhost:1/no/model' locally. Pulling from the server." in done.stderr
    assert done.stdout == ""


def test_run_pulls(loaded, registry):
    name = f"{registry.host}/team/smollm2:v2"
    loaded.tug("tag", "ai/smollm2", name)
    loaded.tug("push", name)
    loaded.tug("rm", name)
    done = loaded.tug("run", name, "Say hello.")
    assert done.stdout.strip() and "Model pulled" in done.stderr or "cached" in done.stderr
    loaded.tug("rm", name)


def test_list_forms(loaded):
    assert len(loaded.tug("ls", "-q").stdout.split()) == 2
    assert json.loads(loaded.tug("ls", "--json").stdout)[0]["id"].startswith("sha256:")
    assert json.loads(loaded.tug("ls", "--openai").stdout)["object"] == "list"
    rows = loaded.tug("ls", "smollm2").stdout.splitlines()
    assert len(rows) == 2 and rows[1].startswith("smollm2 ")
    widths = {len(line) for line in loaded.tug("ls").stdout.splitlines()}
    assert len(widths) == 1, "columns are aligned"


def test_json_leaves_stderr_empty(loaded):
    for args in (["ls", "--json"], ["status", "--json"], ["inspect", "ai/smollm2"]):
        done = loaded.tug(*args)
        json.loads(done.stdout)
        assert done.stderr == ""


def test_status(loaded):
    out = loaded.tug("status").stdout.splitlines()
    assert out[0] == "Docker Model Runner is running" and out[2].split() == ["BACKEND", "STATUS", "DETAILS"]
    assert any(line.startswith("llama.cpp") and "Running" in line for line in out[3:])


def test_a_closed_pipe_ends_quietly(loaded):
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{TUG}' run ai/smollm2 'Count to one hundred.' | head -c 1"],
        env=loaded.env, capture_output=True, text=True, timeout=120,
    )
    assert "Traceback" not in done.stderr and "bug" not in done.stderr


def test_logs(loaded):
    out = loaded.tug("logs").stdout
    assert "tug info" in out


def test_docker_model_shapes(loaded):
    """The link docker-model: direct, as Compose calls it, and as the Docker CLI does."""
    link = BUILD / "docker-model"
    direct = loaded.tug("ls", "--json", program=link).stdout
    plugin = loaded.tug("-D", "model", "ls", "--json", program=link, env={"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}).stdout
    assert direct == plugin
    metadata = json.loads(loaded.tug("docker-cli-plugin-metadata", program=link).stdout)
    assert metadata["SchemaVersion"] == "0.1.0" and metadata["Vendor"]
    version = [int(p) for p in metadata["Version"].lstrip("v").split(".")]
    assert version >= [1, 0, 6]


@pytest.fixture
def terminal(loaded, tmp_path):
    """A real terminal (tmux) with `tug run ai/smollm2` in it; keys(...) types, screen() reads."""
    socket = tmp_path / "tmux"

    def tmux(*args):
        done = subprocess.run(["tmux", "-S", str(socket), *args], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\n[ "$1" = --wait ] && { cat "$2"; echo " and more"; echo lines; } >"$2.new" && mv "$2.new" "$2"\n')
    editor.chmod(0o755)
    environment = [f"{k}={loaded.env[k]}" for k in ("TUG_HOME", "LC_ALL")] + [f"'EDITOR={editor} --wait'"]
    tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40",
         f"env {' '.join(environment)} PS1='$ ' bash --norc --noprofile -i")
    tmux("send-keys", "-l", f"'{TUG}' run ai/smollm2; echo exited with $?")
    tmux("send-keys", "Enter")

    class Terminal:
        def keys(self, *keys):
            tmux("send-keys", *keys)

        def type(self, text):
            tmux("send-keys", "-l", text)
            tmux("send-keys", "Enter")

        def screen(self):
            return tmux("capture-pane", "-p", "-S", "-200")

        def paste(self, text):
            tmux("set-buffer", text)
            tmux("paste-buffer", "-p")

        def wait(self, text, seconds=60, times=1):
            from conftest import wait_for

            wait_for(f"{text!r} on the screen", lambda: self.screen().count(text) >= times, seconds)

        def prompt(self, seconds=60, of=">"):
            """Waits for an empty prompt as the last line: the chat's, or the shell's."""
            from conftest import wait_for

            wait_for("a prompt", lambda: self.screen().rstrip().endswith(f"\n{of}"), seconds)

    yield Terminal()
    tmux("kill-server")


def test_chat_in_a_terminal(terminal):
    terminal.prompt()
    terminal.type("/help")
    terminal.wait("/clear")
    terminal.type("/set temperature 0")
    terminal.wait("Set temperature to 0")
    terminal.type("/set num_predict 12")
    terminal.type("/set system You are terse.")
    terminal.wait("Set system message.")
    terminal.prompt()
    terminal.type("Say hello.")
    terminal.prompt()
    terminal.type("/show")
    terminal.wait("turns    2 messages")
    terminal.type("/clear")
    terminal.wait("Cleared the conversation.")
    terminal.type("/dance")
    terminal.wait("Unknown command '/dance'")
    terminal.type("/bye")
    terminal.wait("exited with 0")


def test_ctrl_c_stops_the_answer_not_the_program(terminal):
    terminal.prompt()
    terminal.type("Write a very long story about many ships.")
    terminal.wait("the", times=4)
    terminal.keys("C-c")
    terminal.prompt(seconds=10)
    terminal.type("/show")
    terminal.wait("turns    0 messages")
    terminal.prompt()
    terminal.keys("C-c")
    terminal.wait("Use Ctrl + d or /bye to exit.")
    terminal.keys("C-d")
    terminal.wait("exited with 0")


def test_multi_line_and_history(terminal):
    terminal.prompt()
    terminal.type("/set num_predict 4")
    terminal.prompt()
    terminal.type('"""first')
    terminal.wait("\n.")
    terminal.type('second"""')
    terminal.prompt()
    terminal.type("/show")
    terminal.wait("turns    2 messages")
    terminal.keys("Up", "Up", "Up")
    terminal.wait('"""first', times=2)
    terminal.keys("C-c", "C-d")
    terminal.wait("exited with 0")


def test_the_models_context_and_the_topics_of_help(terminal, loaded):
    terminal.prompt()
    terminal.type("/set num_ctx many")
    terminal.wait("Invalid value for num_ctx: many (must be a positive integer)")
    terminal.type("/set parameter num_ctx 1024")
    terminal.wait("Set num_ctx to 1024")
    [config] = json.loads(loaded.tug("configure", "show", "ai/smollm2").stdout)
    assert config["Config"]["context-size"] == 1024
    loaded.tug("configure", "--context-size", "-1", "ai/smollm2")
    for topic, words in [("set", "/set num_ctx N"), ("shortcuts", "Ctrl-X"), ("files", "@notes.txt")]:
        terminal.type(f"/? {topic}")
        terminal.wait(words)


def test_a_message_from_the_editor_and_a_tab(terminal):
    terminal.prompt()
    terminal.keys("-l", "some")
    terminal.keys("C-x")
    terminal.wait("some and more\nlines")
    terminal.keys("C-c")
    terminal.wait("Use Ctrl + d")
    terminal.keys("-l", "a")
    terminal.keys("Tab")
    terminal.keys("-l", "b")
    terminal.wait("> a        b")


def test_ctrl_z_suspends(terminal):
    terminal.prompt()
    terminal.keys("C-z")
    terminal.wait("Stopped", seconds=10)
    terminal.type("fg")
    terminal.prompt()
    terminal.type("/bye")
    terminal.prompt(of="$")


def test_a_paste_is_one_message(terminal):
    terminal.prompt()
    terminal.type("/set num_predict 4")
    terminal.wait("Set num_predict")
    terminal.paste("one line\nanother line")
    terminal.keys("Enter")
    terminal.prompt()
    terminal.type("/show")
    terminal.wait("turns    2 messages")


def test_progress_bar_on_a_terminal(loaded, registry):
    """On a terminal the pull redraws a line a layer; the last state is complete."""
    name = f"{registry.host}/team/bar:v1"
    loaded.tug("tag", "ai/smollm2", name)
    loaded.tug("push", name)
    loaded.tug("rm", name)
    main, other = pty.openpty()
    process = subprocess.Popen([TUG, "pull", name], env=loaded.env | {"TERM": "xterm"}, stdout=other, stderr=other)
    os.close(other)
    out = b""
    try:
        while piece := os.read(main, 65536):
            out += piece
    except OSError:
        pass
    assert process.wait() == 0
    assert b"cached model" in out or b"Pull complete" in out
    loaded.tug("rm", name)


def test_examples_in_help_run(loaded):
    """Each .example of the command table is a command that exists; the ones that need no network run."""
    page = (ROOT / "docs/cli.md").read_text()
    examples = re.findall(r"^Example: `tug (.+)`$", page, re.M)
    assert len(examples) >= 4
    for example in examples:
        name = example.split()[0]
        assert loaded.tug(name, "--help").returncode == 0
    assert os.path.exists(MODEL)
