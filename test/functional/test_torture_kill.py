"""Killed at random moments of opening, indexing, reorgs, rollbacks and closing, from block files:
no node to wait for, so that there can be many kills. `make torture` runs the long form."""
import subprocess
import time

import pytest

from harness import paths, torture
from harness.chain import Chain
from harness.daemon import ENVIRONMENT, Daemon
from harness.torture import Right, check, digest, rounds

pytestmark = pytest.mark.torture

KILLS = rounds(25, 500)


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

    def __init__(self, right, dice, seconds):
        self.right, self.dice, self.seconds = right, dice, seconds
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
        self.daemon.flags["blocks"] = self.right.files[name]
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


def test_killed_anywhere_it_goes_on_as_if_nothing_had_happened(right, seconds):
    dice = torture.dice("kill")
    killer = Killer(right, dice, seconds)
    heights, start = set(), time.monotonic()
    for number in range(KILLS):
        what, seen = killer.one()
        try:
            tip = right.tip_of(killer.daemon.db)
        except (AssertionError, KeyError) as wrong:
            raise AssertionError(f"kill {number} ({what}): {wrong}\n{killer.daemon.log()}") from wrong
        assert seen is None or tip == right.where[right.chains[seen[0]].hash(seen[1])], what
        assert tip is not None or not heights, f"kill {number} ({what}): what was there is gone"
        if tip is not None:
            heights.add(tip)
    killer.daemon.flags.update(blocks=right.files["a"])
    killer.daemon.spawn()
    killer.daemon.wait_listens()
    killer.daemon.wait_block(300, right.chains["a"].hash(300))
    assert killer.daemon.stop()[0] == 0
    assert digest(killer.daemon.dump()) == right.end("a")
    check(killer.daemon.db)
    killer.daemon.close()
    assert len(heights) > KILLS // 6, f"hardly ever killed on the way: {sorted(heights)}"
    torture.figure("kill", kills=KILLS, seed=torture.SEED, **killer.done,
                   tips=len(heights), seconds=round(time.monotonic() - start))
