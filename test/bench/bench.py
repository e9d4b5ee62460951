#!/usr/bin/env python3
"""Runs every benchmark, prints a table and which bars are met (bars.py), writes bench.json:
name -> {"value", "unit"}, and the bars under "bars".

Usage: bench.py BUILD_DIR [PART...]   (as `make bench` does; parts: view, mixed, sync, files,
http, runaways, state, root, proof).
Needs a bitcoind and wrk, as `tools/deps --test` installs them.
"""
import http.client
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "functional")]
BUILD = pathlib.Path(sys.argv[1]).resolve()
os.environ.setdefault("SHREWD_BIN", str(BUILD / "shrewd"))
os.environ.setdefault("SHREWD_GUESTS", str(BUILD / "guest"))
import bars  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.node import AUTH, Node  # noqa: E402
from harness.process import free_port  # noqa: E402

SMALL_BLOCKS = 10_000
FULL_BLOCKS = os.environ.get("SHREWD_BENCH_FULL_BLOCKS", "300")  # 20 for a quick try
STATE_MILLIONS = os.environ.get("SHREWD_BENCH_MILLIONS", "16")  # 1 for a quick try
STARTS = 9
HTTP_ROUNDS, HTTP_SECONDS = 5, 2
RUNAWAY_ROUNDS, RUNAWAY_SECONDS = 9, 1
GUEST = BUILD / "guest"


def add(results, name, value, unit):
    results[name] = {"value": value, "unit": unit}


def run(results, program, *arguments, **env):
    """Adds the "name value unit" lines that a program prints."""
    command = [str(BUILD / "test" / "bench" / program), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, **env})
    for line in done.stdout.splitlines():
        name, value, unit = line.split()
        add(results, name, float(value), unit)


def part_view(results, scratch):
    """In process: the published view on shrewd and on a bare host, taking turns."""
    run(results, "bench_view", GUEST / "benchmark.wasm", scratch / "view", "view.", "")
    run(results, "bench_view", GUEST / "benchmark_nocache.wasm", scratch / "nocache", "view.",
        "nocache_")


def part_mixed(results, scratch):
    run(results, "bench_mixed", GUEST / "mixed.wasm", scratch / "mixed")


