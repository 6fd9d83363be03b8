"""Start a child process that does not outlive us, in a process group of its own, with its output in a log file."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from trading.adapters.embedded.home import ServerUser

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    user: ServerUser | None = None,
    nice: int = 0,
    death_signal: signal.Signals | None = signal.SIGTERM,
) -> "subprocess.Popen[bytes]":
    """Start ``argv``; on Linux the kernel sends it ``death_signal`` when the calling thread dies, however it dies.

    Call it from the main thread: the setting is tied to the thread, and the forked child runs Python code before exec.
    """
    parent = os.getpid()

    def in_child() -> None:
        if nice:
            os.nice(nice)
        if _libc is not None and death_signal is not None:
            # After setuid, which clears the setting.
            _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=in_child,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )


def terminate(child: "subprocess.Popen[bytes]", first: signal.Signals, timeout_s: float, last: signal.Signals) -> int:
    """Ask with ``first``, insist with ``last`` after the time-out, then kill; returns the exit status."""
    for sign in (first, last):
        if child.poll() is not None:
            break
        child.send_signal(sign)
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            continue
    if child.poll() is None:
        child.kill()
    return child.wait()
