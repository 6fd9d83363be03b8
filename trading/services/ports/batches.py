"""The store behind batches of orders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from trading.domain.orders import Acceptance, Refusal, Ticket
from trading.services.ports.desk import Decision, DeskContext


class BatchMode(StrEnum):
    """``all``: every ticket is accepted or none; ``each``: every ticket by itself."""

    ALL = "all"
    EACH = "each"


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What became of each ticket, in their order. Where one refused all, the others carry ``batch_refused``."""

    answers: tuple[Acceptance | Refusal, ...]

    @property
    def accepted(self) -> int:
        """How many tickets became orders."""
        return sum(isinstance(answer, Acceptance) for answer in self.answers)


DecideTicket = Callable[[DeskContext, Ticket], Sequence[Decision] | Refusal]
"""Judges one ticket on what it and the tickets before it left; does no I/O."""


class BatchStore(Protocol):
    """One transaction for each call; raises like `trading.services.ports.desk.DeskStore`."""

    def submit(
        self,
        user_id: int,
        portfolio_id: int,
        key: str,
        tickets: Sequence[Ticket],
        mode: BatchMode,
        decide: DecideTicket,
        ts_ns: int,
        origin: str,
    ) -> BatchAnswer:
        """Open the key, lock all that the tickets touch, judge and write one after the other, keep the answer."""
        ...

    def preview(
        self, user_id: int, portfolio_id: int, tickets: Sequence[Ticket], decide: DecideTicket, ts_ns: int
    ) -> BatchAnswer:
        """The same without a key, undone at the end: the ids in it are of orders that never were."""
        ...
