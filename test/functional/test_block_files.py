"""--blocks: files that do not begin where their network does."""
import json

from harness.daemon import shrewd

OK, USAGE = 0, 2


def test_a_block_of_unknown_height_needs_start_block(node, daemon, tmp_path):
    node.mine(40)
    raw = tmp_path / "block"
    block_hash = node.rpc.getblockhash(40)
    raw.write_bytes(bytes.fromhex(node.rpc.getblock(block_hash, 0)))
    one = daemon("minimal", blocks=raw, exit_at=40)
    one.spawn()
    assert one.wait_exit() == USAGE
    for word in (str(raw), block_hash, "regtest", "--start-block"):
        assert word in one.log(), one.log()
    assert not one.db.exists()
    one.flags["start_block"] = 40
    one.spawn()
    assert one.wait_exit() == OK, one.log()
    assert json.loads(shrewd("status", "--db-path", one.db, "--json").stdout)["height"] == 40