def part_sync(results, scratch):
    node = Node().start()
    try:
        for _ in range(SMALL_BLOCKS // 1000):
            node.mine(1000)
        run(results, "bench_sync", node.url, AUTH, GUEST / "minimal.wasm", scratch / "sync",
            SMALL_BLOCKS)
    finally:
        node.close()


def ms_to_serving(db, module, cache):
    """From starting `shrewd run` to its answer to metashrew_height. The node cannot be reached:
    serving needs none. And that answer."""
    port = free_port()
    body = '{"jsonrpc":"2.0","id":1,"method":"metashrew_height","params":[]}'
    daemon = Daemon(module, db, daemon_rpc_url="http://127.0.0.1:1", cache_dir=cache)
    daemon.flags["port"] = port
    try:
        start = time.monotonic()
        daemon.spawn()
        while True:
            assert daemon.process.poll() is None, daemon.log()
            ask = http.client.HTTPConnection("127.0.0.1", port)
            try:
                ask.request("POST", "/", body)
                answer = ask.getresponse().read()
                break
            except ConnectionRefusedError:
                time.sleep(0.001)
            finally:
                ask.close()
        took = time.monotonic() - start
        assert daemon.stop()[0] == 0, daemon.log()
    finally:
        daemon.close()
    return 1000 * took, int(json.loads(answer)["result"])


def part_state(results, scratch):
    """The largest state, and how soon the daemon serves it: the median of some starts, and one
    after a process was killed that had written."""
    module = GUEST / "minimal.wasm"
    db, cache = scratch / "state", scratch / "modules"
    run(results, "bench_state", db, STATE_MILLIONS, SHREWD_BENCH_MODULE=str(module))
    _, height = ms_to_serving(db, module, cache)  # compiles the module, for all
    times = [ms_to_serving(db, module, cache)[0] for _ in range(STARTS)]
    add(results, "state.keys_held", int(STATE_MILLIONS) * 1_000_000, "keys")
    add(results, "startup_serving_ms", statistics.median(times), "ms")
    run(results, "bench_state", db, "dies", SHREWD_BENCH_MODULE=str(module))
    took, later = ms_to_serving(db, module, cache)
    assert later == height + 100, later
    add(results, "startup_serving_after_kill_ms", took, "ms")


def part_root(results, scratch):
    """What the state root costs a key, with 1, 4 and 16 million keys held."""
    run(results, "bench_root", scratch / "root",
        *[millions for millions in (1, 4, 16) if millions <= int(STATE_MILLIONS)])


def part_proof(results, scratch):
    """Proofs of 1 and of 1,000 keys, of a state of a million."""
    run(results, "bench_proof", scratch / "proof")


def part_files(results, scratch):
    """Full blocks in the format of a node's blocks/ folder."""
    subprocess.run([str(BUILD / "test" / "bench" / "make_blocks"), str(scratch / "blocks"),
                    FULL_BLOCKS], stdout=subprocess.DEVNULL, check=True)
    add(results, "sync.full_blocks", int(FULL_BLOCKS), "blocks")
    run(results, "bench_files", scratch / "blocks", GUEST / "minimal.wasm", scratch / "files")
    for root in ("on", "off"):
        run(results, "bench_full", scratch / "blocks", GUEST / "balances.wasm",
            scratch / f"full-{root}", SHREWD_BENCH_ROOT=root)
    run(results, "bench_share", scratch / "blocks", GUEST / "balances.wasm", scratch / "share")


def microseconds(text):
    """wrk's times: 12.34us, 1.2ms, 3s."""
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def wrk(url, body, connections, seconds):
    """Calls a second, p50 and p99 in us: as if calls had come at a steady rate, so that a stall
    counts for every call that would have been made in it."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\n")
        script.flush()
        out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                              "-s", script.name, url], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    per_s = float(re.search(r"Requests/sec: *([0-9.]+)", out).group(1))
    p50, p99 = (microseconds(re.search(rf"{p}% *([0-9.]+\w+)", out).group(1)) for p in (50, 99))
    return per_s, p50, p99


class Floor:
    """bench_floor: a server that answers as many bytes as one of ours, after `work_ns`."""

    def __init__(self, answer, work_ns=0):
        program = BUILD / "test" / "bench" / "bench_floor"
        self.process = subprocess.Popen([program, str(len(answer)), str(int(work_ns))],
                                        stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def close(self):
        self.process.kill()
        self.process.wait()


def add_http(results, name, measured):
    """The median of each column, of rounds of wrk."""
    per_s, p50, p99 = (statistics.median(column) for column in zip(*measured))
    add(results, name + "_per_s", per_s, "calls/s")
    add(results, name + "_p50_us", p50, "us")
    add(results, name + "_p99_us", p99, "us")
    add(results, name + "_p99_to_p50_ratio", p99 / p50, "x")


def part_http(results, scratch):
    """A view that reads one key, over HTTP, while the load generator shares the two cores; in turn
    with a server that does nothing for as long as ours works: its ratio of p99 to p50 is what the
    generator and the machine make of any server at that rate."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "metashrew_view",
                       "params": ["blocktracker", "0x", "latest"]})
    node = Node().start()
    daemon = Daemon(GUEST / "minimal.wasm", scratch / "http", node, poll_ms=None).start()
    floor = None
    try:
        daemon.wait_height(0)
        with urllib.request.urlopen(daemon.url, body.encode()) as reply:
            answer = reply.read()
        floor = Floor(answer)
        idle_s = 1 / wrk(floor.url, body, 16, HTTP_SECONDS)[0]
        ours_s = 1 / wrk(daemon.url, body, 16, HTTP_SECONDS)[0]
        floor.close()
        floor = Floor(answer, max(ours_s - idle_s, 0) * 1e9)
        one, many, nothing = [], [], []
        for _ in range(HTTP_ROUNDS):
            one.append(wrk(daemon.url, body, 1, HTTP_SECONDS))
            many.append(wrk(daemon.url, body, 16, HTTP_SECONDS))
            nothing.append(wrk(floor.url, body, 16, HTTP_SECONDS))
        add_http(results, "http.onekey_1", one)
        add_http(results, "http.onekey_16", many)
        add_http(results, "http.floor_16", nothing)
        add(results, "http.onekey_per_s", results["http.onekey_16_per_s"]["value"], "calls/s")
    finally:
        if floor is not None:
            floor.close()
        daemon.close()
        node.close()


