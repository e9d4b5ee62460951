#!/usr/bin/env python3
"""Runs every benchmark, prints a table, writes bench.json: name -> {"value", "unit"}.

Usage: bench.py BUILD_DIR   (as `make bench` does). Needs a bitcoind, as the tests do.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "functional"))
from harness.node import AUTH, Node  # noqa: E402

SMALL_BLOCKS = 1000


def run(results, *command):
    """Adds the "name value unit" lines that a program prints."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        name, value, unit = line.split()
        results[name] = {"value": float(value), "unit": unit}


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    results = {}
    with tempfile.TemporaryDirectory(prefix="shrewd-bench-") as scratch:
        scratch = pathlib.Path(scratch)
        guest = build / "guest"
        run(results, build / "test/bench/bench_view", guest / "benchmark.wasm", scratch / "view")
        node = Node().start()
        try:
            node.mine(SMALL_BLOCKS)
            run(results, build / "test/bench/bench_sync", node.url, AUTH,
                guest / "minimal.wasm", scratch / "sync", SMALL_BLOCKS)
        finally:
            node.close()
    width = max(len(name) for name in results)
    for name, result in results.items():
        print(f"{name:<{width}}  {result['value']:>12,.1f} {result['unit']}")
    (build / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {build / 'bench.json'}")


if __name__ == "__main__":
    main()
