"""Small things about processes, ports and waiting."""
import contextlib
import ctypes
import signal
import socket
import time

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent():
    """For Popen's preexec_fn: the child ends when the test run is killed, and is not left over."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)



def free_port():
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(what, condition, timeout=60, pause=0.02):
    """Waits until condition() is true and returns what it gave; fails naming `what`."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {said}")
        time.sleep(pause)
