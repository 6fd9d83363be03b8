"""Close a floor from another terminal."""

import signal
import time
from pathlib import Path

import psutil

from trading.processes import checks, status, strays

CLOSE_TIMEOUT_S = 45.0


def close(run_dir: Path, now: float) -> bool:
    """Ask the supervisor to close and wait for it, then end what may be left; False where nothing was open.

    ``now`` in seconds since the epoch.
    """
    view = status.read(run_dir, now)
    supervisor = strays.find(view.supervisor) if view.supervisor else _holder(run_dir)
    if supervisor is not None:
        supervisor.send_signal(signal.SIGTERM)
        if not _ended(supervisor, CLOSE_TIMEOUT_S):
            supervisor.kill()
            _ended(supervisor, 5.0)
    left = strays.sweep(*strays.recorded(run_dir))
    return supervisor is not None or left > 0


def _ended(process: psutil.Process, timeout_s: float) -> bool:
    """Wait for a process that is not our child; one that its parent has not yet collected has ended too."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            return True
        time.sleep(0.05)
    return False


def _holder(run_dir: Path) -> psutil.Process | None:
    """The process in the lock file while the lock is held: a floor that is just opening has no status yet."""
    if not checks.is_locked(run_dir):
        return None
    try:
        return psutil.Process(int((run_dir / checks.LOCK_NAME).read_text()))
    except (OSError, ValueError, psutil.Error):
        return None
