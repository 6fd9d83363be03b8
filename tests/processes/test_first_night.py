"""When the first pipeline run is asked for."""

from collections.abc import Sequence

import pytest

from trading.processes.first_night import ask_for_first_night
from trading.services.ports.jobs import JobRun, RunEvent, RunState


class Jobs:
    """A job runner that remembers."""

    def __init__(self, *runs: JobRun) -> None:
        self.runs = list(runs)

    def launch(self, job: str) -> str:
        self.runs.append(run(job, RunState.QUEUED))
        return self.runs[-1].run_id

    def status(self, run_id: str) -> JobRun:
        return next(run for run in self.runs if run.run_id == run_id)

    def recent_runs(self, limit: int) -> Sequence[JobRun]:
        return self.runs[-limit:]

    def events(self, run_id: str, cursor: str = "") -> tuple[Sequence[RunEvent], str]:
        return [], cursor

    def cancel(self, run_id: str) -> None:
        return None


def run(job: str, state: RunState) -> JobRun:
    return JobRun(f"{job}-{state}", job, state, None, None, f"/runs/{job}-{state}")


def test_a_new_floor_asks_for_its_first_night_once() -> None:
    jobs = Jobs()
    assert ask_for_first_night(jobs) == "goes on in the background: /runs/nightly-queued"
    assert ask_for_first_night(jobs) == "is on its way"
    assert len(jobs.runs) == 1


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_a_night_that_did_not_succeed_is_asked_for_again(state: RunState) -> None:
    jobs = Jobs(run("nightly", state))
    ask_for_first_night(jobs)
    assert [one.state for one in jobs.runs] == [state, RunState.QUEUED]


def test_a_night_that_succeeded_is_enough_and_other_jobs_do_not_count() -> None:
    done = Jobs(run("nightly", RunState.SUCCEEDED), run("nightly", RunState.FAILED))
    assert ask_for_first_night(done) == ""
    assert ask_for_first_night(Jobs(run("backtest", RunState.SUCCEEDED))).startswith("goes on")
