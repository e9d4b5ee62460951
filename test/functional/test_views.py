"""Views: runaways are stopped, good ones go on beside them; warm, kept and verified answers; clients
that hang up; the queue; previews; `shrewd bench`."""
import json
import pathlib
import socket
import struct
import threading
import time
import urllib.request

import pytest

from harness import paths
from harness.daemon import Daemon, shrewd, view
from harness.process import wait_for
from harness.rpc import Rpc, RpcError

HERE = pathlib.Path(__file__).parent
RUNAWAY = HERE / "modules" / "runaway.wat"
SPIN = HERE / "modules" / "spin.wat"
VERSIONS = HERE.parent / "unit" / "versions.wat"
LIMIT_MS = 200

# Each runaway: the code of its error, and what the message says.
TIMED_OUT = (-32008, f"{LIMIT_MS} ms, the limit (--view-timeout-ms)")
RUNAWAYS = {
    "loops": TIMED_OUT,
    "counts": TIMED_OUT,
    "reads": TIMED_OUT,
    "logs": TIMED_OUT,
    "allocates_on": TIMED_OUT,
    "allocates": (-32000, "--view-instance-mb allows 32"),
    "recurses": (-32000, "stack"),
    "points_past": (-32000, "past the end of the memory"),
}


@pytest.fixture(scope="module")
def chain(node):
    node.mine(8)
    return node


@pytest.fixture(scope="module")
def runaway(chain):
    with Daemon(RUNAWAY, node=chain, view_timeout_ms=LIMIT_MS, view_instance_mb=32) as daemon:
        daemon.start().wait_tip(chain)
        yield daemon


def metric(daemon, name):
    with urllib.request.urlopen(daemon.url + "/metrics") as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


def send(port, method, *params, ident=1):
    """Sends a call on a connection of its own, and does not wait."""
    body = json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}).encode()
    sock = socket.create_connection(("127.0.0.1", port), timeout=120)
    sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                 % (len(body), body))
    return sock


def receive(sock):
    with sock, sock.makefile("rb") as stream:
        head, body = stream.read().split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200"), head
    return json.loads(body)


def good_times(port, count, height):
    """Seconds that each of `count` calls of the good view took, sorted."""
    rpc, times = Rpc(port), []
    for _ in range(count):
        start = time.perf_counter()
        assert rpc.call("metashrew_view", "good", "") == "0x" + struct.pack("<I", height).hex()
        times.append(time.perf_counter() - start)
    rpc.close()
    return sorted(times)


# -- runaways

@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_runaway_view_gets_its_own_error(runaway, name):
    code, text = RUNAWAYS[name]
    start = time.monotonic()
    with pytest.raises(RpcError) as caught:
        runaway.rpc.call("metashrew_view", name, "")
    took = time.monotonic() - start
    assert caught.value.code == code and text in caught.value.message
    assert took < LIMIT_MS / 1000 + 5
    assert runaway.rpc.call("metashrew_view", "good", "0x") == "0x08000000"


