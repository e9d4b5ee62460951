"""The commands, their flags and exit codes, as the man page tells them."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from harness import paths
from harness.blocks import MAINNET_GENESIS, MAINNET_MAGIC, bootstrap
from harness.daemon import ENVIRONMENT, Daemon, dump, shrewd, view
from harness.node import AUTH
from harness.process import wait_for
from harness.web import Server, Silent

MODULES = pathlib.Path(__file__).parent / "modules"
PROBE, SPIN, FAILS = (MODULES / f"{name}.wat" for name in ("probe", "spin", "fails"))
TIP = 60

OK, FAILURE, USAGE, DATABASE, NODE, GUEST = 0, 1, 2, 3, 4, 5


@pytest.fixture(scope="module")
def chain(node):
    node.mine(TIP)
    return node


@pytest.fixture(scope="module")
def indexed(chain):
    """A database with the whole chain, that no test changes."""
    with Daemon(paths.guest("minimal"), node=chain, exit_at=TIP) as daemon:
        daemon.spawn()
        assert daemon.wait_exit() == OK, daemon.log()
        yield daemon


def index(daemon, module, chain, height, **flags):
    one = daemon(module, node=chain, exit_at=height, **flags)
    one.spawn()
    assert one.wait_exit() == OK, one.log()
    return one


# -- help and usage

def test_help_and_version():
    text = shrewd("--help", check=OK).stdout
    for command in ("run", "view", "preview", "status", "rollback", "dump", "check", "diff",
                    "inspect", "demo"):
        assert command in text
        page = shrewd(command, "--help", check=OK).stdout
        assert f"shrewd {command}" in page and "xample" in page
        assert shrewd("help", command, check=OK).stdout == page
    assert shrewd("--version", check=OK).stdout.startswith("shrewd ")


NEEDED = ["run", "--indexer", "m", "--db-path", "d", "--blocks", "b"]


@pytest.mark.parametrize("words, says", [
    ([], "--indexer"),
    (["run"], "--db-path"),
    (["rnu"], "run"),
    (["run", "--indexr", "x"], "--indexer"),
    ([*NEEDED, "--port", "70000"], "--port"),
    ([*NEEDED, "--port", "x"], "--port"),
    ([*NEEDED, "--exit-at", "-1"], "--exit-at"),
    ([*NEEDED, "--max-reorg-depth", "0"], "--max-reorg-depth"),
    (["run", "--indexer"], "--indexer"),
    (["run", "--yes"], "--yes"),
    (["run", "extra", "--indexer", "m", "--db-path", "d", "--blocks", "b"], "extra"),
    (["view"], "NAME"),
    (["view", "name", "--indexer", "m"], "--db-path"),
    (["view", "name", "zz", "--db-path", "d", "--indexer", "m"], "HEX"),
    (["view", "a", "00", "b", "--db-path", "d", "--indexer", "m"], "b"),
    (["rollback", "--db-path", "d"], "--height"),
    (["dump"], "--db-path"),
    (["inspect"], "MODULE"),
    (["completion", "tcsh"], "tcsh"),
    (["status", "--heigth", "3"], "--heigth"),
])
def test_wrong_usage_ends_2_and_says_what(words, says, tmp_path):
    done = shrewd(*words, check=USAGE, cwd=tmp_path)
    assert says in done.stderr and done.stdout == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, tmp_path):
    script = shrewd("completion", shell, check=OK).stdout
    assert "rollback" in script and "max-reorg-depth" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        asked = script + ("\nCOMP_WORDS=(shrewd ro); COMP_CWORD=1; COMP_LINE='shrewd ro'; "
                          "COMP_POINT=9\n$(complete -p shrewd | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
                          "echo \"${COMPREPLY[@]}\"\n")
        done = subprocess.run(["bash", "--norc"], input=asked, text=True, capture_output=True)
        assert done.stdout.strip() == "rollback", done.stderr


# -- run

def test_exit_at(chain, daemon):
    one = index(daemon, "minimal", chain, 10)
    assert json.loads(shrewd("status", "--db-path", one.db, "--json").stdout)["height"] == 10
    one.flags["exit_at"] = 30
    one.spawn()
    assert one.wait_exit() == OK
    assert json.loads(shrewd("status", "--db-path", one.db, "--json").stdout)["height"] == 30
    one.flags["exit_at"] = 20  # reached long ago
    one.spawn()
    assert one.wait_exit() == OK
    assert json.loads(shrewd("status", "--db-path", one.db, "--json").stdout)["height"] == 30


def test_start_block(chain, daemon):
    one = index(daemon, "minimal", chain, 50, start_block=40)
    assert view(one.db, one.module, "blocktracker") == bytes(
        bytes.fromhex(chain.rpc.getblockhash(height))[-1] for height in range(40, 51))
    below = shrewd("view", "blocktracker", "--db-path", one.db, "--indexer", one.module,
                   "--height", 39)
    assert below.returncode not in (OK, USAGE) and "40" in below.stderr
    one.flags.update(start_block=41, exit_at=None)
    one.spawn()
    assert one.wait_exit() == DATABASE and "--start-block" in one.log()


def test_flags_alone_mean_run_and_so_does_the_old_name(chain, daemon, tmp_path):
    link = tmp_path / "rockshrew-mono"
    link.symlink_to(paths.SHREWD)
    old = daemon("minimal", node=chain, program=link, exit_at=5, host="127.0.0.1", label="x",
                 pipeline_size=10, snapshot_directory=tmp_path / "s", snapshot_interval=100,
                 repo="http://127.0.0.1:1", reorg_check_threshold=6, prefetch_size=5,
                 enable_preview=True, view_concurrency=4, view_memory_mb=64)
    words = old.words()
    del words[1]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    assert done.returncode == OK, done.stderr
    assert (tmp_path / "s").is_dir()
    words[0] = str(paths.SHREWD)
    assert subprocess.run(words, capture_output=True, timeout=60, env=ENVIRONMENT).returncode == OK
    assert pathlib.Path(f"{old.db}-x").is_dir() and not old.db.exists()


def test_labels_keep_databases_apart(chain, daemon):
    one = index(daemon, "minimal", chain, 5, label="one")
    two = index(daemon, "balances", chain, 7, label="two", db_path=one.db)
    first = shrewd("dump", "--db-path", one.db, "--label", "one", check=OK).stdout
    second = shrewd("dump", "--db-path", two.flags["db_path"], "--label", "two", check=OK).stdout
    assert "/blocks/".encode().hex() in first and "/blocks/".encode().hex() not in second
    shrewd("dump", "--db-path", one.db, check=DATABASE)


def test_fork_reads_through_and_writes_apart(chain, daemon, indexed):
    base = index(daemon, "minimal", chain, 30)
    before = base.dump()
    fork = index(daemon, "minimal", chain, TIP, fork=base.db)
    assert base.dump() == before
    assert fork.dump("--fork", base.db) == indexed.dump()
    assert fork.dump("--fork", base.db, "--height", 12) == indexed.dump("--height", 12)
    fork.flags["exit_at"] = None
    fork.start()
    assert fork.view("blocktracker") == view(indexed.db, indexed.module, "blocktracker")
    assert fork.view("blocktracker", height=10) == (
        view(indexed.db, indexed.module, "blocktracker", height=10))


def test_fork_of_what_is_not_there(chain, daemon, tmp_path):
    one = daemon("minimal", node=chain, fork=tmp_path / "nothing")
    one.spawn()
    assert one.wait_exit() == DATABASE and "nothing" in one.log()


def test_check_reads_every_block(indexed, tmp_path):
    line = shrewd("check", "--db-path", indexed.db, check=OK).stdout
    assert line.startswith(f"sound: {TIP + 1} blocks, ") and f"heights 0 to {TIP}" in line
    answer = json.loads(shrewd("check", "--db-path", indexed.db, "--json", check=OK).stdout)
    assert answer["ok"] and answer["height"] == TIP and answer["findings"] == []
    shrewd("check", "--db-path", tmp_path / "none", check=DATABASE)


def test_check_of_a_fork_takes_its_base(chain, daemon):
    base = index(daemon, paths.guest("minimal"), chain, 10)
    fork = index(daemon, paths.guest("minimal"), chain, 20, fork=base.db)
    assert "--fork" in shrewd("check", "--db-path", fork.db, check=DATABASE).stderr
    line = shrewd("check", "--db-path", fork.db, "--fork", base.db, check=OK).stdout
    assert "10 blocks" in line and "heights 11 to 20" in line


def test_two_processes_on_one_database(chain, daemon):
    first = daemon("minimal", node=chain).start()
    second = daemon("minimal", node=chain, db=first.db)
    second.spawn()
    assert second.wait_exit() == DATABASE
    assert str(first.db) in second.log() and "LOCK:" not in second.log()
    done = shrewd("rollback", "--db-path", first.db, "--height", 3, "--yes", check=DATABASE)
    assert "stop" in done.stderr
    first.wait_tip(chain)


def test_readers_work_beside_the_writer(chain, daemon, indexed):
    one = daemon("minimal", node=chain).start()
    one.wait_tip(chain)
    assert one.dump() == indexed.dump()
    assert shrewd("check", "--db-path", one.db, check=OK).stdout.startswith("sound: ")
    assert view(one.db, one.module, "blocktracker", height=9) == one.view("blocktracker", height=9)
    assert json.loads(shrewd("status", "--db-path", one.db, "--json", check=OK).stdout)[
        "height"] == TIP


def test_another_module_is_refused_unless_accepted(chain, daemon):
    one = index(daemon, "minimal", chain, 5)
    before = one.dump()
    other = daemon("balances", node=chain, db=one.db, exit_at=9)
    other.spawn()
    assert other.wait_exit() == DATABASE and "--accept-module" in other.log()
    assert one.dump() == before
    done = shrewd("view", "totals", "--db-path", one.db, "--indexer", paths.guest("balances"))
    assert done.returncode == DATABASE
    other.flags["accept_module"] = True
    other.spawn()
    assert other.wait_exit() == OK, other.log()
    one.flags["exit_at"] = None
    one.spawn()
    assert one.wait_exit() == DATABASE


def test_another_chain_is_refused(chain, daemon, tmp_path):
    genesis = tmp_path / "genesis.dat"
    genesis.write_bytes(bootstrap([MAINNET_GENESIS], MAINNET_MAGIC))
    one = daemon("minimal", blocks=genesis, exit_at=0)
    one.spawn()
    assert one.wait_exit() == OK, one.log()
    before = one.dump()
    assert before.count("\n") == 2
    other = daemon("minimal", node=chain, db=one.db)
    other.spawn()
    assert other.wait_exit() == DATABASE and "genesis" in other.log()
    assert one.dump() == before


def test_a_wrong_password_ends_4_at_once_and_is_not_printed(chain, daemon):
    for flags in ({"auth": "shrewd:secret-word"}, {"auth": None}):
        one = daemon("minimal", node=chain, **flags)
        start = time.monotonic()
        one.spawn()
        assert one.wait_exit(20) == NODE, one.log()
        assert time.monotonic() - start < 5
        assert "secret-word" not in one.log() and "--auth" in one.log()


def test_secrets_stay_out_of_the_log(chain, daemon):
    url = chain.url.replace("http://", "http://shrewd:functional-test@")
    one = daemon("minimal", daemon_rpc_url=url, exit_at=3, log_level="debug")
    one.spawn()
    assert one.wait_exit() == OK
    assert "functional-test" not in one.log()


def test_the_cookie_file(chain, daemon, tmp_path):
    """Its content is a user and a password, as in the node's .cookie."""
    cookie = tmp_path / "cookie"
    for content, code in ((AUTH, OK), ("shrewd:wrong", NODE)):
        cookie.write_text(content)
        one = daemon("minimal", daemon_rpc_url=chain.url, cookie_file=cookie, exit_at=0)
        one.spawn()
        assert one.wait_exit(20) == code, one.log()


