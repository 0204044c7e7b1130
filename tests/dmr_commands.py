"""Docker Model Runner's commands with their arguments and flags, as its own help lists them; and the man pages of ours."""

import re
import subprocess

import pytest

from conftest import BUILD, ROOT, TUG

# command: (arguments as in the usage line, flags). What is left out on purpose is named in docs/commands.md.
COMMANDS = {
    "bench": ("MODEL", "--concurrency --duration --timeout --prompt --json"),
    "compose": ("COMMAND", "--project-name"),
    "configure": ("MODEL", "--context-size --speculative-draft-model --speculative-num-tokens --speculative-min-acceptance-rate "
                  "--hf_overrides --gpu-memory-utilization --think --mode --keep-alive"),
    "configure show": ("[MODEL]", ""),
    "context create": ("NAME", "--host --tls --tls-skip-verify --tls-ca-cert --description"),
    "context use": ("", ""),
    "context ls": ("", ""),
    "context rm": ("", ""),
    "context inspect": ("", ""),
    "df": ("", ""),
    "gateway": ("", "-c --config --host -p --port -v --verbose"),
    "launch": ("[APP] [-- ARG", "--config --detach --dry-run --image --model --port"),
    "install-runner": ("", "--backend --debug --do-not-track --gpu --host --llama-server-version --port --proxy-cert --tls --tls-port "
                       "--tls-cert --tls-key"),
    "start-runner": ("", "--backend --debug --do-not-track --gpu --host --port --proxy-cert --tls --tls-port --tls-cert --tls-key"),
    "restart-runner": ("", "--debug --do-not-track --gpu --host --port --proxy-cert"),
    "reinstall-runner": ("", "--backend --debug --do-not-track --gpu --host --llama-server-version --port --proxy-cert --tls "
                         "--tls-port --tls-cert --tls-key"),
    "stop-runner": ("", "--models"),
    "uninstall-runner": ("", "--models --images --backend"),
    "skills": ("", "--claude --codex --opencode --dest -f --force"),
    "inspect": ("MODEL", "--openai -r --remote"),
    "list": ("[MODEL]", "--json --openai -q --quiet --openaiurl"),
    "logs": ("", "-f --follow --no-engines"),
    "package": ("MODEL", "--gguf --safetensors-dir --dduf --from -l --license --mmproj --chat-template --context-size --format --push"),
    "ps": ("", ""),
    "pull": ("MODEL", ""),
    "purge": ("", "-f --force"),
    "push": ("MODEL", ""),
    "requests": ("", "-f --follow --include-existing --model"),
    "rm": ("MODEL", "-f --force"),
    "run": ("MODEL [PROMPT", "--color --debug -d --detach --openaiurl --websearch"),
    "search": ("[TERM]", "-n --limit --source --json"),
    "show": ("MODEL", "-r --remote"),
    "status": ("", "--json"),
    "tag": ("SOURCE TARGET", ""),
    "unload": ("MODEL", "--all --backend"),
    "version": ("", ""),
}
ALIASES = {"ls": "list", "stop": "unload"}


def help_of(command):
    done = subprocess.run([TUG, *command.split(), "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flags_in(text):
    options = text.split("\nOptions:\n")[1].split("\n\n")[0] if "\nOptions:\n" in text else ""
    found = set()
    for line in options.splitlines():
        m = re.match(r"  (?:(-\w), |    )(--[\w-]+)", line)
        assert m, line
        found |= {g for g in m.groups() if g}
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command):
    arguments, flags = COMMANDS[command]
    text = help_of(command)
    assert text.startswith(f"Usage:  tug {command}"), text
    usage = text.splitlines()[0]
    assert arguments in usage, usage
    missing = set(flags.split()) - flags_in(text)
    page = (ROOT / "docs" / "commands.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| `{command.split()[0]}` |"))
    unexplained = {flag for flag in missing if not re.search(re.escape(flag) + r"\b", row)}
    assert not unexplained, f"tug {command} lacks {unexplained}, and docs/commands.md does not say why"


def test_all_are_listed():
    """Under docker the list is by name, as the original's. Compose alone calls `compose`; `gateway` only says what to use."""
    done = subprocess.run([BUILD / "docker-model", "--help"], capture_output=True, text=True, timeout=20)
    names = re.findall(r"^  ([a-z-]+)  ", done.stdout, re.M)
    hidden = {"compose", "gateway"}
    assert names == sorted(names) and {c for c in COMMANDS if " " not in c} - hidden <= set(names) and not hidden & set(names)


def test_aliases():
    for alias, command in ALIASES.items():
        assert help_of(alias).splitlines()[0] == help_of(command).splitlines()[0]


def test_config_is_configure_under_docker():
    """As `tug config` the word is free for the daemon's own settings."""
    done = subprocess.run([BUILD / "docker-model", "config", "--help"], capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("Usage:  docker model configure [OPTIONS] MODEL")


def test_every_command_has_a_man_page(tmp_path):
    done = subprocess.run([TUG, "__docs", "man", tmp_path / "man"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    overview = subprocess.run([TUG, "--help"], capture_output=True, text=True, timeout=20).stdout
    names = re.findall(r"^  ([a-z-]+)  ", overview, re.M)
    assert {p.name for p in (tmp_path / "man").iterdir()} == {"tug.1"} | {f"tug-{n}.1" for n in names}
    rendered = subprocess.run(["mandoc", "-Tutf8", tmp_path / "man" / "tug.1"], capture_output=True, text=True, timeout=20).stdout
    rendered = re.sub(".\b", "", rendered)
    assert all(f"tug-{n}(1)" in rendered for n in names)
    for name in names:
        page = tmp_path / "man" / f"tug-{name}.1"
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, timeout=20)
        assert lint.returncode == 0, lint.stdout
        rendered = subprocess.run(["mandoc", "-Tutf8", "-Owidth=200", page], capture_output=True, text=True, timeout=20).stdout
        rendered = re.sub(".\b", "", rendered)
        for flag in flags_in(help_of(name)):
            assert flag in rendered, (name, flag)
        usage = help_of(name).splitlines()[0].removeprefix("Usage:  ")
        assert usage in rendered, (name, usage)


def test_a_folder_for_man_pages_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run([TUG, "__docs", "man", tmp_path / "file" / "x"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and str(tmp_path / "file") in done.stderr
