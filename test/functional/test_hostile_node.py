"""A node that does its worst: each fault is named in the log, no bad block is ever applied, and
the sync goes on by itself once the node is well."""
import hashlib
import json
import re
import threading

import pytest

from harness import paths
from harness.chain import Chain
from harness.daemon import Daemon
from harness.node import AUTH, Node
from harness.process import wait_for
from harness.proxy import Proxy

TIP = 120
BAD = 60  # the height that is served wrong
NODE_ERROR = 4


@pytest.fixture(scope="module", params=["rest", "rpc"])
def chain(request):
    own = Node(rest=request.param == "rest")
    try:
        own.start().mine(TIP)
        yield own
    finally:
        own.close()


@pytest.fixture(scope="module")
def truth(chain):
    """What an undisturbed index of the chain holds."""
    with Daemon(paths.guest("minimal"), node=chain, exit_at=TIP) as one:
        one.spawn()
        assert one.wait_exit() == 0, one.log()
        yield one.dump()


def is_batch_of_blocks(body):
    return body.startswith(b"[") and b'"getblock"' in body


def asks_block(chain, path, body):
    """Whether a request is for blocks. Over REST each comes by itself (see no_batches)."""
    return path.startswith("/rest/block/") if chain.rest else b'"getblock"' in body


def no_batches(chain, body):
    """So that every block comes over REST where there is REST."""
    return "no_batches" if chain.rest and is_batch_of_blocks(body) else None


def start(daemon, proxy, **flags):
    return daemon("minimal", daemon_rpc_url=proxy.url, auth=AUTH, exit_at=TIP,
                  node_timeout_ms=400, **flags).spawn()


def ends_well(one, truth):
    assert one.wait_exit(60) == 0, one.log()
    assert one.dump() == truth


FAULTS = {
    "stall": "timeout: 0 bytes came in",
    "half": "bytes remaining to read",
    "not_http": "its reply is not HTTP",
    "hang_up": "Empty reply from server",
    "busy": "it is too busy (HTTP 503",
    "warming_up": "it is starting up (Loading block index...)",
    "broken": "it answers HTTP 500",
    "unauthorised": "it refuses the user or password (401)",
    "trickle": "giving this connection up",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_requests_for_blocks_that_fail(chain, truth, daemon, fault):
    lock = threading.Lock()
    left = [6]

    def spoil(path, body):
        with lock:
            if asks_block(chain, path, body) and left[0] > 0:
                left[0] -= 1
                return fault
        return no_batches(chain, body)

    # Over REST, -28 is a 503 with that text; the other way it is an error of JSON-RPC.
    says = "it answers HTTP 500" if fault == "warming_up" and chain.rest else FAULTS[fault]
    with Proxy(chain.rpc_port, spoil) as proxy:
        one = start(daemon, proxy)
        ends_well(one, truth)
        assert left[0] == 0
        assert says in one.log()
        assert "answers again after" in one.log()


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "trickle"])
def test_every_request_fails_for_a_while(chain, truth, daemon, fault):
    ill = threading.Event()
    well = threading.Event()
    lock = threading.Lock()
    seen = [0]

    def spoil(path, body):
        with lock:
            seen[0] += asks_block(chain, path, body)
            if seen[0] == 3:
                ill.set()
        return fault if ill.is_set() and not well.is_set() else no_batches(chain, body)

    with Proxy(chain.rpc_port, spoil) as proxy:
        one = start(daemon, proxy, pipeline_size=4)
        one.wait_log(FAULTS[fault], 30)
        well.set()
        ends_well(one, truth)


def test_a_401_at_the_start_is_the_end(chain, daemon):
    with Proxy(chain.rpc_port, lambda path, body: "unauthorised") as proxy:
        one = start(daemon, proxy)
        assert one.wait_exit(30) == NODE_ERROR
        assert "it refuses the user or password (401); check --auth" in one.log()


def test_a_cookie_that_changes_is_read_again(chain, truth, daemon, tmp_path):
    cookie = tmp_path / ".cookie"
    cookie.write_text(AUTH)
    lock = threading.Lock()
    left = [4]

    def spoil(path, body):
        with lock:
            if asks_block(chain, path, body) and left[0] > 0:
                left[0] -= 1
                return "unauthorised"
        return no_batches(chain, body)

    with Proxy(chain.rpc_port, spoil) as proxy:
        one = daemon("minimal", daemon_rpc_url=proxy.url, cookie_file=cookie, exit_at=TIP).spawn()
        ends_well(one, truth)
        assert f"it refuses the cookie (401); reading {cookie} again" in one.log()


def test_garbage_in_place_of_blocks(chain, truth, daemon):
    lock = threading.Lock()
    left = [3]

    def spoil(path, body):
        with lock:
            if asks_block(chain, path, body) and left[0] > 0:
                left[0] -= 1
                return "garbage"
        return no_batches(chain, body)

    with Proxy(chain.rpc_port, spoil) as proxy:
        one = start(daemon, proxy)
        ends_well(one, truth)
        says = "was given where" if chain.rest else "its reply is not what a Bitcoin node answers"
        assert says in one.log()


def header_hash(block):
    return hashlib.sha256(hashlib.sha256(block[:80]).digest()).digest()


def without_work(block):
    """The same block with a nonce that does not meet its target."""
    for nonce in range(1000):
        made = block[:76] + nonce.to_bytes(4, "little") + block[80:]
        if header_hash(made)[31] >= 0x80:
            return made
    raise AssertionError("every nonce works")


