"""`shrewd diff`: two indexes of one chain, as folders and as servers; a key altered on disk is named
with its height; and the methods it asks with."""
import hashlib
import json

import pytest
from harness import paths, rockshrew
from harness.daemon import Daemon, dump, shrewd
from harness.node import Node
from harness.rpc import RpcError

SAME, DIFFER, USAGE, DATABASE = 0, 1, 2, 3
KEY = b"/blocktracker"
HEIGHT = 100


@pytest.fixture
def node():
    node = Node().start()
    node.mine(HEIGHT)
    yield node
    node.close()


@pytest.fixture
def pair(node):
    with Daemon(paths.guest("minimal"), node=node) as one, \
            Daemon(paths.guest("minimal"), node=node) as two:
        for daemon in (one, two):
            daemon.start().wait_tip(node)
        yield one, two


def diff(one, two, *more, check):
    return json.loads(shrewd("diff", one, two, "--json", *more, check=check).stdout)


def pairs_of(db, height="latest"):
    lines = dump(db, "--height", height).splitlines()
    return {key: value for key, value in (line.split(" ") for line in lines)}


def alter(daemon, key, value, height):
    """Another value in the row that has a key's newest version; the tree of hashes stays."""
    rockshrew.put(daemon.db, "latest", {key: value + height.to_bytes(4, "big")})


def test_the_same_from_wherever_it_is_asked(node, pair):
    one, two = pair
    root = one.rpc.call("metashrew_stateroot")
    for a in (one.url, one.db, one.url.removeprefix("http://")):
        for b in (two.url, two.db):
            for deep in ((), ("--deep",)):
                said = diff(a, b, *deep, check=SAME)
                assert said["same"] and said["keys"] == [] and said["compared"] == HEIGHT
                assert said["a"]["root"] == (None if deep else root)
    text = shrewd("diff", one.url, two.db, check=SAME).stdout
    assert f"the states are the same at block {HEIGHT}: state root {root}" in text
    two.stop()
    node.mine(3)
    one.wait_tip(node)
    said = diff(one.url, two.db, check=SAME)
    assert (said["a"]["tip"], said["b"]["tip"], said["compared"]) == (103, 100, 100)


def test_a_key_altered_on_disk(node, pair):
    one, two = pair
    before = one.view("blocktracker")
    assert len(before) == HEIGHT + 1
    altered = before[:-1] + bytes([before[-1] ^ 1])
    two.stop()
    alter(two, KEY, altered, HEIGHT)

    # Its tree knows nothing of it; the values themselves tell.
    assert diff(one.url, two.db, check=SAME)["same"]
    two.start()
    for b in (two.db, two.url):
        said = diff(one.url, b, "--deep", check=DIFFER)
        assert said["height"] == HEIGHT and not said["cut"]
        (key,) = said["keys"]
        assert key["key"] == "0x" + KEY.hex() and key["text"] == KEY.decode()
        assert key["height"] == HEIGHT
        assert (key["a"]["value"], key["b"]["value"]) == ("0x" + before.hex(), "0x" + altered.hex())

    # The next block builds on it: from there on the roots part, and only in that key.
    node.mine(20)
    for daemon in pair:
        daemon.wait_tip(node)
    block = one.rpc.call("metashrew_getblockhash", HEIGHT + 1)
    for a, b in ((one.url, two.url), (one.db, two.url), (one.db, two.db)):
        said = diff(a, b, check=DIFFER)
        assert said["height"] == said["read_at"] == HEIGHT + 1
        assert "0x" + said["hash"] == block
        (key,) = said["keys"]
        assert key["key"] == "0x" + KEY.hex() and key["height"] == HEIGHT + 1
        last = one.view("blocktracker", height=HEIGHT + 1)[-1:]
        assert bytes.fromhex(key["a"]["value"][2:]) == before + last
        assert bytes.fromhex(key["b"]["value"][2:]) == altered + last
        assert not key["a"]["unlike_tree"] and not key["b"]["unlike_tree"]
        for side, daemon in zip("ab", pair):
            root = daemon.rpc.call("metashrew_stateroot", HEIGHT + 1)
            assert said[side]["root"] == root and said[side]["requests"] < 30
    text = shrewd("diff", one.url, two.url, check=DIFFER).stdout
    assert f"the states differ from block {HEIGHT + 1} on" in text
    assert f'key 0x{KEY.hex()} "{KEY.decode()}"\n  A 0x' in text and text.endswith("1 key\n")

    # Elsewhere nothing differs; and not below.
    assert diff(one.url, two.url, "--prefix", "/blocktracker", check=DIFFER)["outside"] == 0
    said = diff(one.url, two.url, "--prefix", "/blocks/", check=DIFFER)
    assert said["keys"] == [] and said["outside"] == 1
    assert diff(one.url, two.url, "--deep", "--prefix", "/blocks/", check=SAME)["same"]
    assert diff(one.url, two.url, "--height", HEIGHT, check=SAME)["same"]
    assert shrewd("check", "--db-path", one.db).returncode == 0


def test_a_row_altered_where_the_tree_differs_too(node, pair):
    """What the tree says and what is stored are told apart."""
    one, two = pair
    two.stop()
    alter(two, KEY, b"other", HEIGHT)
    two.start()
    node.mine(1)
    for daemon in pair:
        daemon.wait_tip(node)
    two.stop()
    alter(two, KEY, b"and again", HEIGHT + 1)
    said = diff(one.url, two.db, check=DIFFER)
    (key,) = said["keys"]
    assert key["b"]["unlike_tree"] and key["b"]["value"] == "0x" + b"and again".hex()
    assert "run 'shrewd check' there" in shrewd("diff", one.db, two.db, check=DIFFER).stdout


