#!/usr/bin/env python3
"""What the daemon costs in front of the engine: a request of one token, and each streamed token, through it and beside it."""

import argparse
import pathlib
import subprocess
import tempfile

from common import Server, Stream, free_port, median, prompt, row, starter


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    p.add_argument("--requests", type=int, default=30)
    p.add_argument("--streams", type=int, default=4)
    args = p.parse_args()
    build = args.build.resolve()
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        daemon = Server("tug", [build / "tug", "serve", "--home", home, "--listen", f"127.0.0.1:{port}"], health="/")
        env = {"MODEL_RUNNER_HOST": f"http://127.0.0.1:{port}", "TUG_HOME": home, "PATH": "/usr/bin:/bin"}
        package = [str(build / "tug"), "package", "--gguf", starter(), "ai/bench"]
        subprocess.run(package, check=True, capture_output=True, env=env)
        print("model packaged; the engine loads", flush=True)
        Stream(port, "warm up", 1, model="ai/bench")
        (socket_path,) = [f for f in (pathlib.Path(home) / "run").iterdir() if f.is_socket() and f.name != "tug.sock"]
        through, beside = {"port": port, "model": "ai/bench"}, {"port": None, "unix": socket_path}
        one = ([], [])
        for k in range(args.requests):
            for side, way in enumerate((through, beside) if k % 2 else (beside, through)):
                mine = one[side if k % 2 else 1 - side]
                mine.append(Stream(prompt=prompt(7, 4), tokens=1, **way).end)
        each = ([], [])
        for k in range(args.streams):
            for way, times in ((through, each[0]), (beside, each[1])):
                s = Stream(prompt=prompt(8, 4), tokens=64, **way)
                times.append((s.end - s.ttft) / max(1, len(s.times) - 1))
        print(f"overhead: the daemon in front of its engine, {args.requests} requests, {args.streams} streams of 64 tokens")
        row("", "daemon", "engine", "difference", widths=(26, 12, 12, 12))
        a, b = median(one[0]), median(one[1])
        row("request of one token, ms", f"{a * 1e3:.2f}", f"{b * 1e3:.2f}", f"{(a - b) * 1e3:+.2f}", widths=(26, 12, 12, 12))
        a, b = median(each[0]), median(each[1])
        row("a streamed token, us", f"{a * 1e6:.0f}", f"{b * 1e6:.0f}", f"{(a - b) * 1e6:+.0f}", widths=(26, 12, 12, 12))
        daemon.stop()


main()
