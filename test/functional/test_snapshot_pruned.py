"""Snapshots of a pruned database: restored elsewhere it is the same from its oldest height on, and
goes on; they grow while pruning stays behind, and begin anew, saying so, when it did not."""
import json
import pathlib

import pytest

from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.process import wait_for
from harness.rpc import RpcError
from harness.web import Server

TIP, DEPTH, KEEP = 90, 10, 30
OK, DATABASE = 0, 3
PRUNED = -32009


@pytest.fixture(scope="module")
def chain(node):
    node.mine(TIP)
    return node


@pytest.fixture(scope="module")
def pruned(chain):
    """A daemon that has pruned all it shall, with a snapshot made of it meanwhile."""
    with Daemon(paths.guest("minimal"), node=chain, prune=KEEP, max_reorg_depth=DEPTH) as daemon:
        index(daemon, chain)
        yield daemon


def index(daemon, chain):
    daemon.start()
    wait_pruned(daemon, chain)


def wait_pruned(daemon, chain):
    """Blocks are pruned in the background, some time after the tip has come."""
    daemon.wait_tip(chain)
    wait_for("pruning", lambda: daemon.oldest_height() == chain.height() - KEEP)


def create(folder, daemon, *more, check=OK):
    return shrewd("snapshot", "create", folder, "--db-path", daemon.db, "--json", *more, check=check)


def manifest(folder):
    return json.loads(pathlib.Path(folder, "manifest.json").read_text())


def test_a_restored_database_continues_and_is_equal(chain, pruned, tmp_path):
    oldest = TIP - KEEP
    made = json.loads(create(tmp_path / "s", pruned, "--height", TIP - 5).stdout)
    assert (made["height"], made["oldest_height"], made["parts"]) == (TIP - 5, oldest, 2)
    assert manifest(tmp_path / "s")["oldest_height"] == oldest
    made = json.loads(create(tmp_path / "s", pruned).stdout)
    assert (made["height"], made["parts"], made["new_parts"]) == (TIP, 3, 1)
    shrewd("snapshot", "verify", tmp_path / "s", check=OK)
    db = tmp_path / "db"
    with Server(tmp_path / "s", cut=300, cuts=3) as server:
        shrewd("snapshot", "restore", server.url, "--db-path", db, "--indexer", pruned.module,
               check=OK)
        assert server.ranges > 0, "a broken download must go on, not begin again"
    assert not pathlib.Path(f"{db}.restore").exists()
    said = shrewd("check", "--db-path", db, check=OK).stdout
    assert f"heights {oldest} to {TIP}" in said
    for height in (oldest, oldest + 1, TIP):
        assert dump(db, "--height", height) == dump(pruned.db, "--height", height)
    chain.mine(3)
    pruned.wait_tip(chain)
    with Daemon(pruned.module, db=db, node=chain) as other:
        other.start().wait_tip(chain)
        assert other.oldest_height() == oldest
        for height in (0, 1, oldest - 1):
            with pytest.raises(RpcError) as failed:
                other.view("blocktracker", height=height)
            assert failed.value.code == PRUNED
            assert f"the oldest height held is {oldest}" in failed.value.message
            for method in ("metashrew_getblockhash", "metashrew_stateroot"):
                assert other.rpc.call(method, height) == pruned.rpc.call(method, height)
        assert other.stop()[0] == OK
        assert dump(db) == dump(pruned.db)
    wrong = shrewd("dump", "--db-path", db, "--height", oldest - 1, check=DATABASE)
    assert f"the oldest height held is {oldest}" in wrong.stderr


def test_it_begins_anew_when_pruning_passed_its_end(chain, pruned, tmp_path):
    wait_pruned(pruned, chain)  # of the blocks that the test before has mined
    create(tmp_path / "s", pruned)
    first = chain.height()
    chain.mine(KEEP // 2)
    pruned.wait_tip(chain)
    grown = create(tmp_path / "s", pruned)
    assert json.loads(grown.stdout)["new_parts"] == 1 and "anew" not in grown.stderr
    assert manifest(tmp_path / "s")["oldest_height"] == first - KEEP
    end = chain.height()
    chain.mine(KEEP + 5)
    wait_pruned(pruned, chain)
    anew = create(tmp_path / "s", pruned)
    assert f"ends with block {end}" in anew.stderr and "begun anew" in anew.stderr
    assert json.loads(anew.stdout)["oldest_height"] == chain.height() - KEEP
    files = sorted(path.name for path in (tmp_path / "s").glob("*.zst"))
    named = manifest(tmp_path / "s")
    assert files == sorted(part["name"] for part in named["base"] + named["parts"])
    shrewd("snapshot", "restore", tmp_path / "s", "--db-path", tmp_path / "db", check=OK)
    assert dump(tmp_path / "db") == dump(pruned.db)
    gone = create(tmp_path / "s2", pruned, "--height", end, check=DATABASE)
    assert "the oldest height held is" in gone.stderr


def test_one_is_kept_growing(chain, tmp_path):
    """Whether it begins with the first block or later depends on how fast it indexes; either way it
    is what the database is."""
    interval = KEEP - 5
    with Daemon(paths.guest("minimal"), node=chain, prune=KEEP, max_reorg_depth=DEPTH,
                snapshot_directory=tmp_path / "s", snapshot_interval=interval) as daemon:
        index(daemon, chain)
        wanted = chain.height() // interval * interval
        wait_for(f"a snapshot of block {wanted}", lambda: json.loads(
            daemon.rpc.call("metashrew_snapshot"))["last_snapshot_height"] == wanted)
        assert daemon.stop()[0] == OK
        shrewd("snapshot", "restore", tmp_path / "s", "--db-path", tmp_path / "db", check=OK)
        assert dump(tmp_path / "db") == dump(daemon.db, "--height", wanted)
        with Daemon(paths.guest("minimal"), db=tmp_path / "db", node=chain) as other:
            other.start().wait_tip(chain)
            assert other.stop()[0] == OK
            assert dump(tmp_path / "db") == dump(daemon.db)
