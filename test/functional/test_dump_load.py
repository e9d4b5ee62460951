"""`shrewd load`: a dump is a database again, of one height, and goes on from there; what is not a
whole dump of that state is refused, and nothing is left."""
import json
import pathlib
import re
import subprocess

import pytest
from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.node import Node

OK, USAGE, DATABASE = 0, 2, 3
AT, TIP = 30, 50


@pytest.fixture(scope="module")
def dumped():
    """A daemon at TIP, and what a load of its dump of block AT is told."""
    node = Node().start()
    node.mine(TIP)
    with Daemon(paths.guest("minimal"), node=node).start() as daemon:
        daemon.wait_tip(node)
        flags = {"height": AT, "network": "regtest", "indexer": paths.guest("minimal"),
                 "block-hash": daemon.rpc.call("metashrew_getblockhash", AT),
                 "expect-root": daemon.rpc.call("metashrew_stateroot", AT)}
        yield node, daemon, flags
    node.close()


def load(source, db, flags, *more, **options):
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    return shrewd("load", source, "--db-path", db, *words, *more, **options)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_loaded_database_goes_on(dumped, tmp_path, form):
    node, daemon, flags = dumped
    text = dump(daemon.db, "--height", AT, *form)
    said = json.loads(load("-", tmp_path / "db", flags, "--json", input=text, check=OK).stdout)
    assert (said["height"], "0x" + said["hash"]) == (AT, flags["block-hash"])
    assert "0x" + said["root"] == flags["expect-root"] and said["root_given"]
    assert said["keys"] == len(text.splitlines())
    assert dump(tmp_path / "db", *form) == text
    shrewd("check", "--db-path", tmp_path / "db", check=OK)
    with Daemon(paths.guest("minimal"), db=tmp_path / "db", node=node).start() as loaded:
        loaded.wait_tip(node)
        for height in (AT, AT + 1, TIP):
            assert loaded.rpc.call("metashrew_stateroot", height) == daemon.rpc.call(
                "metashrew_stateroot", height)
        assert loaded.view("blocktracker", height=AT) == daemon.view("blocktracker", height=AT)
        answer = loaded.rpc.ask("metashrew_view", "blocktracker", "0x", AT - 1)
        assert answer["error"]["data"]["error"] == "BELOW_START"
    assert dump(tmp_path / "db") == dump(daemon.db)


def test_what_is_no_such_dump_is_refused(dumped, tmp_path):
    _, daemon, flags = dumped
    text = dump(daemon.db, "--height", AT)
    lines = text.splitlines(keepends=True)
    n = len(lines)
    spoilt = [
        (text[:-1], USAGE, f"line {n}: it does not end"),
        ("".join(lines[:-1]), DATABASE, "state root"),
        ("".join(lines[:7] + lines[8:]), DATABASE, "state root"),
        (dump(daemon.db, "--height", AT + 1), DATABASE, "state root"),
        ("", DATABASE, "state root"),
        ("".join([lines[1], lines[0], *lines[2:]]), USAGE, "line 2: its key does not come after"),
        ("".join([lines[0], *lines]), USAGE, "line 2: its key does not come after"),
        ("".join([*lines[:4], lines[4].replace(" ", ""), *lines[5:]]), USAGE, "line 5: expected a"),
        ("".join([*lines[:4], "\n", *lines[4:]]), USAGE, "line 5: it is empty"),
        (text.replace(" ", " 0x", 1), USAGE, "line 1: the value"),
        (text.replace(" ", " 0", 1), USAGE, "line 1: the value"),
        ("0x" + text, USAGE, "line 1: expected a key"),
        ('{"key":"0x00","value":"0x00"} \n', USAGE, "line 1: expected {"),
        ('{"value":"0x00","key":"0x00"}\n', USAGE, "line 1: expected {"),
    ]
    for content, code, says in spoilt:
        done = load("-", tmp_path / "db", flags, input=content, check=code)
        assert says in done.stderr, (says, done.stderr)
        assert list(tmp_path.iterdir()) == []
    # Without a root to compare with, it says which one there is.
    flags = {name: value for name, value in flags.items() if name != "expect-root"}
    done = load("-", tmp_path / "db", flags, input="".join(lines[:-1]), check=OK)
    assert "no --expect-root" in done.stdout
    done = load("-", tmp_path / "db", flags, input=text, check=DATABASE)
    assert "holds something already" in done.stderr


def test_nothing_is_no_dump(dumped, tmp_path):
    """`dump | load -` of a dump that failed; a state without keys has a root that says so."""
    _, _, flags = dumped
    unknown = {name: value for name, value in flags.items() if name != "expect-root"}
    (tmp_path / "empty").touch()
    for source in ("-", tmp_path / "empty"):
        said = load(source, tmp_path / "db", unknown, input="", check=USAGE)
        assert "is empty" in said.stderr and "--expect-root" in said.stderr and said.stdout == ""
        assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    said = load("-", tmp_path / "db", {**unknown, "expect-root": "00" * 32}, input="", check=OK)
    assert "\n0 keys\n" in said.stdout
    assert dump(tmp_path / "db") == ""


def peak_mb(pid):
    """The most memory a process has had so far."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def test_memory_does_not_grow_with_the_dump(dumped, tmp_path):
    """Fed 200 MB of keys and values, it has taken as much as after 30."""
    _, _, flags = dumped
    words = [word for name, value in flags.items() if name != "expect-root"
             for word in (f"--{name}", str(value))]
    peaks = {}
    with subprocess.Popen([paths.SHREWD, "load", "-", "--db-path", tmp_path / "db", *words],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        for i in range(100000):
            one.stdin.write(f"{i:08x} {i:08x}{'5a' * 2000}\n")
            if i in (15000, 99999):
                one.stdin.flush()
                peaks[i] = peak_mb(one.pid)
        one.stdin.close()
        said = one.stdout.read()
        assert one.wait() == OK
    assert "\n100000 keys\n" in said
    assert peaks[99999] < peaks[15000] + 40, peaks


def test_wrong_flags(dumped, tmp_path):
    _, daemon, flags = dumped
    path = tmp_path / "dump"
    path.write_text(dump(daemon.db, "--height", AT))
    for name, value, says in (("network", "mars", "--network"), ("block-hash", "12", "--block-hash"),
                              ("expect-root", "12", "--expect-root"), ("height", "x", "--height")):
        assert says in load(path, tmp_path / "db", {**flags, name: value}, check=USAGE).stderr
    for name in ("network", "block-hash", "indexer", "height"):
        left = {key: value for key, value in flags.items() if key != name}
        assert "--" + name in load(path, tmp_path / "db", left, check=USAGE).stderr
    assert "none" in load(tmp_path / "none", tmp_path / "db", flags, check=USAGE).stderr
    assert load(path, tmp_path / "db", flags, check=OK).stdout.startswith(f"block {AT} ")
