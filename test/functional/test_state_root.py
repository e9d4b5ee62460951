"""The state root of an index: what the definition gives for its dump, the same on two daemons, after
a reorg, below it and after a rollback; and databases made without one."""
import hashlib
import json

import pytest
from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.node import Node

OK, DATABASE = 0, 3
NO_ROOT = -32007


def sha256(data):
    return hashlib.sha256(data).digest()


def root_of(leaves, depth=0):
    """doc/state-root.md, word by word: leaves are (bits of the path, hash)."""
    if len(leaves) <= 1:
        return leaves[0][1] if leaves else bytes(32)
    sides = [[leaf for leaf in leaves if leaf[0][depth] == bit] for bit in "01"]
    return sha256(b"\1" + root_of(sides[0], depth + 1) + root_of(sides[1], depth + 1))


def root_of_dump(db, *more):
    leaves = []
    for line in dump(db, *more).splitlines():
        pair = line.split(" ")
        key, value = (sha256(bytes.fromhex(text)) for text in (pair + [""])[:2])
        leaves.append((f"{int.from_bytes(key, 'big'):0256b}", sha256(b"\0" + key + value)))
    return "0x" + root_of(leaves).hex()


@pytest.fixture
def node():
    node = Node().start()
    yield node
    node.close()


def root_at(daemon, height="latest"):
    return daemon.rpc.call("metashrew_stateroot", height)


def test_two_indexes_and_a_reorg(node):
    """minimal keeps 100 and more keys: several pages, at two depths."""
    node.mine(120)
    with Daemon(paths.guest("minimal"), node=node).start() as one:
        one.wait_tip(node)
        roots = [root_at(one, height) for height in range(121)]
        assert len(set(roots)) == 121
        with Daemon(paths.guest("minimal"), node=node).start() as two:
            two.wait_tip(node)
            assert [root_at(two, height) for height in range(121)] == roots
        node.reorg(7)
        one.wait_tip(node)
        assert [root_at(one, height) for height in range(114)] == roots[:114]
        after = [root_at(one, height) for height in range(122)]
        assert not set(after[114:]) & set(roots)
        with Daemon(paths.guest("minimal"), node=node).start() as fresh:
            fresh.wait_tip(node)
            assert [root_at(fresh, height) for height in range(122)] == after
        one.stop()
        assert root_of_dump(one.db) == after[-1]
        assert root_of_dump(one.db, "--height", 60) == after[60]
        status = json.loads(shrewd("status", "--db-path", one.db, "--json", check=OK).stdout)
        assert "0x" + status["root"] == after[-1]
        shrewd("check", "--db-path", one.db, check=OK)
        shrewd("rollback", "--height", 100, "--db-path", one.db, "--yes", check=OK)
        shrewd("check", "--db-path", one.db, check=OK)
        assert root_of_dump(one.db) == after[100]


def test_without(node):
    node.mine(3)
    with Daemon(paths.guest("minimal"), node=node, state_root="off").start() as daemon:
        daemon.wait_tip(node)
        answer = daemon.rpc.ask("metashrew_stateroot", "latest")
        assert answer["error"]["code"] == NO_ROOT
        daemon.stop()
        status = json.loads(shrewd("status", "--db-path", daemon.db, "--json", check=OK).stdout)
        assert status["root"] is None
        shrewd("check", "--db-path", daemon.db, check=OK)
        daemon.flags["state_root"] = "on"
        assert daemon.spawn().wait_exit() == DATABASE
        assert "made with --state-root=off" in daemon.log()
        daemon.flags["state_root"] = None
        daemon.start()
        daemon.rpc.call("metashrew_height")


def test_a_fork_keeps_none(node):
    node.mine(3)
    with Daemon(paths.guest("minimal"), node=node).start() as base:
        base.wait_tip(node)
        base.stop()
        node.mine(2)
        with Daemon(paths.guest("minimal"), node=node, fork=base.db).start() as fork:
            fork.wait_tip(node)
            assert fork.rpc.ask("metashrew_stateroot", "latest")["error"]["code"] == NO_ROOT
            assert root_at(fork, 3) == root_of_dump(base.db)
