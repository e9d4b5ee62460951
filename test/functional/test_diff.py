"""`shrewd diff`: two indexes of one chain, as folders and as servers; a key altered on disk is named
with its height; one module beside another; and the methods it asks with."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from harness import paths, rockshrew, torture
from harness.chain import Chain
from harness.daemon import ENVIRONMENT, Daemon, dump, shrewd
from harness.node import Node
from harness.rpc import RpcError

SAME, DIFFER, USAGE, DATABASE, UNREACHABLE, GUEST = range(6)
KEYS = int(os.environ.get("SHREWD_DIFF_KEYS", 20000))  # 10000000: the long form, some minutes
FAILS = pathlib.Path(__file__).parent / "modules" / "fails.wat"
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
    done = shrewd("diff", one.url, "http://127.0.0.1:1", check=UNREACHABLE)
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


def test_few_requests_over_many_keys(tmp_path):
    """Two daemons, one chain, KEYS keys; at one height one of them wrote one of these otherwise."""
    tip, filled, altered = 300, 255, 277
    blocks = Chain(tip).write(tmp_path / "blocks.dat")
    one, two = tmp_path / "one", tmp_path / "two"

    def make(db, *more):
        subprocess.run([paths.MAKE_STATES, db, str(KEYS), blocks, paths.guest("minimal"),
                        *map(str, more)], check=True)

    make(one, filled)
    shutil.copytree(one, two)
    make(one, tip)
    make(two, tip, altered)
    with Daemon(paths.guest("minimal"), db=one, blocks=blocks).start() as a, \
            Daemon(paths.guest("minimal"), db=two, blocks=blocks).start() as b:
        said = diff(a.url, b.url, check=DIFFER)
        assert said["height"] == altered and said["compared"] == tip
        (key,) = said["keys"]
        assert key["text"].startswith("/balances/") and key["height"] == altered
        assert (key["a"]["value"], key["b"]["value"]) == ("0x1500", "0x1501")
        requests = said["a"]["requests"] + said["b"]["requests"]
        print(f"{KEYS} keys: {requests} requests")
        assert requests < 100
    torture.figure("diff", keys=KEYS, blocks=tip, requests=requests)


# --- Modules ---

# Writes h, the block's height, and x: 0, but 1 from one height up to below another.
PARTS = """(module
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (memory (export "memory") 40)
  (data (i32.const 32) "\\0f\\00\\00\\00\\0a\\01h\\0a\\04____\\0a\\01x\\0a\\01_")
  (func (export "_start")
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 41) (i32.load (i32.const 65536)))
    (i32.store8 (i32.const 50)
      (i32.and (i32.ge_u (i32.load (i32.const 65536)) (i32.const FIRST))
               (i32.lt_u (i32.load (i32.const 65536)) (i32.const END))))
    (call $flush (i32.const 36))))
"""


def module(tmp_path, first, end):
    path = tmp_path / f"parts-{first}-{end}.wat"
    path.write_text(PARTS.replace("FIRST", str(first)).replace("END", str(end)))
    return path


def compare(*words, check):
    return json.loads(shrewd("diff", *words, "--json", check=check).stdout)


def test_two_modules(tmp_path):
    blocks = Chain(60).write(tmp_path / "blocks.dat")
    plain, other = module(tmp_path, 0, 0), module(tmp_path, 37, 40)
    with Daemon(plain, blocks=blocks).start() as daemon:
        daemon.wait_height(60)
        for index in ([daemon.url], [daemon.db], ["--indexer", plain]):
            run = (*index, "--blocks", blocks, "--compare")
            said = compare(*run, plain, check=SAME)
            assert said["same"] and said["compared"] == 60 and said["keys"] == []
            # The first height, though the two are the same again from 40 on.
            said = compare(*run, other, check=DIFFER)
            assert said["height"] == said["compared"] == 37
            assert said["b"]["name"] == str(other)
            (key,) = said["keys"]
            assert (key["text"], key["height"]) == ("x", 37)
            assert (key["a"]["value"], key["b"]["value"]) == ("0x00", "0x01")
            assert compare(*run, other, "--prefix", "h", check=SAME)["compared"] == 60
            assert compare(*run, other, "--height", 36, check=SAME)["compared"] == 36
            assert compare(*run, other, "--height", 37, check=DIFFER)["height"] == 37
            assert compare(*run, other, "--prefix", "0x78", check=DIFFER)["height"] == 37
        text = shrewd("diff", daemon.db, "--blocks", blocks, "--compare", other, check=DIFFER).stdout
        assert "the states differ from block 37 on" in text and 'key 0x78 "x"' in text


PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print("\\npeak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(done.returncode)
"""


