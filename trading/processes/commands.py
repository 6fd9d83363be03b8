"""What the command line does on an open floor, or on the database of a closed one.

The wiring brings pandas and more, so it is imported after the cheap checks: a wrong call is answered at once.
"""

import json
from dataclasses import asdict

from rich.console import Console

from trading.adapters import job_runner
from trading.config import Settings
from trading.domain.errors import Unavailable
from trading.processes import checks
from trading.processes.environment import resolved
from trading.processes.opening import reachable_database


def verify_floor(given: Settings, incremental: bool, as_json: bool) -> int:
    """Prove the floor, or what is new on it, consistent; returns the exit status, 1 where a break was found."""
    with reachable_database(given) as settings:
        from trading.bootstrap import open_floor
        from trading.services import verify
        from trading.services.access import SYSTEM

        with open_floor(settings) as floor:
            report = (verify.run_new if incremental else verify.run)(floor, SYSTEM)
    if as_json:
        print(json.dumps({"v": 1, **asdict(report)}, default=str, indent=2))  # noqa: T201 - the answer
    else:
        console = Console()
        counts = dict(report.counts)
        took_s = counts.pop("milliseconds", 0) / 1000
        looked_at = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
        console.print(f"Looked at {looked_at} in {took_s:.2f} s.", highlight=False)
        for found in report.breaks:
            console.print(
                f"  break: {found['check']} {found['subject']}: expected {found['expected']}, found {found['found']}",
                style="red", highlight=False, markup=False,
            )  # fmt: skip
        verdict = "The floor is consistent." if report.ok else f"{len(report.breaks)} breaks."
        console.print(verdict, style="green" if report.ok else "bold red")
    return 0 if report.ok else 1


def run_night(given: Settings) -> int:
    """Run the nightly job on the open floor, a line a step; returns 0 when it ended green.

    Raises `Unavailable` where the floor is not open: Dagster's daemon carries the run.
    """
    settings = resolved(given)
    if not checks.is_locked(settings.run_dir):
        raise Unavailable("The floor is not open. Start it with: make up")
    console = Console(soft_wrap=True)
    return job_runner.run_nightly(settings, lambda line: console.print(line, highlight=False, markup=False))
