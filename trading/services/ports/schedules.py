"""The store behind scheduled orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from trading.domain.orders import Acceptance, Refusal, Ticket


class ScheduleState(StrEnum):
    """Where a schedule stands: waiting for its next run, held back by its owner, or over."""

    ACTIVE = "active"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class WhenClosed(StrEnum):
    """What a run does while the instrument's exchange is closed: nothing, or send the order, which waits."""

    SKIP = "skip"
    SEND = "send"


class Outcome(StrEnum):
    """What became of a run. ``missed``: the floor came to it behind its grace; ``skipped``: the exchange was closed."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    MISSED = "missed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A ticket and when it is sent. ``cron`` None: once, at ``next_due_ns``. Times ns UTC, ``zone`` an IANA name."""

    id: int
    portfolio_id: int
    ticket: Ticket
    cron: str | None
    zone: str
    when_closed: WhenClosed
    grace_s: int
    state: ScheduleState
    next_due_ns: int | None
    created_ts_ns: int


@dataclass(frozen=True, slots=True)
class Firing:
    """What became of a run, or of ``runs`` of them from ``due_ns`` on that a closed floor missed."""

    due_ns: int
    ts_ns: int
    outcome: Outcome
    code: str = ""
    reason: str = ""
    order_id: int | None = None
    runs: int = 1


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run whose time has come: its schedule, the owner's rights as they are now, and the desk's answer if it has one.

    ``calendar`` is the instrument's.
    """

    schedule: Schedule
    due_ns: int
    actor_id: int
    username: str
    role: str
    disabled: bool
    calendar: str
    answer: Acceptance | Refusal | None


class ScheduleStore(Protocol):
    """Schedules and what became of their runs. Every deed writes its audit row with it."""

    def create(self, user_id: int, key: str, schedule: Schedule, most: int, origin: str) -> int | None:
        """Keep a schedule (its ``id`` is not looked at), once for each key; its id.

        None where the portfolio has ``most`` open ones; `Conflict` for a key that was used for another body; `Invalid`
        with ``portfolio_archived``.
        """
        ...

    def change(
        self,
        user_id: int,
        portfolio_id: int,
        schedule_id: int,
        source: ScheduleState,
        target: ScheduleState,
        next_due_ns: int | None,
        ts_ns: int,
        origin: str,
    ) -> bool:
        """Move from ``source`` to ``target``; False where it is not in ``source`` (any more)."""
        ...

    def one(self, portfolio_id: int, schedule_id: int) -> Schedule | None:
        """One schedule of a portfolio."""
        ...

    def of(self, portfolio_id: int, open_only: bool) -> Sequence[Schedule]:
        """A portfolio's schedules, newest first; at most 500."""
        ...

    def firings(self, portfolio_id: int, schedule_id: int, limit: int) -> Sequence[Firing]:
        """What became of the runs, newest first."""
        ...

    def calendar(self, symbol: str, venue: str) -> str | None:
        """The trading calendar of an instrument; None where there is no such instrument."""
        ...

    def due(self, now_ns: int, limit: int) -> Sequence[DueRun]:
        """Runs of active schedules whose time has come, oldest first, at most one a schedule."""
        ...

    def fired(self, schedule_id: int, firing: Firing, next_due_ns: int | None) -> None:
        """Keep what became of a run and move on to the next (None: done), in one transaction; again is nothing.

        One that was paused meanwhile stays so, one that was cancelled too.
        """
        ...
