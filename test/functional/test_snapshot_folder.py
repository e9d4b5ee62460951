"""A snapshot's folder: whose it is, what it is never made into, who may read it, and what is left
beside a database's place when there was nothing to restore."""
import configparser
import contextlib
import errno
import fcntl
import functools
import json
import os
import pathlib
import re
import signal
import stat

import pytest

from harness import paths
from harness.daemon import Daemon, dump, shrewd
from harness.powercut import small_disk
from harness.process import wait_for
from harness.web import Server

TIP = 60
OK, FAILURE, USAGE, DATABASE, UNREACHABLE = 0, 1, 2, 3, 4
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def chain(node):
    node.mine(TIP)
    return node


def index(module, chain, height=TIP, **flags):
    with Daemon(paths.guest(module), node=chain, exit_at=height, **flags) as one:
        one.spawn()
        assert one.wait_exit() == OK, one.log()
        return one.db


@pytest.fixture(scope="module")
def databases(chain, tmp_path_factory):
    """Databases that no test changes: of two modules, of fewer blocks, and without state roots."""
    folder = tmp_path_factory.mktemp("databases")
    return {
        "minimal": index("minimal", chain, db=folder / "minimal"),
        "behind": index("minimal", chain, TIP // 2, db=folder / "behind"),
        "balances": index("balances", chain, db=folder / "balances"),
        "late": index("minimal", chain, db=folder / "late", start_block=5),
        "rootless": index("minimal", chain, db=folder / "rootless", state_root="off"),
    }


def create(folder, db, *more, check=OK, **how):
    return shrewd("snapshot", "create", folder, "--db-path", db, *more, check=check, **how)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def module_hash(name):
    return json.loads(shrewd("inspect", paths.guest(name), "--json", check=OK).stdout)["sha256"]


# -- whose it is

@pytest.mark.parametrize("held, ours, words", [
    ("balances", {}, ["module"]),
    ("late", {}, ["starts at block 5", "at block 0"]),
    ("minimal", {"state_root": "off"}, ["state roots", "none"]),
    ("rootless", {}, ["state roots", "none"]),
])
def test_a_daemon_refuses_anothers_folder_at_its_start(chain, databases, daemon, tmp_path, held,
                                                       ours, words):
    create(tmp_path / "s", databases[held])
    before = files(tmp_path / "s")
    one = daemon("minimal", db=tmp_path / "new" / "deep" / "db", node=chain,
                 snapshot_directory=tmp_path / "s", **ours)
    one.spawn()
    assert one.wait_exit() == DATABASE, one.log()
    for word in ["--snapshot-directory", str(tmp_path / "s"), "another folder", *words]:
        assert word in one.log()
    if held == "balances":
        assert module_hash("balances") in one.log() and module_hash("minimal") in one.log()
    assert files(tmp_path / "s") == before
    assert os.listdir(tmp_path) == ["s"], "a refused start has made a database"


def test_a_refused_start_leaves_a_database_that_was_there(chain, databases, daemon, tmp_path):
    create(tmp_path / "s", databases["balances"])
    db = index("minimal", chain, 5, db=tmp_path / "db")
    before = dump(db)
    one = daemon("minimal", db=db, node=chain, snapshot_directory=tmp_path / "s")
    one.spawn()
    assert one.wait_exit() == DATABASE, one.log()
    assert dump(db) == before


def test_a_daemon_refuses_a_damaged_folder_at_its_start(chain, databases, daemon, tmp_path):
    create(tmp_path / "s", databases["minimal"])
    with open(tmp_path / "s" / "manifest.json", "r+b") as manifest:
        manifest.write(b"[")
    one = daemon("minimal", node=chain, snapshot_directory=tmp_path / "s")
    one.spawn()
    assert one.wait_exit() == DATABASE, one.log()
    assert "--snapshot-directory" in one.log() and "manifest.json" in one.log()
    assert not one.db.exists()


@pytest.mark.parametrize("missing", [True, False])
def test_one_that_lacks_a_part_is_not_gone_on_with(chain, databases, daemon, tmp_path, missing):
    """Nobody could restore what is added to it; nor is it told as whole when nothing is to be added."""
    create(tmp_path / "s", databases["behind"])
    (part,) = (tmp_path / "s").glob("*.zst")
    if missing:
        part.unlink()
    else:
        os.truncate(part, 100)
    before = files(tmp_path / "s")
    wanted = shrewd("snapshot", "verify", tmp_path / "s").returncode
    assert wanted == (FAILURE if missing else DATABASE)
    words = [str(part), "No such file" if missing else "100 bytes", "made anew",
             f"delete the folder '{tmp_path / 's'}'"]
    for db in ("behind", "minimal"):
        done = create(tmp_path / "s", databases[db], check=wanted)
        assert all(word in done.stderr for word in words), done.stderr
    one = daemon("minimal", db=tmp_path / "new" / "db", node=chain,
                 snapshot_directory=tmp_path / "s")
    one.spawn()
    assert one.wait_exit() == wanted, one.log()
    assert all(word in one.log() for word in ["--snapshot-directory", *words]), one.log()
    assert files(tmp_path / "s") == before and os.listdir(tmp_path) == ["s"]


def test_a_daemon_goes_on_with_its_own(chain, databases, daemon, tmp_path):
    create(tmp_path / "s", databases["behind"])
    one = daemon("minimal", node=chain, snapshot_directory=tmp_path / "s", snapshot_interval=1000)
    one.start().wait_tip(chain)
    assert one.snapshot()["last_snapshot_height"] == TIP // 2


def test_a_daemon_takes_note_of_what_others_added(chain, daemon, tmp_path):
    """The snapshot is beyond the height that is due when the daemon comes to it."""
    start = chain.height()
    one = daemon("minimal", node=chain, snapshot_directory=tmp_path / "s",
                 snapshot_interval=start + 5)
    one.start().wait_tip(chain)
    one.process.send_signal(signal.SIGSTOP)
    chain.mine(10)
    create(tmp_path / "s", index("minimal", chain, start + 10, db=tmp_path / "db"))
    before = files(tmp_path / "s")
    one.process.send_signal(signal.SIGCONT)
    wait_for("the height", lambda: one.snapshot()["last_snapshot_height"] == start + 10)
    assert files(tmp_path / "s") == before and "WARN" not in one.log()


def test_a_fork_keeps_no_snapshot(databases, tmp_path):
    done = shrewd("run", "--indexer", paths.guest("minimal"), "--db-path", tmp_path / "db",
                  "--blocks", tmp_path, "--fork", databases["minimal"], "--snapshot-directory",
                  tmp_path / "s", check=USAGE)
    assert "--fork" in done.stderr and "--snapshot-directory" in done.stderr
    assert os.listdir(tmp_path) == []


# -- what is due when a daemon ends by itself

def height_of(folder):
    path = folder / "manifest.json"
    return json.loads(path.read_text())["height"] if path.exists() else None


@contextlib.contextmanager
def locked(folder):
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_what_is_due_is_taken_before_it_exits(chain, tmp_path):
    for end, interval in ((50, 25), (TIP - 1, TIP - 1), (TIP, TIP - 1)):
        index("minimal", chain, end, db=tmp_path / "db", snapshot_directory=tmp_path / "s",
              snapshot_interval=interval)
        assert height_of(tmp_path / "s") == end // interval * interval
        shrewd("snapshot", "verify", tmp_path / "s", check=OK)


def test_it_is_tried_again_before_it_exits(chain, daemon, tmp_path):
    """Not after the minute that follows a failure."""
    end = chain.height() + 10
    one = daemon("minimal", node=chain, snapshot_directory=tmp_path / "s", snapshot_interval=25,
                 exit_at=end)
    with locked(tmp_path / "s"):
        one.spawn()
        one.wait_log("trying again every minute")
    chain.mine(10)
    assert one.wait_exit() == OK, one.log()
    assert height_of(tmp_path / "s") == end // 25 * 25


def test_what_cannot_be_taken_is_told_by_the_exit_code(chain, daemon, tmp_path):
    one = daemon("minimal", node=chain, snapshot_directory=tmp_path / "s", snapshot_interval=25,
                 exit_at=50)
    with locked(tmp_path / "s"):
        one.spawn()
        assert one.wait_exit() == DATABASE, one.log()
    assert "shrewd: --snapshot-directory: no snapshot of block 50: another process" in one.log()
    one.spawn()
    assert one.wait_exit() == OK, one.log()
    assert height_of(tmp_path / "s") == 50


# -- what it is never made into

def test_it_is_never_cut_back(databases, tmp_path):
    create(tmp_path / "s", databases["minimal"], "--height", 20)
    create(tmp_path / "s", databases["minimal"])
    before = files(tmp_path / "s")
    less = create(tmp_path / "s", databases["minimal"], "--height", TIP - 10, check=USAGE)
    behind = create(tmp_path / "s", databases["behind"], check=FAILURE)
    for done, word in ((less, f"height of {TIP} or more instead of {TIP - 10}"),
                       (behind, f"those up to {TIP // 2}")):
        assert str(tmp_path / "s") in done.stderr and word in done.stderr
        assert f"up to {TIP}" in done.stderr and "another folder" in done.stderr
        assert files(tmp_path / "s") == before
    again = create(tmp_path / "s", databases["minimal"], "--height", TIP, "--json")
    again = json.loads(again.stdout)
    assert again["parts"] == 2 and again["new_parts"] == 0 and files(tmp_path / "s") == before


@pytest.mark.parametrize("held, ours", [("minimal", "rootless"), ("rootless", "minimal"),
                                        ("balances", "minimal")])
def test_it_is_never_anothers(databases, tmp_path, held, ours):
    create(tmp_path / "s", databases[held])
    before = files(tmp_path / "s")
    done = create(tmp_path / "s", databases[ours], check=DATABASE)
    assert str(tmp_path / "s") in done.stderr and "another folder" in done.stderr
    assert files(tmp_path / "s") == before


def test_files_of_others_stay(databases, tmp_path):
    (tmp_path / "s").mkdir()
    for name in ("backup.zst", "000000000-000000060.zst", "notes"):
        (tmp_path / "s" / name).write_text("kept")
    create(tmp_path / "s", databases["minimal"])
    for name in ("backup.zst", "000000000-000000060.zst", "notes"):
        assert (tmp_path / "s" / name).read_text() == "kept"


def test_blocks_that_a_reorg_took_back_go_and_that_is_said(chain, daemon, tmp_path):
    one = daemon("minimal", node=chain).start()
    one.wait_tip(chain)
    tip = chain.height()
    for height in (tip - 20, tip - 2, tip):
        create(tmp_path / "s", one.db, "--height", height)
    back, _ = chain.reorg(5, length=7)
    one.wait_tip(chain)
    kept = create(tmp_path / "s", one.db, "--height", tip - 20, "--json")
    assert "2 parts" in kept.stderr and f"blocks {tip - 19} to {tip}" in kept.stderr
    assert "reorg" in kept.stderr and str(tmp_path / "s") in kept.stderr
    assert json.loads(kept.stdout)["parts"] == 1
    shrewd("snapshot", "verify", tmp_path / "s", check=OK)
    assert len(list((tmp_path / "s").glob("*.zst"))) == 1
    grown = create(tmp_path / "s", one.db, "--json")
    assert grown.stderr == "" and json.loads(grown.stdout)["new_parts"] == 1
    shrewd("snapshot", "restore", tmp_path / "s", "--db-path", tmp_path / "db", check=OK)
    assert dump(tmp_path / "db") == dump(one.db)
    assert one.stop()[0] == OK
    chain.rpc.reconsiderblock(back)


# -- who may read it

def modes(folder):
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.name != "lock"}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_it_can_be_served_as_the_umask_allows(databases, tmp_path, umask):
    create(tmp_path / "srv" / "s", databases["minimal"], umask=umask)
    assert modes(tmp_path / "srv" / "s") == {0o644 & ~umask}
    for made in (tmp_path / "srv", tmp_path / "srv" / "s"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o755 & ~umask


def test_a_daemons_folder_can_be_served(chain, daemon, tmp_path):
    one = daemon("minimal", node=chain, snapshot_directory=tmp_path / "s", snapshot_interval=10)
    one.spawn(prepare=lambda: os.umask(0o022))
    one.wait_log("'%s' has 1 part (1 new)" % (tmp_path / "s"))
    assert one.stop()[0] == OK
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o755
    assert modes(tmp_path / "s") == {0o644}


def test_a_folder_that_was_there_keeps_its_mode(databases, tmp_path):
    (tmp_path / "s").mkdir(mode=0o700)
    create(tmp_path / "s", databases["minimal"], umask=0o022)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_the_unit_allows_what_the_sample_config_suggests():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(paths.REPO / "packaging" / "shrewd.service")
    service = unit["Service"]
    sample = (paths.REPO / "packaging" / "shrewd.conf").read_text()
    folder = pathlib.Path(re.search(r"^# snapshot-directory = (\S+)", sample, re.MULTILINE)[1])
    written = [pathlib.Path(path.lstrip("-")) for path in service["ReadWritePaths"].split()]
    assert any(path == folder or path in folder.parents for path in written)
    assert int(service["UMask"], 8) & 0o055 == 0, "a web server could not read what it writes"
    for private in ("StateDirectoryMode", "CacheDirectoryMode"):
        assert service[private] == "0700"
    said = (paths.REPO / "doc" / "snapshots.md").read_text()
    assert f"install -d -o shrewd -g shrewd -m 755 {folder}" in said


# -- restoring

def restore(place, db, *more, check):
    return shrewd("snapshot", "restore", place, "--db-path", db, *more, check=check)


def test_one_without_state_roots_is_told_as_that(databases, tmp_path):
    create(tmp_path / "s", databases["rootless"])
    done = restore(tmp_path / "s", tmp_path / "db", "--expect-root", "11" * 32, check=DATABASE)
    assert "keeps no state roots" in done.stderr and "--expect-root" in done.stderr
    assert "0000000000" not in done.stderr and str(tmp_path / "s") in done.stderr
    restore(tmp_path / "s", tmp_path / "db", check=OK)


def test_verifying_compares_the_root_that_is_expected(databases, tmp_path):
    create(tmp_path / "s", databases["minimal"])
    create(tmp_path / "none", databases["rootless"])
    root = json.loads((tmp_path / "s" / "manifest.json").read_text())["state_root"]
    verify = functools.partial(shrewd, "snapshot", "verify")
    verify(tmp_path / "s", "--expect-root", root, check=OK)
    verify(tmp_path / "s", "--expect-root", f"0x{root}", check=OK)
    other = verify(tmp_path / "s", "--expect-root", "11" * 32, check=DATABASE)
    assert root in other.stderr and "11" * 32 in other.stderr and "state root" in other.stderr
    none = verify(tmp_path / "none", "--expect-root", root, check=DATABASE)
    assert "keeps no state roots" in none.stderr
    bad = verify(tmp_path / "s", "--expect-root", "11", check=USAGE)
    assert "--expect-root: a root has 32 bytes, not 1" in bad.stderr


def test_each_action_refuses_what_it_does_not_use(tmp_path):
    for action, flag, value in (("restore", "--height", 3), ("create", "--indexer", "m"),
                                ("create", "--expect-root", "11" * 32), ("verify", "--indexer", "m"),
                                ("verify", "--db-path", tmp_path / "db")):
        done = shrewd("snapshot", action, tmp_path / "s", flag, value, check=USAGE)
        assert f"{flag}: 'shrewd snapshot {action}' has no use for it" in done.stderr
    said = " ".join(shrewd("snapshot", "--help", check=OK).stdout.split())
    for words in ("or latest (only create)", ".wasm or .wat (only restore)",
                  "must end with (only restore and verify)"):
        assert words in said


def test_nothing_stays_of_what_was_refused(databases, tmp_path):
    create(tmp_path / "s", databases["minimal"])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "here").mkdir()
    with Server(tmp_path / "s") as server:
        for place, more, code in (
                (tmp_path / "none", [], DATABASE),
                (tmp_path / "empty", [], DATABASE),
                (tmp_path / "bad", [], DATABASE),
                (f"{server.url}/nowhere", [], DATABASE),
                (NOBODY, [], UNREACHABLE),
                (tmp_path / "s", ["--indexer", paths.guest("balances")], DATABASE),
                (server.url, ["--indexer", paths.guest("balances")], DATABASE),
                (tmp_path / "s", ["--expect-root", "11" * 32], DATABASE),
                (server.url, ["--expect-root", "11" * 32], DATABASE)):
            done = restore(place, tmp_path / "here" / "new" / "db", *more, check=code)
            assert done.stderr and os.listdir(tmp_path / "here") == [], done.stderr


