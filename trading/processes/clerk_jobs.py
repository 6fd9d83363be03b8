"""The floor's periodic work: one line a job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trading.config import Settings
from trading.processes.retention import prune
from trading.services import monitoring
from trading.services.access import SYSTEM
from trading.services.floor import Floor


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is done again and again, ``every_s`` seconds from start to start.

    ``run`` gets the floor and the time (ns UTC) and says in a few words what it did, nothing where there was nothing to
    do. It may be killed at any line and may, for a moment, run in two processes at once: what it does must be safe to
    repeat. Each job has a thread of its own; one that is slow or fails holds up no other.
    """

    name: str
    every_s: float
    run: Callable[[Floor, int], str]


def jobs(settings: Settings) -> Sequence[Job]:
    """Everything the clerk does on this floor."""
    return (
        Job("broker accounts", 5.0, lambda floor, _now_ns: "; ".join(monitoring.run_due(floor, SYSTEM))),
        Job("retention", 3600.0, lambda floor, _now_ns: prune(floor, settings.log_dir)),
    )
