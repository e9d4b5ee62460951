"""--memory-mb: what the daemon takes of memory, indexing full blocks with a state root, is what it
was told, and what the module's own instance takes."""
import pathlib
import re
import subprocess
import time

from harness import paths
from harness.daemon import Daemon

BUDGET_MIB = 256
FULL_BLOCKS = 40
GUEST_MIB = 32  # the most that `balances` has on one of these blocks
OK = 0


def anonymous_mib(pid):
    """What a process has in memory that is no page of a file; None when it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else None


def test_the_budget_holds(tmp_path):
    blocks = tmp_path / "blocks"
    subprocess.run([paths.MAKE_BLOCKS, blocks, str(FULL_BLOCKS)], stdout=subprocess.DEVNULL, check=True)
    with Daemon(paths.guest("balances"), blocks=blocks, exit_at=100 + FULL_BLOCKS,
                memory_mb=BUDGET_MIB) as daemon:
        daemon.spawn()
        peak = 0
        while (now := anonymous_mib(daemon.process.pid)) is not None:
            peak = max(peak, now)
            time.sleep(0.01)
        assert daemon.wait_exit() == OK, daemon.log()
    assert peak > GUEST_MIB, "nothing was measured"
    assert peak <= BUDGET_MIB + GUEST_MIB