def test_a_module_that_is_no_module(chain, daemon, tmp_path):
    for content in (b"", b"\0asm", b"\0asm\1\0\0\0", b"(module", b"(module)", b"hello"):
        path = tmp_path / "bad.wasm"
        path.write_bytes(content)
        one = daemon(path, node=chain)
        one.spawn()
        assert one.wait_exit() == GUEST and "bad.wasm" in one.log(), (content, one.log())
    one = daemon(tmp_path / "absent.wasm", node=chain)
    one.spawn()
    assert one.wait_exit() not in (OK, None) and "absent.wasm" in one.log()


def test_a_block_on_which_the_module_fails(chain, daemon):
    one = daemon(FAILS, node=chain)
    one.spawn()
    assert one.wait_exit() == GUEST
    for word in ("7", "unreachable", "fail_here"):
        assert word in one.log(), one.log()
    assert one.dump() == "68 06000000\n"
    assert json.loads(shrewd("status", "--db-path", one.db, "--json").stdout)["height"] == 6


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_signals_end_it_in_time(chain, daemon, name):
    idle = daemon("minimal", node=chain).start()
    idle.wait_tip(chain)
    start = time.monotonic()
    idle.process.send_signal(getattr(signal, name))
    assert idle.wait_exit(10) == OK
    assert time.monotonic() - start < 2

    spinning = daemon(SPIN, node=chain).start()
    spinning.wait_height(4)
    time.sleep(0.2)
    start = time.monotonic()
    spinning.process.send_signal(getattr(signal, name))
    assert spinning.wait_exit(10) == OK
    assert time.monotonic() - start < 2
    assert json.loads(shrewd("status", "--db-path", spinning.db, "--json").stdout)["height"] == 4


