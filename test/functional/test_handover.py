"""Blocks from a node's own files first, then from the node: no gap, and the node decides."""
import json
import shutil

import pytest

from harness import paths
from harness.daemon import Daemon
from harness.node import AUTH, Node
from harness.proxy import Proxy

TIP = 60


class Watch:
    """A proxy that notes which blocks are asked for."""

    def __init__(self, node):
        self.asked = set()
        self.proxy = Proxy(node.rpc_port, self._note)

    def _note(self, path, body):
        if path.startswith("/rest/block/"):
            self.asked.add(path.split("/")[-1].removesuffix(".bin"))
        elif body:
            calls = json.loads(body)
            for call in calls if isinstance(calls, list) else [calls]:
                if call["method"] == "getblock":
                    self.asked.add(call["params"][0])

    def __enter__(self):
        self.proxy.__enter__()
        return self

    def __exit__(self, *what):
        self.proxy.__exit__(*what)

    @property
    def url(self):
        return self.proxy.url


@pytest.fixture
def own():
    node = Node()
    try:
        node.start().mine(TIP)
        yield node
    finally:
        node.close()


def blocks_folder(node):
    return node.folder / "regtest" / "blocks"


def fresh_dump(node):
    """What an index of the node's chain holds that never saw another, nor any file."""
    with Daemon(paths.guest("minimal"), node=node, exit_at=node.height()) as one:
        one.spawn()
        assert one.wait_exit() == 0, one.log()
        return one.dump()


def hashes(node, first, last):
    return {node.rpc.getblockhash(height) for height in range(first, last + 1)}


def test_files_of_the_running_node_then_its_rpc(own, daemon):
    folder = blocks_folder(own)
    assert (folder / "xor.dat").read_bytes() != bytes(8), "the node obfuscates its files"
    before = hashes(own, 0, TIP)
    with Watch(own) as watch:
        one = daemon("minimal", blocks=folder, daemon_rpc_url=watch.url, auth=AUTH).start()
        one.wait_tip(own)
        assert "blocks come from files, then rest" in one.log()
        assert not watch.asked, "all of these lie in the files"
        own.mine(7)
        one.wait_tip(own)
        assert "come from the node" in one.log()
        assert watch.asked == hashes(own, TIP + 1, TIP + 7)
        assert not watch.asked & before
        # Back over the place where the node took over.
        own.reorg(20)
        one.wait_tip(own)
        assert one.stop()[0] == 0
    assert one.dump() == fresh_dump(own)


@pytest.mark.parametrize("rest", [True, False])
def test_files_that_hold_a_chain_the_node_has_left(daemon, tmp_path, rest):
    own = Node(rest=rest)
    try:
        own.start().mine(TIP)
        copy = tmp_path / "blocks"
        shutil.copytree(blocks_folder(own), copy)
        own.reorg(10, 5)  # shorter than what the files hold: the node is right all the same
        own.mine(30)
        with Watch(own) as watch:
            one = daemon("minimal", blocks=copy, daemon_rpc_url=watch.url, auth=AUTH).start()
            one.wait_tip(own)
            assert watch.asked == hashes(own, TIP - 9, own.height())
            # And now the node goes back to the chain of the files, which has grown.
            left = own.rpc.getblockhash(TIP - 9)
            for tip in own.rpc.getchaintips():
                if tip["status"] == "invalid":
                    own.rpc.reconsiderblock(tip["hash"])
            own.rpc.invalidateblock(left)
            assert own.height() == TIP
            own.mine(1)
            one.wait_tip(own)
            assert one.stop()[0] == 0
        assert one.dump() == fresh_dump(own)
    finally:
        own.close()


def test_a_damaged_block_of_the_files_is_taken_from_the_node(own, daemon, tmp_path):
    copy = tmp_path / "blocks"
    shutil.copytree(blocks_folder(own), copy)
    key = (copy / "xor.dat").read_bytes()
    stored = (copy / "blk00000.dat").read_bytes()
    plain = bytes(byte ^ key[at % 8] for at, byte in enumerate(stored))
    at = plain.index(own.block(30)) + len(own.block(30)) - 3
    (copy / "blk00000.dat").write_bytes(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1:])
    with Watch(own) as watch:
        one = daemon("minimal", blocks=copy, daemon_rpc_url=watch.url, auth=AUTH).start()
        one.wait_tip(own)
        assert watch.asked == hashes(own, 30, 30)
        assert "is taken from the node: what the files hold does not check" in one.log()
        assert one.stop()[0] == 0
    assert one.dump() == fresh_dump(own)


def test_files_that_go_away_meanwhile(own, daemon, tmp_path):
    copy = tmp_path / "blocks"
    shutil.copytree(blocks_folder(own), copy)
    one = daemon("minimal", node=own, blocks=copy, exit_at=20)
    one.spawn()
    assert one.wait_exit() == 0, one.log()
    one.flags.update(exit_at=None, pipeline_size=4)
    own.mine(5)
    one.start()
    one.wait_log("the best chain has heights")  # it has found the files
    shutil.rmtree(copy)
    one.wait_tip(own)
    assert one.stop()[0] == 0
    assert one.dump() == fresh_dump(own)


def test_files_of_another_chain(own, daemon, shared, tmp_path):
    raw = next((shared / "blocks").glob("mainnet-*.bin"))
    one = daemon("minimal", node=own, blocks=raw)
    one.spawn()
    assert one.wait_exit() != 0
    assert "the block files are of another chain than the node" in one.log()
