"""The state follows from the module and the chain alone: not from caches, queues, durability, from
stops and kills on the way, or from chains that were left again."""
import time

import pytest

from harness import torture
from harness.chain import Chain
from harness.daemon import Daemon, dump
from harness.torture import Right, check, digest, rounds, status

pytestmark = pytest.mark.torture

RUNS = rounds(5, 120)
# What each flag is set to, one of these in each run; None leaves it out.
FLAGS = {
    "cache_mb": [None, 1, 64],
    "read_cache_mb": [None, 0, 1, 64],
    "prefetch_mb": [None, 1, 32],
    "pipeline_size": [None, 1, 3, 500],
    "memory_mb": [None, 600, 2048],
    "load_pairs": [None, 1, 300],
    "fsync": [None, "always", "tip", "never"],
    "reorg_check_threshold": [None, 1, 1000],
    "views": [None, "fresh"],
    "prune": [None, 120],
}


@pytest.fixture(scope="module")
def right():
    first = Chain(200, "a")
    second = first.branch("b", 120, 203)
    chains = {"a": first, "b": second, "c": second.branch("c", 202, 205)}
    made = Right(torture.module("same", keys=80, space=600), chains)
    yield made
    made.close()


def known_flags():
    return {name: values for name, values in FLAGS.items() if torture.knows(name)}


def run_somehow(right, dice):
    """Indexes chain a in a number of runs, each with flags of its own, over other chains or not;
    returns a daemon that has ended, and what was done."""
    done = []
    daemon = Daemon(right.module, **torture.flags())
    height = -1
    for part in range(dice.randrange(1, 4), -1, -1):
        name = "a" if part == 0 else dice.choice(["a", "b", "c"])
        tip = right.chains[name].tip
        exit_at = tip if part == 0 else dice.randrange(tip)
        flags = {flag: dice.choice(values) for flag, values in known_flags().items()}
        how = "ends" if part == 0 or exit_at <= height else dice.choice(["ends", "killed"])
        done.append((name, exit_at, how, flags))
        daemon.flags.update(blocks=right.files[name], exit_at=exit_at, **flags)
        daemon.spawn()
        if how == "killed":
            time.sleep(dice.uniform(0, 0.3))
            daemon.kill()
        else:
            assert daemon.wait_exit() == 0, (done, daemon.log())
        height = max(height, exit_at)
    return daemon, done


def test_the_same_chain_gives_the_same_state(right):
    dice = torture.dice("determinism")
    start = time.monotonic()
    for _ in range(RUNS):
        daemon, done = run_somehow(right, dice)
        with daemon:
            assert digest(daemon.dump()) == right.end("a"), done
            assert status(daemon.db)["root"] == status(right.daemons["a"].db)["root"], done
            for height in (dice.randrange(90, 200), 120, 121):  # what is pruned is below 84
                assert digest(dump(daemon.db, "--height", height)) == (
                    right.at(right.chains["a"].hash(height))), (height, done)
            check(daemon.db)
    torture.figure("determinism", runs=RUNS, flags=len(known_flags()), seed=torture.SEED,
                   seconds=round(time.monotonic() - start))


def test_the_matrix_is_of_flags_there_are():
    """One that is misspelt would be left out in silence."""
    assert len(known_flags()) >= 5, known_flags()