@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_snapshot_that_a_signal_ended_is_not_done(tmp_path, name, code):
    """A script must not go on without it."""
    with Silent() as silent:
        restore = subprocess.Popen([paths.SHREWD, "snapshot", "restore", silent.url, "--db-path",
                                    tmp_path / "db"], env=ENVIRONMENT, stderr=subprocess.PIPE,
                                   text=True)
        wait_for("a connection", lambda: silent.taken or restore.poll() is not None)
        restore.send_signal(getattr(signal, name))
        said = restore.communicate(timeout=30)[1]
        assert restore.returncode == code and "stopped" in said, (restore.returncode, said)
    assert not (tmp_path / "db").exists()


def test_a_busy_indexer_stops_in_time(chain, daemon):
    for pause in (0.0, 0.02, 0.05, 0.1, 0.2):
        busy = daemon("minimal", node=chain)
        busy.spawn()
        wait_for("a log", busy.log, pause=0.001)
        time.sleep(pause)
        code, seconds = busy.stop()
        assert code == OK and seconds < 2, busy.log()


def test_a_taken_port(chain, daemon):
    """Found before anything is made that the next start would have to go on with."""
    first = daemon("minimal", node=chain).start()
    says = f"cannot listen on 127.0.0.1:{first.port}: Address already in use: another process has"
    for url in (chain.url, "http://127.0.0.1:1"):  # the second is not even asked
        second = daemon("minimal", node=chain, port=first.port)
        second.flags["daemon_rpc_url"] = url
        assert second.spawn().wait_exit() == FAILURE and says in second.log()
        assert not second.db.exists()
    old = index(daemon, "minimal", chain, 5)
    other = daemon("balances", db=old.db, node=chain, port=first.port, accept_module=True)
    assert other.spawn().wait_exit() == FAILURE and says in other.log()
    old.flags["exit_at"] = 6
    assert old.spawn().wait_exit() == OK, old.log()  # it still is the old module's