RUNAWAYS = ("loops", "counts", "reads", "logs", "allocates_on", "allocates", "recurses",
            "points_past")


def send_runaways(port, count):
    """Calls views that never end, each on a connection of its own, and waits for none of them."""
    socks = []
    for i in range(count):
        body = json.dumps({"jsonrpc": "2.0", "id": i, "method": "metashrew_view",
                           "params": [RUNAWAYS[i % len(RUNAWAYS)], "", "latest"]}).encode()
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                     % (len(body), body))
        socks.append(sock)
    return socks


def part_runaways(results, scratch):
    """A good view's latency over HTTP, alone and beside 1000 calls of views that never end: rounds
    of both in turn, and the median of each."""
    module = HERE.parent / "functional" / "modules" / "runaway.wat"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "metashrew_view",
                       "params": ["good", "0x", "latest"]})
    alone, beside = [], []
    node = Node().start()
    daemon = Daemon(module, scratch / "runaways", node, view_timeout_ms=400,
                    view_instance_mb=32).start()
    try:
        daemon.wait_height(0)
        for _ in range(RUNAWAY_ROUNDS):
            alone.append(wrk(daemon.url, body, 1, RUNAWAY_SECONDS)[2])
            socks = send_runaways(daemon.port, 1000)
            time.sleep(0.5)  # all have come in: some run, the others wait
            beside.append(wrk(daemon.url, body, 1, RUNAWAY_SECONDS)[2])
            for sock in socks:
                sock.close()  # which ends the call
            time.sleep(0.5)
    finally:
        daemon.close()
        node.close()
    idle, busy = statistics.median(alone), statistics.median(beside)
    add(results, "view.p99_without_runaways_us", idle, "us")
    add(results, "view.p99_beside_runaways_us", busy, "us")
    add(results, "view.p99_beside_runaways_ratio", busy / idle, "x")


def processor_ticks():
    """Of all processors since the start: (stolen by the host of this machine, busy and stolen)."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return ticks[7], sum(ticks[:8]) - ticks[3] - ticks[4]


def main():
    parts = {"view": part_view, "mixed": part_mixed, "sync": part_sync,
             "files": part_files, "http": part_http, "runaways": part_runaways,
             "state": part_state, "root": part_root, "proof": part_proof}
    results = {}
    before = processor_ticks()
    for name in sys.argv[2:] or parts:
        with tempfile.TemporaryDirectory(prefix="shrewd-bench-") as scratch:
            parts[name](results, pathlib.Path(scratch))
    stolen, busy = (now - then for now, then in zip(processor_ticks(), before))
    add(results, "machine.stolen_share", stolen / max(busy, 1), "of the time it was busy")
    width = max(len(name) for name in results)
    for name, result in results.items():
        print(f"{name:<{width}}  {result['value']:>12,.2f} {result['unit']}")
    judged = bars.judge(results)
    print()
    bars.show(judged)
    whole = {**results, "bars": judged}
    (BUILD / "bench.json").write_text(json.dumps(whole, indent=1) + "\n")
    print(f"written to {BUILD / 'bench.json'}")


if __name__ == "__main__":
    main()
