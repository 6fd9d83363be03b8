"""Orders: what a ticket is, which states an order has, and the one table of how it moves between them."""

from dataclasses import dataclass, field
from enum import StrEnum


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """How an order is priced. Stops, brackets and parents join with the exchange's own issue."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """How long an order lives."""

    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"


class Effect(StrEnum):
    """Whether an order opens or closes a position; a reversal is two orders."""

    OPEN = "open"
    CLOSE = "close"


class OrderState(StrEnum):
    """Where an order stands."""

    NEW = "new"
    SCHEDULED = "scheduled"
    PENDING_TRIGGER = "pending_trigger"
    ACCEPTED = "accepted"
    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCEL_PENDING = "cancel_pending"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_S = OrderState
TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.NEW: frozenset({_S.ACCEPTED, _S.SCHEDULED, _S.PENDING_TRIGGER, _S.REJECTED}),
    _S.SCHEDULED: frozenset({_S.ACCEPTED, _S.PENDING_TRIGGER, _S.REJECTED, _S.CANCELLED, _S.EXPIRED}),
    _S.PENDING_TRIGGER: frozenset({_S.WORKING, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED, _S.REJECTED}),
    _S.ACCEPTED: frozenset(
        {_S.WORKING, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED, _S.REJECTED}
    ),
    _S.WORKING: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED}),
    _S.PARTIALLY_FILLED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED}),
    # A fill may overtake a cancel: it is legal while the cancel is pending.
    _S.CANCEL_PENDING: frozenset({_S.CANCEL_PENDING, _S.FILLED, _S.CANCELLED, _S.EXPIRED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
}
"""The only way a state changes. The database holds the same table and a trigger compares every change with it."""

TERMINAL = frozenset(state for state, targets in TRANSITIONS.items() if not targets)
OPEN = frozenset(TRANSITIONS) - TERMINAL


def may_become(source: OrderState, target: OrderState) -> bool:
    """Whether ``target`` may follow ``source``."""
    return target in TRANSITIONS[source]


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a person or program asks for, as typed: decimals are text until the instrument gives them a unit."""

    symbol: str
    side: Side
    type: OrderType
    quantity: str
    limit_price: str | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    venue: str = "SIM"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A ticket that was not accepted. ``code`` is stable; ``numbers`` are those that the reason speaks of."""

    code: str
    reason: str
    numbers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A ticket that became an order. The same answer is given to every retry with the same key."""

    order_id: int
    public_id: str
    state: OrderState
    quantity_lots: int
    protection_ticks: int
    cash_held: int
