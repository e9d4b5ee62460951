"""JSON-RPC as clients of the reference know it: each method, right and wrong."""
import concurrent.futures
import json
import pathlib
import struct

import pytest

from harness import paths
from harness.daemon import Daemon, no_dump
from harness.node import populate
from harness.rpc import Rpc, RpcError
from harness.schema import check_value, method_schema

PROBE = pathlib.Path(__file__).parent / "modules" / "probe.wat"
TIP = 240


@pytest.fixture(scope="module")
def chain(node):
    populate(node, TIP, 40, seed=4)
    return node


@pytest.fixture(scope="module")
def probe(chain):
    with Daemon(PROBE, node=chain, cors="https://wallet.example") as daemon:
        daemon.start().wait_tip(chain)
        yield daemon


@pytest.fixture(scope="module")
def minimal(chain):
    with Daemon(paths.guest("minimal"), node=chain) as daemon:
        daemon.start().wait_tip(chain)
        yield daemon


def error_of(daemon, method, *params):
    with pytest.raises(RpcError) as caught:
        daemon.rpc.call(method, *params)
    assert isinstance(caught.value.code, int) and isinstance(caught.value.message, str)
    return caught.value


HEIGHTS = [(7, 7), ("7", 7), ("0x7", 7), ("0X7", 7), (0, 0), ("0x0", 0), ("latest", TIP),
           (None, TIP), (TIP, TIP), (str(TIP), TIP), (hex(TIP), TIP)]
BAD_HEIGHTS = [-1, 1.5, "1.5", "-1", "", " 7", "7 ", "0x", "0xg", "late", True, [], {}, [7],
               4294967296, "4294967296", "0x100000000", 1e300, "LATEST\n"]


# -- metashrew_view

@pytest.mark.parametrize("height, means", HEIGHTS)
def test_view_at_every_form_of_height(probe, height, means):
    answer = probe.rpc.call("metashrew_view", "echo", "0x0a0b", height)
    assert answer == "0x" + struct.pack("<I", means).hex() + "0a0b"
    assert probe.rpc.call("metashrew_view", "stored", "", height) == (
        "0x" + struct.pack("<I", means).hex())


def test_view_without_a_height_is_latest(probe):
    assert probe.rpc.call("metashrew_view", "echo", "ff") == "0x" + struct.pack("<I", TIP).hex() + "ff"


@pytest.mark.parametrize("given, means", [
    ("", ""), ("0x", ""), ("00", "00"), ("0xAbCd", "abcd"), ("ABCD", "abcd")])
def test_view_input_forms(probe, given, means):
    assert probe.rpc.call("metashrew_view", "echo", given, 0) == "0x00000000" + means


def test_view_passes_a_large_input_unchanged(probe):
    data = bytes(range(256)) * 4096  # 1 MiB
    assert probe.view("echo", data, 5) == struct.pack("<I", 5) + data


def test_view_with_an_empty_answer(probe):
    assert probe.rpc.call("metashrew_view", "empty", "") == "0x"


def test_view_by_names(probe):
    body = {"jsonrpc": "2.0", "id": "a:1", "method": "metashrew_view",
            "params": {"view": "echo", "input": "01", "height": 3}}
    _, _, answer = probe.rpc.http(json.dumps(body))
    assert json.loads(answer)["result"] == "0x0300000001"


def test_view_above_the_tip_names_the_tip(probe):
    for height in (TIP + 1, str(TIP + 1), hex(TIP + 1), 4294967295):
        error = error_of(probe, "metashrew_view", "echo", "", height)
        assert error.code == -32002 and str(TIP) in error.message


@pytest.mark.parametrize("height", BAD_HEIGHTS)
def test_wrong_heights(probe, height):
    assert error_of(probe, "metashrew_view", "echo", "", height).code == -32602
    assert error_of(probe, "metashrew_getblockhash", height).code == -32602


@pytest.mark.parametrize("params", [
    [], ["echo"], [None, ""], [7, ""], ["echo", 0], ["echo", None], ["echo", {}], ["echo", ["00"]],
    ["echo", "0"], ["echo", "0x0"], ["echo", "zz"], ["echo", "0x0 "], ["echo", "00", 1, 2],
    ["9a" * 32, 0]])
def test_view_with_wrong_params(probe, params):
    assert error_of(probe, "metashrew_view", *params).code == -32602


@pytest.mark.parametrize("params", ["echo", 7, True])
def test_params_that_are_no_list(probe, params):
    _, _, answer = probe.rpc.http(json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "metashrew_view", "params": params}))
    assert json.loads(answer)["error"]["code"] in (-32600, -32602)


