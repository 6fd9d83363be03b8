"""The first pipeline run of a floor, asked for as soon as Dagster answers; nothing where a night has ever succeeded."""

import sys
import time

from trading.adapters.job_runner import NIGHTLY, jobs_of
from trading.config import Settings
from trading.domain.errors import NotFound, Unavailable
from trading.services.ports.jobs import JobRunner, RunState

RUNS_LOOKED_AT = 200
PATIENCE_S = 180.0
PAUSE_S = 2.0


def ask_for_first_night(jobs: JobRunner) -> str:
    """Queue the nightly job unless one is on its way or has succeeded; returns what a person should know."""
    nights = [run for run in jobs.recent_runs(RUNS_LOOKED_AT) if run.job == NIGHTLY]
    if any(run.state is RunState.SUCCEEDED for run in nights):
        return ""
    if any(not run.state.over for run in nights):
        return "is on its way"
    return f"goes on in the background: {jobs.status(jobs.launch(NIGHTLY)).url}"


def main() -> int:
    """``python -m trading.processes.first_night``; Dagster may take a while to load the project."""
    jobs = jobs_of(Settings())
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = ask_for_first_night(jobs)
        except (Unavailable, NotFound) as error:
            if time.monotonic() > deadline_s:
                sys.stderr.write(f"could not be asked for: {error}\n")
                return 1
            time.sleep(PAUSE_S)
        else:
            sys.stdout.write(f"{answer}\n")
            return 0


if __name__ == "__main__":
    sys.exit(main())
