"""Orders: what a ticket is, which states an order has, and the one table of how it moves between them."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """How an order is priced, and whether it waits for a price first.

    A stop becomes a market order, a stop-limit a limit order once the stop price has traded. A trailing stop is a stop
    that follows the market at a distance and never loosens.
    """

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


PRICED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
"""Types with a limit price."""
STOPPED = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
"""Types with a stop price of their own."""
CONDITIONAL = STOPPED | {OrderType.TRAILING_STOP}
"""Types that wait for a trigger."""


PPM_STEP = Decimal("0.0001")
"""A trail in percent is taken in steps of one part per million."""


class TimeInForce(StrEnum):
    """How long an order lives."""

    DAY = "day"
    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"


class GroupRole(StrEnum):
    """What an order is in its group: an entry with exits that are sized to its fills, or two of which one trades."""

    ENTRY = "entry"
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    OCO = "oco"


EXITS = frozenset({GroupRole.TAKE_PROFIT, GroupRole.STOP_LOSS})


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
    _S.PENDING_TRIGGER: frozenset(
        {
            _S.WORKING,
            _S.PARTIALLY_FILLED,
            _S.FILLED,
            _S.CANCEL_PENDING,
            _S.CANCELLED,
            _S.EXPIRED,
            _S.REJECTED,
        }
    ),
    _S.ACCEPTED: frozenset(
        {
            _S.PENDING_TRIGGER,
            _S.WORKING,
            _S.PARTIALLY_FILLED,
            _S.FILLED,
            _S.CANCEL_PENDING,
            _S.CANCELLED,
            _S.EXPIRED,
            _S.REJECTED,
        }
    ),
    _S.WORKING: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED}),
    _S.PARTIALLY_FILLED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED}),
    # A fill or the exchange's refusal may overtake a cancel: both are legal while the cancel is pending.
    _S.CANCEL_PENDING: frozenset({_S.CANCEL_PENDING, _S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.REJECTED}),
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
    """What a person or program asks for, as typed: decimals are text until the instrument gives them a unit.

    ``trail`` is a distance in the currency, ``trail_percent`` one in percent of the price. ``expires_at`` is ISO 8601,
    in UTC where it names no offset. ``take_profit`` and ``stop_loss`` make a bracket: exits that are sized to what the
    entry fills. ``oco_limit`` adds a limit order beside the stop; what one of the two trades the other gives up.
    ``strategy`` names the program that sends it: the kill switch can stop it by that name. ``parent_id`` and
    ``child_n`` are set by the floor alone, for a child of an order that it works.
    """

    symbol: str
    side: Side
    type: OrderType
    quantity: str
    limit_price: str | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    venue: str = "SIM"
    stop_price: str | None = None
    trail: str | None = None
    trail_percent: str | None = None
    post_only: bool = False
    expires_at: str | None = None
    take_profit: str | None = None
    stop_loss: str | None = None
    oco_limit: str | None = None
    strategy: str | None = None
    parent_id: int | None = None
    child_n: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """New terms for an open order, as typed; None leaves a term as it is. ``quantity`` is the new total."""

    quantity: str | None = None
    limit_price: str | None = None
    stop_price: str | None = None
    trail: str | None = None
    trail_percent: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How an order is priced, in ticks and parts per million; None where its type has no such term.

    ``protection_ticks`` is the worst price it may trade at: the limit of an order that has one.
    """

    type: OrderType
    protection_ticks: int
    limit_ticks: int | None = None
    stop_ticks: int | None = None
    trail: int | None = None
    trail_ppm: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A ticket that was not accepted. ``code`` is stable; ``numbers`` are those that the reason speaks of."""

    code: str
    reason: str
    numbers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A ticket that became an order, or new terms on their way to the exchange.

    The same answer is given to every retry with the same key. Of a group ``order_id`` is the entry or the first of the
    two that exclude each other, and ``group`` has all ids. ``cash_held`` is what was reserved by this call.
    """

    order_id: int
    public_id: str
    state: OrderState
    quantity_lots: int
    protection_ticks: int
    cash_held: int
    group: tuple[int, ...] = ()

    @property
    def order_ids(self) -> tuple[int, ...]:
        """All orders of the ticket."""
        return self.group or (self.order_id,)
