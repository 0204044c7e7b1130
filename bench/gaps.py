#!/usr/bin/env python3
"""What a long prompt does to those who run: gaps between the tokens of 4 streams, undisturbed and while it is computed.

Tug and llama-server, in turns, on the same model and number of threads. The long prompt comes when all streams have
had a few tokens; what counts are the gaps that lie wholly within its computation.
"""

import argparse
import pathlib
import shlex
import threading
import time

from common import THREADS, Stream, engine, llama_server, median, percentile, prompt, row, starter


def measure(server, streams, long_words, tokens, seed):
    start = time.monotonic()
    got = [None] * streams
    seen = [0] * streams

    def run(i):
        begin = time.monotonic() - start
        got[i] = (begin, Stream(server.port, prompt(seed + i, 20), tokens, on_token=lambda n: seen.__setitem__(i, n)))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(streams)]
    for t in threads:
        t.start()
    while min(seen) < 12:
        time.sleep(0.02)
    begin = time.monotonic() - start
    long = Stream(server.port, prompt(seed + 99, long_words), 1)
    end = begin + long.ttft
    for t in threads:
        t.join()
    idle, busy = [], []
    for at, s in got:
        for a, b in zip(s.times, s.times[1:]):
            if at + b < begin or at + a > end:
                idle.append(b - a)
            elif at + a >= begin and at + b <= end + 0.05:
                busy.append(b - a)
            elif at + a < end:  # one gap around all of it
                busy.append(b - a)
    return {
        "idle gap p50 ms": median(idle) * 1000,
        "gap p50 ms": median(busy) * 1000,
        "gap p99 ms": percentile(busy, 99) * 1000,
        "worst gap ms": max(busy) * 1000,
        "worst gap / idle gap": max(busy) / median(idle),
        "TTFT of the prompt s": long.ttft,
    }


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    p.add_argument("--model", help="a GGUF file; the starter model if not given")
    p.add_argument("--streams", type=int, default=4)
    p.add_argument("--words", type=int, default=1500, help="of the long prompt")
    p.add_argument("--tokens", type=int, default=300, help="of each stream; enough to outlast the long prompt")
    p.add_argument("--pairs", type=int, default=2)
    p.add_argument("--threads", type=int, default=THREADS)
    p.add_argument("--our-flags", type=shlex.split, default=[], help="more flags for tug-engine")
    p.add_argument("--peer-flags", type=shlex.split, default=[], help="more flags for llama-server")
    args = p.parse_args()
    model = args.model or starter()
    each = 2 * args.words + args.tokens + 512
    context = each * (args.streams + 1)
    print(f"gaps: {pathlib.Path(model).name}, {args.streams} streams, a prompt of {args.words} words, {args.pairs} pairs")
    row("", "tug", "llama-server", "ratio")
    ours = engine(args.build.resolve(), model, "--ctx-size", context, "--threads", args.threads, *args.our_flags)
    peer = llama_server(model, args.streams + 1, context, args.threads, *args.peer_flags)
    pairs = []
    for k in range(args.pairs):
        order = (ours, peer) if k % 2 else (peer, ours)
        got = {s.name: measure(s, args.streams, args.words, args.tokens, 1000 * k + 1) for s in order}
        pairs.append((got["tug-engine"], got["llama-server"]))
    for name in pairs[0][0]:
        a, b = (median(p[i][name] for p in pairs) for i in (0, 1))
        ratio = median(p[0][name] / max(p[1][name], 1e-9) for p in pairs)
        row(name, f"{a:.2f}", f"{b:.2f}", f"{ratio:.2f}")
    ours.stop()
    peer.stop()


main()
