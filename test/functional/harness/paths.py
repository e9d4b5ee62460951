"""Where things are: the build under test, its sample modules, data kept outside the tree."""
import os
import pathlib
import subprocess

REPO = pathlib.Path(__file__).resolve().parents[3]
SHREWD = pathlib.Path(os.environ.get("SHREWD_BIN", REPO / "build" / "shrewd")).resolve()
GUESTS = pathlib.Path(os.environ.get("SHREWD_GUESTS", REPO / "build" / "guest")).resolve()
MAKE_STATES = SHREWD.parent / "test" / "bench" / "make_states"
MAKE_BLOCKS = SHREWD.parent / "test" / "bench" / "make_blocks"
# Mainnet blocks, too large for the tree: blocks/ in a folder beside it, unless told otherwise.
SHARED = pathlib.Path(os.environ.get("SHREWD_SHARED", REPO.parent / "shared"))


def guest(name):
    """The path of a sample module, e.g. guest("balances")."""
    path = GUESTS / f"{name}.wasm"
    assert path.exists(), f"{path} is not built; run 'make'"
    return path


def bitcoind_command():
    """The words that run bitcoind, and the folder its file names are relative to."""
    line = subprocess.run([REPO / "tools" / "node"], check=True, capture_output=True,
                          text=True).stdout
    words = line.split()
    root = pathlib.Path(words[1]) if words[0] == "chroot" else pathlib.Path("/")
    return words, root