def peak_mb(*words, check, **environment):
    """The most memory a command had: of a child of a small process, as a child starts out with what
    its parent has."""
    done = subprocess.run([sys.executable, "-c", PEAK, paths.SHREWD, *words], text=True,
                          capture_output=True, check=False, env={**ENVIRONMENT, **environment})
    assert done.returncode == check, done.stderr
    return int(done.stdout.split("\npeak ")[-1])


def test_memory_does_not_grow_with_what_modules_write(tmp_path):
    """Two that keep 1 MiB a block each: after 400 blocks they have taken little more than
    after 150, where all of it would be 500 MiB more."""
    blocks = Chain(400).write(tmp_path / "blocks.dat")
    heavy = FAILS.parent / "heavy.wat"
    (tmp_path / "scratch").mkdir()
    peaks = [peak_mb("diff", "--indexer", heavy, "--compare", heavy, "--blocks", blocks, "--height",
                     str(height), check=SAME, TMPDIR=str(tmp_path / "scratch"))
             for height in (150, 400)]
    assert peaks[1] < peaks[0] + 150, peaks
    assert list((tmp_path / "scratch").iterdir()) == []


def test_two_modules_of_other_chains_and_wrong_flags(tmp_path):
    chain = Chain(30)
    blocks = chain.write(tmp_path / "blocks.dat")
    branch = chain.branch("b", 20, 30).write(tmp_path / "branch.dat")
    plain = module(tmp_path, 0, 0)
    with Daemon(plain, blocks=blocks).start() as daemon:
        daemon.wait_height(30)
        said = compare(daemon.url, "--blocks", branch, "--compare", plain, check=DIFFER)
        assert said["chains_part"] == 21 and said["compared"] == 20
        assert said["a"]["hash"] == chain.hash(21)
        done = shrewd("diff", daemon.url, "--blocks", blocks, "--compare", FAILS, "--prefix", "h",
                      check=GUEST)
        assert "fails.wat" in done.stderr and "block" in done.stderr
        run = ("--blocks", blocks, "--compare", plain)
        for words, says in ((run, "--indexer"), ((daemon.url, daemon.url, *run), "one index"),
                            ((daemon.url, "--compare", plain), "--blocks"), ((daemon.url,), "A and B"),
                            ((daemon.url, *run, "--deep"), "--deep")):
            assert says in shrewd("diff", *words, check=USAGE).stderr
        done = shrewd("diff", daemon.url, *run, "--height", 31, check=USAGE)
        assert "above the last block" in done.stderr


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


def test_a_fork_is_compared_where_it_is_served(node, pair):
    """Its folder alone is a part of it; the message says what to do instead."""
    one, two = pair
    two.stop()
    with Daemon(paths.guest("minimal"), node=node, fork=two.db) as fork:
        fork.start().wait_tip(node)
        node.mine(3)
        for daemon in (fork, one):
            daemon.wait_tip(node)
        said = shrewd("diff", fork.db, one.url, check=DATABASE).stderr
        assert "is a fork" in said and "takes its URL, with --deep" in said
        assert diff(fork.url, one.url, "--deep", check=SAME)["compared"] == HEIGHT + 3
