#!/usr/bin/env python3
"""A day's worth of view calls in minutes: wrk on stateful views while blocks arrive and reorgs
happen. Prints the daemon's memory every minute; it should be flat.

Usage: soak.py BUILD_DIR [MINUTES]   (10 unless given)
With a build of the presets asan or tsan, it fails when the sanitizer found anything.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "functional"))
BUILD = pathlib.Path(sys.argv[1]).resolve()
MINUTES = int(sys.argv[2]) if len(sys.argv) > 2 else 10
os.environ.setdefault("SHREWD_BIN", str(BUILD / "shrewd"))
os.environ.setdefault("SHREWD_GUESTS", str(BUILD / "guest"))
os.environ.setdefault("TSAN_OPTIONS", f"suppressions={HERE.parent / 'tsan.supp'}")
from harness.daemon import Daemon  # noqa: E402
from harness.node import Node  # noqa: E402

BLOCK_EVERY_S = 2
CONNECTIONS = 16
CALL = {"jsonrpc": "2.0", "id": 1, "method": "metashrew_view",
        "params": ["benchmark_view", "0x", "latest"]}


def rss_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def soak(node, daemon, script):
    end = time.monotonic() + MINUTES * 60
    wrk = subprocess.Popen(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{MINUTES * 60}s", "--latency",
                            "-s", script, daemon.url], stdout=subprocess.PIPE, text=True)
    minute, blocks = 0, 0
    while time.monotonic() < end:
        time.sleep(BLOCK_EVERY_S)
        blocks += 1
        if blocks % 10 == 0:
            node.reorg(2)
        else:
            node.mine()
        if time.monotonic() > end - (MINUTES - minute - 1) * 60:
            minute += 1
            print(f"minute {minute}: {rss_mib(daemon.process.pid):.1f} MiB resident, height "
                  f"{daemon.height()}", flush=True)
    print(wrk.communicate()[0])
    # What a sanitizer found is in the code and the log of a process that ended by itself.
    code, seconds = daemon.stop()
    print(f"stopped in {seconds:.1f} s")
    if code != 0 or "Sanitizer" in daemon.log():
        sys.exit(f"the daemon ended {code}:\n{daemon.log()[-4000:]}")


def main():
    node = Node().start()
    node.mine(10)
    daemon = Daemon(BUILD / "guest" / "benchmark.wasm", None, node).start()
    try:
        daemon.wait_height(10)
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(f"wrk.method = 'POST'\nwrk.body = [==[{json.dumps(CALL)}]==]\n")
            script.flush()
            soak(node, daemon, script.name)
    finally:
        daemon.close()
        node.close()


if __name__ == "__main__":
    main()
