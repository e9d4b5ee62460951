"""The program under test: one `shrewd run` with its own database, and the commands beside it."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

from harness import paths
from harness.node import AUTH
from harness.process import die_with_parent, wait_for
from harness.rpc import Rpc
from harness.schema import check_reply

LISTENING = re.compile(r"listening on http://[^:]+:(\d+)")

# The environment must not tell the program under test anything.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.startswith("SHREWD_") or name == "SHREWD_CACHE"}
for _name in ("DAEMON_RPC_ADDR", "AUTH", "INDEXER", "DB_PATH", "HOST", "PORT", "START_BLOCK",
              "EXIT_AT", "LABEL"):
    ENVIRONMENT.pop(_name, None)


def shrewd(*arguments, check=None, timeout=120, program=None, **more):
    """Runs one command to its end. check: the exit code it must have."""
    words = [str(program or paths.SHREWD), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout,
                          env={**ENVIRONMENT, **more.pop("env", {})}, **more)
    if check is not None:
        assert done.returncode == check, (
            f"{' '.join(words)}\nended {done.returncode}, expected {check}\n{done.stderr}")
    return done


def dump(db, *more):
    """The whole state as `shrewd dump` prints it."""
    return shrewd("dump", "--db-path", db, *more, check=0).stdout


def no_dump(db):
    """A database without a block has no state, not an empty one."""
    said = shrewd("dump", "--db-path", db, check=3)
    assert said.stdout == "" and "holds no block yet" in said.stderr, said.stderr


def view(db, module, name, payload=b"", height=None):
    """The answer of `shrewd view`, as bytes."""
    at = [] if height is None else ["--height", height]
    done = shrewd("view", name, payload.hex(), "--db-path", db, "--indexer", module, *at, check=0)
    return bytes.fromhex(done.stdout.strip().removeprefix("0x"))


class Daemon:
    """`shrewd run`. Flags: keywords become --flag value, e.g. exit_at=5, cors="*". A node, a
    block file (blocks=...) or a URL says where blocks come from."""

    def __init__(self, module, db=None, node=None, program=None, env=None, **flags):
        self.folder = tempfile.TemporaryDirectory(prefix="shrewd-test.")
        self.db = pathlib.Path(db or pathlib.Path(self.folder.name, "db"))
        self.module = pathlib.Path(module)
        self.program = program or paths.SHREWD
        self.env = env or {}
        self.flags = {"indexer": self.module, "db_path": self.db, "port": 0, "poll_ms": 50}
        if node is not None:
            self.flags.update(daemon_rpc_url=node.url, auth=AUTH)
        self.flags.update(flags)
        self.log_path = pathlib.Path(self.folder.name, "log")
        self.process = None
        self.port = None
        self._rpc = None

    # -- its life

    def words(self):
        words = [str(self.program), "run"]
        for name, value in self.flags.items():
            if value is not None:
                words.append("--" + name.replace("_", "-"))
                if value is not True:
                    words.append(str(value))
        return words

    def spawn(self, prepare=None):
        """Starts the program without waiting for anything. prepare: called in the new process."""
        def before():
            die_with_parent()
            if prepare:
                prepare()

        self.port = None
        self._close_rpc()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.words(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**ENVIRONMENT, **self.env},
                                            start_new_session=True, preexec_fn=before)
        return self

    def start(self, timeout=60):
        """Starts it and waits until it listens."""
        return self.spawn().wait_listens(timeout)

    def wait_listens(self, timeout=60):
        wait_for(lambda: f"listening: {self.log()}", self._listens, timeout)
        return self

    def _listens(self):
        found = LISTENING.search(self.log())
        if found:
            self.port = int(found.group(1))
        elif self.process.poll() is not None:
            raise AssertionError(f"ended {self.process.returncode} before listening: {self.log()}")
        return found

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, text, timeout=60):
        def found():
            ended = self.process.poll()
            assert text in self.log() or ended is None, f"ended {ended}: {self.log()}"
            return text in self.log()
        wait_for(lambda: f"'{text}' in the log: {self.log()}", found, timeout)

    def wait_exit(self, timeout=120):
        code = self.process.wait(timeout)
        self._close_rpc()
        return code

    def stop(self):
        """SIGTERM; returns (exit code, seconds it took)."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_exit(30)
        return code, time.monotonic() - start

    def kill(self):
        self.process.kill()
        return self.wait_exit(30)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._close_rpc()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- asking it

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def rpc(self):
        if self._rpc is None:
            self._rpc = Rpc(self.port, check=check_reply)
        return self._rpc

    def _close_rpc(self):
        if self._rpc is not None:
            self._rpc.close()
            self._rpc = None

    def view(self, name, payload=b"", height="latest"):
        answer = self.rpc.call("metashrew_view", name, "0x" + payload.hex(), height)
        assert answer.startswith("0x")
        return bytes.fromhex(answer[2:])

    def preview(self, block, name, payload=b"", height="latest"):
        answer = self.rpc.call("metashrew_preview", block.hex(), name, payload.hex(), height)
        assert answer.startswith("0x")
        return bytes.fromhex(answer[2:])

    def height(self):
        """The last height indexed; -1 before the first block."""
        answer = self.rpc.ask("metashrew_height")
        return int(answer["result"]) if answer.get("error") is None else -1

    def oldest_height(self):
        """The oldest height whose state can be read, as the metrics say."""
        with urllib.request.urlopen(self.url + "/metrics") as page:
            for line in page.read().decode().splitlines():
                if line.startswith("shrewd_oldest_height "):
                    return int(line.split()[-1])
        raise AssertionError("no metric shrewd_oldest_height")

    def wait_height(self, height, timeout=120):
        def reached():
            assert self.process.poll() is None, f"ended {self.process.returncode}: {self.log()}"
            return self.height() == height
        wait_for(lambda: f"height {height}, is at {self.height()}: {self.log()}", reached, timeout)

    def wait_block(self, height, block_hash, timeout=120):
        """Waits until its tip is this block (of the hash as shown)."""
        def reached():
            assert self.process.poll() is None, f"ended {self.process.returncode}: {self.log()}"
            answer = self.rpc.ask("metashrew_getblockhash", height)
            return self.height() == height and answer.get("result") == "0x" + block_hash
        wait_for(lambda: f"block {height}, is at {self.height()}: {self.log()}", reached, timeout)

    def wait_tip(self, node, timeout=120):
        """Waits until its tip is the node's, block hash and all."""
        def reached():
            assert self.process.poll() is None, f"ended {self.process.returncode}: {self.log()}"
            best, tip = node.rpc.getbestblockhash(), node.height()
            answer = self.rpc.ask("metashrew_getblockhash", tip)
            return self.height() == tip and answer.get("result") == "0x" + best
        wait_for(lambda: f"tip {node.height()}, is at {self.height()}: {self.log()}", reached,
                 timeout)

    def dump(self, *more):
        """The state as of now; works while the daemon runs."""
        return dump(self.db, *more)

    def snapshot(self):
        return json.loads(self.rpc.call("metashrew_snapshot"))
