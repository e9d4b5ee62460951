#!/usr/bin/env python3
"""Usage: verify-proof.py FILE [ROOT]. Verifies a proof document, or a list of them, against a state
root; - is standard input. Made from doc/state-root.md alone."""
import hashlib
import json
import sys


def sha256(data):
    return hashlib.sha256(data).digest()


def path_of(key_hash):
    return f"{int.from_bytes(key_hash, 'big'):0256b}"


def need(sound, fault):
    if not sound:
        raise ValueError(fault)


def read_node(proof, depth, asked):
    """Reads a node: its tag, its hash, and the proof after it. `asked` has (path, key, value) of
    each entry whose path enters the node."""
    need(len(proof) > 0 and proof[0] in ((0, 2, 3) if asked else (0, 1)), "the wrong kind of node")
    tag, proof = proof[0], proof[1:]
    if tag == 1:
        need(len(proof) >= 32 and any(proof[:32]), "a hash is cut short, or zero")
        return tag, proof[:32], proof[32:]
    if tag == 3:
        need(depth < 256, "the tree is too deep")
        sides = [[entry for entry in asked if entry[0][depth] == bit] for bit in "01"]
        left, left_hash, proof = read_node(proof, depth + 1, sides[0])
        right, right_hash, proof = read_node(proof, depth + 1, sides[1])
        need({left, right} not in ({0}, {0, 2}), "an inner node without need")
        return tag, sha256(b"\1" + left_hash + right_hash), proof
    leaf, proof = (proof[:64], proof[64:]) if tag == 2 else (b"", proof)
    on_path = len(leaf) == 64 and path_of(leaf[:32])[:depth] == asked[0][0][:depth]
    need(tag == 0 or on_path, "a leaf is cut short, or off its path")
    for path, key, value in asked:
        claim = b"" if value is None else sha256(key) + sha256(value)
        found = leaf if leaf and path == path_of(leaf[:32]) else b""
        need(found == claim, f"key 0x{key.hex()} is not as claimed")
    return tag, sha256(b"\0" + leaf) if leaf else bytes(32), proof


def verify(document, root=None):
    def unhex(text):
        return bytes.fromhex(text.removeprefix("0x"))
    entries = [(unhex(entry["key"]), entry["value"]) for entry in document["entries"]]
    asked = [(path_of(sha256(k)), k, None if v is None else unhex(v)) for k, v in entries]
    proof = unhex(document["proof"])
    need(proof[:1] == b"\1", "an unknown version")
    _, found, rest = read_node(proof[1:], 0, asked)
    need(not rest, "the proof goes on after its tree")
    need(found == unhex(root or document["root"]), f"it proves another root, 0x{found.hex()}")


if __name__ == "__main__":
    documents = json.loads((sys.stdin if sys.argv[1] == "-" else open(sys.argv[1])).read())
    for one in documents if isinstance(documents, list) else [documents]:
        verify(one, *sys.argv[2:])
    print("proven")
