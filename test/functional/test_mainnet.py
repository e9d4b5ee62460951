"""Real mainnet blocks from files, checked by a parser that shares nothing with shrewd."""
import bz2
import random

import pytest

from harness import paths
from harness.blocks import (MAINNET_GENESIS, MAINNET_MAGIC, block_hash, bootstrap, early_mainnet)
from harness.daemon import dump, shrewd, view
from reference import Reference, decode_balance, decode_totals, decode_utxos

FULL_BLOCKS = [849236, 849250, 905646]


@pytest.fixture(scope="module")
def early(shared):
    blocks = early_mainnet(shared)
    assert len(blocks) == 256
    assert block_hash(MAINNET_GENESIS)[::-1].hex() == (
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")
    return blocks


@pytest.fixture
def early_file(early, tmp_path):
    """The blocks after genesis, which shrewd knows by itself."""
    path = tmp_path / "blocks1-256.dat"
    path.write_bytes(bootstrap(early[1:], MAINNET_MAGIC))
    return path


def run_to_end(daemon, module, **flags):
    one = daemon(module, **flags)
    one.spawn()
    assert one.wait_exit() == 0, one.log()
    return one


def reference_of(blocks, start=0):
    reference = Reference()
    for height, block in enumerate(blocks, start):
        reference.apply(block, height)
    return reference


def compare_balances(db, reference, step=1):
    module = paths.guest("balances")
    assert decode_totals(view(db, module, "totals")) == reference.totals()
    for script in reference.scripts()[::step]:
        assert decode_balance(view(db, module, "balance", script)) == reference.balance(script)
        assert decode_utxos(view(db, module, "utxos", script)) == reference.utxos(script)


def test_blocks_1_to_255_with_balances(early, early_file, daemon):
    one = run_to_end(daemon, "balances", blocks=early_file, exit_at=255)
    reference = reference_of(early)
    assert reference.totals().value == 255 * 50 * 100_000_000
    assert reference.totals().txs == 263
    compare_balances(one.db, reference, step=10)


def test_blocks_1_to_255_with_minimal(early, early_file, daemon):
    one = run_to_end(daemon, "minimal", blocks=early_file, exit_at=255)
    module = paths.guest("minimal")
    assert view(one.db, module, "blocktracker") == reference_of(early).blocktracker()
    for height in (0, 1, 170, 255):
        assert view(one.db, module, "getblock", b"", height) == early[height]
    expected = "".join(f"{key.hex()} {value.hex()}\n" for key, value in sorted(
        [(b"/blocktracker", reference_of(early).blocktracker())] +
        [(b"/blocks/%d" % height, block) for height, block in enumerate(early)]))
    assert dump(one.db) == expected


def test_the_order_of_the_file_does_not_matter(early, early_file, daemon, tmp_path):
    straight = run_to_end(daemon, "minimal", blocks=early_file, exit_at=255)
    shuffled = early[1:]
    random.Random(7).shuffle(shuffled)
    path = tmp_path / "shuffled.dat"
    path.write_bytes(bootstrap(shuffled, MAINNET_MAGIC))
    other = run_to_end(daemon, "minimal", blocks=path, exit_at=255)
    assert dump(other.db) == dump(straight.db)


def test_a_nodes_blocks_folder(early, daemon, early_file, tmp_path):
    """blk*.dat files as a node writes them: out of order, preallocated, scrambled by xor.dat."""
    folder = tmp_path / "blocks"
    folder.mkdir()
    key = bytes.fromhex("8af13b00c2d4e511")
    (folder / "xor.dat").write_bytes(key)
    swapped = [block for pair in zip(early[1::2], early[0::2]) for block in pair]
    for number, start in enumerate(range(0, 256, 100)):
        data = bootstrap(swapped[start:start + 100], MAINNET_MAGIC) + bytes(4096)
        data = bytes(byte ^ key[at % 8] for at, byte in enumerate(data))
        (folder / f"blk{number:05}.dat").write_bytes(data)
    one = run_to_end(daemon, "minimal", blocks=folder, exit_at=255)
    straight = run_to_end(daemon, "minimal", blocks=early_file, exit_at=255)
    assert dump(one.db) == dump(straight.db)


def test_a_damaged_block_is_never_indexed(early, daemon, tmp_path):
    """A bit of a transaction flips: the merkle root no longer fits, and the index ends below."""
    damaged = bytearray(early[200])
    damaged[-10] ^= 1
    path = tmp_path / "damaged.dat"
    path.write_bytes(bootstrap([*early[1:200], bytes(damaged), *early[201:]], MAINNET_MAGIC))
    one = daemon("minimal", blocks=path, exit_at=255, port=0)
    one.start()
    one.wait_height(199)
    one.wait_log("do not give the merkle root")
    one.stop()
    status = shrewd("status", "--db-path", one.db, "--json", check=0).stdout
    assert '"height": 199' in status, (status, one.log())


@pytest.mark.parametrize("height", FULL_BLOCKS)
@pytest.mark.parametrize("module", ["minimal", "balances"])
def test_a_full_block_as_a_chain_of_its_own(shared, daemon, height, module):
    path = shared / "blocks" / f"mainnet-{height}.bin"
    block = path.read_bytes()
    one = run_to_end(daemon, module, blocks=path, start_block=height, exit_at=height)
    reference = reference_of([block], height)
    if module == "minimal":
        assert view(one.db, one.module, "getblock") == block
        assert view(one.db, one.module, "blocktracker") == reference.blocktracker()
        return
    totals = decode_totals(view(one.db, one.module, "totals"))
    assert totals == reference.totals() and totals.txs > 1000
    one.flags["exit_at"] = None
    one.start()
    for script in reference.scripts()[::5]:
        assert decode_balance(one.view("balance", script)) == reference.balance(script)
        assert decode_utxos(one.view("utxos", script)) == reference.utxos(script)


def test_the_file_of_the_data_is_what_it_says(shared, early):
    raw = bz2.decompress((shared / "blocks" / "blocks1-256.bz2").read_bytes())
    assert raw[:4] == MAINNET_MAGIC
    for parent, block in zip(early, early[1:]):
        assert block[4:36] == block_hash(parent)
