"""Power cuts: what was not synced is lost, in part or whole, at any moment. What a client saw of the
chain's tip is there afterwards; elsewhere blocks may be missing, but the state is always that after
some block, and indexing goes on to the same end. `make torture` runs the long form."""
import pathlib
import shutil
import tempfile
import time

import pytest

from harness import torture
from harness.chain import Chain
from harness.daemon import Daemon
from harness.powercut import PowerCut
from harness.torture import Right, check, digest, rounds

pytestmark = pytest.mark.torture

RUNS = rounds(1, 12)
CUTS = rounds(8, 30)  # of each run
FAR, NEAR = 1, 1000  # --reorg-check-threshold: how near the tip blocks are synced one by one


@pytest.fixture(scope="module")
def right():
    """For runs from block files: a chain, and one that leaves it 50 blocks below its tip."""
    first = Chain(200, "a")
    chains = {"a": first, "b": first.branch("b", 150, 206)}
    made = Right(torture.module("power", keys=40), chains)
    yield made
    made.close()


class Watched:
    """A daemon on a disk that can lose its power."""

    def __init__(self, module, **flags):
        self.folder = tempfile.TemporaryDirectory(prefix="shrewd-power.")
        self.root = pathlib.Path(self.folder.name, "root")
        self.root.mkdir()
        self.left = pathlib.Path(self.folder.name, "left")
        self.power = PowerCut(self.root)
        self.daemon = Daemon(module, db=self.root / "db", **torture.flags(**flags))
        self.seen = []  # (moment, height, hash): what a client was told, and when at the latest
        self.moment = 0  # of the last cut

    def spawn(self, **flags):
        self.daemon.flags.update(flags)
        self.daemon.env = self.power.env()
        self.seen = []
        self.daemon.spawn()
        return self.daemon

    def watch(self, until):
        """Asks for the tip again and again until until(height, hash)."""
        self.daemon.wait_listens()
        while True:
            height = self.daemon.height()
            answer = self.daemon.rpc.ask("metashrew_getblockhash", height).get("result")
            if height < 0 or answer is None:  # none yet, or a reorg came between
                continue
            self.seen.append((self.power.position(), height, answer[2:]))
            if until(height, answer[2:]):
                return

    def cuts(self, count, dice):
        """Yields (database left by a cut, what a client had seen last before it)."""
        for moment in self.power.cuts(count, self.left, dice, [seen[0] for seen in self.seen]):
            self.moment = moment
            before = [seen for seen in self.seen if seen[0] <= moment]
            yield self.left / "db", (before[-1][1:] if before else None)

    def take(self, db):
        """Goes on with what a cut left."""
        shutil.rmtree(self.root)
        self.root.mkdir()
        if db.exists():
            shutil.copytree(db, self.root / "db")

    def close(self):
        self.daemon.close()
        self.power.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def resume(right, db, name, module=None):
    """Indexes on from what was left; the end is the undisturbed one."""
    with Daemon(module or right.module, db=db, blocks=right.files[name],
                exit_at=right.chains[name].tip, **torture.flags()) as daemon:
        daemon.spawn()
        assert daemon.wait_exit() == 0, daemon.log()
        assert digest(daemon.dump()) == right.end(name)
        check(db)


def run_and_cut(right, watched, dice, kept, **flags):
    """One run over each chain in turn, cut CUTS times. kept: nothing seen may be lost."""
    lost = 0
    for name in dice.sample(sorted(right.chains), len(right.chains)):
        chain = right.chains[name]
        before = right.tip_of(watched.root / "db")
        daemon = watched.spawn(blocks=right.files[name], **flags)
        watched.watch(lambda height, _, tip=chain.tip: height == tip)
        if dice.random() < 0.5:
            daemon.stop()
        else:
            daemon.kill()
        for number, (db, seen) in enumerate(watched.cuts(CUTS, dice)):
            tip = right.tip_of(db)
            assert tip is not None or before is None, "what was there before is gone"
            if seen is not None and kept:
                assert tip is not None, f"seen and lost: {seen}"
                assert not_before(right, chain, tip, seen), f"seen {seen}, left {tip}"
            lost += seen is not None and tip is not None and tip[1] < seen[0]
            if number % 4 == 0:
                again = watched.left.with_name("again")
                shutil.rmtree(again, ignore_errors=True)
                shutil.copytree(watched.left, again)
                resume(right, again / "db", dice.choice(sorted(right.chains)))
        watched.take(watched.left / "db")  # the next run begins with a cut's recovery
    return lost


def not_before(right, chain, tip, seen):
    """The tip left is what was seen, or comes after it on the way to the end of `chain`."""
    left = right.chains[tip[0]].hash(tip[1])
    height, block_hash = seen
    if height > chain.tip or block_hash != chain.hash(height):  # of the chain before, which is left where they part
        height = chain.shared(right.chains[right.where[block_hash][0]])
    return left == block_hash or (tip[1] >= height and left == chain.hash(tip[1]))


def cut_runs(right, name, kept, **flags):
    dice = torture.dice(name)
    start, lost, runs = time.monotonic(), 0, 0
    for _ in range(RUNS):
        with Watched(right.module) as watched:
            lost += run_and_cut(right, watched, dice, kept, **flags)
            runs += len(right.chains)
    torture.figure(name, runs=runs, cuts=runs * CUTS, lost_unsynced_tips=lost, seed=torture.SEED,
                   seconds=round(time.monotonic() - start))