# -- where settings come from

def test_flags_win_over_environment_over_file(chain, tmp_path):
    database = tmp_path / "db"
    config = tmp_path / "shrewd.conf"
    config.write_text(f"""# what the operator wrote
daemon-rpc-url = {chain.url}
auth = shrewd:functional-test
indexer = {paths.guest("minimal")}
db-path = {tmp_path}/unused
port = 0
exit-at = 3
""")
    environment = {"SHREWD_DB_PATH": str(database), "SHREWD_EXIT_AT": "4"}
    shrewd("run", "--config", config, "--exit-at", "6", env=environment, check=OK)
    assert not (tmp_path / "unused").exists()
    assert json.loads(shrewd("status", "--db-path", database, "--json").stdout)["height"] == 6


def test_the_variables_of_the_containers(chain, tmp_path):
    environment = {
        "DAEMON_RPC_ADDR": chain.url, "AUTH": "shrewd:functional-test",
        "INDEXER": str(paths.guest("minimal")), "DB_PATH": str(tmp_path / "db"), "PORT": "0",
        "HOST": "127.0.0.1", "START_BLOCK": "2", "EXIT_AT": "5", "LABEL": "c"}
    shrewd("run", env=environment, check=OK)
    status = json.loads(shrewd("status", "--db-path", tmp_path / "db-c", "--json").stdout)
    assert status["height"] == 5 and status["start_height"] == 2


