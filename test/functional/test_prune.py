"""--prune: old states go while indexing goes on, and are refused by name; the rest stays as it was."""
import pytest

from harness import paths
from harness.daemon import shrewd, view
from harness.process import wait_for
from harness.rpc import RpcError

TIP, DEPTH, KEEP = 90, 10, 30
OK, USAGE, DATABASE = 0, 2, 3
PRUNED = -32009


@pytest.fixture(scope="module")
def chain(node):
    node.mine(TIP)
    return node


def test_old_states_are_refused_and_the_rest_stays(chain, daemon):
    whole = daemon(paths.guest("minimal"), node=chain, exit_at=TIP)
    whole.spawn()
    assert whole.wait_exit() == OK, whole.log()
    one = daemon(paths.guest("minimal"), node=chain, prune=KEEP, max_reorg_depth=DEPTH)
    one.start().wait_tip(chain)
    wait_for("pruning", lambda: one.oldest_height() == TIP - KEEP)
    for height in (TIP, TIP - 7, TIP - KEEP):
        assert one.view("blocktracker", height=height) == (
            view(whole.db, whole.module, "blocktracker", height=height))
    for height in (0, 1, TIP - KEEP - 1):
        with pytest.raises(RpcError) as failed:
            one.view("blocktracker", height=height)
        assert failed.value.code == PRUNED
        assert f"the oldest height held is {TIP - KEEP}" in failed.value.message
        assert one.rpc.call("metashrew_getblockhash", height)
    one.stop()
    assert one.dump() == whole.dump()
    assert one.dump("--height", TIP - KEEP) == whole.dump("--height", TIP - KEEP)
    shrewd("dump", "--db-path", one.db, "--height", TIP - KEEP - 1, check=DATABASE)
    shrewd("rollback", "--db-path", one.db, "--height", TIP - KEEP - 1, "--yes", check=DATABASE)
    line = shrewd("check", "--db-path", one.db, check=OK).stdout
    assert f"heights {TIP - KEEP} to {TIP}" in line
    # Once more without, and then with fewer.
    one.flags["prune"] = None
    one.start().wait_tip(chain)
    assert one.oldest_height() == TIP - KEEP
    one.stop()
    one.flags["prune"] = KEEP + 5
    one.start().wait_tip(chain)
    assert one.oldest_height() == TIP - KEEP
    one.stop()
    shrewd("rollback", "--db-path", one.db, "--height", TIP - KEEP, "--yes", check=OK)
    assert one.dump() == whole.dump("--height", TIP - KEEP)
    shrewd("check", "--db-path", one.db, check=OK)


def test_too_few_blocks_are_refused(chain, daemon):
    one = daemon(paths.guest("minimal"), node=chain, prune=KEEP)
    one.spawn()
    assert one.wait_exit() == USAGE and "--prune: 30 is too few" in one.log()