def test_what_was_seen_near_the_tip_is_never_lost(right):
    cut_runs(right, "power cuts near the tip", True, reorg_check_threshold=NEAR)


def test_far_from_the_tip_blocks_may_be_lost_but_none_in_part(right):
    cut_runs(right, "power cuts far from the tip", False, reorg_check_threshold=FAR,
             **({"prune": 120} if torture.knows("prune") else {}))


def test_with_fsync_always_what_was_seen_anywhere_is_never_lost(right):
    if not torture.knows("fsync"):
        pytest.skip("this build has no --fsync")
    cut_runs(right, "power cuts with --fsync always", True, reorg_check_threshold=FAR,
             fsync="always")


def test_with_fsync_never_blocks_may_be_lost_but_none_in_part(right):
    if not torture.knows("fsync"):
        pytest.skip("this build has no --fsync")
    cut_runs(right, "power cuts with --fsync never", False, reorg_check_threshold=NEAR,
             fsync="never")


# What the node's chain does, from 120 blocks on: (name, parent chain, block they share, length). A
# reorg far below a chain's end makes a chain that is shorter than the one before, though of more
# work only to a node that was told to give the longer one up.
MOVES = [("a", None, 0, 120), ("b", "a", 118, 122), ("c", "b", 60, 124), ("d", "c", 124, 125),
         ("e", "d", 125, 140), ("f", "e", 100, 104), ("g", "f", 103, 106), ("h", "g", 106, 107)]


@pytest.fixture(scope="module")
def moves():
    chains = {}
    for name, parent, share, length in MOVES:
        chains[name] = (chains[parent].branch(name, share, length) if parent else
                        Chain(length, name))
    made = Right(torture.module("power", keys=40), chains)
    yield made
    made.close()


def go_over(node, earlier, new):
    """The node's best chain becomes the new one, also when that is shorter than others were."""
    for old in earlier:
        if new.tip <= old.tip:
            node.rpc.invalidateblock(old.hash(new.shared(old) + 1))
    new.submit(node)
    assert node.rpc.getbestblockhash() == new.hash(new.tip)


def legal_tips(chains, seen):
    """What may be there after `seen` of the last chain that was seen to be whole: its tip, or
    something on the way to the next one's."""
    names = list(chains)
    if seen is None:
        return {chains[names[0]].hash(height) for height in range(chains[names[0]].tip + 1)} | {None}
    number = next(n for n, name in enumerate(names) if chains[name].hash(chains[name].tip) == seen)
    legal = {seen}
    if number + 1 < len(names):
        here, there = chains[names[number]], chains[names[number + 1]]
        legal |= {there.hash(height) for height in range(here.shared(there), there.tip + 1)}
    return legal


def test_cuts_while_a_node_goes_over_to_other_chains(node, moves):
    """With the usual --reorg-check-threshold: whatever was seen at the node's tip is there."""
    dice = torture.dice("node")
    start, cuts = time.monotonic(), rounds(20, 200)
    with Watched(moves.module, node=node, poll_ms=10) as watched:
        watched.spawn()
        earlier, at_tip = [], []
        for chain in moves.chains.values():
            go_over(node, earlier, chain)
            tip = chain.hash(chain.tip)
            watched.watch(lambda _, seen, tip=tip: seen == tip)
            at_tip.append((watched.seen[-1][0], tip))
            earlier.append(chain)
        watched.daemon.kill()
        watched.seen = at_tip
        for number, (db, _) in enumerate(watched.cuts(cuts, dice)):
            before = [tip for moment, tip in at_tip if moment <= watched.moment]
            tip = moves.tip_of(db)
            left = None if tip is None else moves.chains[tip[0]].hash(tip[1])
            assert left in legal_tips(moves.chains, before[-1] if before else None), (
                f"cut {number}: left {tip}, seen {len(before)} chains")
            if number % 5 == 0:
                resume(moves, db, "h")
    torture.figure("power cuts while a node reorganises", cuts=cuts, seed=torture.SEED,
                   seconds=round(time.monotonic() - start))


def test_the_log_is_cut_off_anywhere(right):
    """Without the shim: the newest write-ahead log of a killed run ends early, or in garbage. The
    first half of the blocks was written in groups, the others one by one."""
    dice = torture.dice("log")
    start, count, tips = time.monotonic(), rounds(10, 100), set()
    with Daemon(right.module, blocks=right.files["a"], reorg_check_threshold=100,
                **torture.flags(load_pairs=30000)) as daemon:
        daemon.spawn(), daemon.wait_listens()
        daemon.wait_height(200)
        daemon.kill()
        with tempfile.TemporaryDirectory(prefix="shrewd-power.") as folder:
            for number in range(count):
                db = pathlib.Path(folder, "db")
                shutil.rmtree(db, ignore_errors=True)
                shutil.copytree(daemon.db, db)
                log = max(db.glob("*.log"))
                data = log.read_bytes()
                kept = dice.randrange(len(data) // 20, len(data))  # past the folder's making
                torn = dice.choice([b"", bytes(100), dice.randbytes(min(5000, len(data) - kept))])
                log.write_bytes(data[:kept] + torn)
                tips.add(right.tip_of(db))
                if number % 5 == 0:
                    resume(right, db, "a")
    assert len(tips) > count // 3, tips
    torture.figure("write-ahead log cut off", cuts=count, tips=len(tips), seed=torture.SEED,
                   seconds=round(time.monotonic() - start))
