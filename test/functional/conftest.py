"""Fixtures. A `node` is one regtest bitcoind for a whole test file: its tests share the chain."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import paths  # noqa: E402
from harness.daemon import Daemon, shrewd  # noqa: E402
from harness.node import Node  # noqa: E402


def pytest_configure():
    if not paths.SHREWD.exists():
        pytest.exit(f"{paths.SHREWD} is not built; run 'make', or set SHREWD_BIN", returncode=2)


def pytest_report_header():
    return f"shrewd: {shrewd('--version').stdout.strip()} ({paths.SHREWD})"


@pytest.fixture(scope="module")
def node():
    """A fresh regtest node with REST and ZMQ."""
    made = Node()
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def daemon(request):
    """daemon(module, **flags): a Daemon that ends with the test; on failure its log is shown."""
    made = []

    def make(module, **flags):
        made.append(Daemon(paths.guest(module) if isinstance(module, str) else module, **flags))
        return made[-1]

    yield make
    for one in made:
        if getattr(request.node, "failed", False):
            print(f"--- log of {' '.join(one.words())}\n{one.log()}")
        one.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and report.failed:
        item.failed = True
    return report


@pytest.fixture(scope="session")
def shared():
    """The folder with mainnet blocks; the tests that need it are skipped without it."""
    if not (paths.SHARED / "blocks").is_dir():
        pytest.skip(f"no mainnet blocks: {paths.SHARED}/blocks is not there (SHREWD_SHARED)")
    return paths.SHARED
