"""The table of reorgs on a real node: how deep, when, how often; each ends with the state of a fresh
index of the final chain, byte for byte, while views at every height answer of one version each."""
import http.client
import re
import struct
import threading
import time

import pytest

from harness import torture
from harness.blocks import block_hash
from harness.daemon import Daemon, dump, shrewd
from harness.node import AUTH
from harness.process import wait_for
from harness.proxy import Proxy
from harness.rpc import Rpc, RpcError
from harness.torture import check, status

pytestmark = pytest.mark.torture

START = 230  # blocks before the first test; deep enough for all of them
DEPTHS = [1, 2, 6, 99, 100]
FEW = DEPTHS if torture.LONG else [1, 100]


@pytest.fixture(scope="module")
def chain(node):
    node.mine(START)
    node.known = {}  # header -> height, of every block there ever was
    return node


@pytest.fixture(scope="module")
def module():
    return torture.module("reorgs", keys=40, space=400)


def learn(chain):
    """Notes the blocks of the node's present chain."""
    first = chain.rpc.getblockhash(0)
    _, _, headers = chain.rpc.http(b"", "GET", f"/rest/headers/2000/{first}.bin")
    assert len(headers) == 80 * (chain.height() + 1)
    for height in range(len(headers) // 80):
        chain.known[headers[80 * height:80 * height + 80]] = height


def fresh_dump(chain, module, until=None):
    with Daemon(module, node=chain, exit_at=chain.height() if until is None else until,
                **torture.flags()) as fresh:
        fresh.spawn()
        assert fresh.wait_exit() == 0, fresh.log()
        return fresh.dump()


class Viewer:
    """Calls views while the chain changes: at the tip, at a height that never goes, and at those
    that come and go. Whatever is answered is of one version, and of a block there was."""

    def __init__(self, daemon, chain, ends=False):
        self.daemon, self.chain = daemon, chain
        self.ends = ends  # the daemon will, which is no failure of the views
        self.answers, self.refused = [], 0
        self.failed = None
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(heights,), daemon=True)
                        for heights in (["latest"], [100, "latest", 180, 215])]

    def _run(self, heights):
        rpc = Rpc(self.daemon.port)
        try:
            while not self.done.is_set():
                for height in heights:
                    self._ask(rpc, height)
        except (OSError, http.client.HTTPException) as error:
            self.failed = None if self.ends else error
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error
        finally:
            rpc.close()

    def _ask(self, rpc, height):
        try:
            answer = bytes.fromhex(rpc.call("metashrew_view", "version", "0x", height)[2:])
        except RpcError as error:
            assert error.code in (-32002, -32005), error  # above the tip, or none yet
            self.refused += 1
            return
        asked, = struct.unpack_from("<I", answer)
        first, now = answer[4:88], answer[88:172]
        assert first == now, f"two versions in one answer, at {height}"
        at, = struct.unpack_from("<I", now)
        assert at == asked and height in ("latest", at), f"asked at {height}, is of {at}"
        self.answers.append((at, now[4:]))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failed):
        self.done.set()
        for thread in self.threads:
            thread.join(30)
        if failed[0] is None:
            self.verify()

    def verify(self):
        assert self.failed is None, self.failed
        assert len(self.answers) > (0 if self.ends else 5), self.refused
        for at, header in set(self.answers):
            assert self.chain.known.get(header) == at, (
                f"a block of height {at} that there never was: {block_hash(header)[::-1].hex()}")


def finish(daemon, chain, module):
    daemon.wait_tip(chain)
    assert daemon.dump() == fresh_dump(chain, module)
    assert daemon.process.poll() is None


def grow_on(daemon, chain):
    """Leaves the branches of tests before behind, so that no `reconsiderblock` finds them."""
    chain.mine_new(35)
    learn(chain)
    daemon.wait_tip(chain)


@pytest.fixture
def following(chain, module):
    """A daemon at the tip that hears of new blocks at once."""
    with Daemon(module, node=chain, zmq=chain.zmq_url, **torture.flags()) as daemon:
        daemon.start().wait_tip(chain)
        learn(chain)
        yield daemon
        if daemon.process.poll() is None:
            assert daemon.stop()[0] == 0, daemon.log()
        check(daemon.db)


@pytest.mark.parametrize("depth", DEPTHS)
def test_at_the_tip(following, chain, module, depth):
    with Viewer(following, chain):
        chain.reorg(depth)
        learn(chain)
        finish(following, chain, module)


@pytest.mark.parametrize("depth", FEW)
def test_while_stopped(following, chain, module, depth):
    assert following.stop()[0] == 0
    chain.reorg(depth)
    learn(chain)
    following.start()
    with Viewer(following, chain):
        finish(following, chain, module)


class Gate:
    """Lets a node hand out blocks up to a height only: requests for those above wait."""

    def __init__(self, chain):
        self.chain = chain
        self.limit = -1
        self.heights = {}
        self.over = threading.Event()

    def hold(self, path, body):
        """Proxy's `spoil`: spoils nothing."""
        if path.startswith("/rest/block/") or b'"getblock"' in body:
            asked = re.findall("[0-9a-f]{64}", path + body.decode())
            while not all(map(self._passes, asked)) and not self.over.wait(0.02):
                pass

    def _passes(self, shown):
        if shown not in self.heights:
            self.heights = {block_hash(header)[::-1].hex(): height
                            for header, height in list(self.chain.known.items())}
        return self.heights.get(shown, self.limit + 1) <= self.limit