def test_a_config_file_with_a_fault_names_the_line(tmp_path):
    config = tmp_path / "shrewd.conf"
    config.write_text("port = 0\n\nindexr = x\n")
    done = shrewd("run", "--config", config, check=USAGE)
    assert "shrewd.conf:3" in done.stderr and "indexer" in done.stderr


# -- commands on a database

def test_view(indexed, chain):
    tracker = view(indexed.db, indexed.module, "blocktracker")
    assert len(tracker) == TIP + 1
    for height in (0, 1, TIP):
        assert view(indexed.db, indexed.module, "blocktracker", height=height) == (
            tracker[:height + 1])
        assert view(indexed.db, indexed.module, "getblock", b"", height) == chain.block(height)
    at = ["--db-path", indexed.db, "--indexer", indexed.module]
    assert shrewd("view", "getblock", "0x02000000", *at).stdout == (
        "0x" + chain.block(2).hex() + "\n")
    assert json.loads(shrewd("view", "blocktracker", *at, "--json", check=OK).stdout)
    assert "blocktracker" in shrewd("view", "nothing", *at, check=GUEST).stderr
    above = shrewd("view", "blocktracker", *at, "--height", TIP + 1)
    assert above.returncode == FAILURE and str(TIP) in above.stderr


def test_view_and_preview_of_a_running_server(chain, daemon, tmp_path):
    one = daemon("minimal", node=chain).start()
    one.wait_tip(chain)
    at = ["--server", one.url]
    expected = "0x" + one.view("blocktracker", height=4).hex() + "\n"
    assert shrewd("view", "blocktracker", *at, "--height", 4, check=OK).stdout == expected
    assert shrewd("view", "blocktracker", "--server", f"127.0.0.1:{one.port}", "--height", "0x4",
                  check=OK).stdout == expected
    block = tmp_path / "block.bin"
    block.write_bytes(chain.block(5))
    expected = "0x" + one.view("blocktracker", height=5).hex() + "\n"
    for words in ([block], [chain.block(5).hex()]):
        assert shrewd("preview", *words, "blocktracker", *at, "--height", 4, check=OK).stdout == (
            expected)
    status = json.loads(shrewd("status", *at, "--json", check=OK).stdout)
    assert status["height"] == TIP and status["hash"] == chain.rpc.getblockhash(TIP)
    assert status["behind"] == 0
    stored = json.loads(shrewd("status", "--db-path", one.db, "--json", check=OK).stdout)
    assert status["keys"] == TIP + 2 and status["disk_bytes"] > 0 and status["first_height"] == 0
    assert status["versions"] == 2 * TIP + 2 == stored["versions"]
    assert {name: table["rows"] for name, table in status["tables"].items()} == {
        name: table["rows"] for name, table in stored["tables"].items()}
    page = shrewd("status", *at, check=OK).stdout
    assert f"keys               {TIP + 2}\n" in page and "\nsize  " in page
    assert shrewd("view", "nothing", *at).returncode == GUEST
    one.stop()
    gone = shrewd("status", *at)
    assert gone.returncode == NODE and str(one.url.split(":")[-1]) in gone.stderr


@pytest.mark.parametrize("words", [
    ["status", "--server"], ["view", "a", "--server"], ["preview", "0" * 200, "a", "--server"],
    ["prove", "key", "--server"], ["diff", "{indexed}"],
    ["snapshot", "restore", "--db-path", "{new}"]])
