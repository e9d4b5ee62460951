"""Proofs: the vectors of doc/state-root.md, the verifier in Python that is made from that page alone,
and `shrewd verify`, which say the same of every proof, sound or not."""
import copy
import hashlib
import importlib.util
import json
import random
import subprocess
import sys

import pytest

from harness import paths
from harness.daemon import shrewd

OK, FAILURE, USAGE = 0, 1, 2
VERIFIER = paths.REPO / "tools" / "verify-proof.py"
VECTORS = json.loads((paths.REPO / "doc" / "state-root.vectors.json").read_text())


def load_verifier():
    spec = importlib.util.spec_from_file_location("verify_proof", VERIFIER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


verifier = load_verifier()


def proven(document):
    try:
        verifier.verify(document)
    except (ValueError, IndexError):
        return False
    return True


def sha256(data):
    return hashlib.sha256(data).digest()


def root_of(leaves, depth=0):
    """The definition, word by word: leaves are (bits of the path, hash)."""
    if len(leaves) <= 1:
        return leaves[0][1] if leaves else bytes(32)
    sides = [[leaf for leaf in leaves if leaf[0][depth] == bit] for bit in "01"]
    return sha256(b"\1" + root_of(sides[0], depth + 1) + root_of(sides[1], depth + 1))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors(vector):
    leaves = []
    for pair in vector["state"]:
        key, value = (sha256(bytes.fromhex(pair[name][2:])) for name in ("key", "value"))
        leaves.append((f"{int.from_bytes(key, 'big'):0256b}", sha256(b"\0" + key + value)))
    assert "0x" + root_of(leaves).hex() == vector["root"]
    assert proven(vector)
    proof = bytes.fromhex(vector["proof"][2:])
    for at in range(len(proof)):
        for other in (1, 2, 3, 0x80, 0xff):
            changed = bytearray(proof)
            changed[at] ^= other
            assert not proven({**vector, "proof": "0x" + changed.hex()})
        assert not proven({**vector, "proof": "0x" + proof[:at].hex()})
    assert not proven({**vector, "proof": vector["proof"] + "00"})


def test_python_from_the_command_line(tmp_path):
    def run(*words, **more):
        return subprocess.run([sys.executable, VERIFIER, *words], capture_output=True, text=True,
                              **more)
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(VECTORS))
    assert run(file).stdout == "proven\n"
    assert run("-", input=json.dumps(VECTORS[1])).stdout == "proven\n"
    assert run("-", VECTORS[3]["root"], input=json.dumps(VECTORS[3])).returncode == 0
    assert run("-", VECTORS[1]["root"], input=json.dumps(VECTORS[3])).returncode != 0
    assert len(VERIFIER.read_text().splitlines()) <= 65


def verify(document, *flags, **more):
    return shrewd("verify", "-", *flags, input=json.dumps(document), **more)


def test_shrewd_verify(tmp_path):
    for vector in VECTORS:
        done = verify(vector, check=OK)
        assert done.stdout.startswith("proven: ") and "the document's own" in done.stderr
    file = tmp_path / "proof.json"
    file.write_text(json.dumps({"jsonrpc": "2.0", "id": 1, "result": VECTORS[4]}))
    done = shrewd("verify", file, "--root", VECTORS[4]["root"][2:], "--json", check=OK)
    assert json.loads(done.stdout) == {"proven": True, "entries": 2, "root": VECTORS[4]["root"],
                                       "root_given": True}
    assert done.stderr == ""
    done = shrewd("verify", file, "--root", VECTORS[1]["root"], check=FAILURE)
    assert "another root" in done.stderr and done.stdout == ""


def test_both_verifiers_agree():
    """On proofs with a claim or a byte changed."""
    rng = random.Random(6)
    for _ in range(120):
        document = copy.deepcopy(rng.choice(VECTORS))
        what = rng.randrange(4)
        if what == 0 and document["entries"]:
            entry = rng.choice(document["entries"])
            entry["value"] = rng.choice([None, "0x", "0x" + b"value-0".hex()])
        elif what == 1 and document["entries"]:
            rng.choice(document["entries"])["key"] = "0x" + b"key-1".hex()
        elif what == 2:
            document["entries"].append({"key": "0x" + b"key-0".hex(), "value": None})
        else:
            digits = list(document["proof"])
            digits[rng.randrange(2, len(digits))] = rng.choice("0123")
            document["proof"] = "".join(digits)
        done = verify(document, check=OK if proven(document) else FAILURE)
        assert ("not proven" in done.stderr) != proven(document)


@pytest.mark.parametrize("text, says", [
    ("", "not JSON"),
    ("[]", "entries"),
    ('{"entries": []}', '"proof"'),
    ('{"entries": [], "proof": "0x01"}', '"root"'),
    ('{"entries": [], "proof": "0x01", "root": "0x00"}', "32 bytes"),
    ('{"entries": [], "proof": "0x1", "root": "0x00"}', "odd number"),
    ('{"entries": [], "proof": "zz", "root": "0x00"}', "character 1"),
    ('{"entries": [1], "proof": "0x", "root": "0x%s"}' % ("00" * 32), "entry 0"),
    ('{"entries": [{"key": "0x"}], "proof": "0x", "root": "0x%s"}' % ("00" * 32), '"value"'),
    ('{"entries": [{"value": null}], "proof": "0x", "root": "0x%s"}' % ("00" * 32), '"key"'),
])
def test_documents_that_are_none(text, says):
    done = shrewd("verify", "-", input=text, check=USAGE)
    assert says in done.stderr and done.stdout == ""


def test_no_file(tmp_path):
    done = shrewd("verify", tmp_path / "absent.json")
    assert done.returncode != OK and "absent.json" in done.stderr
