"""A node that is late, goes away, or answers nonsense: what can pass is waited for, what cannot
ends with a clear word, and nothing wrong is ever indexed."""
import http.server
import json
import random
import re
import threading
import time
import urllib.error
import urllib.request

import pytest

from harness import paths, torture
from harness.daemon import Daemon, shrewd
from harness.node import AUTH, Node
from harness.process import free_port, wait_for
from harness.proxy import Proxy

TIP = 120
NODE, USAGE = 4, 2


@pytest.fixture(scope="module")
def chain(node):
    node.mine(TIP)
    return node


@pytest.fixture(scope="module")
def truth(chain):
    """What a quiet index of the chain holds."""
    with Daemon(paths.guest("minimal"), node=chain, exit_at=TIP) as daemon:
        daemon.spawn()
        assert daemon.wait_exit() == 0, daemon.log()
        yield daemon.dump()


def test_a_node_that_comes_up_later(daemon):
    own = Node()
    try:
        own.rpc_port, own.zmq_port = free_port(), free_port()
        one = daemon("minimal", daemon_rpc_url=own.url, auth=AUTH)
        one.spawn()
        one.wait_log(str(own.rpc_port), 20)  # says whom it waits for
        assert one.process.poll() is None
        own.start()
        own.mine(10)
        wait_for(one.log, one._listens, 60)
        one.wait_tip(own)
        assert one.stop()[0] == 0
    finally:
        own.close()


def test_waiting_for_a_node_ends_on_sigterm(daemon):
    one = daemon("minimal", daemon_rpc_url=f"http://127.0.0.1:{free_port()}", auth=AUTH)
    one.spawn()
    one.wait_log("127.0.0.1", 20)
    code, seconds = one.stop()
    assert code == 0 and seconds < 2


def test_a_node_that_is_restarted_meanwhile(daemon):
    own = Node()
    try:
        own.start().mine(50)
        one = daemon("minimal", node=own, zmq=own.zmq_url).start()
        one.wait_tip(own)
        for _ in range(2):
            own.stop()
            time.sleep(0.5)
            assert one.view("blocktracker")  # views go on without the node
            own.start().mine(5)
            one.wait_tip(own)
        assert one.stop()[0] == 0
    finally:
        own.close()


def health(one):
    """What /health says, and the status it says it with."""
    try:
        with urllib.request.urlopen(one.url + "/health") as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def metrics(one):
    with urllib.request.urlopen(one.url + "/metrics") as answer:
        return answer.read().decode()


def test_a_silent_node_is_seen_from_outside(daemon):
    """Whether what is served grows old must not be in the log alone."""
    own = Node()
    try:
        own.start().mine(20)
        one = daemon("minimal", node=own).start()
        one.wait_tip(own)
        status, said = health(one)
        assert (status, said["node_tip"], said["behind"], said["node_silent_s"]) == (200, 20, 0, 0)
        own.stop()
        wait_for(one.log, lambda: health(one)[1]["node_silent_s"] >= 2, 30)
        status, said = health(one)
        assert status == 200 and said["error"] is None and said["node_tip"] == 20
        assert re.search(r"^shrewd_node_silent_seconds [1-9]", metrics(one), re.MULTILINE)
        if torture.LONG:
            wait_for(one.log, lambda: health(one)[0] == 503, 90)
            assert "has not answered for 6" in health(one)[1]["error"]
        assert one.stop()[0] == 0
        one.spawn()  # with no node from the start: its tip is not known
        wait_for(one.log, one._listens, 60)
        wait_for(one.log, lambda: health(one)[1]["node_silent_s"] >= 1, 30)
        said = health(one)[1]
        assert said["tip"] == 20 and said["node_tip"] is None and said["behind"] is None
        assert "shrewd_node_tip_height" not in metrics(one)
        own.start()
        wait_for(one.log, lambda: health(one)[1]["node_silent_s"] == 0, 60)
        wait_for(one.log, lambda: health(one)[1]["node_tip"] == 20, 60)
        assert one.stop()[0] == 0
    finally:
        own.close()


def test_a_first_block_that_the_node_does_not_have_yet(chain, daemon):
    one = daemon("minimal", node=chain, start_block=TIP + 5)
    one.spawn()
    wait_for(one.log, one._listens, 60)
    one.wait_log(f"waiting for block {TIP + 5}, the first to be indexed: the node's tip is {TIP}", 30)
    said = health(one)[1]
    assert said["at_tip"] is False and said["tip"] is None and said["node_tip"] == TIP
    assert one.stop()[0] == 0


def test_views_are_served_before_the_node_is_there(chain, daemon):
    one = daemon("minimal", node=chain, exit_at=30)
    one.spawn()
    assert one.wait_exit() == 0
    one.flags.update(exit_at=None, daemon_rpc_url=f"http://127.0.0.1:{free_port()}")
    one.start()
    assert one.height() == 30 and len(one.view("blocktracker")) == 31
    assert one.stop()[0] == 0


@pytest.mark.parametrize("rest", [True, False])
def test_with_and_without_rest(daemon, rest):
    own = Node(rest=rest)
    try:
        own.start().mine(30)
        one = daemon("minimal", node=own).start()
        one.wait_tip(own)
        assert [one.view("getblock", b"", height) for height in range(31)] == [
            block for _, block in own.blocks()]
        assert ("blocks come from rest" in one.log()) is rest
    finally:
        own.close()


