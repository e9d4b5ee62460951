#!/usr/bin/env python3
"""A day's worth of view calls in minutes: wrk on stateful views while blocks arrive and reorgs
happen. Prints the daemon's memory every minute, and fails when it grows from the second on, when a
call is not answered, or, with a build of the presets asan or tsan, when the sanitizer found anything.

Usage: soak.py BUILD_DIR [MINUTES]   (10 unless given; memory is judged from 3 on)
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

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
SETTLED = 2  # minutes, after which memory grows by less than the larger of these two
GROWTH, GROWTH_MIB = 1.25, 64
CALL = {"jsonrpc": "2.0", "id": 1, "method": "metashrew_view",
        "params": ["benchmark_view", "0x", "latest"]}


def rss_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def grown(minutes):
    """What is wrong with the memory, in MiB after each minute; None when it is flat."""
    program = pathlib.Path(os.environ["SHREWD_BIN"]).read_bytes()
    if len(minutes) <= SETTLED or b"__asan_init" in program or b"__tsan_init" in program:
        return None  # sanitizers keep what was freed
    settled, end = minutes[SETTLED - 1], minutes[-1]
    limit = max(settled * GROWTH, settled + GROWTH_MIB)
    return f"{end:.1f} MiB at the end, {settled:.1f} after minute {SETTLED}: expected at most " \
           f"{limit:.1f}" if end > limit else None


def unanswered(text, metrics):
    """What wrk and the daemon's metrics say of calls that failed; None when there were none. What
    wrk breaks off at its own end counts for neither."""
    found = re.search(r"(Non-2xx or 3xx responses|Socket errors).*", text)
    errors = re.findall(r'^shrewd_rpc_errors_total\{method="metashrew_view"\} (\d+)', metrics, re.M)
    assert len(errors) == 1, metrics
    if found or errors[0] != "0":
        return f"{found[0] if found else 'wrk saw no failure'}; views with an error: {errors[0]}"
    return None


def soak(node, daemon, script):
    end = time.monotonic() + MINUTES * 60
    wrk = subprocess.Popen(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{MINUTES * 60}s", "--latency",
                            "--timeout", "10s", "-s", script, daemon.url],
                           stdout=subprocess.PIPE, text=True)
    minutes, blocks = [], 0
    while time.monotonic() < end:
        time.sleep(BLOCK_EVERY_S)
        blocks += 1
        if blocks % 10 == 0:
            node.reorg(2)
        else:
            node.mine()
        if time.monotonic() > end - (MINUTES - len(minutes) - 1) * 60:
            minutes.append(rss_mib(daemon.process.pid))
            print(f"minute {len(minutes)}: {minutes[-1]:.1f} MiB resident, height "
                  f"{daemon.height()}", flush=True)
    said = wrk.communicate()[0]
    print(said)
    with urllib.request.urlopen(daemon.url + "/metrics") as page:
        metrics = page.read().decode()
    # What a sanitizer found is in the code and the log of a process that ended by itself.
    code, seconds = daemon.stop()
    print(f"stopped in {seconds:.1f} s")
    if code != 0 or "Sanitizer" in daemon.log():
        sys.exit(f"the daemon ended {code}:\n{daemon.log()[-4000:]}")
    for wrong in (unanswered(said, metrics), grown(minutes)):
        if wrong:
            sys.exit(f"FAILED: {wrong}")


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
