"""What a supervised process is: one row of the floor's table."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from trading.adapters.embedded.home import ServerUser
from trading.config import PROJECT_ROOT


class State(StrEnum):
    """Where a supervised process stands."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Birth:
    """One life of a process: its pid, and when it was started in seconds since the epoch."""

    pid: int
    epoch_s: float


def alive(_birth: Birth) -> bool:
    """Ready as soon as it runs."""
    return True


def nothing() -> None:
    """No preparation."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to start, judge and stop one process.

    ``env`` is its whole environment. ``needs`` name the processes that must be running (or done) before its first
    start. ``stop_phase`` orders the end: the highest phase stops first, one phase at a time. ``once`` marks a step that
    ends by itself; the floor is open without it unless it is ``vital``. A vital process that does not come up while the
    floor opens ends the opening. A running process whose ``responds`` has said no for ``patience_s`` is frozen: it is
    killed and started again; a probe that can't judge, because its server is away, says yes. A ``servant`` is an
    embedded server: it stops last, after everything that talks to it.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    ready: Callable[[Birth], bool] = alive
    prepare: Callable[[], None] = nothing
    label: str = ""
    address: str = ""
    responds: Callable[[Birth], bool] = alive
    patience_s: float = 20.0
    once: bool = False
    vital: bool = False
    servant: bool = False
    nice: int = 0
    user: ServerUser | None = None
    cwd: Path = PROJECT_ROOT
    stop_phase: int = 1
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 5.0

    @property
    def background(self) -> bool:
        """A step that nobody waits for and that is not repeated."""
        return self.once and not self.vital

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.label or self.name


def backoff_s(failures: int) -> float:
    """Seconds to wait before restart number ``failures`` in a row: 0, 0.5, 1, 2 ... 30."""
    return 0.0 if failures <= 1 else float(min(30.0, 0.5 * 2 ** min(failures - 2, 10)))


HEALTHY_AFTER_S = 60.0
"""A process that ran this long has no failures in a row any more."""