def test_a_server_that_cannot_be_reached(words, indexed, tmp_path):
    """One exit code for it, whoever asks; and for one that is something else."""
    words = [word.format(indexed=indexed.db, new=tmp_path / "db") for word in words]
    done = shrewd(*words, "http://127.0.0.1:1", check=NODE)
    assert "127.0.0.1:1" in done.stderr and done.stdout == ""
    if words[0] != "snapshot":
        with Server(tmp_path) as server:
            done = shrewd(*words, server.url, check=NODE)
            assert server.url in done.stderr and "501" in done.stderr
    assert os.listdir(tmp_path) == []


def test_what_a_snapshot_says_is_documented(indexed, tmp_path):
    done = shrewd("snapshot", "create", tmp_path / "s", "--db-path", indexed.db, "--json", check=OK)
    names = ", ".join(f'"{name}"' for name in json.loads(done.stdout))
    said = " ".join((paths.REPO / "doc" / "cli.md").read_text().split())
    assert f"`{{{names}}}`" in said


def test_preview_on_a_database(indexed, chain, tmp_path):
    before = indexed.dump()
    at = ["--db-path", indexed.db, "--indexer", indexed.module, "--height", 9]
    expected = "0x" + view(indexed.db, indexed.module, "blocktracker", height=10).hex() + "\n"
    block = tmp_path / "block.hex"
    block.write_text(chain.block(10).hex() + "\n")
    assert shrewd("preview", block, "blocktracker", *at, check=OK).stdout == expected
    assert shrewd("preview", "-", "blocktracker", *at, check=OK,
                  input=chain.block(10).hex()).stdout == expected
    assert indexed.dump() == before


def test_status(indexed, chain, daemon):
    status = json.loads(shrewd("status", "--db-path", indexed.db, "--json", check=OK).stdout)
    assert status["chain"] == "regtest" and status["genesis"] == chain.rpc.getblockhash(0)
    assert status["height"] == TIP and status["hash"] == chain.rpc.getblockhash(TIP)
    assert status["start_height"] == 0 and status["keys"] == TIP + 2
    assert status["versions"] == 2 * TIP + 2  # each block writes a key of its own and one of all
    rows = {"LATEST": TIP + 2, "HISTORY": TIP, "CHANGES": TIP + 1, "BLOCKS": TIP + 1,
            "ROOT_PAGES": TIP + 1}
    assert {name: status["tables"][name]["rows"] for name in rows} == rows
    text = shrewd("status", "--db-path", indexed.db, check=OK).stdout
    assert str(TIP) in text and "regtest" in text
    served = daemon("minimal", node=chain, db=indexed.db).start()
    text += shrewd("status", "--server", served.url, check=OK).stdout
    page = (paths.REPO / "doc" / "cli.md").read_text()
    for line in text.splitlines():
        assert line.startswith("  ") or f"`{line[:19].strip()}`" in page, line


def test_dump(indexed):
    lines = indexed.dump().splitlines()
    assert len(lines) == TIP + 2
    keys = [bytes.fromhex(line.split(" ")[0]) for line in lines]
    assert keys == sorted(keys)
    decoded = [json.loads(line) for line in indexed.dump("--json").splitlines()]
    assert [f"{one['key'][2:]} {one['value'][2:]}" for one in decoded] == lines
    assert [line for line in lines if line.startswith(b"/blocks/1".hex())] == (
        indexed.dump("--prefix", "/blocks/1").splitlines())
    assert indexed.dump("--prefix", "0x" + b"/blockt".hex()).count("\n") == 1
    assert indexed.dump("--height", 0).count("\n") == 2
    above = shrewd("dump", "--db-path", indexed.db, "--height", TIP + 1)
    assert above.returncode != OK and str(TIP) in above.stderr


