"""Snapshots: taken from a running daemon under load, restored elsewhere over HTTP, continued."""
import concurrent.futures
import functools
import json
import pathlib
import threading

import pytest

from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.node import populate
from harness.process import wait_for
from harness.rpc import Rpc
from harness.web import Server

BLOCKS = 160


@pytest.fixture(scope="module")
def chain(node):
    populate(node, BLOCKS, 40, seed=9)
    return node


def manifest(folder):
    path = pathlib.Path(folder, "manifest.json")
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(scope="module")
def snapshot(chain, tmp_path_factory):
    """One kept growing by a daemon that indexes and answers views meanwhile."""
    folder = tmp_path_factory.mktemp("snapshot")
    with Daemon(paths.guest("balances"), node=chain, snapshot_directory=folder,
                snapshot_interval=25) as daemon:
        daemon.start()
        wait_for("a block", lambda: daemon.rpc.ask("metashrew_height").get("result"))
        stop = threading.Event()

        def ask():
            rpc, asked = Rpc(daemon.port), 0
            while not stop.is_set():
                rpc.call("metashrew_view", "totals", "0x", "latest")
                asked += 1
            return asked

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(ask) for _ in range(4)]
            try:
                daemon.wait_tip(chain)
                wanted = chain.height() // 25 * 25
                wait_for(f"a snapshot of block {wanted}",
                         lambda: manifest(folder).get("height") == wanted)
            finally:
                stop.set()
        for client in clients:
            assert client.result() > 0, "no view was answered"
        said = json.loads(daemon.rpc.call("metashrew_snapshot"))
        assert said["enabled"] is True and said["last_snapshot_height"] == wanted
        assert daemon.stop()[0] == 0
        yield folder, wanted, daemon


def test_a_restored_database_continues_and_is_equal(chain, snapshot, tmp_path):
    folder, height, daemon = snapshot
    with Server(folder, cut=1000, cuts=3) as server:
        db = tmp_path / "db"
        done = shrewd("snapshot", "restore", server.url, "--db-path", db, "--indexer",
                      paths.guest("balances"), "--json", check=0)
        assert json.loads(done.stdout)["height"] == height
        assert server.ranges > 0, "a broken download must go on, not begin again"
    assert dump(db) == dump(daemon.db, "--height", height)
    assert not pathlib.Path(f"{db}.restore").exists()
    with Daemon(paths.guest("balances"), db=db, node=chain) as other:
        other.start().wait_tip(chain)
        assert other.stop()[0] == 0
        assert dump(db) == dump(daemon.db)
    for at in (10, 77, height):
        assert dump(db, "--height", at) == dump(daemon.db, "--height", at)


def test_a_new_daemon_begins_with_a_repo(chain, snapshot, tmp_path):
    folder, height, daemon = snapshot
    with Server(folder) as server, Daemon(paths.guest("balances"), db=tmp_path / "db", node=chain,
                                          repo=server.url) as other:
        other.start().wait_tip(chain)
        said = json.loads(other.rpc.call("metashrew_snapshot"))
        assert said["snapshots_applied"] == 1
        assert said["blocks_synced_from_snapshots"] == height + 1
        assert other.stop()[0] == 0
        assert other.dump() == daemon.dump()


def test_a_repo_that_does_not_answer_is_passed_over(chain, daemon):
    one = daemon("minimal", node=chain, repo="http://127.0.0.1:1/snapshot", exit_at=5)
    one.spawn()
    assert one.wait_exit() == 0, one.log()
    assert "127.0.0.1:1" in one.log() and "indexing from the start" in one.log()
    assert one.log().count("trying again") == 2, "of three tries the last says nothing of a next one"


def test_what_is_wrong_is_refused(chain, snapshot, tmp_path):
    folder, _, _ = snapshot
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    name = manifest(copy)["parts"][-1]["name"]
    body = bytearray((copy / name).read_bytes())
    body[len(body) // 2] ^= 1
    (copy / name).write_bytes(body)
    verify = shrewd("snapshot", "verify", copy)
    assert verify.returncode == 3 and name in verify.stderr
    with Server(copy) as server:
        done = shrewd("snapshot", "restore", server.url, "--db-path", tmp_path / "db")
        assert done.returncode == 3 and name in done.stderr and not (tmp_path / "db").exists()
        one = Daemon(paths.guest("balances"), db=tmp_path / "db2", node=chain, repo=server.url)
        with one:
            one.spawn()
            assert one.wait_exit() == 3 and name in one.log()
    for flags, word in ((["--indexer", paths.guest("minimal")], "module"),
                        (["--expect-root", "11" * 32], "state root")):
        done = shrewd("snapshot", "restore", folder, "--db-path", tmp_path / "db", *flags)
        assert done.returncode == 3 and word in done.stderr


def test_by_hand_at_a_height(chain, snapshot, tmp_path):
    _, _, daemon = snapshot
    create = functools.partial(shrewd, "snapshot", "create", tmp_path / "s", "--db-path", daemon.db,
                               "--json", check=0)
    assert json.loads(create("--height", 50).stdout)["height"] == 50
    again = json.loads(create().stdout)
    assert again["height"] == chain.height() and again["parts"] == 2 and again["new_parts"] == 1
    shrewd("snapshot", "verify", tmp_path / "s", check=0)
    shrewd("snapshot", "restore", tmp_path / "s", "--db-path", tmp_path / "db", check=0)
    assert dump(tmp_path / "db") == dump(daemon.db)


def test_what_is_not_said_is_asked_for(tmp_path):
    unknown = shrewd("snapshot", "frobnicate", tmp_path)
    assert unknown.returncode == 2 and "frobnicate" in unknown.stderr and "restore" in unknown.stderr
    for action in ("create", "restore"):
        without = shrewd("snapshot", action, tmp_path)
        assert without.returncode == 2 and "--db-path" in without.stderr
    nothing = shrewd("snapshot", "verify", tmp_path)
    assert nothing.returncode == 3 and "manifest.json" in nothing.stderr
