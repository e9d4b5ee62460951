"""Killed at random moments of opening, indexing, reorgs, rollbacks and closing, from block files:
no node to wait for, so that there can be many kills. `make torture` runs the long form."""
import subprocess
import time

import pytest

from harness import paths, torture
from harness.chain import Chain
from harness.daemon import ENVIRONMENT, Daemon, dump, shrewd
from harness.process import wait_for
from harness.torture import Right, check, digest, rounds

pytestmark = pytest.mark.torture

KILLS = rounds(20, 400)
KILLS_PRUNED = rounds(8, 150)
KEPT = [120, 150]  # --prune, at least 20 more than --max-reorg-depth


@pytest.fixture(scope="module")
def right():
    """Four chains that part 1, 50 and 90 blocks below their tips."""
    first = Chain(300, "a")
    second = first.branch("b", 250, 303)
    chains = {"a": first, "b": second, "c": first.branch("c", 210, 300),
              "d": second.branch("d", 302, 306)}
    made = Right(torture.module("kill", keys=150), chains)
    yield made
    made.close()


@pytest.fixture(scope="module")
def seconds(right):
    """How long an undisturbed run takes: until it listens, and from then on."""
    with Daemon(right.module, blocks=right.files["a"], exit_at=300, **torture.flags()) as daemon:
        start = time.monotonic()
        daemon.start()
        opened = time.monotonic() - start
        assert daemon.wait_exit() == 0, daemon.log()
        return opened, time.monotonic() - start - opened


class Killer:
    """Does something with the database, and kills it on the way."""

    def __init__(self, right, dice, seconds, **flags):
        """flags: lists of values, one of which each run gets."""
        self.right, self.dice, self.seconds, self.flags = right, dice, seconds, flags
        self.daemon = Daemon(right.module, **torture.flags())
        self.done = {}

    def one(self):
        """Returns what it did, and the (chain, height) that a client saw before the kill."""
        what = self.dice.choice(["open", "index", "index", "index", "close", "rollback",
                                  "rollback", "idle"])
        if what == "rollback" and not self.daemon.db.exists():
            what = "index"
        self.done[what] = self.done.get(what, 0) + 1
        return what, getattr(self, what)()

    def _spawn(self):
        name = self.dice.choice(list(self.right.chains))
        self.daemon.flags.update(
            {flag: self.dice.choice(values) for flag, values in self.flags.items()},
            blocks=self.right.files[name])
        self.daemon.spawn()
        return name

    def open(self):
        self._spawn()
        time.sleep(self.dice.uniform(0, 2 * self.seconds[0]))
        self.daemon.kill()

    def _into_indexing(self):
        self._spawn()
        self.daemon.wait_listens()
        time.sleep(self.dice.uniform(0, self.seconds[1]))

    def index(self):
        self._into_indexing()
        self.daemon.kill()

    def close(self):
        self._into_indexing()
        self.daemon.process.terminate()
        time.sleep(self.dice.uniform(0, 0.05))
        self.daemon.kill()

    def rollback(self):
        process = subprocess.Popen(
            [paths.SHREWD, "rollback", "--db-path", self.daemon.db, "--height",
             str(self.dice.randrange(300)), "--yes"], env=ENVIRONMENT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.dice.uniform(0, 0.15))
        process.kill()
        process.wait(30)

    def idle(self):
        """At rest at the tip: what was seen is there."""
        name = self._spawn()
        self.daemon.wait_listens()
        chain = self.right.chains[name]
        self.daemon.wait_block(chain.tip, chain.hash(chain.tip))
        time.sleep(self.dice.uniform(0, 0.1))
        self.daemon.kill()
        return name, chain.tip


def kill_again_and_again(killer, kills):
    """Each time the database is whole; at the end it is the undisturbed one. The daemon, ended."""
    right, midway, kept = killer.right, 0, False
    ends = {(name, chain.tip) for name, chain in right.chains.items()}
    for number in range(kills):
        what, seen = killer.one()
        try:
            tip = right.tip_of(killer.daemon.db)
        except (AssertionError, KeyError) as wrong:
            raise AssertionError(f"kill {number} ({what}): {wrong}\n{killer.daemon.log()}") from wrong
        assert seen is None or tip == right.where[right.chains[seen[0]].hash(seen[1])], what
        assert tip is not None or not kept, f"kill {number} ({what}): what was there is gone"
        kept = tip is not None
        midway += kept and tip not in ends
        if tip in ends and killer.dice.random() < 0.5:  # so that there is more to index
            shrewd("rollback", "--db-path", killer.daemon.db, "--height",
                   killer.dice.randrange(200, 290), "--yes", check=0)
    killer.daemon.flags.update(blocks=right.files["a"])
    killer.daemon.start()
    killer.daemon.wait_block(300, right.chains["a"].hash(300))
    assert killer.daemon.stop()[0] == 0
    assert digest(killer.daemon.dump()) == right.end("a")
    check(killer.daemon.db)
    # Few kills may all fall elsewhere; many may not.
    assert kills < 50 or midway > kills // 8, f"hardly ever killed on the way: {midway} of {kills}"
    return midway


def test_killed_anywhere_it_goes_on_as_if_nothing_had_happened(right, seconds):
    start = time.monotonic()
    killer = Killer(right, torture.dice("kill"), seconds)
    with killer.daemon:
        midway = kill_again_and_again(killer, KILLS)
    torture.figure("kills", kills=KILLS, seed=torture.SEED, **killer.done, midway=midway,
                   seconds=round(time.monotonic() - start))


def test_killed_while_it_prunes(right, seconds):
    """Old versions go meanwhile; what is left of the past is right, and the rest is refused."""
    if not torture.knows("prune"):
        pytest.skip("this build has no --prune")
    start = time.monotonic()
    killer = Killer(right, torture.dice("prune"), seconds, prune=[None, *KEPT])
    with killer.daemon as daemon:
        midway = kill_again_and_again(killer, KILLS_PRUNED)
        daemon.flags.update(prune=KEPT[0])
        daemon.start()
        wait_for(lambda: f"pruned, holds from {torture.status(daemon.db)['first_height']}",
                 lambda: torture.status(daemon.db)["first_height"] >= 300 - KEPT[0])
        assert daemon.stop()[0] == 0
        assert digest(daemon.dump()) == right.end("a")
        for height in (190, 240, 300):  # another chain was 306 high
            assert digest(dump(daemon.db, "--height", height)) == (
                right.at(right.chains["a"].hash(height)))
        assert shrewd("dump", "--db-path", daemon.db, "--height", 170).returncode == 3
        check(daemon.db)
    torture.figure("kills while pruning", kills=KILLS_PRUNED, seed=torture.SEED, **killer.done,
                   midway=midway, seconds=round(time.monotonic() - start))
