"""``make bench``: every part in one run, a table, and ``data/bench/latest.json``. Ratios count, not absolute figures.

``make bench ONLY=bars`` (or several parts in quotation marks) runs some parts, ``BENCH_SCALE=0.1`` shrinks sizes for
a quick look; either is printed and leaves the file alone, which holds the figures of one full run. Status 1 where a
part failed; figures that miss their target are shown, and are no failure of the run.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from bench import (
    acceptance,
    bars,
    books,
    broker_load,
    bus,
    engine_operation,
    engine_pypi,
    engine_twin,
    market,
    order_path,
)
from bench.floor import folder_for_servers
from bench.measure import SCALE, Row, say

TARGET = Path(__file__).parent.parent / "data" / "bench" / "latest.json"
PARTS: dict[str, tuple[Callable[[Path], list[Row]], ...]] = {
    "engine": (engine_twin.run, engine_pypi.run, engine_operation.run),
    "bars": (bars.run,),
    "bus": (bus.run,),
    "market": (market.run,),
    "orders": (order_path.run,),
    "broker": (broker_load.run,),
    "desk": (acceptance.run,),
    "books": (books.run,),
}


def main(asked: list[str]) -> int:
    """Run the parts named in ``asked``, all where there are none."""
    unknown = set(asked) - set(PARTS)
    if unknown:
        say(f"unknown: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
        return 2
    rows, failed = [], False
    for name in asked or PARTS:
        began_s = time.monotonic()
        for part in PARTS[name]:
            try:
                with folder_for_servers() as folder:
                    rows += part(folder)
            except Exception:
                failed = True
                traceback.print_exc()
        say(f"{name}: {time.monotonic() - began_s:.0f} s")
    show(rows)
    if not asked and SCALE == 1:
        write(rows)
    return int(failed)


def show(rows: list[Row]) -> None:
    """The table for a reader."""
    say(f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    say(f"{'':26}{'ours':>12}{'peer':>12}{'ratio':>9}  {'unit':12}wanted")
    for row in rows:
        said = row.to_json()
        figures = f"{said['ours']:>12,}{said['peer']:>12,}{said['ratio']:>9,}"
        say(f"{row.name:26}{figures}  {row.unit:12}{row.wanted:40}{'met' if row.met else 'NOT MET'}")


def write(rows: list[Row], target: Path = TARGET) -> None:
    """Replace the file in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_suffix(f".{os.getpid()}")
    staged.write_text(json.dumps([row.to_json() for row in rows], indent=2) + "\n")
    staged.replace(target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