def test_folders_that_were_there_stay(databases, tmp_path):
    create(tmp_path / "s", databases["minimal"])
    (tmp_path / "here" / "old" / "db").mkdir(parents=True)
    for db in (tmp_path / "here" / "old" / "db", tmp_path / "here" / "old" / "new" / "db"):
        restore(tmp_path / "s", db, "--expect-root", "11" * 32, check=DATABASE)
        assert os.listdir(tmp_path / "here") == ["old"]
        assert os.listdir(tmp_path / "here" / "old") == ["db"]
        assert os.listdir(tmp_path / "here" / "old" / "db") == []


@pytest.mark.parametrize("held, ours, words", [
    ("balances", {}, ["--repo", "module"]),
    ("late", {"start_block": 7}, ["--repo", "starts at block 5", "--start-block 7"]),
    ("minimal", {"state_root": "off"}, ["--repo", "state roots", "--state-root"]),
    ("rootless", {"state_root": "on"}, ["--repo", "state roots", "--state-root"]),
    ("minimal", {"snapshot_directory": "balances"}, ["--snapshot-directory", "module"]),
    ("minimal", {"snapshot_directory": "late"}, ["--snapshot-directory", "starts at block 5"]),
    ("minimal", {"snapshot_directory": "rootless"}, ["--snapshot-directory", "state roots"]),
])
def test_nothing_stays_of_a_repo_that_was_refused(chain, databases, daemon, tmp_path, held, ours,
                                                  words):
    """Which the manifest tells, before a part is looked at."""
    create(tmp_path / "s", databases[held])
    for part in (tmp_path / "s").glob("*.zst"):
        part.unlink()
    if "snapshot_directory" in ours:
        create(tmp_path / "other", databases[ours["snapshot_directory"]])
        ours = {"snapshot_directory": tmp_path / "other"}
    before = sorted(os.listdir(tmp_path))
    with Server(tmp_path / "s") as server:
        for place in (tmp_path / "s", server.url):
            one = daemon("minimal", db=tmp_path / "new" / "deep" / "db", node=chain, repo=place,
                         **ours)
            one.spawn()
            assert one.wait_exit() == DATABASE, one.log()
            for word in words:
                assert word in one.log(), one.log()
            assert sorted(os.listdir(tmp_path)) == before


