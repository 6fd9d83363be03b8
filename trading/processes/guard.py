"""Outlives the supervisor by a moment: when the supervisor dies, however it dies, the guard ends the floor's processes.

It reads its standard input, a pipe that only the supervisor holds open. On Linux the kernel also signals the direct
children; the guard is for what they started themselves, and for systems without that signal.
"""

import os
import signal
import sys
from pathlib import Path

from trading.processes import strays


def main() -> None:
    """``python -m trading.processes.guard RUN_DIR TOKEN``."""
    run_dir, token = Path(sys.argv[1]), sys.argv[2]
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    # A new supervisor may have come and written a record of its own: that floor is not ours.
    found_token, children = strays.recorded(run_dir)
    strays.sweep(token, children if found_token == token else [])


if __name__ == "__main__":
    main()
