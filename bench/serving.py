#!/usr/bin/env python3
"""Tokens per second and time to first token: tug-engine beside llama-server, 1, 4 and 16 streams of unique prompts.

Both compute every prompt token: no two prompts begin alike, and neither side keeps what the chat template puts
before them. Both must answer with as many tokens as asked for, or the run ends. Only one of the two works at a time.

Tug chooses its number of threads by itself; llama-server gets the one of 1 to all cores that is faster in a trial
(two threads that wait for each other by spinning lose much when anything else runs). --threads N gives both N. A
machine with neighbours shows little but tokens/CPU s with one thread: that is nearly free of them.
"""

import argparse
import pathlib
import shlex
import sys

from common import THREADS, Stream, engine, llama_server, median, percentile, prompt, row, starter, together


def measure(server, streams, seed, args):
    before = server.cpu_seconds()
    wall, results = together(streams, lambda i: Stream(server.port, prompt(seed + i, args.words), args.tokens))
    for r in results:
        if r.usage.get("completion_tokens") != args.tokens:
            sys.exit(f"bench: {server.name} answered {r.usage}, not {args.tokens} tokens")
    spent = server.cpu_seconds() - before
    gaps = [g for r in results for g in r.gaps] or [0]
    return {
        "prompt tokens": sum(r.usage["prompt_tokens"] for r in results) / streams,
        "tokens/s": sum(r.tokens for r in results) / wall,
        "tokens/CPU s": sum(r.tokens for r in results) / spent,
        "TTFT ms": median(r.ttft for r in results) * 1000,
        "gap p50 ms": median(gaps) * 1000,
        "gap p99 ms": percentile(gaps, 99) * 1000,
    }


def best_peer(model, streams, context, args):
    """llama-server with the number of threads that it is fastest with here and now."""

    def start(n):
        return llama_server(model, streams, context, n, *args.peer_flags)

    if args.threads:
        return start(args.threads)
    took = {}
    for n in range(1, THREADS + 1):
        server = start(n)
        took[n] = together(streams, lambda i: Stream(server.port, prompt(17 + i, args.words), 12))[0]
        server.stop()
    return start(min(took, key=took.get))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    p.add_argument("--model", help="a GGUF file; the starter model if not given")
    p.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--tokens", type=int, default=48)
    p.add_argument("--words", type=int, default=90, help="words of a prompt, a little over one token each")
    p.add_argument("--threads", type=int, help="threads of both")
    p.add_argument("--our-flags", type=shlex.split, default=[], help="more flags for tug-engine")
    p.add_argument("--peer-flags", type=shlex.split, default=[], help="more flags for llama-server, to find its best")
    args = p.parse_args()
    model = args.model or starter()
    print(f"serving: {pathlib.Path(model).name}, {args.words}-word prompts, {args.tokens} tokens, {args.pairs} pairs")
    mine = ["--threads", args.threads] if args.threads else []
    row("", "tug", "llama-server", "ratio")
    for streams in args.streams:
        context = streams * 1024
        ours = engine(args.build.resolve(), model, "--ctx-size", context, "--no-prefix-cache", *mine, *args.our_flags)
        peer = best_peer(model, streams, context, args)
        pairs = []
        for k in range(args.pairs + 1):  # the first pair warms both up
            order = (ours, peer) if k % 2 else (peer, ours)
            got = {s.name: measure(s, streams, 1000 * k + 1, args) for s in order}
            pairs.append((got["tug-engine"], got["llama-server"]))
        for name in pairs[0][0]:
            a, b = (median(p[i][name] for p in pairs[1:]) for i in (0, 1))
            ratio = median(p[0][name] / max(p[1][name], 1e-9) for p in pairs[1:])
            row(f"{streams} streams, {name}", f"{a:.1f}", f"{b:.1f}", f"{ratio:.2f}")
        ours.stop()
        peer.stop()


main()
