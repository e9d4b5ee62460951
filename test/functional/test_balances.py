"""`balances` against a real node: every script's balance equals the node's own UTXO set, at the
tip and after reorgs, and the state equals, byte for byte, a fresh index of the final chain."""
import time

import pytest

from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.node import populate
from reference import Reference, decode_balance, decode_totals, decode_utxos

BLOCKS = 1000
PAYMENTS = 320


@pytest.fixture(scope="module")
def chain(node):
    assert populate(node, BLOCKS, PAYMENTS, seed=2) == PAYMENTS
    return node


@pytest.fixture(scope="module")
def indexed(chain):
    """The daemon that lives through every reorg of this file."""
    with Daemon(paths.guest("balances"), node=chain, zmq=chain.zmq_url) as daemon:
        daemon.start().wait_tip(chain)
        yield daemon


def fresh_dump(chain, height=None):
    with Daemon(paths.guest("balances"), node=chain,
                exit_at=chain.height() if height is None else height) as fresh:
        fresh.spawn()
        assert fresh.wait_exit() == 0, fresh.log()
        return fresh.dump()


def reference_of(chain):
    reference = Reference()
    for height, block in chain.blocks():
        reference.apply(block, height)
    return reference


def compare(daemon, chain, also=()):
    """Every balance and output of `balances` equals scantxoutset's. `also`: scripts that may have
    had coins on another chain."""
    reference = reference_of(chain)
    scripts = set(reference.scripts()) | set(also)
    truth = chain.utxos_of(scripts)
    calls = sorted(scripts)
    for script in calls:
        balance = decode_balance(daemon.view("balance", script))
        assert tuple(balance) == truth[script], script.hex()
        utxos = decode_utxos(daemon.view("utxos", script))
        assert sum(utxo.value for utxo in utxos) == balance.balance
        assert utxos == reference.utxos(script), script.hex()
    totals = decode_totals(daemon.view("totals"))
    assert (totals.value, totals.utxos) == chain.totals()
    assert totals == reference.totals()
    assert totals.scripts == sum(1 for count in truth.values() if count[1])
    return scripts


def test_every_balance_equals_the_nodes(indexed, chain):
    scripts = compare(indexed, chain)
    assert len(scripts) > 50
    assert indexed.dump() == fresh_dump(chain)


def test_past_balances_equal_those_of_a_shorter_chain(indexed, chain):
    reference = Reference()
    for height, block in chain.blocks():
        reference.apply(block, height)
        if height % 97 == 0 or height == BLOCKS:
            assert decode_totals(indexed.view("totals", b"", height)) == reference.totals()
            for script in reference.scripts()[::7]:
                assert decode_balance(indexed.view("balance", script, height)) == (
                    reference.balance(script))


def test_a_dump_of_the_past_is_that_of_a_shorter_chain(indexed, chain):
    for height in (0, 1, 150, 777, BLOCKS):
        assert dump(indexed.db, "--height", height) == fresh_dump(chain, height)


@pytest.mark.parametrize("depth", [1, 2, 6, 20])
def test_a_reorg_to_another_chain(indexed, chain, depth):
    before = set(reference_of(chain).scripts())
    old_tip = chain.rpc.getbestblockhash()
    chain.reorg(depth)
    assert chain.rpc.getbestblockhash() != old_tip
    indexed.wait_tip(chain)
    compare(indexed, chain, before)
    assert indexed.dump() == fresh_dump(chain)


def test_a_reorg_that_spends_otherwise(indexed, chain):
    """The new chain spends the coins of the old one to other scripts, in other blocks."""
    before = set(reference_of(chain).scripts())
    for _ in range(5):
        chain.wallet.sendtoaddress(chain.wallet.getnewaddress("", "bech32m"), "0.5")
        chain.mine()
    indexed.wait_tip(chain)
    before |= set(reference_of(chain).scripts())
    chain.rpc.invalidateblock(chain.rpc.getblockhash(chain.height() - 4))
    for _ in range(4):
        chain.mine_empty()
    chain.wallet.sendtoaddress(chain.wallet.getnewaddress("", "legacy"), "0.25")
    chain.mine(2)
    indexed.wait_tip(chain)
    compare(indexed, chain, before)
    assert indexed.dump() == fresh_dump(chain)


def test_back_to_the_first_chain(indexed, chain):
    """A branch that was left is taken up again: invalidateblock, then reconsiderblock."""
    first = chain.rpc.getbestblockhash()
    fork, _ = chain.reorg(3, length=4)
    indexed.wait_tip(chain)
    other = indexed.dump()
    chain.rpc.invalidateblock(chain.rpc.getblockhash(chain.height() - 3))
    chain.rpc.reconsiderblock(fork)
    assert chain.rpc.getbestblockhash() == first
    indexed.wait_tip(chain)
    assert indexed.dump() == fresh_dump(chain) != other


def test_a_node_that_falls_back_on_the_same_chain_changes_nothing(indexed, chain):
    """As it does while it reindexes. Another chain from there on is followed, though shorter."""
    before, tip = indexed.dump(), chain.height()
    gone = chain.rpc.getblockhash(tip - 2)
    chain.rpc.invalidateblock(gone)
    time.sleep(1)
    assert indexed.height() == tip and indexed.dump() == before
    chain.mine_new(2)
    indexed.wait_tip(chain)
    assert chain.height() == tip - 1
    compare(indexed, chain)
    assert indexed.dump() == fresh_dump(chain)
    chain.rpc.reconsiderblock(gone)
    indexed.wait_tip(chain)
    assert indexed.dump() == before


def test_a_reorg_while_the_daemon_is_stopped(indexed, chain):
    assert indexed.stop()[0] == 0
    chain.wallet.sendtoaddress(chain.wallet.getnewaddress("", "bech32"), "1.5")
    chain.reorg(11)
    indexed.start()
    indexed.wait_tip(chain)
    compare(indexed, chain)
    assert indexed.dump() == fresh_dump(chain)


def test_a_reorg_without_zmq(chain, daemon):
    polling = daemon("balances", node=chain)
    polling.start().wait_tip(chain)
    chain.reorg(2)
    polling.wait_tip(chain)
    assert polling.dump() == fresh_dump(chain)


def test_a_reorg_deeper_than_allowed_stops_and_changes_nothing(chain, daemon):
    bound = daemon("balances", node=chain, max_reorg_depth=5)
    bound.start().wait_tip(chain)
    chain.reorg(5)
    bound.wait_tip(chain)
    before = bound.dump()
    tip = chain.height()
    chain.reorg(6)
    assert bound.wait_exit(30) == 6, bound.log()
    assert "5" in bound.log() and "--max-reorg-depth" in bound.log()
    assert bound.dump() == before
    bound.spawn()
    assert bound.wait_exit(30) == 6
    assert bound.dump() == before

    # The ways out: a greater depth, or a rollback by hand.
    shrewd("rollback", "--db-path", bound.db, "--height", tip - 6, "--yes", check=0)
    bound.start()
    bound.wait_tip(chain)
    assert bound.dump() == fresh_dump(chain)


def test_a_greater_depth_takes_the_deep_reorg(chain, daemon):
    deep = daemon("balances", node=chain, max_reorg_depth=3)
    deep.start().wait_tip(chain)
    chain.reorg(150)
    assert deep.wait_exit(30) == 6
    deep.flags["max_reorg_depth"] = 150
    deep.start().wait_tip(chain)
    assert deep.dump() == fresh_dump(chain)
