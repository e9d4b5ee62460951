"""Proofs made by a server and from a database, of keys and of views' answers, checked by both
verifiers, and refused when changed."""
import json
import random
import struct
import subprocess
import sys

import pytest

from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.node import Node
from harness.rpc import RpcError

UNPROVEN, USAGE, GUEST = 1, 2, 5
MINIMAL, BALANCES = paths.guest("minimal"), paths.guest("balances")


@pytest.fixture(scope="module")
def served():
    node = Node().start()
    node.mine(150)
    with Daemon(MINIMAL, node=node).start() as daemon:
        daemon.wait_tip(node)
        yield daemon
    node.close()


def keys_of(daemon, height):
    """What is there at a height, as the dump says."""
    lines = dump(daemon.db, "--height", height).splitlines()
    return {"0x" + key: "0x" + value for key, value in (line.split(" ") for line in lines)}


def verify(document, *flags):
    return shrewd("verify", "-", *flags, input=json.dumps(document))


def verify_elsewhere(path):
    """By the verifier that was made from the document alone."""
    return subprocess.run([sys.executable, paths.REPO / "tools" / "verify-proof.py", path],
                          capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("height", [0, 1, 77, 150])
def test_values_and_absences_at_any_height(served, height, tmp_path):
    there = keys_of(served, height)
    absent = ["0x", "0x00", "0xffff", *sorted(set(keys_of(served, 150)) - set(there))[:20]]
    dice = random.Random(height)
    root = served.rpc.call("metashrew_stateroot", height)
    for n in (1, 2, 40):
        present = dice.sample(sorted(there), min(n, len(there)))
        asked = present + [key for key in absent if key not in there][:n]
        document = served.rpc.call("shrewd_prove", asked, height)
        assert document["root"] == root and document["height"] == height
        assert document["hash"] == served.rpc.call("metashrew_getblockhash", height)
        assert [one["key"] for one in document["entries"]] == asked
        assert [one["value"] for one in document["entries"]] == [there.get(key) for key in asked]
        assert verify(document, "--root", root).returncode == 0
        path = tmp_path / "proof.json"
        path.write_text(json.dumps(document))
        said = verify_elsewhere(path)
        assert said.returncode == 0, said.stderr


def test_a_changed_document_is_refused(served):
    there = sorted(keys_of(served, 150).items())
    document = served.rpc.call("shrewd_prove", [there[0][0], "0x1234"])
    for spoil in (lambda d: d["entries"][0].update(value=there[1][1] + "00"),
                  lambda d: d["entries"][0].update(value=None),
                  lambda d: d["entries"][1].update(value="0x00"),
                  lambda d: d["entries"].pop(),
                  lambda d: d.update(root="0x" + "11" * 32),
                  lambda d: d.update(proof=d["proof"][:-2]),
                  lambda d: d.update(proof=d["proof"] + "00")):
        changed = json.loads(json.dumps(document))
        spoil(changed)
        assert verify(changed).returncode != 0
    assert verify(document).returncode == 0


def test_from_a_database_and_a_server_it_is_the_same(served):
    key = sorted(keys_of(served, 100))[3]
    asked = [key, "text", key]
    server = shrewd("prove", *asked, "--height", 100, "--server", served.url, check=0).stdout
    own = shrewd("prove", *asked, "--height", 100, "--db-path", served.db, check=0).stdout
    assert json.loads(server) == json.loads(own)
    assert [one["key"] for one in json.loads(own)["entries"]] == [key, "0x74657874", key]
    assert verify(json.loads(own)).returncode == 0


def test_one_key_alone_none_and_too_many(served):
    key = sorted(keys_of(served, 150))[0]
    assert served.rpc.call("shrewd_prove", key)["entries"][0]["key"] == key
    assert served.rpc.call("shrewd_prove", [])["entries"] == []
    for wrong in ([["0x0g"]], [["0x00"], 151, 1], [], [7], [["0x"] * 10001], [[None]]):
        with pytest.raises(RpcError) as error:
            served.rpc.call("shrewd_prove", *wrong)
        assert error.value.code == -32602, wrong
    with pytest.raises(RpcError) as error:
        served.rpc.call("shrewd_prove", [key], 151)
    assert error.value.code == -32002


# -- answers of views

def verify_view(document, *flags, module=MINIMAL):
    return verify(document, "--indexer", module, *flags)


@pytest.mark.parametrize("height", [0, 1, 77, 150])
def test_answers_at_any_height(served, height, tmp_path):
    root = served.rpc.call("metashrew_stateroot", height)
    module = json.loads(shrewd("inspect", MINIMAL, "--json", check=0).stdout)["sha256"]
    for view, payload in (("blocktracker", ""), ("getblock", ""),
                          ("getblock", struct.pack("<I", height // 2).hex())):
        document = served.rpc.call("shrewd_view_proof", view, payload, height)
        answer = served.rpc.call("metashrew_view", view, payload, height)
        assert document["answer"] == answer and document["root"] == root
        assert document["view"] == view and document["input"] == "0x" + payload
        assert document["module"] == "0x" + module and document["height"] == height
        assert document["hash"] == served.rpc.call("metashrew_getblockhash", height)
        assert 1 <= len(document["entries"]) == len({one["key"] for one in document["entries"]})
        asked = ["--input", payload] if payload else []
        done = verify_view(document, "--root", root, "--height", height, "--view", view, *asked)
        assert done.returncode == 0, done.stderr
        assert done.stdout == answer + "\n"
        path = tmp_path / "proof.json"
        path.write_text(json.dumps(document))
        assert verify_elsewhere(path).returncode == 0  # the reads alone


def test_an_answer_as_json(served):
    document = served.rpc.call("shrewd_view_proof", "blocktracker", "0xab")
    done = verify_view(document, "--root", document["root"], "--json")
    assert json.loads(done.stdout) == {
        "proven": True, "view": "blocktracker", "input": "0xab", "height": 150,
        "result": document["answer"], "entries": len(document["entries"]),
        "root": document["root"], "root_given": True}


def test_an_answer_from_a_database_and_a_server_is_the_same(served):
    words = ["prove", "--view", "getblock", "--input", "07000000", "--height", 100]
    server = shrewd(*words, "--server", served.url, check=0).stdout
    own = shrewd(*words, "--db-path", served.db, "--indexer", MINIMAL, check=0).stdout
    assert json.loads(server) == json.loads(own)
    assert verify_view(json.loads(own)).returncode == 0


def test_a_changed_answer_is_refused(served):
    """Each part of the document, and each question that it is not the answer to."""
    document = served.rpc.call("shrewd_view_proof", "getblock", "07000000", 100)
    other = served.rpc.call("shrewd_view_proof", "getblock", "08000000", 100)
    older = served.rpc.call("shrewd_view_proof", "getblock", "07000000", 99)
    fewer = served.rpc.call("shrewd_prove", [one["key"] for one in document["entries"][1:]], 100)
    more = served.rpc.call("shrewd_prove", [one["key"] for one in document["entries"]] + ["0xab"],
                           100)
    spoils = {
        "other ones than": lambda d: d.update(answer=d["answer"] + "00"),
        "not proven: entry": lambda d: d["entries"][0].update(value=None),
        "belongs to another root": lambda d: d.update(root="0x" + "11" * 32),
        "the proof ends": lambda d: d.update(proof=d["proof"][:-2]),
        "SHA-256": lambda d: d.update(module="0x" + "11" * 32),
        "of which the proof says nothing": lambda d: d.update(input="0x09000000"),
        "says nothing": lambda d: d.update(entries=fewer["entries"], proof=fewer["proof"]),
        "does not read": lambda d: d.update(entries=more["entries"], proof=more["proof"]),
        "the proof belongs": lambda d: d.update(entries=older["entries"], proof=older["proof"]),
        "nothing": lambda d: d.update(entries=other["entries"], proof=other["proof"]),
        "no view 'getblok'": lambda d: d.update(view="getblok"),
    }
    for says, spoil in spoils.items():
        changed = json.loads(json.dumps(document))
        spoil(changed)
        done = verify_view(changed)
        assert done.returncode == UNPROVEN and says in done.stderr, (says, done.stderr)
        assert done.stdout == ""
    for says, flags in (("another root", ["--root", "0x" + "11" * 32]),
                        ("--height is 101", ["--height", 101]),
                        ("--view is totals", ["--view", "totals"]),
                        ("than --input", ["--input", "08"]),
                        ("than none", ["--view", "getblock"])):
        done = verify_view(document, *flags)
        assert done.returncode == UNPROVEN and says in done.stderr, (says, done.stderr)
    done = verify_view(document, module=BALANCES)
    assert done.returncode == UNPROVEN and "the module given has" in done.stderr
    done = verify(document)
    assert done.returncode == USAGE and "--indexer" in done.stderr
    done = verify_view(document, module="/nowhere.wasm")
    assert done.returncode == GUEST and "/nowhere.wasm" in done.stderr
    assert verify_view(document).returncode == 0


@pytest.mark.parametrize("change, says", [
    ({"view": 1}, '"view"'),
    ({"view": None}, '"view"'),
    ({"view": "a\0b"}, "not JSON"),
    ({"module": "0x11"}, "32 bytes"),
    ({"module": None}, '"module"'),
    ({"input": None}, '"input"'),
    ({"answer": "0x1"}, '"answer"'),
    ({"height": None}, '"height"'),
    ({"height": -1}, '"height"'),
    ({"height": 1 << 32}, '"height"'),
])
def test_answers_that_are_none(served, change, says):
    document = served.rpc.call("shrewd_view_proof", "blocktracker", "")
    done = verify_view({**document, **change})
    assert done.returncode == USAGE and says in done.stderr


def test_answers_that_cannot_be_proven(served):
    for code, params in ((-32000, ["nothing", ""]), (-32002, ["blocktracker", "", 151]),
                         (-32602, ["blocktracker"]), (-32602, ["blocktracker", "0g"]),
                         (-32602, [7, ""])):
        with pytest.raises(RpcError) as error:
            served.rpc.call("shrewd_view_proof", *params)
        assert error.value.code == code, params
    at = ["--db-path", served.db]
    assert "--indexer" in shrewd("prove", "--view", "blocktracker", *at, check=USAGE).stderr
    assert "both" in shrewd("prove", "k", "--view", "blocktracker", *at, check=USAGE).stderr
    assert "KEY" in shrewd("prove", *at, check=USAGE).stderr


def test_balances_are_proven_while_blocks_come():
    """What wallets ask: each answer is of one block, and proves it, whatever is indexed meanwhile."""
    node = Node().start()
    try:
        node.mine(110)
        script = node.rpc.call("getblock", node.rpc.getblockhash(5), 2)["tx"][0]["vout"][0]
        script = script["scriptPubKey"]["hex"]
        with Daemon(BALANCES, node=node).start() as daemon:
            daemon.wait_tip(node)
            for _ in range(5):
                node.mine(2)
                for view, payload in (("balance", script), ("utxos", script), ("totals", ""),
                                      ("balance", "00" * 22)):
                    document = daemon.rpc.call("shrewd_view_proof", view, payload)
                    at = document["height"]
                    assert document["root"] == daemon.rpc.call("metashrew_stateroot", at)
                    assert document["answer"] == daemon.rpc.call("metashrew_view", view, payload,
                                                                 at)
                    done = verify_view(document, module=BALANCES)
                    assert done.returncode == 0, done.stderr
    finally:
        node.close()


def test_no_root_no_proof(daemon):
    node = Node().start()
    try:
        node.mine(2)
        without = daemon(MINIMAL, node=node, state_root="off").start()
        without.wait_tip(node)
        with pytest.raises(RpcError) as error:
            without.rpc.call("shrewd_view_proof", "blocktracker", "")
        assert error.value.code == -32007
    finally:
        node.close()