def test_a_snapshot_folder_that_cannot_be_made(chain, daemon, tmp_path):
    """Which is told before there is a database."""
    (tmp_path / "file").touch()
    one = daemon("minimal", db=tmp_path / "new" / "db", node=chain,
                 snapshot_directory=tmp_path / "file" / "s")
    one.spawn()
    assert one.wait_exit() == FAILURE, one.log()
    assert f"--snapshot-directory: cannot make the folder '{tmp_path}/file/s'" in one.log()
    assert os.listdir(tmp_path) == ["file"]


def test_a_repo_that_is_all_that_was_asked_for(chain, databases, daemon, tmp_path):
    create(tmp_path / "s", databases["late"])
    create(tmp_path / "other", databases["late"], "--height", 20)
    one = daemon("minimal", db=tmp_path / "new" / "db", node=chain, repo=tmp_path / "s",
                 start_block=5, state_root="on", snapshot_directory=tmp_path / "other", exit_at=TIP)
    one.spawn()
    assert one.wait_exit() == OK and "restored '" in one.log(), one.log()


def broken(databases, tmp_path):
    """A snapshot whose second part is not there, and the second part."""
    for height in (20, TIP):
        create(tmp_path / "s", databases["minimal"], "--height", height)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    part = tmp_path / "s" / manifest["parts"][1]["name"]
    part.rename(tmp_path / "kept")
    return part