def test_a_reader_that_goes_away(indexed):
    done = subprocess.run(["bash", "-c", 'set -o pipefail; "$0" dump --db-path "$1" | head -c 5',
                           paths.SHREWD, indexed.db], capture_output=True, env=ENVIRONMENT)
    assert len(done.stdout) == 5 and done.stderr == b""
    full = subprocess.run(["bash", "-c", '"$0" dump --db-path "$1" > /dev/full', paths.SHREWD,
                           indexed.db], capture_output=True, text=True, env=ENVIRONMENT)
    assert full.returncode == FAILURE and full.stderr


def test_rollback(chain, daemon, indexed):
    one = index(daemon, "minimal", chain, TIP)
    before = one.dump("--height", 25)
    done = shrewd("rollback", "--db-path", one.db, "--height", 25, stdin=subprocess.DEVNULL,
                  check=USAGE)
    assert "--yes" in done.stderr and one.dump() == indexed.dump()
    shrewd("rollback", "--db-path", one.db, "--height", 25, "--yes", check=OK)
    assert one.dump() == before
    assert one.dump("--height", 10) == indexed.dump("--height", 10)
    above = shrewd("rollback", "--db-path", one.db, "--height", 26, "--yes")
    assert above.returncode != OK and "25" in above.stderr
    shrewd("rollback", "--db-path", one.db, "--height", 0, "--yes", check=OK)
    assert one.dump() == indexed.dump("--height", 0)
    one.spawn()
    assert one.wait_exit() == OK
    assert one.dump() == indexed.dump()


@pytest.mark.parametrize("words", [["status"], ["dump"], ["rollback", "--height", "1", "--yes"],
                                   ["view", "a", "--indexer", PROBE]])
def test_a_database_that_is_not_there(words, tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        done = shrewd(*words, "--db-path", path, check=DATABASE)
        assert str(path) in done.stderr
        assert not (tmp_path / "absent").exists() and os.listdir(tmp_path) == []


@pytest.mark.parametrize("file, content", [
    ("CURRENT", b"MANIFEST-999999\n"), ("CURRENT", b""), ("CURRENT", b"\xff" * 1000),
    ("MANIFEST-*", b""), ("MANIFEST-*", b"\xff" * 1000)], ids=range(5))
def test_a_damaged_database(chain, daemon, file, content):
    one = index(daemon, "minimal", chain, TIP)
    found = list(one.db.rglob(file))
    assert found
    for path in found:
        path.write_bytes(content)
    for words in (["status"], ["dump"], ["rollback", "--height", "1", "--yes"]):
        done = shrewd(*words, "--db-path", one.db)
        assert done.returncode == DATABASE and str(one.db) in done.stderr, done.stderr
    one.spawn()
    assert one.wait_exit() == DATABASE, one.log()


def test_inspect(tmp_path):
    said = json.loads(shrewd("inspect", PROBE, "--json", check=OK).stdout)
    text = json.dumps(said)
    for word in ("echo", "stored", "mystery", "__load_input"):
        assert word in text
    page = shrewd("inspect", PROBE, check=OK).stdout
    for word in ("echo", "mystery", "170", "SHA-256"):
        assert word.lower() in page.lower(), page
    bad = tmp_path / "bad.wasm"
    bad.write_bytes(b"\0asm\1\0\0\0\xff")
    assert shrewd("inspect", bad, check=GUEST).stderr
    assert shrewd("inspect", tmp_path / "absent.wasm").returncode != OK


def test_demo_needs_no_node():
    done = shrewd("demo", "--port", 0, timeout=120)
    assert done.returncode == OK, done.stdout + done.stderr
    assert "blocks/s" in done.stdout


def test_demo_takes_no_database_of_others(chain, daemon, tmp_path):
    """Its genesis block is any regtest's: the blocks after it tell."""
    own = tmp_path / "own"
    for _ in range(2):
        shrewd("demo", "--db-path", own, timeout=120, check=OK)
    for height in (0, 20):
        other = index(daemon, "balances", chain, height)
        before = other.dump()
        said = shrewd("demo", "--db-path", other.db, timeout=120, check=DATABASE)
        assert str(other.db) in said.stderr and "leave --db-path out" in said.stderr
        status = json.loads(shrewd("status", "--db-path", other.db, "--json").stdout)
        assert status["height"] == height and other.dump() == before