def test_unknown_view_is_32000_and_names_it(probe):
    error = error_of(probe, "metashrew_view", "nothing_like_it", "")
    assert error.code == -32000 and "nothing_like_it" in error.message


@pytest.mark.parametrize("name", ["_start", "memory", "", "a" * 10000, "\u2603", "echo\u0000"])
def test_names_that_are_no_view(probe, name):
    assert error_of(probe, "metashrew_view", name, "").code in (-32000, -32602)


@pytest.mark.parametrize("name, says", [
    ("traps", "unreachable"), ("aborts", "no good"), ("aborts", "a.ts"), ("aborts", "7"),
    ("asks_mystery", "mystery"), ("points_past_the_end", ""), ("points_to_null", ""),
    ("gets_past_the_end", "__get_len"), ("overflows_the_stack", "stack")])
def test_a_view_that_fails_says_why(probe, name, says):
    error = error_of(probe, "metashrew_view", name, "")
    assert error.code == -32000 and says in error.message, error.message
    assert probe.rpc.call("metashrew_height") == str(TIP)


def test_a_view_may_flush_anything_and_log_anything(probe):
    before = probe.dump()
    assert probe.rpc.call("metashrew_view", "flushes", "") == "0x"
    assert probe.rpc.call("metashrew_view", "flushes", "", 3) == "0x"
    assert probe.rpc.call("metashrew_view", "logs", "") == "0x"
    assert probe.dump() == before
    assert "\x1b" not in probe.log()


def test_a_view_is_held_to_its_memory(chain, daemon):
    bound = daemon(PROBE, node=chain, view_memory_mb=64, exit_at=3)
    bound.start()
    assert bound.wait_exit() == 0
    bound.flags["exit_at"] = None
    bound.start()
    assert bound.view("grows", height=3) == b"\xff\xff\xff\xff"
    assert bound.view("echo", height=3) == b"\x03\0\0\0"


# -- metashrew_preview

def test_preview_shows_the_block_and_keeps_nothing(minimal, chain):
    before = minimal.dump()
    for height in (0, 5, TIP - 1):
        block = chain.block(height + 1)
        assert minimal.preview(block, "getblock", b"", height) == block
        assert minimal.preview(block, "getblock", struct.pack("<I", height), height) == (
            chain.block(height))
        assert minimal.preview(block, "blocktracker", b"", str(height)) == (
            minimal.view("blocktracker", b"", height + 1))
    assert minimal.dump() == before


def test_preview_on_the_tip_is_a_height_above_it(probe, chain):
    block = chain.block(TIP)
    for height in ([], ["latest"], [TIP], [None]):
        assert probe.rpc.call("metashrew_preview", block.hex(), "stored", "0x", *height) == (
            "0x" + struct.pack("<I", TIP + 1).hex())
        assert probe.rpc.call("metashrew_preview", block.hex(), "echo", "aa", *height) == (
            "0x" + struct.pack("<I", TIP + 1).hex() + "aa")
    assert probe.rpc.call("metashrew_view", "stored", "") == "0x" + struct.pack("<I", TIP).hex()


def test_preview_of_a_block_of_4_mb(probe):
    block = b"\x01" * 4_000_000
    assert probe.preview(block, "stored", b"", 0) == b"\x01\0\0\0"


@pytest.mark.parametrize("params", [
    [], ["00"], ["00", "echo"], ["zz", "echo", ""], [7, "echo", ""], ["00", 7, ""],
    ["00", "echo", 7], ["00", "echo", "", -1], ["00", "echo", "", 1, 2], [None, None, None]])
def test_preview_with_wrong_params(probe, params):
    assert error_of(probe, "metashrew_preview", *params).code == -32602


def test_preview_that_cannot_be(probe, chain):
    block = chain.block(1).hex()
    assert error_of(probe, "metashrew_preview", block, "nothing", "").code == -32000
    assert error_of(probe, "metashrew_preview", block, "traps", "").code == -32000
    assert error_of(probe, "metashrew_preview", block, "echo", "", TIP + 1).code == -32002


def test_a_block_that_the_guest_cannot_read_fails_the_preview_only(minimal):
    assert error_of(minimal, "metashrew_preview", "00", "getblock", "").code in (-32000, -32003)
    assert error_of(minimal, "metashrew_preview", "", "getblock", "").code in (-32000, -32003)
    assert minimal.height() == TIP


def test_a_thousand_previews(chain):
    with Daemon(paths.guest("balances"), node=chain) as daemon:
        daemon.start().wait_tip(chain)
        before = daemon.dump()
        truth = [daemon.view("totals", b"", height) for height in range(TIP + 1)]
        blocks = [chain.block(height).hex() for height in range(TIP + 1)]

        def ask(number):
            height = number % TIP
            own = Rpc(daemon.port)
            answer = own.call("metashrew_preview", blocks[height + 1], "totals", "", height)
            own.close()
            return answer == "0x" + truth[height + 1].hex()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(1000)))
        assert daemon.dump() == before
        assert daemon.height() == TIP


