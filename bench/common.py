"""What the benchmarks share: starting Tug and its peers, one streamed request, pairs and their ratios.

Every benchmark runs Tug and a peer side by side in one run, in turns (A B A B ...), on the same
model and machine, and prints medians and the ratio pair by pair: absolute times of a shared
machine mean little.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
THREADS = os.cpu_count() or 2


def output_of(*argv):
    return subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def starter(name="smollm2"):
    lines = output_of(ROOT / "scripts/starter", name).splitlines()
    return dict(line.split(" ", 1) for line in lines)[name]


def peers():
    """The folder with llama-server and llama-bench, built from the same pinned source."""
    return pathlib.Path(output_of(ROOT / "scripts/llama", "peers"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A process that answers HTTP on a port; ready when GET /health is 200."""

    def __init__(self, name, argv, env=None, health="/health"):
        self.name = name
        self.port = next(int(a.rsplit(":", 1)[-1]) for a in map(str, argv) if a.rsplit(":", 1)[-1].isdigit() and len(a) > 3)
        self.log = tempfile.NamedTemporaryFile(prefix=f"bench-{name}-", suffix=".log", delete=False)
        self.process = subprocess.Popen([str(a) for a in argv], stdout=self.log, stderr=self.log, env=env)
        self.health = health
        self.wait()

    def wait(self):
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"bench: {self.name} ended while starting, see {self.log.name}")
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                c.request("GET", self.health)
                if c.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.01)
        sys.exit(f"bench: {self.name} was not ready within 180 s, see {self.log.name}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        os.unlink(self.log.name)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def engine(build, model, *flags):
    port = free_port()
    return Server("tug-engine", [build / "tug-engine", "--model", model, "--listen", f"127.0.0.1:{port}", *flags])


def llama_server(model, streams, context, threads=THREADS, *flags):
    """Its best flags for this load: as many slots as streams, flash attention, no RAM cache of prompts."""
    port = free_port()
    argv = [peers() / "llama-server", "-m", model, "--port", port, "--host", "127.0.0.1", "-t", threads, "-fa", "on"]
    argv += ["-np", streams, "-c", context, "--cache-ram", "0", "--no-webui", *flags]
    return Server("llama-server", argv)


class Stream:
    """One streamed chat: time to first token, gaps, tokens, all in seconds."""

    def __init__(self, port, prompt, tokens, path="/v1/chat/completions", model="m", unix=None, on_token=None):
        body = {"model": model, "stream": True, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        body |= {"cache_prompt": False, "messages": [{"role": "user", "content": prompt}]}
        body["stream_options"] = {"include_usage": True}
        self.times = []
        self.usage = {}
        begin = time.monotonic()
        if unix is None:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        else:
            c = http.client.HTTPConnection("localhost", timeout=600)
            c.sock = socket.socket(socket.AF_UNIX)
            c.sock.connect(str(unix))
        c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        r = c.getresponse()
        if r.status != 200:
            sys.exit(f"bench: status {r.status}: {r.read()[:300]!r}")
        for line in r:
            if not line.startswith(b"data: {"):
                continue
            if b'"content":"' in line and b'"content":""' not in line:
                self.times.append(time.monotonic() - begin)
                if on_token is not None:
                    on_token(len(self.times))
            elif b'"usage":{' in line:
                self.usage = json.loads(line[6:])["usage"]
        self.end = time.monotonic() - begin
        c.close()
        self.ttft = self.times[0] if self.times else self.end
        self.gaps = [b - a for a, b in zip(self.times, self.times[1:])]
        self.tokens = self.usage.get("completion_tokens", len(self.times))


def together(n, make):
    """n streams at once; `make(i)` runs one. Wall seconds and the streams."""
    results = [None] * n

    def run(i):
        results[i] = make(i)

    begin = time.monotonic()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.monotonic() - begin, results


median = statistics.median


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def row(*cells, widths=(26, 12, 12, 9)):
    print("".join(str(c).ljust(w) for c, w in zip(cells, widths)), flush=True)


WORDS = "sea ship harbour rope wind tide anchor mast sail crew cargo storm light wave deck captain".split()


def prompt(seed, words):
    """Text that shares no prefix with another seed's."""
    state = seed * 2654435761 % 2**32 or 1
    out = []
    for _ in range(words):
        state = (1103515245 * state + 12345) % 2**31
        out.append(WORDS[state >> 16 & 15])
    return f"{seed} " + " ".join(out)