def bad_blocks(chain):
    right = chain.block(BAD)

    def flip(at):
        return right[:at] + bytes([right[at] ^ 1]) + right[at + 1:]

    return right, {
        "another": (chain.block(BAD + 1), "was given where"),
        "bad_merkle_root": (flip(127), "merkle root"),  # in the coinbase's script
        "bad_witness": (flip(len(right) - 20), "witnesses do not fit"),
        "cut": (right[:-3], "block at height 60"),
        "no_work": (without_work(right), "does not meet its own target"),
        "no_work_under_the_right_hash": (without_work(right), "was given where"),
    }


@pytest.mark.parametrize("what", ["another", "bad_merkle_root", "bad_witness", "cut", "no_work",
                                  "no_work_under_the_right_hash"])
def test_bad_blocks_are_never_applied(chain, truth, daemon, what):
    right, all_bad = bad_blocks(chain)
    wrong, says = all_bad[what]
    true_hash = header_hash(right)[::-1].hex().encode()
    false_hash = header_hash(wrong)[::-1].hex().encode()
    lies = what == "no_work"  # about the hash of that height as well
    mended = threading.Event()

    def alter(_path, _body, answer):
        if mended.is_set():
            return answer
        answer = answer.replace(right, wrong).replace(right.hex().encode(), wrong.hex().encode())
        if lies:
            answer = answer.replace(right[:80], wrong[:80]).replace(true_hash, false_hash)
        return answer

    def rewrite(path, body):
        """The node does not know the false hash."""
        return path.replace(false_hash.decode(), true_hash.decode()), body.replace(
            false_hash, true_hash)

    with Proxy(chain.rpc_port, lambda _, body: no_batches(chain, body), alter,
               rewrite if lies else None) as proxy:
        one = start(daemon, proxy)
        one.wait_log(says, 30)
        assert "block at height 60" in one.log()
        wait_for(one.log, one._listens, 30)
        one.wait_height(BAD - 1)
        assert one.process.poll() is None
        mended.set()
        ends_well(one, truth)


def test_a_height_that_goes_backwards(chain, truth, daemon):
    """The node says it is at 70, having been at 120: no block is taken back for it."""
    ill = threading.Event()

    def alter(_path, body, answer):
        if not ill.is_set() or not body:
            return answer
        call = json.loads(body)
        if isinstance(call, list):
            return answer
        low = chain.rpc.getblockhash(70)
        if call["method"] == "getbestblockhash":
            return answer.replace(chain.rpc.getbestblockhash().encode(), low.encode())
        if call["method"] == "getblockhash" and call["params"][0] > 70:
            return json.dumps({"result": None, "id": call["id"], "error": {
                "code": -8, "message": "Block height out of range"}}).encode()
        if call["method"] == "getblockchaininfo":
            reply = json.loads(answer)
            reply["result"].update(blocks=70, bestblockhash=low)
            return json.dumps(reply).encode()
        return answer

    with Proxy(chain.rpc_port, alter=alter) as proxy:
        one = daemon("minimal", daemon_rpc_url=proxy.url, auth=AUTH).start()
        one.wait_height(TIP)
        ill.set()
        one.wait_log(f"its tip went back from height {TIP} to 70", 30)
        assert one.height() == TIP
        ill.clear()
        one.wait_tip(chain)
        assert "reorg" not in one.log()
        assert one.stop()[0] == 0
        assert one.dump() == truth


def test_gzip(chain, truth, daemon):
    with Proxy(chain.rpc_port, lambda _, body: no_batches(chain, body), compress=True) as proxy:
        one = start(daemon, proxy)
        ends_well(one, truth)
        assert "asking again" not in one.log()


def test_a_slow_link_is_not_cut(chain, truth, daemon):
    """30 KB/s, for many times the timeout."""
    with Proxy(chain.rpc_port, lambda _, body: no_batches(chain, body), pace=30000) as proxy:
        one = daemon("minimal", daemon_rpc_url=proxy.url, auth=AUTH, exit_at=TIP,
                     node_timeout_ms=300).spawn()
        ends_well(one, truth)
        assert "timeout" not in one.log()


def test_a_link_that_slows_down_is_given_up(daemon, tmp_path):
    """30 KB at once, the next 30 at 2.5 KB/s: under 4 KB/s for four timeouts. It is never under 1
    KB/s for one of them, which would be given up sooner."""
    timeout_ms, big, tip = 700, 8, 12
    blocks = Chain(tip, payload=lambda height: bytes(60000 if height == big else 0))
    slow = f"/rest/block/{blocks.hash(big)}"

    def given_up():
        found = re.findall(r"timeout: (\d+) bytes came in (\d+) ms; giving this connection up",
                           one.log())
        return [ms for got, ms in found if int(ms) >= 4 * timeout_ms and int(got) > int(ms)]

    def spoil(path, body):
        """A machine that is too busy may send less: then once more."""
        return "slow_down" if path.startswith(slow) and not given_up() else no_batches(node, body)

    node = Node()
    try:
        node.start()
        blocks.submit(node)
        with Proxy(node.rpc_port, spoil) as proxy:
            one = daemon("minimal", daemon_rpc_url=proxy.url, auth=AUTH, exit_at=tip,
                         node_timeout_ms=timeout_ms)
            ends_well(one.spawn(), index_of(daemon, blocks, tmp_path))
            assert len(given_up()) == 1, one.log()
            assert "answers again after" in one.log()
    finally:
        node.close()


def index_of(daemon, blocks, folder):
    """What an undisturbed index of these holds."""
    one = daemon("minimal", blocks=blocks.write(folder / "blocks"), exit_at=blocks.tip).spawn()
    assert one.wait_exit() == 0, one.log()
    return one.dump()
