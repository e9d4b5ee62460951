"""Databases of which one value was changed behind RocksDB's back, its length kept: check names the
row, no proof is made of it, and nothing is rolled back to it."""
import json
import shutil
import subprocess

import pytest

from harness import paths, rockshrew
from harness.daemon import Daemon, dump, shrewd
from harness.node import Node
from harness.rpc import RpcError

OK, UNPROVEN, DATABASE, DAMAGED = 0, 1, 3, 7
TIP = 30
KEY = b"/blocktracker"  # which every block writes


@pytest.fixture(scope="module")
def node():
    node = Node().start()
    node.mine(TIP)
    yield node
    node.close()


def make(node, **flags):
    with Daemon(paths.guest("minimal"), node=node, exit_at=TIP, **flags) as daemon:
        daemon.spawn()
        assert daemon.wait_exit() == OK, daemon.log()
        yield daemon.db


@pytest.fixture(scope="module")
def sound(node):
    yield from make(node)


@pytest.fixture(scope="module")
def rootless(node):
    yield from make(node, state_root="off")


def value_at(db, height):
    lines = (line.split(" ") for line in dump(db, "--height", height).splitlines())
    return {bytes.fromhex(key): bytes.fromhex(value) for key, value in lines}[KEY]


def history(height):
    return len(KEY).to_bytes(4, "big") + KEY + height.to_bytes(4, "big")


def change(db, family, height):
    """What KEY was after `height`, with one bit turned. -> the row's key"""
    value = bytearray(value_at(db, height))
    value[0] ^= 1
    row = KEY if family == "latest" else history(height + 1)
    rockshrew.put(db, family, {row: bytes(value) + height.to_bytes(4, "big")})
    return row


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "db")


def findings(db):
    said = json.loads(shrewd("check", "--db-path", db, "--json", check=DAMAGED).stdout)
    assert not said["ok"] and said["values_compared"]
    return {(one["table"], one["key"]): one for one in said["findings"]}


@pytest.mark.parametrize("family, height", [("history", 0), ("history", 17), ("history", TIP - 1),
                                            ("latest", TIP)])
def test_check_names_a_changed_value(copy, family, height):
    assert shrewd("check", "--db-path", copy, check=OK).stdout.startswith("sound: ")
    row = change(copy, family, height)
    found = findings(copy)[family.upper(), "0x" + row.hex()]
    assert found["expected"] == "the value that the state tree says"
    assert found["found"] == f"another value after block {height}"


@pytest.mark.parametrize("family, height", [("history", 17), ("latest", TIP)])
def test_no_proof_is_made_of_a_changed_value(copy, node, family, height):
    change(copy, family, height)
    key, at = "0x" + KEY.hex(), ["--db-path", copy, "--height", height]
    done = shrewd("prove", key, *at, check=DATABASE)
    assert done.stdout == "" and key in done.stderr and f"after block {height}" in done.stderr
    done = shrewd("prove", "--view", "blocktracker", "--indexer", paths.guest("minimal"), *at,
                  check=DATABASE)
    assert done.stdout == "" and key in done.stderr
    # What is not damaged is proven, as before.
    document = shrewd("prove", key, "--db-path", copy, "--height", 16, check=OK).stdout
    shrewd("verify", "-", input=document, check=OK)
    with Daemon(paths.guest("minimal"), node=node, db=copy).start() as daemon:
        with pytest.raises(RpcError) as refused:
            daemon.rpc.call("shrewd_view_proof", "blocktracker", "0x", height)
        assert refused.value.code == -32603 and key in str(refused.value)
        # A document of keys is verified by whoever asked for it.
        document = daemon.rpc.call("shrewd_prove", key, height)
    done = shrewd("verify", "-", input=json.dumps(document), check=UNPROVEN)
    assert "the key has another value" in done.stderr


def damage_block(db, family):
    """One byte in the first block of one of the table's files."""
    rockshrew.put(db, family, {})  # opening writes out what only the log has
    name = b"name" + family.encode()  # as RocksDB writes the family's name at the file's end
    for path in sorted(db.glob("*.sst")):
        data = bytearray(path.read_bytes())
        if name in data and name + b"_" not in data:
            data[20] ^= 1
            path.write_bytes(data)
            return
    raise AssertionError(f"no file of {family}")


@pytest.mark.parametrize("family", ["root", "history", "latest", "changes", "blocks"])
def test_a_damaged_block_is_one_finding(copy, family):
    row = change(copy, "history", 17)
    damage_block(copy, family)
    said = json.loads(shrewd("check", "--db-path", copy, "--json", check=DAMAGED).stdout)
    found = said["findings"]
    assert found[0]["table"] == family.upper() and "checksum" in found[0]["found"]
    # The changed value is named beside it where the tables that tell it can be read.
    others = [one["key"] for one in found[1:]]
    assert others == (["0x" + row.hex()] if said["values_compared"] else [])
    assert said["values_compared"] == (family in ("changes", "blocks"))


def test_check_says_when_it_cannot_know(rootless, tmp_path):
    db = shutil.copytree(rootless, tmp_path / "db")
    change(db, "history", 17)
    line = shrewd("check", "--db-path", db, check=OK).stdout
    assert line.startswith("sound: ") and "values were not compared" in line
    said = json.loads(shrewd("check", "--db-path", db, "--json", check=OK).stdout)
    assert said["ok"] and not said["values_compared"]
