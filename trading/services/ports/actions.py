"""What the floor keeps about fee schedules and corporate actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from trading.domain.actions import Position
from trading.domain.fees import FeeSchedule


@dataclass(frozen=True, slots=True)
class ActionRow:
    """A corporate action as it is kept. ``dividend`` is in units of currency a share; times are ns UTC."""

    id: int
    instrument_id: int
    symbol: str
    venue: str
    kind: str
    ex_date: date
    due_ts_ns: int
    numerator: int
    denominator: int
    dividend: Decimal
    tax_ppm: int
    reference_ticks: int | None
    source: str
    state: str
    entered_ts_ns: int
    applied_ts_ns: int | None
    tick_size: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class BookedSplit:
    """A split that was booked: ``numerator`` new for ``denominator`` old, ``reference_ticks`` the price before it.

    The venue's price follows when the booking is asked for; ``applied_ts_ns`` is when the broker did it (ns UTC).
    """

    instrument_id: int
    numerator: int
    denominator: int
    reference_ticks: int
    asked_ts_ns: int
    applied_ts_ns: int


@dataclass(frozen=True, slots=True)
class Holder:
    """A portfolio with its position (no lots where it has none) and its open orders in an instrument."""

    portfolio: str
    owner: str
    holding: Position
    open_orders: int


class ActionStore(Protocol):
    """Every deed writes its audit row in its own transaction. Raises `NotFound` for what is not there."""

    def set_fees(self, actor_id: int, instrument_id: int, schedule: FeeSchedule, origin: str) -> int:
        """The schedule becomes that of the instrument's next version, whose number is returned.

        Open orders keep the version they were accepted on.
        """
        ...

    def enter(self, actor_id: int, action: Mapping[str, Any], origin: str, ts_ns: int) -> int | None:
        """Keep an action to come (columns of ``corporate_action``); its id, None where the day has one of its kind."""
        ...

    def cancel(self, actor_id: int, action_id: int, origin: str) -> bool:
        """Take back one that is pending; False where it is not."""
        ...

    def bring_forward(self, actor_id: int, action_id: int, origin: str, ts_ns: int) -> bool:
        """Make one that is pending due at a time; False where it is not pending."""
        ...

    def request(self, actor_id: int, action_id: int, reference_ticks: int | None, origin: str, ts_ns: int) -> bool:
        """Ask the broker to book one that is pending; False where it is not."""
        ...

    def actions(self, limit: int, action_id: int | None = None, due_ts_ns: int | None = None) -> Sequence[ActionRow]:
        """Actions, newest ex-date first; one alone, or those pending that are due, oldest first."""
        ...

    def splits(self) -> Sequence[BookedSplit]:
        """Every split that was booked, oldest first."""
        ...

    def holders(self, instrument_id: int) -> Sequence[Holder]:
        """Who holds an instrument now or has open orders in it, by portfolio."""
        ...

    def calendar(self, instrument_id: int) -> str | None:
        """The name of an instrument's trading calendar, None where it has none."""
        ...

    def fee_history(self, instrument_id: int) -> Sequence[dict[str, Any]]:
        """Versions of an instrument's schedule, newest first: version, valid_from, set_by_admin, schedule."""
        ...
