#!/usr/bin/env python3
"""Traces of vLLM's own KV cache manager, block pool, hash utilities and event encoding.

How to make them again (CPython 3.11; any platform, no GPU; each release in a process of its own):

  python3 -m venv venv && venv/bin/pip install msgspec cbor2 xxhash typing_extensions
  venv/bin/pip download --no-deps --only-binary :all: vllm==0.33.0     # and the other releases of RELEASES
  unzip -q vllm-0.33.0-*.whl 'vllm/*.py' -d wheels/0.33.0
  venv/bin/python generate.py wheels                                   # or: generate.py wheels 0.33.0

`wheels` holds one directory per release. Output: <release>-<trace>.jsonl.gz beside this file; format in traffic.py.
Seeded throughout: os.urandom, where a release draws a random NONE_HASH, is replaced.
"""
import gzip
import hashlib
import importlib.metadata
import json
import os
import platform
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# One release of each wire layout, and of each change of hashing or eviction order.
RELEASES = ("0.11.2", "0.17.1", "0.20.2", "0.23.0", "0.24.0", "0.30.0", "0.31.0", "0.33.0")

# Name by name, with the integer id and the path that the engine loads it from.
LORAS = {"sql-lora": (1, "/adapters/sql"), "chat-lora": (2, "/adapters/chat")}

TRACES = {
    "plain": {
        "algorithm": "sha256_cbor", "pythonHashSeed": "0",
        "numBlocks": 64, "requests": 240, "kinds": [], "seed": 11,
    },
    # An environment without PYTHONHASHSEED: a random NONE_HASH before v0.29, a fixed one from there on.
    "turns": {
        "algorithm": "sha256", "pythonHashSeed": None,
        "numBlocks": 112, "requests": 240, "kinds": ["turns", "reset"], "seed": 12,
    },
    "keys": {
        "algorithm": "xxhash_cbor", "pythonHashSeed": "42",
        "numBlocks": 112, "requests": 240, "kinds": ["turns", "lora", "salt", "image", "reset"], "seed": 13,
    },
    "drafting": {
        "algorithm": "sha256_cbor", "pythonHashSeed": "0",
        "numBlocks": 96, "requests": 160, "kinds": ["turns"], "seed": 14, "drafting": True,
    },
}  # fmt: skip
# Releases whose `keys` trace is hashed over pickle: the first has no xxhash, the last tags its keys.
PICKLED_KEYS = ("0.11.2", "0.33.0")
# Releases with a `keys` trace alone: the first that tags.
KEYS_ALONE = ("0.31.0",)
# Releases whose `plain` trace has whole digests on the wire (VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES=0).
WHOLE_DIGESTS = ("0.23.0", "0.33.0")
# Releases with a `drafting` trace: the last with one block dropped in either wire form, and the first without.
DRAFTING = ("0.23.0", "0.30.0", "0.33.0")
BLOCK_SIZE = 16


def write(release, name, trace):
    from engine import Engine
    from traffic import Traffic

    int_hashes = not (name == "plain" and release in WHOLE_DIGESTS)
    trace = {"drafting": False, **trace, "intHashes": int_hashes}
    if name == "keys" and release in PICKLED_KEYS:
        trace["algorithm"] = "sha256"
    engine = Engine(
        trace["algorithm"], trace["pythonHashSeed"], BLOCK_SIZE, trace["numBlocks"], int_hashes, trace["drafting"]
    )
    traffic = Traffic(engine, random.Random(f"{release} {name} {trace['seed']}"), trace["kinds"], LORAS)
    lines = list(traffic.run(trace.pop("requests")))
    header = {
        "vllm": release,
        **trace,
        "noneHash": engine.none_hash.hex(),
        "blockSize": BLOCK_SIZE,
        "loras": {name: {"id": id, "path": path} for name, (id, path) in LORAS.items()},
        "madeWith": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in ("msgspec", "cbor2", "xxhash")},
        },
    }
    path = os.path.join(HERE, f"{release}-{name}.jsonl.gz")
    # No time and no name in the gzip header, so that the same traffic gives the same file.
    with open(path, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=9) as file:
        for line in [header, *lines]:
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    done = [op for line in lines for op in line.get("do", ())]
    count = {kind: sum(op[0] == kind for op in done) for kind in ("start", "preempt", "finish", "reset")}
    print(f"{os.path.basename(path)}: {os.path.getsize(path)} bytes, {len(lines)} steps, {traffic.hits} tokens hit, {count}")


def main():
    wheels, *releases = sys.argv[1:]
    if len(releases) != 1:
        for release in releases or RELEASES:
            subprocess.run([sys.executable, __file__, wheels, release], check=True)
        return
    [release] = releases
    sys.path.insert(0, HERE)
    import vllm_modules

    os.urandom = lambda count: hashlib.shake_256(b"not random").digest(count)
    vllm_modules.load(os.path.join(wheels, release))
    for name, trace in TRACES.items():
        if name == "drafting" and release not in DRAFTING:
            continue
        if name == "keys" or release not in KEYS_ALONE:
            write(release, name, trace)


if __name__ == "__main__":
    main()