def test_what_can_be_gone_on_with_stays(chain, databases, daemon, tmp_path):
    part = broken(databases, tmp_path)
    db, begun = tmp_path / "db", tmp_path / "db.restore"
    with Server(tmp_path / "s") as server:
        restore(server.url, db, check=DATABASE)
        assert begun.is_dir()
        restore(server.url, db, "--expect-root", "11" * 32, check=DATABASE)
        restore(tmp_path / "none", db, check=DATABASE)
        restore(NOBODY, db, check=UNREACHABLE)
        one = daemon("minimal", db=db, node=chain, repo=NOBODY)
        one.spawn()
        assert one.wait_exit() == UNREACHABLE, one.log()
        assert str(begun) in one.log() and "leave --repo out" in one.log()
        assert begun.is_dir() and not db.exists()
        (tmp_path / "kept").rename(part)
        said = json.loads(restore(server.url, db, "--json", check=OK).stdout)
        assert said["new_parts"] == 1 and not begun.exists()
    assert dump(db) == dump(databases["minimal"])


def test_a_broken_download_begins_again_where_there_are_no_ranges(databases, tmp_path):
    create(tmp_path / "s", databases["minimal"])
    with Server(tmp_path / "s", cut=200, cuts=1, has_ranges=False) as server:
        restore(server.url, tmp_path / "db", check=OK)
        assert server.ranges == 1
    assert dump(tmp_path / "db") == dump(databases["minimal"])


