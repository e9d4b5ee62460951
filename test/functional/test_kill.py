"""Killed at random moments, shrewd always opens again, at a whole block, and goes on to the same
state as if nothing had happened."""
import json
import random
import subprocess
import time

import pytest

from harness import paths
from harness.daemon import Daemon, dump, no_dump, shrewd
from harness.node import populate

BLOCKS = 600
KILLS = 50


@pytest.fixture(scope="module")
def chain(node):
    populate(node, BLOCKS, 80, seed=3)
    return node


@pytest.fixture(scope="module")
def whole(chain):
    """An undisturbed index: its daemon's database, and how long it took."""
    with Daemon(paths.guest("balances"), node=chain, exit_at=BLOCKS) as daemon:
        daemon.start()
        start = time.monotonic()
        assert daemon.wait_exit() == 0, daemon.log()
        daemon.seconds = time.monotonic() - start  # without opening
        yield daemon


def status(db):
    return json.loads(shrewd("status", "--db-path", db, "--json", check=0).stdout)


def check_whole_block(db, chain, whole):
    """The database holds exactly what an undisturbed index held at that height."""
    height = status(db)["height"]
    if height is None:
        no_dump(db)
        return -1
    assert status(db)["hash"] == chain.rpc.getblockhash(height)
    assert dump(db) == dump(whole.db, "--height", height)
    return height


def test_fifty_kills_while_indexing(chain, whole, daemon):
    dice = random.Random(50)
    killed = daemon("balances", node=chain)
    kills, heights, attempts = 0, [], 0
    while kills < KILLS:
        attempts += 1
        assert attempts < 4 * KILLS, "indexing ends before it can be killed"
        if attempts % 5 == 0:  # at any moment, opening included
            killed.spawn()
            time.sleep(dice.uniform(0, 0.3))
        else:
            killed.start()
            time.sleep(dice.uniform(0, whole.seconds / 2))
        killed.kill()
        if not killed.db.exists() or shrewd("status", "--db-path", killed.db).returncode != 0:
            assert not heights, "the database no longer opens"  # killed before it was made
            continue
        height = check_whole_block(killed.db, chain, whole)
        heights.append(height)
        if height < BLOCKS:
            kills += 1
        if height > BLOCKS - 50:  # more to index
            shrewd("rollback", "--db-path", killed.db, "--height", dice.randrange(BLOCKS // 2),
                   "--yes", check=0)
    assert len(set(heights)) > KILLS // 3, heights
    killed.start().wait_tip(chain)
    assert killed.stop()[0] == 0
    assert dump(killed.db) == dump(whole.db)


def test_kills_while_blocks_come_and_go(chain, whole, daemon):
    """Killed in the middle of reorgs, followed at the tip."""
    dice = random.Random(51)
    killed = daemon("balances", node=chain, zmq=chain.zmq_url)
    killed.start().wait_tip(chain)
    for _ in range(15):
        chain.reorg(dice.randrange(1, 30))
        time.sleep(dice.uniform(0, 0.08))
        killed.kill()
        status(killed.db)
        killed.start()
    killed.wait_tip(chain)
    with Daemon(paths.guest("balances"), node=chain, exit_at=chain.height()) as fresh:
        fresh.spawn()
        assert fresh.wait_exit() == 0
        assert killed.dump() == fresh.dump()


def test_kills_during_a_rollback(chain, daemon):
    """A rollback of many blocks has either happened or not."""
    dice = random.Random(52)
    tip = chain.height()
    one = daemon("balances", node=chain, exit_at=tip)
    for _ in range(8):
        one.spawn()
        assert one.wait_exit() == 0, one.log()
        target = dice.randrange(tip)
        process = subprocess.Popen([paths.SHREWD, "rollback", "--db-path", one.db, "--height",
                                    str(target), "--yes"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0, 0.1))
        process.kill()
        process.wait(30)
        assert status(one.db)["height"] in (tip, target)
    one.spawn()
    assert one.wait_exit() == 0
    with Daemon(paths.guest("balances"), node=chain, exit_at=tip) as fresh:
        fresh.spawn()
        assert fresh.wait_exit() == 0
        assert one.dump() == fresh.dump()
