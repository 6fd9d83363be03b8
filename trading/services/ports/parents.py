"""The store behind parents that are worked in children."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from trading.domain.instruments import Instrument
from trading.domain.orders import OrderState, Ticket


class ParentState(StrEnum):
    """Where a parent stands. ``paused``: a child was refused; ``stopping``: its owner cancelled it; ``ended``: over,
    and not all of it has filled."""

    WORKING = "working"
    PAUSED = "paused"
    STOPPING = "stopping"
    FILLED = "filled"
    ENDED = "ended"
    CANCELLED = "cancelled"


OPEN = (ParentState.WORKING, ParentState.PAUSED, ParentState.STOPPING)


class Style(StrEnum):
    """How a parent is worked, see `trading.exchange.planners`."""

    TWAP = "twap"
    VWAP = "vwap"
    POV = "pov"
    ICEBERG = "iceberg"


@dataclass(frozen=True, slots=True)
class ChildOrder:
    """A child as the desk and the broker have it: its number in the plan and its order."""

    n: int
    order_id: int
    state: OrderState
    quantity_lots: int
    filled_lots: int


@dataclass(frozen=True, slots=True)
class WorkedParent:
    """A parent, its owner's rights as they are now, and its children by number.

    ``plan`` is `trading.exchange.planners.dump`'s, ``mark`` how much of the market's volume it has seen. ``notional``
    and ``fee`` are the sums of its children in minor units.
    """

    id: int
    portfolio_id: int
    actor_id: int
    username: str
    role: str
    disabled: bool
    instrument: Instrument
    ticket: Ticket
    style: Style
    quantity_lots: int
    state: ParentState
    code: str
    reason: str
    plan: Mapping[str, Any]
    mark: Mapping[str, int]
    version: int
    created_ts_ns: int
    children: tuple[ChildOrder, ...] = ()
    notional: int = 0
    fee: int = 0

    @property
    def filled_lots(self) -> int:
        """Lots that have filled."""
        return sum(child.filled_lots for child in self.children)


class ParentStore(Protocol):
    """Parents and their plans. Every change of state writes its audit row with it."""

    def create(
        self,
        user_id: int,
        portfolio_id: int,
        key: str,
        instrument_id: int,
        ticket: Ticket,
        style: Style,
        plan: Mapping[str, Any],
        most: int,
        ts_ns: int,
        origin: str,
    ) -> int | None:
        """Keep a parent, once for each key; its id. None where the portfolio has ``most`` open ones.

        `Conflict`, and `Invalid` with ``portfolio_archived``.
        """
        ...

    def open_ids(self) -> Sequence[int]:
        """Parents that are not over, oldest first."""
        ...

    def one(self, parent_id: int, portfolio_id: int | None = None) -> WorkedParent | None:
        """A parent with its children; None where there is none (in the portfolio)."""
        ...

    def of(self, portfolio_id: int, open_only: bool) -> Sequence[WorkedParent]:
        """A portfolio's parents, newest first; at most 200."""
        ...

    def save(
        self,
        parent: WorkedParent,
        state: ParentState,
        code: str,
        reason: str,
        plan: Mapping[str, Any],
        mark: Mapping[str, int],
        returned: Sequence[int],
        ts_ns: int,
        user_id: int,
        origin: str,
    ) -> bool:
        """Move on from what was read; False where it has moved, or a child to be given back has become an order."""
        ...
