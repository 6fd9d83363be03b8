"""What the supervisor tells the world: a status file that needs no server, read by ``tradefloor status``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trading.processes import strays

STATUS_NAME = "status.json"
STALE_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class ProcessView:
    """One line of the status. Times are ISO 8601, UTC; ``last_exit`` says how it ended last, if it did."""

    name: str
    state: str
    pid: int | None
    started_at: str | None
    restarts: int
    last_exit: str
    address: str


@dataclass(frozen=True, slots=True)
class FloorView:
    """The floor as its supervisor saw it at ``beat_at`` (seconds since the epoch)."""

    open: bool
    healthy: bool
    supervisor: strays.Child | None
    beat_at: float
    processes: tuple[ProcessView, ...]
    problem: str = ""

    def as_json(self) -> str:
        """For programs: ``{"healthy": ..., "processes": [...]}``."""
        rows = [asdict(process) for process in self.processes]
        return json.dumps({"v": 1, "healthy": self.healthy, "problem": self.problem, "processes": rows}, indent=2)


CLOSED = FloorView(False, False, None, 0.0, (), "The floor is not open. Start it with: make up")


def write(run_dir: Path, view: FloorView) -> None:
    """Replace the status file."""
    content = {"v": 1, **asdict(view)}
    strays.write_atomically(run_dir / STATUS_NAME, json.dumps(content))


def read(run_dir: Path, now: float) -> FloorView:
    """The floor's status at ``now`` (seconds since the epoch); `CLOSED` where no supervisor lives."""
    try:
        content: Mapping[str, Any] = json.loads((run_dir / STATUS_NAME).read_text())
        supervisor = strays.Child(**content["supervisor"]) if content["supervisor"] else None
        processes = tuple(ProcessView(**row) for row in content["processes"])
        beat_at, was_open, healthy = float(content["beat_at"]), bool(content["open"]), bool(content["healthy"])
    except (OSError, ValueError, KeyError, TypeError):
        return CLOSED
    if not was_open or supervisor is None or strays.find(supervisor) is None:
        return CLOSED
    age_s = now - beat_at
    if age_s > STALE_AFTER_S:
        problem = f"The supervisor has not been heard of for {age_s:.0f} s."
        return FloorView(True, False, supervisor, beat_at, processes, problem)
    ill = [process.name for process in processes if process.state not in ("running", "done")]
    problem = f"Not running: {', '.join(ill)}." if ill else ""
    return FloorView(True, healthy, supervisor, beat_at, processes, problem)