def test_chains_that_part(node, pair):
    one, two = pair
    two.stop()
    node.reorg(5)
    one.wait_tip(node)
    said = diff(one.url, two.db, check=DIFFER)
    assert not said["same"] and said["chains_part"] == 96 and said["compared"] == 95
    assert said["height"] is None and said["a"]["hash"] != said["b"]["hash"]
    assert "the chains part at block 96" in shrewd("diff", one.db, two.db, check=DIFFER).stdout


def test_trouble_is_neither(node, pair, tmp_path):
    one, _ = pair
    shrewd("diff", one.url, tmp_path / "none", check=DATABASE)
    done = shrewd("diff", one.url, "http://127.0.0.1:1", check=USAGE)
    assert "127.0.0.1:1" in done.stderr
    done = shrewd("diff", one.url, one.db, "--height", HEIGHT + 1, check=USAGE)
    assert "above its tip" in done.stderr
    shrewd("diff", one.url, check=USAGE)
    with Daemon(paths.guest("minimal"), node=node, state_root="off").start() as rootless:
        rootless.wait_tip(node)
        done = shrewd("diff", one.url, rootless.url)
        assert done.returncode > 1 and "--deep" in done.stderr
        assert diff(one.url, rootless.url, "--deep", check=SAME)["same"]
        assert diff(rootless.db, one.db, "--deep", check=SAME)["same"]


# --- The methods ---

def sha256(data):
    return hashlib.sha256(data).digest()


def node_of(leaves, path):
    """doc/state-root.md, word by word; `leaves` are (bits, key's hash, value's hash)."""
    below = [leaf for leaf in leaves if leaf[0].startswith(path)]
    if not below:
        return None
    if len(below) == 1:
        return ["0x" + below[0][1].hex(), "0x" + below[0][2].hex()]
    return "0x" + hash_of(below, len(path)).hex()


def hash_of(leaves, depth):
    if len(leaves) <= 1:
        return sha256(b"\0" + leaves[0][1] + leaves[0][2]) if leaves else bytes(32)
    sides = [[leaf for leaf in leaves if leaf[0][depth] == bit] for bit in "01"]
    return sha256(b"\1" + hash_of(sides[0], depth + 1) + hash_of(sides[1], depth + 1))


def test_rootnodes_are_those_of_the_definition(pair):
    one, _ = pair
    for height in (0, 3, HEIGHT):
        leaves = []
        for key, value in pairs_of(one.db, height).items():
            key, value = sha256(bytes.fromhex(key)), sha256(bytes.fromhex(value))
            leaves.append((f"{int.from_bytes(key, 'big'):0256b}", key, value))
        asked = ["", *"0123456789abcdef", leaves[0][1].hex()[:63], "00000", "fedcba98"]
        said = one.rpc.call("shrewd_rootnodes", asked, height)
        assert said["root"] == one.rpc.call("metashrew_stateroot", height)
        assert said["hash"] == one.rpc.call("metashrew_getblockhash", height)
        for path, nodes in zip(asked, said["nodes"], strict=True):
            bits = "".join(f"{int(digit, 16):04b}" for digit in path)
            assert nodes == [node_of(leaves, bits + f"{i:04b}") for i in range(16)], path


def test_keys_and_changes_are_those_of_the_dump(pair):
    one, _ = pair
    for height in (0, 57, HEIGHT):
        now = pairs_of(one.db, height)
        want = [["0x" + key, "0x" + sha256(bytes.fromhex(value)).hex()]
                for key, value in now.items()]
        said = one.rpc.call("shrewd_keys", None, height)
        assert said["keys"] == want and not said["more"] and said["height"] == height
        got, after = [], None
        while True:
            said = one.rpc.call("shrewd_keys", "0x", height, after, 7)
            got += said["keys"]
            if not said["more"]:
                break
            assert len(said["keys"]) == 7
            after = said["keys"][-1][0]
        assert got == want
        prefix = b"/blocks/5".hex()
        said = one.rpc.call("shrewd_keys", prefix, height)
        assert said["keys"] == [one for one in want if one[0].startswith("0x" + prefix)]
        before = pairs_of(one.db, height - 1) if height else {}
        changed = ["0x" + key for key, value in now.items() if before.get(key) != value]
        said = one.rpc.call("shrewd_changes", height)
        assert said["keys"] == changed and not said["more"]
        assert one.rpc.call("shrewd_changes", height, changed[0])["keys"] == changed[1:]


WRONG = [
    ("shrewd_rootnodes", []), ("shrewd_rootnodes", [""]), ("shrewd_rootnodes", [["0x0"]]),
    ("shrewd_rootnodes", [["g"]]), ("shrewd_rootnodes", [["0" * 64]]), ("shrewd_rootnodes", [[1]]),
    ("shrewd_rootnodes", [[""] * 257]), ("shrewd_changes", [1, "0x1"]), ("shrewd_changes", [1, 2]),
    ("shrewd_keys", ["0x", 1, None, 0]), ("shrewd_keys", ["0x", 1, None, 50001]),
    ("shrewd_keys", ["0x", 1, None, "7"]), ("shrewd_keys", [[], 1]),
]
ABOVE_TIP = [("shrewd_rootnodes", [[], HEIGHT + 1]), ("shrewd_changes", [HEIGHT + 1]),
             ("shrewd_keys", [None, HEIGHT + 1])]


def test_wrong_parameters(pair):
    for code, calls in ((-32602, WRONG), (-32002, ABOVE_TIP)):
        for method, params in calls:
            with pytest.raises(RpcError) as error:
                pair[0].rpc.call(method, *params)
            assert error.value.code == code, (method, params)
