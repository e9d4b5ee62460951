"""A module that fails on block N, in every way a module can: nothing of N is stored, the log says
why, and a mended module goes on from N as if it had been there from the beginning."""
import pytest

from harness import torture
from harness.chain import Chain
from harness.daemon import Daemon, dump, shrewd
from harness.torture import check, status

pytestmark = pytest.mark.torture

N, TIP = 8, 12
SMALL = {"keys": 5, "space": 20}

# The letter the module fails on, and what the log says.
FAULTS = {
    "traps": ("t", ["unreachable", "fail_here"]),
    "traps after a flush": ("h", ["unreachable", "fail_here"]),
    "exits without a flush": ("e", ["indexer exited unexpectedly", "flush"]),
    "flushes garbage": ("g", ["__flush", "KeyValueFlush"]),
    "flushes past its memory": ("p", ["__flush", "past the end of the memory"]),
    "flushes 200 MiB": ("m", ["flushed more than 128 MiB"]),
    "allocates for ever": ("a", ["unreachable", "fail_here"]),
    "recurses for ever": ("r", ["stack overflow"]),
}


def chain_with(letter):
    def payload(height):
        return b"FAILHERE" + letter.encode() + b"........" if height == N else b""
    return Chain(TIP, "g", payload)


@pytest.fixture(scope="module")
def modules():
    return torture.module("failing", **SMALL), torture.module("mended", mended=True, **SMALL)


def index(module, chain, db=None, code=0, tmp=torture.folder, **flags):
    """Runs to the chain's end, or to the exit code given; returns its daemon, ended."""
    blocks = chain.write(tmp() / "faults.blocks")
    daemon = Daemon(module, db=db, blocks=blocks, exit_at=chain.tip, **torture.flags(**flags))
    daemon.spawn()
    assert daemon.wait_exit(60) == code, daemon.log()
    return daemon


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_of_the_block_is_stored_and_a_mended_module_goes_on(modules, name):
    failing, mended = modules
    letter, words = FAULTS[name]
    chain = chain_with(letter)
    with index(mended, chain) as right, index(failing, chain, code=5) as failed:
        log = failed.log()
        for word in [f"block {N} ({chain.hash(N)}) was not indexed", *words]:
            assert word in log, f"'{word}' is not in {log}"
        before = failed.dump()

        # Nothing of N: the state is that after N - 1, and so it stays.
        assert (status(failed.db)["height"], status(failed.db)["hash"]) == (N - 1, chain.hash(N - 1))
        assert before == dump(right.db, "--height", N - 1)
        check(failed.db)
        index(failing, chain, db=failed.db, code=5).close()
        assert failed.dump() == before

        # The mended module is another module: that has to be said.
        with index(mended, chain, db=failed.db, code=3) as refused:
            assert "--accept-module" in refused.log()
        assert failed.dump() == before
        index(mended, chain, db=failed.db, accept_module=True).close()
        assert failed.dump() == right.dump()
        for height in (0, N - 1, N, TIP):
            assert dump(failed.db, "--height", height) == dump(right.db, "--height", height)
        check(failed.db)
        index(mended, chain, db=failed.db).close()  # from now on it is the database's own


def test_another_block_instead_is_the_other_way_on(modules):
    """The chain leaves the block that the module failed on: no new module is needed."""
    failing, _ = modules
    chain = chain_with("t")
    other = chain.branch("other", N - 3, TIP + 1, lambda height: b"")
    with index(failing, chain, code=5) as failed, index(failing, other) as right:
        index(failing, other, db=failed.db).close()
        assert failed.dump() == right.dump()
        check(failed.db)


def test_a_reorg_onto_a_block_the_module_fails_on(modules):
    """It is rolled back to where the chains part, and goes as far as it can."""
    failing, mended = modules
    good = Chain(TIP, "good")
    bad = good.branch("bad", N - 3, TIP + 1,
                      lambda height: b"FAILHERE" + b"t........" if height == N else b"")
    with index(failing, good) as daemon, index(mended, bad) as right:
        index(failing, bad, db=daemon.db, code=5).close()
        assert status(daemon.db)["hash"] == bad.hash(N - 1)
        assert daemon.dump() == dump(right.db, "--height", N - 1)
        check(daemon.db)
        index(mended, bad, db=daemon.db, accept_module=True).close()
        assert daemon.dump() == right.dump()
        check(daemon.db)


def test_a_flush_of_100_mib_is_a_lot_and_fine(modules):
    failing, _ = modules
    with index(failing, chain_with("l")) as daemon:
        assert status(daemon.db)["height"] == TIP
        large = shrewd("dump", "--db-path", daemon.db, "--prefix", "f", check=0).stdout
        assert len(large.splitlines()) == 100 and len(large) > 200 << 20
        check(daemon.db)
        shrewd("rollback", "--db-path", daemon.db, "--height", N - 1, "--yes", check=0)
        assert shrewd("dump", "--db-path", daemon.db, "--prefix", "f", check=0).stdout == ""
