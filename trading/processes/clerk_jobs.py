"""The floor's periodic work: one line a job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trading.config import Settings
from trading.processes import action_job, backups, books_jobs
from trading.processes.retention import prune
from trading.services import monitoring, parents, schedules
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
        Job("books", 60, books_jobs.check_new),
        Job("ledger head", 60, books_jobs.keep_head),
        Job("balances", 600, books_jobs.keep_balances),
        Job("cash requests", 30, books_jobs.expire_requests),
        Job("broker accounts", 5, lambda floor, _now_ns: "; ".join(monitoring.run_due(floor, SYSTEM))),
        Job("backup", backups.LOOK_S, backups.job(settings)),
        Job("backup now", backups.ASKED_LOOK_S, backups.asked_job(settings)),
        Job("corporate actions", action_job.LOOK_S, action_job.job(settings)),
        Job("schedules", 0.5, lambda floor, _now_ns: schedules.fire_due(floor, SYSTEM, settings.sim_hours)),
        Job("parents", 0.25, lambda floor, _now_ns: parents.work_all(floor, SYSTEM)),
        Job("retention", 3600, lambda floor, _now_ns: prune(floor, settings.log_dir)),
        Job("interest", 600, books_jobs.charge_interest),
    )