def test_what_was_left_of_a_download_is_in_nobodys_way(databases, tmp_path):
    """Of one that never came further, from a server without ranges: that ends, and the next is well."""
    create(tmp_path / "s", databases["minimal"])
    with Server(tmp_path / "s", cut=200, cuts=1000, has_ranges=False) as server:
        done = restore(server.url, tmp_path / "db", check=UNREACHABLE)
        assert done.stderr.count("broken off at byte 200") == 3, done.stderr
        assert list((tmp_path / "db.restore" / "parts").glob("*.partial"))
        server.cuts = 0
        restore(server.url, tmp_path / "db", check=OK)
    assert dump(tmp_path / "db") == dump(databases["minimal"])


def test_a_full_disk_takes_nothing_of_an_earlier_try(databases, tmp_path):
    part = broken(databases, tmp_path)
    db, built, space = tmp_path / "db", tmp_path / "db.restore" / "db", tmp_path / "space"
    restore(tmp_path / "s", db, check=FAILURE)
    (tmp_path / "kept").rename(part)
    for error in (errno.ENOSPC, errno.EIO):
        space.write_text(str(-error))
        done = shrewd("snapshot", "restore", tmp_path / "s", "--db-path", db, check=FAILURE,
                      env=small_disk(built, space))
        assert os.strerror(error) in done.stderr and "begun anew" not in done.stderr
    said = json.loads(restore(tmp_path / "s", db, "--json", check=OK).stdout)
    assert said["new_parts"] == 1, "it has begun anew"
    assert dump(db) == dump(databases["minimal"])


def test_nothing_stays_of_a_repo_that_was_passed_over(chain, daemon):
    one = daemon("minimal", node=chain, repo=NOBODY, exit_at=5)
    one.spawn()
    assert one.wait_exit() == OK and "indexing from the start" in one.log()
    assert not pathlib.Path(f"{one.db}.restore").exists()


def test_a_damaged_first_part_leaves_nothing(databases, tmp_path):
    create(tmp_path / "s", databases["minimal"])
    (part,) = (tmp_path / "s").glob("*.zst")
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    (tmp_path / "here").mkdir()
    with Server(tmp_path / "s") as server:
        for place in (tmp_path / "s", server.url):
            restore(place, tmp_path / "here" / "db", check=DATABASE)
            assert os.listdir(tmp_path / "here") == []


def test_one_part_is_no_parts(chain, databases, daemon, tmp_path):
    create(tmp_path / "s", databases["minimal"])
    one = daemon("minimal", node=chain, repo=tmp_path / "s")
    one.start()
    wait_for("the log", lambda: "restored '" in one.log())
    assert "1 part, up to block" in one.log() and "1 parts" not in one.log()
