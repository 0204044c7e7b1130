"""Docker Model Runner's own client against Tug; scripts/judge builds it and calls this. Not a test of `make test`, since
the client's source is no part of this repository.

A row: what is run, the exit code and what the output must match, as dmr.md has it. Run directly, the client writes most
of its text to stderr, so both are read as one.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

from conftest import EMBEDDER, LICENSE, MODEL, ROOT, Daemon, Registry

GOOD, BAD = 0, 1
OFF = "no network here"

# command, arguments, exit code, what its output matches, remark
ROWS = [
    ("version", "", GOOD, r"Server:\n Version:    v\d+\.\d+\.\d+\n Engine:     Docker Engine \(Manual Install\)", ""),
    ("status", "", GOOD, r"^Docker Model Runner is running\n\nBACKEND +STATUS +DETAILS *\nllama\.cpp +Running +\S", ""),
    ("status", "--json", GOOD, r'^\{"running":true,"backends":\{"llama\.cpp":"Running: ', ""),
    ("package", f"--gguf {MODEL} --license {LICENSE} ai/smollm2", GOOD, r"Model loaded successfully", ""),
    ("package", f"--gguf {EMBEDDER} ai/minilm", GOOD, r"Model loaded successfully", ""),
    ("list", "", GOOD, r"MODEL NAME +PARAMETERS.*\nminilm .*\nsmollm2 +134\.52M +MOSTLY_Q4_1 +llama +[0-9a-f]{12} ", ""),
    ("list", "--json", GOOD, r'"tags": \[\s+"docker\.io/ai/smollm2:latest"\s+\],\s+"created": \d+,\s+"config"', ""),
    ("list", "--openai", GOOD, r'"object": "list".*"owned_by": "docker",\s+"dmr"', ""),
    ("list", "-q", GOOD, r"^[0-9a-f]{12}\n[0-9a-f]{12}\n$", ""),
    ("list", "--openaiurl {url}/v1", GOOD, r"MODEL NAME +CREATED *\n.*smollm2", ""),
    ("inspect", "ai/smollm2", GOOD, r'"id": "sha256:[0-9a-f]{64}".*"gguf"', ""),
    ("inspect", "--openai ai/smollm2", GOOD, r'"context_window": 8192', ""),
    ("inspect", "ai/nope", BAD, r"Failed to get model ai/nope: ai/nope: model not found", ""),
    ("show", "ai/smollm2", GOOD, r"Format: +gguf\nArchitecture: llama\nParameters: +134\.52M", ""),
    ("tag", "ai/smollm2 {registry}/demo/m:v1", GOOD, r'Model "ai/smollm2" tagged successfully with ', ""),
    ("tag", "ai/nope my/m", BAD, r"failed to tag model: .*404 Not Found", ""),
    ("push", "{registry}/demo/m:v1", GOOD, r"[Mm]odel pushed successfully", ""),
    ("rm", "{registry}/demo/m:v1", GOOD, r"Untagged: localhost:\d+/demo/m:v1", ""),
    ("rm", "ai/nope", BAD, r"no such model: ai/nope", ""),
    ("pull", "{registry}/demo/m:v1", GOOD, r"Model pulled successfully|Using cached model", ""),
    ("pull", "{registry}/demo/none:v1", BAD, r"Failed to pull model: .*", ""),
    ("pull", "no-such-host.invalid/x/y", BAD, r"Could not resolve host: no-such-host\.invalid", ""),
    ("rm", "-f {registry}/demo/m:v1", GOOD, r"Untagged: ", ""),
    ("package", "--from ai/smollm2 --context-size 1024 my/small", GOOD, r"Model variant created successfully", ""),
    ("configure", "--context-size 2048 ai/smollm2 -- --temp 0.1", GOOD, r"^$", ""),
    ("configure", "show ai/smollm2", GOOD, r'"context-size": 2048,\s+"runtime-flags": \[\s+"--temp",\s+"0\.1"', ""),
    ("configure", "--context-size 64 ai/nope", BAD, r"not found|is not here", ""),
    ("configure", "ai/smollm2 -- --log-file /tmp/x", BAD, r"paths are not allowed", ""),
    ("run", "ai/smollm2 Say_hi.", GOOD, r"\w", ""),
    ("run", "--debug ai/smollm2 Say_hi.", GOOD, r"Running model ai/smollm2 with prompt", ""),
    ("run", "--color maybe ai/smollm2 Hi", BAD, r"--color must be one of", ""),
    ("run", "--openaiurl {url}/v1 ai/smollm2 Hi", GOOD, r"\w", ""),
    ("ps", "", GOOD, r"MODEL NAME +BACKEND +MODE +UNTIL *\nsmollm2 +llama\.cpp +completion +\d+ minutes from now", ""),
    ("df", "", GOOD, r"TYPE +SIZE *\nModels +\d+\.\d\dMB", ""),
    ("requests", "--model ai/smollm2", GOOD, r"chat/completions", ""),
    ("requests", "", GOOD, r"ai/smollm2", ""),
    ("logs", "", GOOD, r"loaded the model", ""),
    ("logs", "--no-engines", GOOD, r"loaded the model", ""),
    ("bench", "--duration 1s --concurrency 1 --prompt Hi --timeout 60s --json ai/smollm2", GOOD, r'"TPS": \d', ""),
    ("unload", "ai/nope", GOOD, r"No such model\(s\) running\.", ""),
    ("unload", "ai/smollm2", GOOD, r"Unloaded 1 model\(s\)\.", ""),
    ("unload", "--all", GOOD, r"No models are running\.|Unloaded", ""),
    ("unload", "", BAD, r"requires MODEL unless --all is specified", ""),
    ("run", "-d ai/smollm2", GOOD, r"^$", ""),
    ("compose", "metadata", GOOD, r'"context-size"', ""),
    ("compose", "up --model ai/smollm2 --project-name p svc", GOOD, r'"setenv","message":"URL=http', ""),
    ("compose", "down --project-name p svc", GOOD, r"^$", ""),
    ("launch", "", GOOD, r"opencode", ""),
    ("launch", "--dry-run opencode", GOOD, r"OPENAI_BASE_URL=http://127\.0\.0\.1:\d+/engines/v1", ""),
    ("context", "create other --host {url}", GOOD, r'Context "other" created\.', ""),
    ("context", "ls", GOOD, r"NAME +HOST +DESCRIPTION +CURRENT", ""),
    ("skills", "--dest {home}/skills", GOOD, r"Installed Docker Model Runner skills", ""),
    ("gateway", "-c x", BAD, r"gateway is not available in this build", "the client's own word"),
    ("search", "--limit 2 smollm", BAD, r"all search sources failed", OFF),
    ("purge", "-f", GOOD, r"^$", ""),
    ("list", "--json", GOOD, r"^\[\]\n$", ""),
]


def run(client, daemon, words):
    env = daemon.env | {"MODEL_RUNNER_HOST": daemon.url}
    argv = [client, *(w.replace("_", " ") if w == "Say_hi." else w for w in words)]
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def judge(client, daemon, registry):
    for command, arguments, code, pattern, remark in ROWS:
        words = arguments.format(url=daemon.url, registry=registry.host, home=daemon.home).split()
        got, text = run(client, daemon, [command, *words])
        good = got == code and re.search(pattern, text, re.S | re.M if pattern != r"^$" else re.S) is not None
        if not good:
            print(f"FAILED {command} {' '.join(words)}: exit code {got}, not {code}, or no {pattern!r} in:\n{text[:1500]}")
        shown = arguments.format(url="URL", registry="REGISTRY", home="HOME").replace("Say_hi.", '"Say hi."')
        shown = re.sub(r"(?<!\S)/\S*/", "", f"{command} {shown}".strip())
        result = "as documented" if good else "**differs**"
        yield good, f"| `{shown}` | {got} | {result}{f': {remark}' if remark else ''} |"


def main():
    client, version = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tug-"))
    daemon, registry = Daemon(folder / "home"), Registry(folder / "registry")
    try:
        results = list(judge(client, daemon, registry))
    finally:
        daemon.stop()
        registry.stop()
    page = ROOT / "docs" / "compatibility.md"
    table = f"`docker model` {version}, run as a program with `MODEL_RUNNER_HOST`.\n\n"
    table += "| run | exit code | result |\n| --- | --- | --- |\n" + "\n".join(row for _, row in results)
    text = re.sub(r"(<!-- judge -->\n).*(\n<!-- end -->)", lambda m: m[1] + table + m[2], page.read_text(), flags=re.S)
    page.write_text(text)
    failed = sum(not good for good, _ in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
