"""What the tests share that kill, cut, reorganise and starve the program: the module whose state
shows every loss, states known to be right, and the figures of a long run."""
import functools
import hashlib
import json
import os
import pathlib
import random
import re
import tempfile

from harness import paths
from harness.daemon import Daemon, dump, no_dump, shrewd

# `make torture` sets it: many more rounds, and figures in a file.
LONG = os.environ.get("SHREWD_TORTURE") == "long"
FIGURES = os.environ.get("SHREWD_TORTURE_FIGURES")
SEED = int(os.environ.get("SHREWD_TORTURE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
TEMPLATE = paths.REPO / "test" / "functional" / "modules" / "torture.wat"


def rounds(short, long):
    return long if LONG else short


def dice(name):
    """Chance of its own for each test; a failure is repeated with the seed it prints."""
    print(f"repeat with SHREWD_TORTURE_SEED={SEED}")
    return random.Random(f"{SEED} {name}")


def figure(name, **values):
    """Adds figures of a long run to the file that tools/torture prints."""
    if FIGURES:
        with open(FIGURES, "a", encoding="utf-8") as out:
            out.write(json.dumps({"name": name, **values}) + "\n")


@functools.cache
def _folder():
    return tempfile.TemporaryDirectory(prefix="shrewd-torture.")


def folder():
    return pathlib.Path(_folder().name)


def module(name="torture", mended=False, **numbers):
    """torture.wat with other numbers (keys=, space=, longest=), or without its failures."""
    text = TEMPLATE.read_text()
    for which, number in numbers.items():
        text, n = re.subn(rf"\(i32\.const \d+\)\)( *;; {which.upper()}\b)",
                          rf"(i32.const {number}))\1", text)
        assert n == 1, which
    if mended:
        text = "".join(line for line in text.splitlines(True) if ";; FAIL" not in line)
    path = folder() / f"{name}.wat"
    path.write_text(text)
    return path


@functools.cache
def _load_dice():
    return dice("load")


def flags(**more):
    """Of every daemon here: compiled once, for all of them; its writes are loaded as files, or not,
    or the large ones are."""
    load = {"load_pairs": _load_dice().choice([1, 200, 30000])} if knows("load_pairs") else {}
    return {"cache_dir": folder() / "modules", **load, **more}


@functools.cache
def knows(flag):
    """Whether `shrewd run` has this flag."""
    return f"--{flag.replace('_', '-')}" in shrewd("run", "--help", check=0).stdout


@functools.cache
def _has(command):
    return shrewd(command, "--help").returncode == 0


def check(db):
    """`shrewd check` finds nothing wrong."""
    if _has("check"):
        done = shrewd("check", "--db-path", db)
        assert done.returncode == 0, f"{db}: {done.stdout}{done.stderr}"


def status(db):
    """The database's status; None when there is none yet."""
    done = shrewd("status", "--db-path", db, "--json")
    if done.returncode != 0:
        assert re.search("there is no shrewd database|holds nothing yet", done.stderr), done.stderr
        return None
    return json.loads(done.stdout)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Right:
    """The states of some chains after each block, from indexes that nothing disturbed."""

    def __init__(self, module_path, chains):
        self.module = module_path
        self.chains = chains
        self.files = {}
        self.daemons = {}
        self.known = {}
        place = pathlib.Path(tempfile.mkdtemp(dir=folder()))
        self.where = {}  # block hash -> (chain, height)
        for name, chain in chains.items():
            self.files[name] = chain.write(place / f"{name}.blocks")
            self.daemons[name] = Daemon(module_path, blocks=self.files[name], exit_at=chain.tip,
                                        **flags())
            for height in range(chain.tip + 1):
                self.where.setdefault(chain.hash(height), (name, height))

    def _index(self, name):
        daemon = self.daemons[name]
        if daemon.process is None:
            daemon.spawn()
            assert daemon.wait_exit() == 0, daemon.log()
        return daemon

    def at(self, block_hash):
        """The digest of the dump after this block."""
        if block_hash not in self.known:
            name, height = self.where[block_hash]
            self.known[block_hash] = digest(dump(self._index(name).db, "--height", height))
        return self.known[block_hash]

    def end(self, name):
        return self.at(self.chains[name].hash(self.chains[name].tip))

    def tip_of(self, db):
        """(chain, height) of a database that must be whole: `check` passes, and it holds exactly
        what follows from its blocks. None before its first block."""
        found = status(db)
        if found is None:
            return None
        check(db)
        if found["height"] is None:
            no_dump(db)
            return None
        name, height = self.where[found["hash"]]
        assert height == found["height"]
        assert digest(dump(db)) == self.at(found["hash"]), f"not the state after {name} {height}"
        return name, height

    def close(self):
        for daemon in self.daemons.values():
            daemon.close()
