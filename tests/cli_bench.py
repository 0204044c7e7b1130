"""`bench`: what it measures and prints, against a real model and against APIs that misbehave."""

import json
import re
import signal
import subprocess

from conftest import TUG


def test_text(loaded):
    out = loaded.tug("bench", "--concurrency", "[1,2]", "--duration", "1s", "--prompt", "Say hi.", "ai/smollm2").stdout
    for level in (1, 2):
        assert re.search(
            rf"Running benchmark with concurrency: {level}\n  Tokens per second: \d+\.\d\d TPS\n  Requests per second: \d+\.\d\d RPS\n"
            r"  Total tokens: \d+\n  Total requests: \d+\n  Total time: \d+\.\d\ds\n  Time to first token: ", out), out
    assert "Benchmark summary:" in out


def test_json(loaded):
    done = loaded.tug("bench", "--json", "--concurrency", "2", "--duration", "1s", "--prompt", "Say hi.", "ai/smollm2")
    report = json.loads(done.stdout)
    assert report["model"] == "ai/smollm2" and report["prompt"] == "Say hi." and done.stderr == ""
    [level] = report["results"]
    assert level["Concurrency"] == 2 and level["Requests"] == len(level["TokenCounts"]) >= 2
    assert level["TotalTokens"] == sum(level["TokenCounts"]) > 0 and level["TotalTime"] >= 1_000_000_000
    assert abs(level["TPS"] - level["TotalTokens"] * 1e9 / level["TotalTime"]) < 0.01 * level["TPS"]
    assert 0 < level["FirstTokenMedianMs"] <= level["FirstTokenP95Ms"]


def test_refused(loaded):
    for args, text in [
        (["--concurrency", "0", "x"], "--concurrency"),
        (["--concurrency", "1,x", "x"], "--concurrency"),
        (["--concurrency", "257", "x"], "from 1 to 256"),
        (["--concurrency", "", "x"], "--concurrency is empty"),
        (["--duration", "0", "x"], "longer than 0"),
        (["ai/none"], "ai/none"),
    ]:
        done = loaded.tug("bench", *args, check=False)
        assert done.returncode == 1 and text in done.stderr and done.stdout == "", done.stderr


def test_a_failure_ends_it(cli, peer):
    p = peer({"POST /engines/v1/chat/completions": lambda r: "" if not r[2]["messages"] else (503, "no room now")})
    done = cli.tug("bench", "--concurrency", "4", "x", env={"MODEL_RUNNER_HOST": p.url}, check=False)
    assert done.returncode == 1 and "Failed to run the benchmark: with concurrency 4: no room now" in done.stderr


def test_ctrl_c(loaded):
    process = subprocess.Popen([TUG, "bench", "--duration", "60s", "ai/smollm2"], env=loaded.env, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "Running benchmark with concurrency: 1\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
