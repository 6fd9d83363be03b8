"""Heavy work that runs elsewhere: the pipelines' jobs, whoever executes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Nothing more will happen."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job. Times are seconds since the epoch, UTC; None = not yet. ``url`` opens it in its own UI."""

    run_id: str
    job: str
    state: RunState
    started_s: float | None
    ended_s: float | None
    url: str


@dataclass(frozen=True, slots=True)
class RunEvent:
    """A step began or ended, a check was judged: ``kind`` is started, succeeded, failed, skipped or check_failed."""

    kind: str
    step: str
    message: str = ""


class JobRunner(Protocol):
    """Starts jobs and tells how they go. Every method raises `Unavailable` where the runner does not answer."""

    def launch(self, job: str) -> str:
        """Queue a run of a job; returns its id. `NotFound` where there is no such job."""
        ...

    def status(self, run_id: str) -> JobRun:
        """How a run stands. `NotFound` where there is none."""
        ...

    def recent_runs(self, limit: int) -> Sequence[JobRun]:
        """Newest first."""
        ...

    def events(self, run_id: str, cursor: str = "") -> tuple[Sequence[RunEvent], str]:
        """What happened since ``cursor`` (empty: from the start), and the cursor to go on from."""
        ...

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop; nothing happens to one that is over."""
        ...
