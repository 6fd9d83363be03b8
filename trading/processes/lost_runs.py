"""Pipeline runs that a closed or killed floor left half done: their processes are gone, so they are called cancelled.

Dagster cannot see that the worker of such a run is dead, and would keep its place in the queue for as long as a run may
take. This step stands between Dagster's webserver and its daemon: before the daemon starts, no run can be alive.
"""

import sys
import time

from trading.adapters.job_runner import DagsterJobs, jobs_of
from trading.config import Settings
from trading.domain.errors import Unavailable
from trading.services.ports.jobs import RunState

RUNS_LOOKED_AT = 200
PATIENCE_S = 30.0
PAUSE_S = 0.5


def give_up_lost_runs(jobs: DagsterJobs) -> list[str]:
    """Cancel every run that is called running; returns their ids. Queued runs keep their place."""
    lost = [run.run_id for run in jobs.recent_runs(RUNS_LOOKED_AT) if run.state is RunState.RUNNING]
    for run_id in lost:
        jobs.give_up(run_id)
    return lost


def main() -> int:
    """``python -m trading.processes.lost_runs``."""
    jobs = jobs_of(Settings())
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            lost = give_up_lost_runs(jobs)
        except Unavailable as error:
            if time.monotonic() > deadline_s:
                sys.stderr.write(f"could not be looked at: {error}\n")
                return 1
            time.sleep(PAUSE_S)
        else:
            # The supervisor shows a step's last line; an empty one when there is nothing to say.
            words = f"of the last floor, cut short by its end, called cancelled: {len(lost)}" if lost else ""
            sys.stdout.write(f"{words}\n")
            return 0


if __name__ == "__main__":
    sys.exit(main())
