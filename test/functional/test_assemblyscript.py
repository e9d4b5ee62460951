"""A module as AssemblyScript's compiler makes it: a wasm start section, the stub runtime, UTF-16
messages of abort, a memory maximum. Built from npm, run by the daemon."""
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from harness.daemon import Daemon, shrewd
from harness.rpc import RpcError

SOURCE = pathlib.Path(__file__).parent / "assemblyscript"
TIP = 30


@pytest.fixture(scope="module")
def module():
    """Built in the cache, where what npm installs is kept."""
    if shutil.which("npm") is None:
        pytest.fail("npm is not installed; run 'tools/deps --test'")
    cache = os.environ.get("SHREWD_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "shrewd")
    key = hashlib.sha256((SOURCE / "package.json").read_bytes()).hexdigest()[:16]
    done = subprocess.run([SOURCE / "build", os.path.join(cache, f"assemblyscript-{key}")],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


@pytest.fixture(scope="module")
def served(module, node):
    node.mine(TIP)
    with Daemon(module, node=node) as daemon:
        daemon.start().wait_tip(node)
        yield daemon


def test_what_it_is(module):
    said = json.dumps(json.loads(shrewd("inspect", module, "--json", check=0).stdout))
    for word in ("echo", "count", "boom", "abort", "65335"):
        assert word in said


def test_the_start_section_runs_before_each_block(served, node):
    for height in (0, 7, TIP):
        block = served.view("block", struct.pack("<I", height))
        assert struct.unpack("<III", block) == (height, len(node.block(height)), 1)
    assert served.view("count") == struct.pack("<I", TIP + 1)
    assert served.view("count", height=4) == struct.pack("<I", 5)
    assert served.dump().count("\n") == TIP + 2


def test_its_input_and_log(served):
    assert served.view("echo", b"abc", 9) == struct.pack("<I", 9) + b"abc"
    assert "block 12 \u2013 done" in served.log()


@pytest.mark.parametrize("name", ["boom", "throws"])
def test_abort_messages_are_decoded(served, name):
    with pytest.raises(RpcError) as caught:
        served.rpc.call("metashrew_view", name, "")
    assert caught.value.code == -32000
    assert "assembly/index.ts" in caught.value.message, caught.value.message
    source = (SOURCE / "assembly" / "index.ts").read_text()
    text = source.split(f"export function {name}(")[1].split('"')[1]
    assert text in caught.value.message


def test_its_memory_maximum_is_kept(module, node, daemon):
    one = daemon(module, node=node, view_memory_mb=4096).start()
    one.wait_tip(node)
    assert one.view("grow", struct.pack("<I", 65335)) == b"\xff\xff\xff\xff"
    assert struct.unpack("<I", one.view("grow", struct.pack("<I", 100)))[0] > 100


def test_its_preview(served, node):
    block = node.block(TIP)
    assert served.preview(block, "count") == struct.pack("<I", TIP + 2)
    assert served.view("count") == struct.pack("<I", TIP + 1)
