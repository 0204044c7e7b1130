#!/usr/bin/env python3
"""From a command with nothing running to the first token: `tug run` beside llama-server and one request."""

import argparse
import os
import pathlib
import subprocess
import tempfile
import time

from common import Stream, free_port, llama_server, median, row, starter


def tug_run(build, env):
    """Starts a daemon and an engine, and is timed until the first byte of the answer."""
    begin = time.monotonic()
    p = subprocess.Popen([str(build / "tug"), "run", "ai/bench", "Say hello."], stdout=subprocess.PIPE, env=env)
    p.stdout.read(1)
    took = time.monotonic() - begin
    p.stdout.read()
    if p.wait() != 0:
        raise SystemExit("bench: tug run failed")
    subprocess.run([str(build / "tug"), "serve", "--stop"], check=True, env=env, capture_output=True)
    return took


def llama_run(model):
    begin = time.monotonic()
    server = llama_server(model, 1, 4096)
    took_ready = time.monotonic() - begin
    s = Stream(server.port, "Say hello.", 4)
    server.stop()
    return took_ready + s.ttft


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    p.add_argument("--pairs", type=int, default=5)
    args = p.parse_args()
    build, model = args.build.resolve(), starter()
    with tempfile.TemporaryDirectory() as home:
        env = {k: v for k, v in os.environ.items() if k != "MODEL_RUNNER_HOST"}
        env |= {"TUG_HOME": home, "TUG_LISTEN": f"127.0.0.1:{free_port()}"}
        subprocess.run([str(build / "tug"), "package", "--gguf", model, "ai/bench"], check=True, capture_output=True, env=env)
        subprocess.run([str(build / "tug"), "serve", "--stop"], check=True, capture_output=True, env=env)
        pairs = [(tug_run(build, env), llama_run(model)) for _ in range(args.pairs + 1)][1:]
    print(f"cold start to the first token, {args.pairs} pairs")
    row("", "tug run", "llama-server", "ratio")
    a, b = (median(p[i] for p in pairs) for i in (0, 1))
    row("seconds", f"{a:.2f}", f"{b:.2f}", f"{median(p[0] / p[1] for p in pairs):.2f}")


main()