# -- the four small ones

def test_height_is_a_decimal_string(probe):
    assert probe.rpc.call("metashrew_height") == str(TIP)
    assert error_of(probe, "metashrew_height", 1).code == -32602


@pytest.mark.parametrize("height, means", HEIGHTS)
def test_getblockhash(probe, chain, height, means):
    assert probe.rpc.call("metashrew_getblockhash", height) == "0x" + chain.rpc.getblockhash(means)


def test_getblockhash_of_an_unknown_height(probe):
    for height in (TIP + 1, 4294967295, "4294967295"):
        for method, params in (("metashrew_getblockhash", [height]),
                               ("metashrew_stateroot", [height]),
                               ("metashrew_view", ["echo", "", height]),
                               ("shrewd_prove", [["0x00"], height])):
            error = error_of(probe, method, *params)
            assert error.code == -32002, method
            # One wording, as doc/json-rpc.md has it.
            assert error.message.endswith(f"block {int(height)} is not indexed: the tip is {TIP}")


def test_stateroot(probe):
    root = probe.rpc.call("metashrew_stateroot", "latest")
    assert root.startswith("0x") and len(root) == 66
    assert probe.rpc.call("metashrew_stateroot", TIP) == root
    assert probe.rpc.call("metashrew_stateroot", TIP - 1) != root
    assert error_of(probe, "metashrew_stateroot", TIP + 1).code == -32002
    assert error_of(probe, "metashrew_stateroot", -1).code == -32602


def test_snapshot_is_a_string_that_holds_an_object(probe):
    said = json.loads(probe.rpc.call("metashrew_snapshot"))
    assert said["enabled"] is False
    assert said["current_height"] == said["indexed_height"] == TIP
    for field in ("last_snapshot_height", "blocks_synced_normally", "blocks_synced_from_snapshots",
                  "snapshots_applied"):
        assert isinstance(said[field], int), field
    assert said["blocks_synced_normally"] == TIP + 1


def test_nothing_is_indexed_yet(chain, daemon):
    empty = daemon(PROBE, node=chain, start_block=TIP + 100).start()
    for method, params in (("metashrew_height", []), ("metashrew_getblockhash", []),
                           ("metashrew_stateroot", []), ("metashrew_view", ["echo", ""]),
                           ("metashrew_preview", [chain.block(1).hex(), "echo", ""])):
        assert error_of(empty, method, *params).code == -32005, method
    assert json.loads(empty.rpc.call("metashrew_snapshot"))["indexed"] is False
    no_dump(empty.db)


def test_heights_below_the_first_one(chain, daemon):
    late = daemon(PROBE, node=chain, start_block=100).start()
    late.wait_tip(chain)
    assert late.view("stored", height=100) == struct.pack("<I", 100)
    for method, params in (("metashrew_getblockhash", [99]), ("metashrew_stateroot", [0]),
                           ("metashrew_view", ["echo", "", 99]),
                           ("metashrew_preview", [chain.block(1).hex(), "echo", "", 98])):
        error = error_of(late, method, *params)
        assert error.code == -32004 and "100" in error.message, (method, error)


@pytest.mark.parametrize("name", ["metashrew_view", "metashrew_preview", "metashrew_height",
                                  "metashrew_getblockhash", "metashrew_stateroot",
                                  "metashrew_snapshot", "shrewd_prove",
                                  "shrewd_view_proof"])
def test_the_examples_of_the_documentation_have_the_right_shape(name):
    schema = method_schema(name)
    assert schema["examples"]
    for example in schema["examples"]:
        if "result" in example:
            check_value(schema["result"], example["result"], name)


# -- clients

def test_height_then_hash_always_succeeds_while_blocks_come(chain, daemon):
    following = daemon("minimal", node=chain, zmq=chain.zmq_url)
    following.start()
    hashes = {chain.rpc.getblockhash(height) for height in range(TIP + 1)}
    seen = set()
    while len(seen) < 50 and following.height() < TIP:
        height = following.height()
        if height >= 0:
            seen.add(height)
            assert following.rpc.call("metashrew_getblockhash", height)[2:] in hashes
    following.wait_tip(chain)


def test_hundreds_of_parallel_calls(probe):
    def ask(number):
        own = Rpc(probe.port)
        answer = own.call("metashrew_view", "echo", f"{number:08x}", number % TIP)
        own.close()
        return answer == "0x" + struct.pack("<I", number % TIP).hex() + f"{number:08x}"

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        assert all(pool.map(ask, range(800)))
