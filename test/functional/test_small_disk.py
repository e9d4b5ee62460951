"""The disk is full, more than once and at any moment: nothing of what was stored is lost, the error
says what and where, and with room again indexing goes on to the same end."""
import contextlib
import errno
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest

from harness import paths, torture
from harness.chain import Chain
from harness.daemon import Daemon, shrewd
from harness.powercut import small_disk
from harness.process import wait_for
from harness.torture import Right, rounds

pytestmark = pytest.mark.torture

ROUNDS = rounds(2, 25)


@pytest.fixture(scope="module")
def right():
    made = Right(torture.module("disk", keys=60), {"a": Chain(200, "a")})
    yield made
    made.close()


class SmallDisk:
    """A file system of its own, in memory, with room for so many bytes."""

    def __init__(self, root):
        self.root = root

    def used(self):
        now = os.statvfs(self.root)
        return (now.f_blocks - now.f_bfree) * now.f_frsize

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.root], check=True)


@contextlib.contextmanager
def mounted():
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    with tempfile.TemporaryDirectory(prefix="shrewd-tmpfs.") as root:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "shrewd-test", root],
                              capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
        try:
            yield SmallDisk(pathlib.Path(root))
        finally:
            if subprocess.run(["umount", root]).returncode != 0:
                subprocess.run(["umount", "--lazy", root], check=True)


def used(root):
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def run_until_full(daemon, tip):
    """Runs until it says that there is no room, ends, or is done; True when it found no room."""
    daemon.spawn()
    wait_for(lambda: f"full, or done: {daemon.log()}",
             lambda: daemon.process.poll() is not None or "No space left" in daemon.log() or
             f"at the tip: block {tip}" in daemon.log())
    full = "No space left" in daemon.log()
    time.sleep(0.05)  # it may go on serving, or end
    if daemon.process.poll() is None:
        daemon.kill()
    return full


def test_full_again_and_again(right):
    dice = torture.dice("disk")
    start, fulls = time.monotonic(), 0
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="shrewd-small.") as folder:
            root, space = pathlib.Path(folder, "root"), pathlib.Path(folder, "space")
            root.mkdir()
            height = -1
            with Daemon(right.module, db=root / "db", blocks=right.files["a"],
                        env=small_disk(root, space), **torture.flags()) as daemon:
                for _ in range(3):  # each time a little more room than is taken
                    space.write_text(str(used(root) + dice.randrange(100_000, 2_500_000)))
                    full = run_until_full(daemon, 200)
                    tip = right.tip_of(daemon.db)
                    assert full or tip == ("a", 200), daemon.log()
                    if full:
                        said = re.search(r"(shrewd:|ERROR|WARN).*No space left.*", daemon.log())
                        assert said and str(daemon.db) in said[0], daemon.log()
                    now = -1 if tip is None else tip[1]
                    assert now >= height, f"from {height} back to {now}: {daemon.log()}"
                    height, fulls = now, fulls + full
                space.write_text(str(1 << 40))
                assert not run_until_full(daemon, 200), daemon.log()
                assert right.tip_of(daemon.db) == ("a", 200)
    assert fulls >= ROUNDS
    torture.figure("full disk", fulls=fulls, seed=torture.SEED,
                   seconds=round(time.monotonic() - start))


@pytest.mark.parametrize("name, cause", [("EIO", "Input/output error"),
                                         ("EROFS", "Read-only file system")])
def test_a_disk_that_fails_is_waited_for(node, name, cause):
    """While nothing can be written views are answered and /health says why; when the disk is well it
    ends, for a supervisor to start it again, and goes on from the last block stored."""
    node.mine(5)
    with tempfile.TemporaryDirectory(prefix="shrewd-small.") as folder:
        root, space = pathlib.Path(folder, "root"), pathlib.Path(folder, "space")
        root.mkdir()
        space.write_text(str(1 << 40))
        with Daemon(paths.guest("minimal"), db=root / "db", node=node,
                    env=small_disk(root, space)) as daemon:
            for _ in range(2):
                daemon.start().wait_tip(node)
                before = node.rpc.getblockcount()
                answer = daemon.view("blocktracker")
                space.write_text(str(-getattr(errno, name)))
                node.mine(3)
                daemon.wait_log("views are answered, and nothing is indexed")
                assert cause in daemon.log() and str(daemon.db) in daemon.log()
                assert daemon.view("blocktracker") == answer
                assert daemon.rpc.call("metashrew_height") == str(before)
                with pytest.raises(urllib.error.HTTPError) as failed:
                    urllib.request.urlopen(daemon.url + "/health")
                assert cause in json.loads(failed.value.read())["error"]
                space.write_text(str(1 << 40))
                assert daemon.wait_exit() == 1
                assert "start shrewd again" in daemon.log()
                shrewd("check", "--db-path", daemon.db, check=0)
                status = json.loads(shrewd("status", "--db-path", daemon.db, "--json").stdout)
                assert status["height"] == before
            daemon.start().wait_tip(node)
            with Daemon(paths.guest("minimal"), node=node) as undisturbed:
                undisturbed.start().wait_tip(node)
                undisturbed.stop()
                daemon.stop()
                assert daemon.dump() == undisturbed.dump()


