#!/usr/bin/env python3
"""Tokens per second and time to first token: tug-engine beside llama-server, 1, 4 and 16 streams of unique prompts."""

import argparse
import pathlib

from common import Stream, engine, llama_server, median, percentile, prompt, row, starter, together


def measure(server, streams, seed, args):
    wall, results = together(streams, lambda i: Stream(server.port, prompt(seed + i, args.words), args.tokens))
    gaps = [g for r in results for g in r.gaps] or [0]
    return {
        "tokens/s": sum(r.tokens for r in results) / wall,
        "TTFT ms": median(r.ttft for r in results) * 1000,
        "gap p50 ms": median(gaps) * 1000,
        "gap p99 ms": percentile(gaps, 99) * 1000,
    }


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    p.add_argument("--model", help="a GGUF file; the starter model if not given")
    p.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--tokens", type=int, default=48)
    p.add_argument("--words", type=int, default=90, help="words of a prompt, a little over one token each")
    args = p.parse_args()
    model = args.model or starter()
    print(f"serving: {pathlib.Path(model).name}, {args.words}-word prompts, {args.tokens} tokens, {args.pairs} pairs")
    row("", "tug", "llama-server", "ratio")
    for streams in args.streams:
        context = streams * 1024
        ours, peer = engine(args.build.resolve(), model, "--ctx-size", context), llama_server(model, streams, context)
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
