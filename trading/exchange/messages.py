"""What goes into the engine and what comes out of it. Prices in ticks, quantities in lots, time in ns UTC."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

BUY: Final = 1
SELL: Final = -1
TICK: Final = np.dtype(
    [
        ("instrument_id", "<i4"),
        ("kind", "u1"),
        ("aggressor", "i1"),
        ("reserved", "<u2"),
        ("seq", "<i8"),
        ("ts_ns", "<i8"),
        ("bid_ticks", "<i8"),
        ("ask_ticks", "<i8"),
        ("bid_lots", "<i8"),
        ("ask_lots", "<i8"),
        ("trade_ticks", "<i8"),
        ("trade_lots", "<i8"),
    ]
)
"""The record that `trading.market.ticks` describes."""
Direction = Literal[1, -1]
Trigger = Literal["", "stop", "trail", "trail_ppm"]
Link = Literal["", "oco", "held", "held_oco", "entry"]


@dataclass(frozen=True, slots=True)
class Tick:
    """What happened outside: the fields of one `trading.market.ticks.TICK` record, which says what ``kind`` means."""

    instrument_id: int
    kind: int
    aggressor: int
    seq: int
    ts_ns: int
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int
    trade_ticks: int
    trade_lots: int


@dataclass(frozen=True, slots=True)
class Submit:
    """A new order. ``limit_ticks`` is the worst price it may trade at: a market order's is its protection price.

    ``trigger``: ``stop`` waits for ``stop_ticks``, ``trail`` follows by ``trail`` ticks, ``trail_ppm`` by millionths.
    ``link``: ``oco`` (sibling of ``link_order_id``, an open order), ``held`` (an exit leg, without size until its entry
    fills), ``held_oco`` (the same, sibling of a held one), ``entry`` (whose first leg is ``link_order_id``).
    ``delay_ns`` is the latency that was drawn for its command, kept with the input that it delayed.
    """

    order_id: int
    portfolio_id: int
    user_id: int
    instrument_id: int
    direction: Direction
    market: bool
    tif: str
    quantity_lots: int
    limit_ticks: int
    expires_ns: int | None = None
    post_only: bool = False
    trigger: Trigger = ""
    stop_ticks: int = 0
    trail: int = 0
    link: Link = ""
    link_order_id: int = 0
    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Orders that come in together, of one instrument and user: a bracket (legs, then entry) or two that exclude."""

    orders: tuple[Submit, ...]


@dataclass(frozen=True, slots=True)
class Modify:
    """New terms of an open order; ``open_lots`` is what may still fill, 0 for a leg that has no size yet."""

    order_id: int
    limit_ticks: int
    open_lots: int
    stop_ticks: int = 0
    trail: int = 0
    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order out."""

    order_id: int
    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Halt:
    """The kill switch changed for ``floor``, ``user:ID``, ``instrument:ID``, ``portfolio:ID`` or ``strategy:NAME``.

    The mode ``halted`` cancels what is open in the scope and refuses what comes; any other takes the scope away again.
    Of portfolios and strategies the engine knows nothing: ``order_ids`` are those that end, and those among them that
    have yet to come are refused when they do.
    """

    scope: str
    mode: str
    order_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """An instrument's session begins or ends by an admin's word; ticks say it by their ``kind``."""

    instrument_id: int
    open: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Ticks were lost or the broker was away: nothing fills until an instrument has a fresh quote."""

    reason: str


@dataclass(frozen=True, slots=True)
class Timer:
    """Time passed an expiry."""


@dataclass(frozen=True, slots=True)
class Action:
    """A split or a dividend of an instrument, decided already: what becomes of each of its open orders.

    ``numerator`` new for ``denominator`` old lots, and prices lower by ``lowered_ticks``: what the exchange remembers
    of prices follows. ``cancels`` are order ids. A change is order id, limit, open lots, lots still planned for an
    exit, stop and trail, as in `Modify`; orders keep their places.
    """

    action_id: int
    instrument_id: int
    numerator: int
    denominator: int
    lowered_ticks: int
    cancels: tuple[int, ...] = ()
    changes: tuple[tuple[int, int, int, int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Margin:
    """A margin account in one currency crossed a level: nothing for the books, but decided once and recorded.

    ``kind`` is ``call``, ``close_out`` or ``met``; the amounts, in minor units, are those it was decided on.
    """

    portfolio_id: int
    currency_id: int
    kind: Literal["call", "close_out", "met"]
    equity: int
    maintenance: int
    close_out: int


@dataclass(frozen=True, slots=True)
class TurnAway:
    """An order that may not reach the books any more: what it was accepted to close has been closed meanwhile."""

    order_id: int
    reason: str


Body = Tick | Submit | Cancel | Halt | Gap | Timer | Group | Modify | Session | Margin | TurnAway | Action


@dataclass(frozen=True, slots=True)
class Input:
    """One step of the one gapless sequence. ``ts_ns`` is when the broker received it."""

    seq: int
    ts_ns: int
    body: Body


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Consecutive inputs from ``seq`` on, a tick each, received at once; ``ticks`` is an array of `TICK`."""

    seq: int
    ts_ns: int
    ticks: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Working:
    """The order rests or waits for liquidity."""

    order_id: int


@dataclass(frozen=True, slots=True)
class Filled:
    """A fill, with all that "why this fill?" asks for. ``n`` counts the fills of one input."""

    order_id: int
    n: int
    price_ticks: int
    lots: int
    liquidity: Literal["taker", "maker"]
    rule: str
    tick_seq: int
    tick_ts_ns: int
    bid_ticks: int
    ask_ticks: int
    displayed_lots: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The order is over without being filled: ``state`` is cancelled, expired or rejected."""

    order_id: int
    state: Literal["cancelled", "expired", "rejected"]
    reason: str


@dataclass(frozen=True, slots=True)
class Pending:
    """Accepted: the order waits for its trigger or, an exit leg, for its entry to fill."""

    order_id: int


@dataclass(frozen=True, slots=True)
class Triggered:
    """The stop price was met, ``by`` a trade or the quote: from now on a plain limit or market order."""

    order_id: int
    stop_ticks: int
    by: Literal["trade", "quote"]


@dataclass(frozen=True, slots=True)
class Sized:
    """A linked order's open quantity changed by ``change_lots`` (negative: it shrank) because of another's fill."""

    order_id: int
    open_lots: int
    change_lots: int


@dataclass(frozen=True, slots=True)
class Modified:
    """New terms are in force. An order that did not keep its place is at the end of the queue."""

    order_id: int
    limit_ticks: int
    open_lots: int
    stop_ticks: int
    trail: int
    kept_place: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A modify that was not possible; the order goes on with its old terms."""

    order_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A corporate action gave an open order new terms; ``planned_lots`` are what an exit's entry has yet to buy."""

    order_id: int
    limit_ticks: int
    open_lots: int
    planned_lots: int
    stop_ticks: int
    trail: int


Event = Working | Filled | Closed | Pending | Triggered | Sized | Modified | Refused | Adjusted