def test_a_full_disk_is_waited_for_in_the_same_process(node):
    """Twice, at different moments: views go on, and with space so does indexing."""
    node.mine(5)
    with tempfile.TemporaryDirectory(prefix="shrewd-small.") as folder:
        root, space = pathlib.Path(folder, "root"), pathlib.Path(folder, "space")
        root.mkdir()
        space.write_text(str(1 << 40))
        with Daemon(paths.guest("minimal"), db=root / "db", node=node,
                    env=small_disk(root, space)) as daemon:
            daemon.start().wait_tip(node)
            for more in (0, 700):
                before, said = node.rpc.getblockcount(), daemon.log().count("until there is space")
                answer = daemon.view("blocktracker", height=before)
                space.write_text(str(used(root) + more))
                node.mine(12)
                wait_for(lambda: f"full: {daemon.log()}",
                         lambda: daemon.log().count("until there is space") > said)
                assert "No space left" in daemon.log() and str(daemon.db) in daemon.log()
                assert daemon.view("blocktracker", height=before) == answer
                with pytest.raises(urllib.error.HTTPError):
                    urllib.request.urlopen(daemon.url + "/health")
                space.write_text(str(1 << 40))
                daemon.wait_tip(node)
                urllib.request.urlopen(daemon.url + "/health").close()
            daemon.stop()
            shrewd("check", "--db-path", daemon.db, check=0)
            with Daemon(paths.guest("minimal"), node=node) as undisturbed:
                undisturbed.start().wait_tip(node)
                undisturbed.stop()
                assert daemon.dump() == undisturbed.dump()


def test_opening_on_a_full_disk_says_so_and_harms_nothing(right):
    with tempfile.TemporaryDirectory(prefix="shrewd-small.") as folder:
        root, space = pathlib.Path(folder, "root"), pathlib.Path(folder, "space")
        root.mkdir()
        space.write_text(str(1 << 40))
        with Daemon(right.module, db=root / "db", blocks=right.files["a"], exit_at=100,
                    env=small_disk(root, space), **torture.flags()) as daemon:
            daemon.spawn()
            assert daemon.wait_exit() == 0, daemon.log()
            space.write_text(str(used(root)))
            daemon.flags["exit_at"] = 200
            for _ in range(2):
                assert run_until_full(daemon, 200), daemon.log()
                assert str(daemon.db) in daemon.log()
                assert right.tip_of(daemon.db) == ("a", 100)
            space.write_text(str(1 << 40))
            daemon.spawn()
            assert daemon.wait_exit() == 0, daemon.log()
            assert right.tip_of(daemon.db) == ("a", 200)


@pytest.mark.parametrize("load_pairs", [200, 30000])
def test_space_comes_back_while_it_runs(right, load_pairs):
    """It serves what it has, tries again, and goes on by itself."""
    dice = torture.dice("space")
    for _ in range(rounds(2, 10)):
        with tempfile.TemporaryDirectory(prefix="shrewd-small.") as folder:
            root, space = pathlib.Path(folder, "root"), pathlib.Path(folder, "space")
            root.mkdir()
            space.write_text(str(dice.randrange(1_500_000, 3_000_000)))
            with Daemon(right.module, db=root / "db", blocks=right.files["a"],
                        env=small_disk(root, space),
                        **torture.flags(load_pairs=load_pairs)) as daemon:
                daemon.start()
                daemon.wait_log("No space left")
                for _ in range(3):  # serving what is stored, of the tip that it tells
                    height = daemon.height()
                    assert daemon.view("count", height=height) == struct.pack("<Q", height + 1)
                    time.sleep(0.2)
                assert height < 200
                space.write_text(str(1 << 40))
                chain = right.chains["a"]
                daemon.wait_block(chain.tip, chain.hash(chain.tip))
                assert daemon.stop()[0] == 0, daemon.log()
                assert right.tip_of(daemon.db) == ("a", 200)


@pytest.mark.parametrize("load_pairs", [200, 30000])
def test_a_small_file_system(load_pairs):
    """A real one, full twice, at other moments, and serving meanwhile: the first time the daemon goes
    on when there is space, the second time it is killed and started again. Nothing is lost."""
    dice = torture.dice("tmpfs")
    right = Right(torture.module("tmpfs", keys=600), {"a": Chain(200, "a")})
    chain = right.chains["a"]
    try:
        for _ in range(rounds(1, 10)):
            # RocksDB goes on when there is room for a write buffer, 2.4 MiB with this budget.
            with mounted() as disk, Daemon(right.module, db=disk.root / "db",
                                           blocks=right.files["a"], memory_mb=256,
                                           **torture.flags(load_pairs=load_pairs)) as daemon:
                disk.resize(dice.randrange(1_200_000, 2_200_000))
                daemon.start()
                first = wait_full(daemon, 1)
                disk.resize(disk.used() + dice.randrange(3_000_000, 4_000_000))
                second = wait_full(daemon, 2)
                assert first < second, daemon.log()
                daemon.kill()
                disk.resize(64 << 20)
                assert right.tip_of(daemon.db) == ("a", second)
                daemon.start().wait_block(chain.tip, chain.hash(chain.tip))
                assert daemon.stop()[0] == 0, daemon.log()
                assert right.tip_of(daemon.db) == ("a", 200)
    finally:
        right.close()
    torture.figure(f"small file system, files from {load_pairs} keys on", fulls=2 * rounds(1, 10))


def wait_full(daemon, times):
    """Until it has found the disk full so many times, with views at its tip answered; its tip."""
    wait_for(lambda: f"full: {daemon.log()}",
             lambda: daemon.log().count("until there is space") >= times)
    said = [line for line in daemon.log().splitlines() if "until there is space" in line]
    for line in said:
        assert re.search("No space left|disk was full", line) and str(daemon.db) in line, line
    height = daemon.height()
    assert height < 200
    if height >= 0:
        assert daemon.view("count", height=height) == struct.pack("<Q", height + 1)
    return height