def test_a_thousand_runaways_and_a_good_view_beside_them(runaway, chain):
    names = list(RUNAWAYS)
    idle = good_times(runaway.port, 500, chain.height())
    socks = [send(runaway.port, "metashrew_view", names[i % len(names)], "", ident=i)
             for i in range(1000)]
    beside = good_times(runaway.port, 500, chain.height())
    for i, sock in enumerate(socks):
        code, text = RUNAWAYS[names[i % len(names)]]
        answer = receive(sock)
        assert answer["id"] == i
        error = answer["error"]
        # Sixteen of a kind at once on few processors: the time may be up before the memory is.
        assert error["code"] == code and text in error["message"] or error["code"] == -32008
    p99 = [times[len(times) * 99 // 100] * 1000 for times in (idle, beside)]
    print(f"good view, p99: idle {p99[0]:.2f} ms, beside runaways {p99[1]:.2f} ms")
    assert p99[1] < 1000  # other tests share this machine: doc/views.md has the measured figure
    wait_for("no worker is busy", lambda: metric(runaway, "shrewd_view_workers_busy") == 0)


def test_what_one_call_logs_is_bounded(chain, daemon):
    one = daemon(RUNAWAY, node=chain, view_timeout_ms=LIMIT_MS, view_log_lines=7).start()
    one.wait_tip(chain)
    with pytest.raises(RpcError):
        one.rpc.call("metashrew_view", "logs", "")
    assert one.log().count("and more") == 7


def test_an_answer_over_the_limit(chain, daemon):
    one = daemon(VERSIONS, node=chain, view_result_mb=1).start()
    one.wait_tip(chain)
    assert len(one.view("large", struct.pack("<I", 1 << 20))) == 1 << 20
    with pytest.raises(RpcError) as caught:
        one.view("large", struct.pack("<I", (1 << 20) + 1))
    assert caught.value.code == -32006 and "--view-result-mb" in caught.value.message


# -- clients and the queue

def test_a_client_that_hangs_up_ends_its_call(chain, daemon):
    one = daemon(RUNAWAY, node=chain, view_timeout_ms=120000, view_concurrency=4).start()
    one.wait_tip(chain)
    one.view("good")
    socks = [send(one.port, "metashrew_view", name, "") for name in ("loops", "reads", "logs")]
    wait_for("three run", lambda: metric(one, "shrewd_view_workers_busy") == 3)
    waiting = [send(one.port, "metashrew_view", "counts", "") for _ in range(5)]
    wait_for("five wait", lambda: metric(one, "shrewd_view_queue") == 5)
    for sock in waiting:
        sock.close()
    wait_for("nothing waits", lambda: metric(one, "shrewd_view_queue") == 0, 10)
    wait_for("five are counted", lambda: metric(one, "shrewd_rpc_abandoned_total") == 5, 10)
    assert one.view("good") == struct.pack("<I", chain.height())
    for sock in socks:
        sock.close()
    wait_for("nothing runs", lambda: metric(one, "shrewd_view_workers_busy") == 0, 10)
    assert metric(one, 'shrewd_view_failures_total{why="cancelled"}') == 3


def test_a_full_queue_refuses_at_once(chain, daemon):
    one = daemon(RUNAWAY, node=chain, view_timeout_ms=120000, view_concurrency=1,
                 view_queue=2).start()
    one.wait_tip(chain)
    socks = []
    for busy, queue in ((1, 0), (1, 1), (1, 2)):
        socks.append(send(one.port, "metashrew_view", "loops", ""))
        wait_for("it waits", lambda: metric(one, "shrewd_view_workers_busy") == busy
                 and metric(one, "shrewd_view_queue") == queue)
    start = time.monotonic()
    with pytest.raises(RpcError) as caught:
        one.rpc.call("metashrew_view", "good", "")
    assert caught.value.code == -32001 and "--view-queue" in caught.value.message
    assert time.monotonic() - start < 5
    assert one.height() == chain.height()  # what runs no module is answered
    for sock in socks:
        sock.close()
    wait_for("room again", lambda: metric(one, "shrewd_view_workers_busy") == 0, 10)
    assert one.view("good") == struct.pack("<I", chain.height())


def test_a_runaway_does_not_hold_up_the_end(chain, daemon):
    one = daemon(RUNAWAY, node=chain, view_timeout_ms=120000).start()
    one.wait_tip(chain)
    sock = send(one.port, "metashrew_view", "loops", "")
    wait_for("it runs", lambda: metric(one, "shrewd_view_workers_busy") == 1)
    code, took = one.stop()
    assert code == 0 and took < 5
    assert receive(sock)["error"]["code"] == -32001


# -- stateful, fresh, kept, verified

def counter(daemon, ident=0):
    return struct.unpack("<I", daemon.view("counter", struct.pack("<I", ident)))[0]


def test_stateful_answers_come_from_warm_instances(chain, daemon):
    one = daemon(VERSIONS, node=chain).start()
    one.wait_tip(chain)
    assert [counter(one) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert metric(one, 'shrewd_view_answers_total{by="warm"}') == 4
    assert metric(one, "shrewd_view_instances_idle") == 1
    chain.mine_new()
    one.wait_tip(chain)
    assert counter(one) == 1, "the next block's instances are its own"


def test_fresh_answers_are_kept_until_the_next_block(chain, daemon):
    one = daemon(VERSIONS, node=chain, views="fresh").start()
    one.wait_tip(chain)
    assert [counter(one) for _ in range(5)] == [1] * 5
    assert metric(one, 'shrewd_view_answers_total{by="cache"}') == 4
    before = one.view("version")
    assert one.view("version", height=chain.height()) == before
    chain.mine_new()
    one.wait_tip(chain)
    after = one.view("version")
    assert after != before and one.view("version", height=chain.height() - 1) == before
    chain.reorg(1)
    one.wait_tip(chain)
    assert one.view("version", height=chain.height() - 1) != after
    assert metric(one, 'shrewd_view_answers_total{by="fresh"}') < 10


def test_nothing_is_kept_with_a_cache_of_zero(chain, daemon):
    one = daemon(VERSIONS, node=chain, views="fresh", view_cache_mb=0).start()
    one.wait_tip(chain)
    assert [counter(one) for _ in range(5)] == [1] * 5
    assert metric(one, 'shrewd_view_answers_total{by="fresh"}') == 5


def test_a_view_that_remembers_is_found_out(chain, daemon):
    one = daemon(VERSIONS, node=chain, view_verify=1).start()
    one.wait_tip(chain)
    for i in range(20):
        assert one.view("doubled", struct.pack("<I", i)) == struct.pack("<I", 2 * i)
    wait_for("verified", lambda: metric(one, "shrewd_view_verified_total") == 19)
    assert metric(one, "shrewd_view_differed_total") == 0
    assert [counter(one, 7), counter(one, 7)] == [1, 2]
    one.wait_log("view 'counter' at")
    assert "with input 0x07000000" in one.log()
    wait_for("counted", lambda: metric(one, "shrewd_view_differed_total") == 1)
    assert [counter(one) for _ in range(5)] == [1] * 5


def test_both_modes_answer_the_same_at_every_height(chain, daemon):
    chain.mine(3)
    answers = []
    for mode in ("stateful", "fresh"):
        one = daemon("minimal", node=chain, views=mode).start()
        one.wait_tip(chain)
        answers.append([one.view("getblock", struct.pack("<I", height), at)
                        for at in (chain.height(), "latest") for height in range(chain.height())
                        for _ in range(2)])
    assert answers[0] == answers[1]


# -- previews

def test_a_preview_is_what_indexing_the_block_gives(chain, daemon):
    chain.mine_new(2)
    tip = chain.height()
    one = daemon("balances", node=chain, exit_at=tip - 1)
    assert one.spawn().wait_exit() == 0
    flags = ["--db-path", one.db, "--indexer", one.module]
    block = chain.block(tip)
    done = shrewd("preview", block.hex(), "totals", *flags, check=0)
    previewed = bytes.fromhex(done.stdout.strip().removeprefix("0x"))
    before = view(one.db, one.module, "totals")
    one.flags["exit_at"] = tip
    assert one.spawn().wait_exit() == 0
    assert view(one.db, one.module, "totals") == previewed != before


def test_previews_at_once_do_not_see_each_other(runaway, chain):
    blocks = {height: chain.block(height) for height in range(1, chain.height() + 1)}
    wrong = []

    def ask(height):
        rpc = Rpc(runaway.port)
        for _ in range(10):
            answer = rpc.call("metashrew_preview", blocks[height].hex(), "good", "", height - 1)
            if answer != "0x" + struct.pack("<I", height).hex():
                wrong.append((height, answer))
        rpc.close()

    runaway.wait_tip(chain)
    threads = [threading.Thread(target=ask, args=(height,)) for height in list(blocks)[:8]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_preview_that_never_ends_is_stopped(chain, daemon):
    one = daemon(SPIN, node=chain, exit_at=4)
    assert one.spawn().wait_exit() == 0
    done = shrewd("preview", chain.block(5).hex(), "empty", "--db-path", one.db, "--indexer", SPIN,
                  "--preview-timeout-ms", 300, check=1, timeout=30)
    assert "--preview-timeout-ms" in done.stderr and "300 ms" in done.stderr


# -- shrewd bench

FIGURES = {"total_ms", "average_us", "calls_per_s", "p50_us", "p99_us", "single_us", "guest_us",
           "host_us", "host_calls"}


def test_bench_prints_the_published_table():
    module = paths.guest("benchmark")
    done = shrewd("bench", module, "--view", "benchmark_view", "--calls", 50, check=0)
    for row in ("fresh", "stateful", "all calls", "average", "calls/s", "p50", "a single call",
                "host functions"):
        assert row in done.stdout
    done = shrewd("bench", module, "--view", "benchmark_view", "--calls", 40, "--clients", 3,
                  "--json", check=0)
    table = json.loads(done.stdout)
    assert table["calls"] == 40 and table["clients"] == 3 and table["answer_bytes"] == 1000
    assert table["same_answers"] is True and table["height"] == 0
    for mode in ("fresh", "stateful"):
        assert set(table[mode]) == FIGURES
        assert 0 < table[mode]["p50_us"] <= table[mode]["p99_us"]
    assert table["fresh"]["host_calls"] > 1000


def test_bench_on_a_database_at_a_height(chain, daemon):
    one = daemon("minimal", node=chain, exit_at=6)
    assert one.spawn().wait_exit() == 0
    done = shrewd("bench", one.module, "--view", "getblock", "--input", "03000000", "--calls", 20,
                  "--db-path", one.db, "--height", 4, "--json", check=0)
    table = json.loads(done.stdout)
    assert table["height"] == 4 and table["answer_bytes"] == len(chain.block(3))


@pytest.mark.parametrize("flags, status, text", [
    ([], 2, "--view NAME"),
    (["--view", "nosuch"], 5, "benchmark_view"),
    (["--view", "benchmark_view", "--input", "0"], 2, "odd number"),
    (["--view", "benchmark_view", "--calls", "0"], 2, "--calls"),
    (["--view", "benchmark_view", "--db-path", "/nosuch"], 3, "/nosuch"),
])
def test_bench_says_what_is_wrong(flags, status, text):
    done = shrewd("bench", paths.guest("benchmark"), *flags, check=status)
    assert text in done.stderr


def test_bench_says_that_a_view_remembers():
    done = shrewd("bench", VERSIONS, "--view", "counter", "--calls", 5, check=0)
    assert "changes its answers" in done.stderr