def test_zmq_tells_of_a_block_at_once(chain, daemon):
    own = Node()
    try:
        own.start().mine(5)
        one = daemon("minimal", node=own, zmq=own.zmq_url, poll_ms=600000).start()
        one.wait_tip(own)
        time.sleep(1)  # both ends have met
        for _ in range(3):
            own.mine()
            one.wait_tip(own, 5)
    finally:
        own.close()


def test_polling_finds_blocks_where_zmq_is_wrong(chain, daemon):
    own = Node(zmq=False)
    try:
        own.start().mine(5)
        one = daemon("minimal", node=own, zmq=own.zmq_url, poll_ms=100).start()
        one.wait_tip(own)
        own.mine(3)
        one.wait_tip(own, 20)
    finally:
        own.close()


FAULTS = ["busy", "broken", "warming_up", "hang_up", "cut_off", "no_json", "slow"]


@pytest.mark.parametrize("fault", ["busy", "broken", "warming_up", "hang_up", "cut_off", "slow"])
def test_faults_that_pass(chain, truth, daemon, fault):
    """Every request of the first second fails, and later now and then."""
    dice = random.Random(fault)
    start = time.monotonic()

    def spoil(_path, _body):
        return fault if time.monotonic() - start < 1 or dice.random() < 0.01 else None

    with Proxy(chain.rpc_port, spoil) as proxy:
        one = daemon("minimal", daemon_rpc_url=proxy.url, auth=AUTH, exit_at=TIP)
        one.spawn()
        assert one.wait_exit(90) == 0, one.log()
        assert proxy.spoiled > 0
        assert one.dump() == truth


def test_every_fault_at_once(chain, truth, daemon):
    dice = random.Random(1)
    calm = []

    def spoil(_path, _body):
        calm.append(1)
        return dice.choice(FAULTS) if len(calm) > 10 and dice.random() < 0.1 else None

    with Proxy(chain.rpc_port, spoil) as proxy:
        one = daemon("minimal", daemon_rpc_url=proxy.url, auth=AUTH, exit_at=TIP,
                     pipeline_size=4)  # every block by itself: so there are some requests
        one.spawn()
        assert one.wait_exit(90) == 0, one.log()
        assert proxy.spoiled > 0
        assert one.dump() == truth


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@pytest.mark.parametrize("what", ["header", "transaction", "cut", "longer", "another", "empty"])
def test_a_block_served_wrong_is_not_indexed(chain, truth, daemon, what):
    """Block 60 comes out wrong until the fault is mended; then all goes on."""
    right = chain.block(60)
    wrong = {"header": flip(right, 40), "transaction": flip(right, len(right) - 20),
             "cut": right[:-5], "longer": right + b"\0", "another": chain.block(61),
             "empty": b""}[what]
    mended = threading.Event()
    served = threading.Event()

    def alter(_path, _body, answer):
        if mended.is_set():
            return answer
        out = answer.replace(right, wrong).replace(right.hex().encode(), wrong.hex().encode())
        if out != answer:
            served.set()
        return out

    with Proxy(chain.rpc_port, alter=alter) as proxy:
        one = daemon("minimal", daemon_rpc_url=proxy.url, auth=AUTH, exit_at=TIP)
        one.start()
        assert served.wait(30)
        one.wait_height(59)
        time.sleep(0.5)
        assert one.height() == 59 and one.process.poll() is None
        assert "60" in one.log()
        mended.set()
        assert one.wait_exit(60) == 0, one.log()
        assert one.dump() == truth


def test_what_is_no_bitcoin_node(daemon):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    one = daemon("minimal", daemon_rpc_url=f"http://127.0.0.1:{server.server_address[1]}",
                 auth=AUTH)
    one.spawn()
    assert one.wait_exit(30) == NODE, one.log()
    server.shutdown()


@pytest.mark.parametrize("url", ["ssh2+http://user@host:8332", "ftp://127.0.0.1", "http://", "::"])
def test_urls_that_cannot_be(daemon, url):
    one = daemon("minimal", daemon_rpc_url=url, auth=AUTH)
    one.spawn()
    assert one.wait_exit(20) == USAGE, one.log()
    assert "URL" in one.log() and url[:4] in one.log()


@pytest.mark.parametrize("start_block", [0, 100])
def test_a_node_far_behind_the_database(chain, daemon, start_block):
    """It has only just begun: there is nothing to do but to wait for it, and views go on."""
    own = Node()
    try:
        own.start()
        one = daemon("minimal", node=chain, start_block=start_block, exit_at=TIP)
        one.spawn()
        assert one.wait_exit() == 0
        before = one.dump()
        one.flags.update(exit_at=None, daemon_rpc_url=own.url)
        one.start()
        time.sleep(1.5)
        assert one.process.poll() is None, one.log()
        assert one.height() == TIP and one.dump() == before
        for height in range(1, TIP + 1):
            own.rpc.submitblock(chain.block(height).hex())
        assert own.height() == TIP
        own.mine()
        one.wait_tip(own)
    finally:
        own.close()


def test_a_node_of_another_chain_than_the_database(chain, daemon):
    """The same network, but not the same chain below: more than --max-reorg-depth differs."""
    own = Node()
    try:
        own.start().mine(TIP, "bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x")
        one = daemon("minimal", node=chain, exit_at=TIP)
        one.spawn()
        assert one.wait_exit() == 0
        before = one.dump()
        other = daemon("minimal", node=own, db=one.db)
        other.spawn()
        assert other.wait_exit(30) == 6, other.log()
        assert one.dump() == before
        assert shrewd("status", "--db-path", one.db).returncode == 0
    finally:
        own.close()
