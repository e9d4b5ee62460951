"""Under load: views while blocks come and go, a full disk, memory over thousands of calls."""
import json
import random
import resource
import signal
import socket
import struct
import threading
import time

import pytest

from harness import paths
from harness.daemon import Daemon, dump
from harness.node import populate
from harness.rpc import Rpc, RpcError
from reference import Reference, decode_totals

BLOCKS = 400


@pytest.fixture(scope="module")
def chain(node):
    populate(node, BLOCKS, 60, seed=5)
    return node


def totals_by_block(chain, known=None):
    """{block hash: Totals} of every block of the present chain."""
    reference, found = Reference(), known if known is not None else {}
    for height, block in chain.blocks():
        reference.apply(block, height)
        found[reference.block_hashes[-1][::-1].hex()] = reference.totals()
    return found


class Asker(threading.Thread):
    """Asks for one view again and again, and keeps every different answer."""

    def __init__(self, port, method, *params):
        super().__init__(daemon=True)
        self.rpc, self.method, self.params = Rpc(port), method, params
        self.answers, self.asked, self.errors, self.ended = set(), 0, [], False

    def run(self):
        while not self.ended:
            try:
                self.answers.add(self.rpc.call(self.method, *self.params))
            except RpcError as error:
                if error.code != -32005:  # nothing indexed yet
                    self.errors.append(error)
            self.asked += 1

    def end(self):
        self.ended = True
        self.join(30)


def mine_until(chain, one, enough):
    """Block after block until enough() holds: indexing alone may be over in no time."""
    end = time.monotonic() + 60
    while not enough() and time.monotonic() < end:
        chain.mine()
        one.wait_tip(chain)


def test_a_view_never_sees_part_of_a_block(chain, daemon):
    """Every answer of `totals`, asked all the time while 400 blocks are indexed and 7 reorgs
    are followed, is that of some whole block of some chain."""
    truth = totals_by_block(chain)
    one = daemon("balances", node=chain, zmq=chain.zmq_url).start()
    askers = [Asker(one.port, "metashrew_view", "totals", "", "latest") for _ in range(3)]
    askers.append(Asker(one.port, "metashrew_height"))
    for asker in askers:
        asker.start()
    one.wait_tip(chain)
    dice = random.Random(6)
    for _ in range(7):
        chain.reorg(dice.randrange(1, 12))
        one.wait_tip(chain)
        totals_by_block(chain, truth)
    mine_until(chain, one, lambda: all(len(asker.answers) > 20 for asker in askers))
    totals_by_block(chain, truth)
    for asker in askers:
        asker.end()
        assert not asker.errors
    seen = set().union(*(asker.answers for asker in askers[:3]))
    whole = set(truth.values())
    assert all(decode_totals(bytes.fromhex(answer[2:])) in whole for answer in seen)
    assert len(seen) > 20
    assert one.log().count("reorg") >= 7


def test_previews_while_blocks_come_see_one_state(chain, daemon):
    """A preview on the latest height, in the middle of indexing: totals of a whole block and one
    coinbase more."""
    block = chain.block(BLOCKS)
    extra = Reference()
    extra.apply(block, 1)
    one = daemon("balances", node=chain).start()
    asker = Asker(one.port, "metashrew_preview", block.hex(), "totals", "")
    asker.start()
    one.wait_tip(chain)
    mine_until(chain, one, lambda: len(asker.answers) > 10)
    asker.end()
    whole = {totals.txs + extra.totals().txs for totals in totals_by_block(chain).values()}
    assert not asker.errors and len(asker.answers) > 10
    assert all(decode_totals(bytes.fromhex(answer[2:])).txs in whole for answer in asker.answers)


def limit_files(size):
    """No file of the process may grow beyond `size`: what a full disk looks like."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return limit


@pytest.mark.parametrize("size", [20_000, 60_000, 100_000])
def test_a_disk_that_is_full(chain, daemon, size):
    """It stops and says so; with room again it goes on, and nothing is lost or damaged. Where not
    even a database can be made (RocksDB's own list of its options takes some 60 kB), RocksDB as
    Debian builds it may abort: that loses nothing."""
    one = daemon("minimal", node=chain)
    one.spawn(limit_files(size))
    code = one.wait_exit(60)
    assert code == 1 or (code == -signal.SIGABRT and size < 90_000), (code, one.log())
    assert code != 1 or "File too large" in one.log(), one.log()
    one.start()
    one.wait_tip(chain)
    with Daemon(paths.guest("minimal"), node=chain, exit_at=chain.height()) as fresh:
        fresh.spawn()
        assert fresh.wait_exit() == 0
        assert one.dump() == dump(fresh.db)


def resident(daemon):
    status = open(f"/proc/{daemon.process.pid}/status").read()
    return int(status.split("VmRSS:")[1].split()[0])  # KiB


def test_thousands_of_calls_leave_no_memory_behind(chain, daemon):
    one = daemon("balances", node=chain).start()
    one.wait_tip(chain)
    block = chain.block(BLOCKS).hex()

    def calls(count):
        for number in range(count):
            one.rpc.call("metashrew_view", "totals", "", number % BLOCKS)
            one.rpc.call("metashrew_preview", block, "totals", "", number % BLOCKS)
            one.rpc.ask("metashrew_view", "nothing", "")
            one.rpc.ask("metashrew_preview", "00" * 100, "totals", "")

    calls(300)
    before = resident(one)
    calls(1500)
    assert resident(one) - before < 20_000, (before, resident(one))


def test_a_client_that_leaves_stops_costing(chain, daemon):
    """Calls that wait for a free worker are dropped when their client hangs up."""
    one = daemon("balances", node=chain, view_concurrency=1).start()
    one.wait_tip(chain)
    body = json.dumps([{"jsonrpc": "2.0", "id": n, "method": "metashrew_view",
                        "params": ["totals", "", n % BLOCKS]} for n in range(2000)]).encode()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", one.port)) as sock:
            sock.sendall(head + body)
    start = time.monotonic()
    assert one.view("totals", b"", 1) == struct.pack("<QQQQQ", 1, 50 * 10**8, 2, 1, 0)
    assert time.monotonic() - start < 5
