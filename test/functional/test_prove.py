"""Proofs made by a server and from a database, checked by both verifiers, and refused when changed."""
import json
import random
import subprocess
import sys

import pytest

from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.node import Node
from harness.rpc import RpcError

UNPROVEN = 1


@pytest.fixture(scope="module")
def served():
    node = Node().start()
    node.mine(150)
    with Daemon(paths.guest("minimal"), node=node).start() as daemon:
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