@pytest.mark.parametrize("depth", FEW)
def test_during_the_first_sync(chain, module, depth):
    """The chain changes under a sync that is under way: above what is indexed, where it fetches
    blocks ahead, and below; and once when it is nearly done."""
    learn(chain)
    gate = Gate(chain)
    with Proxy(chain.rpc_port, gate.hold) as proxy, \
            Daemon(module, daemon_rpc_url=proxy.url, auth=AUTH, node_timeout_ms=60000,
                   pipeline_size=16, **torture.flags()) as daemon:
        daemon.start()
        with Viewer(daemon, chain) as viewer:
            for below in (chain.height() // 2, depth // 2 + 5, 2):
                gate.limit = chain.height() - below
                wait_for(lambda: f"{gate.limit}: {daemon.log()}",  # blocks are asked for by fours
                         lambda: daemon.height() > gate.limit - 4)
                assert daemon.height() < chain.height()
                answered = len(viewer.answers)
                chain.reorg(depth)
                learn(chain)
                assert daemon.height() < chain.height()
                wait_for("views that answer", lambda: len(viewer.answers) > answered)
            gate.over.set()
            finish(daemon, chain, module)
        assert daemon.log().count("reorg: rolling back") >= (depth > 2)
        assert daemon.stop()[0] == 0
        check(daemon.db)


def test_two_in_a_row(following, chain, module):
    with Viewer(following, chain):
        for depth in (3, 7, 2, 40):
            chain.reorg(depth)
            learn(chain)
            time.sleep(0.03)  # sometimes in the middle of the one before
        finish(following, chain, module)


def test_back_to_the_first_chain(following, chain, module):
    grow_on(following, chain)
    before, tip = following.dump(), chain.rpc.getbestblockhash()
    with Viewer(following, chain):
        fork, _ = chain.reorg(20)
        learn(chain)
        following.wait_tip(chain)
        assert following.dump() != before
        chain.rpc.invalidateblock(chain.rpc.getblockhash(chain.height() - 20))
        chain.rpc.reconsiderblock(fork)
        wait_for("the first chain", lambda: chain.rpc.getbestblockhash() == tip)
        finish(following, chain, module)
    assert following.dump() == before


def test_away_and_back_between_two_looks(following, chain, module):
    """A reorg and its reverse before the daemon has followed the first. It may be at the tip still
    and about to leave for what it has heard of: only a block mined after all of that shows that
    it is past it."""
    grow_on(following, chain)
    before, tip, height = following.dump(), chain.rpc.getbestblockhash(), chain.height()
    with Viewer(following, chain):
        fork, _ = chain.reorg(30)
        learn(chain)
        chain.rpc.invalidateblock(chain.rpc.getblockhash(chain.height() - 30))
        chain.rpc.reconsiderblock(fork)
        wait_for("the first chain", lambda: chain.rpc.getbestblockhash() == tip)
        chain.mine_new()
        learn(chain)
        finish(following, chain, module)
    assert following.dump("--height", height) == before


@pytest.mark.parametrize("when", ["at the tip", "while stopped"])
def test_one_deeper_than_allowed_stops_and_changes_nothing(following, chain, module, when):
    before, tip = following.dump(), status(following.db)["hash"]
    if when == "while stopped":
        assert following.stop()[0] == 0
    chain.reorg(101)
    learn(chain)
    if when == "while stopped":
        following.spawn()
    assert following.wait_exit(60) == 6, following.log()
    assert "nothing was rolled back" in following.log()
    assert "--max-reorg-depth" in following.log()
    assert following.dump() == before and status(following.db)["hash"] == tip
    following.flags["max_reorg_depth"] = 101
    following.start()
    finish(following, chain, module)


def test_onto_a_block_that_the_module_fails_on(following, chain, module):
    """It goes to the last good block of the new chain, and says which block and why; another chain
    heals it."""
    height = chain.height()
    with Viewer(following, chain, ends=True):
        chain.rpc.invalidateblock(chain.rpc.getblockhash(height - 4))
        chain.mine_new(2)
        marker = (b"FAILHEREt" + bytes(8)).hex()
        chain.rpc.generatetodescriptor(1, f"raw(11{marker}7551)")
        bad = chain.rpc.getbestblockhash()
        chain.mine_new(3)
        learn(chain)
        assert following.wait_exit(60) == 5, following.log()
    assert f"block {height - 2} ({bad}) was not indexed" in following.log()
    assert "fail_here" in following.log()
    assert status(following.db)["height"] == height - 3
    assert following.dump() == fresh_dump(chain, module, height - 3)
    chain.rpc.invalidateblock(bad)
    chain.mine_new(5)
    learn(chain)
    following.start()
    finish(following, chain, module)


def test_views_of_the_past_are_those_of_the_final_chain(following, chain, module):
    """After all of it: each height holds what a fresh index of the chain held there."""
    with Daemon(module, node=chain, exit_at=chain.height(), **torture.flags()) as fresh:
        fresh.spawn()
        assert fresh.wait_exit() == 0
        chain.reorg(6)
        chain.rpc.invalidateblock(chain.rpc.getblockhash(chain.height() - 20))
        chain.mine_new(22)
        following.wait_tip(chain)
        for height in (50, chain.height() - 40, chain.height() - 25):
            assert dump(following.db, "--height", height) == dump(fresh.db, "--height", height)
        shrewd("rollback", "--db-path", fresh.db, "--height", 100, "--yes", check=0)
        fresh.flags["exit_at"] = chain.height()
        fresh.spawn()
        assert fresh.wait_exit() == 0, fresh.log()
        assert fresh.dump() == following.dump()
