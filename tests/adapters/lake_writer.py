"""A writer that can be killed anywhere: reads orders ``VERSION LINE`` on stdin and forks a child for each.

The child writes that version of the series and is killed (by itself, with SIGKILL) when it is about to run the given
line of the lake's code, counted in the order they run first; one past the last lets it finish. One process does the
slow imports, many die.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

from trading.adapters.lake import Lake
from trading.adapters.postgres.pool import open_pool

ROWS = 500
SERIES = "test/AAPL/M1"


def version_frame(version: int) -> pd.DataFrame:
    """A frame whose every cell tells its version: a mixture of two versions cannot look like one."""
    ts = pd.date_range("2024-01-01", periods=ROWS + version % 7, freq="min", tz="UTC", unit="ns")
    level = np.full(len(ts), float(version))
    prices = dict.fromkeys(("open", "high", "low", "close"), level)
    return pd.DataFrame({"ts": ts, **prices, "volume": level * np.arange(len(ts))})


def version_of(frame: pd.DataFrame) -> int:
    """The version a frame was written as; an assertion fails where it is not exactly one."""
    version = int(frame["close"].iloc[0])
    pd.testing.assert_frame_equal(frame, version_frame(version), check_freq=False)
    return version


def die_at(line: int) -> Any:
    modules = ("trading.adapters.lake", "trading.adapters.lake_files")
    ours = {str(sys.modules[name].__file__) for name in modules}
    seen: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in ours:
            return None
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            if len(seen) == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def main() -> None:
    dsn, root = sys.argv[1], Path(sys.argv[2])
    for order in sys.stdin:
        version, line = (int(word) for word in order.split())
        child = os.fork()
        if child == 0:
            pool = open_pool(dsn, max_size=1)
            lake = Lake(root, pool)
            frame = version_frame(version)
            sys.settrace(die_at(line))
            lake.write("bars", SERIES, frame, replace=True)
            sys.settrace(None)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else f"ended {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
