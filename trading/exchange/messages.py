"""What goes into the engine and what comes out of it. Prices in ticks, quantities in lots, time in ns UTC."""

from dataclasses import dataclass
from typing import Final, Literal

BUY: Final = 1
SELL: Final = -1
Direction = Literal[1, -1]


@dataclass(frozen=True, slots=True)
class Tick:
    """Outside liquidity: a quote, a trade, or both. A side without liquidity has size 0."""

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
    """A new order. ``limit_ticks`` is the worst price it may trade at: a market order's is its protection price."""

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


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order out."""

    order_id: int


@dataclass(frozen=True, slots=True)
class Halt:
    """The kill switch changed: ``scope`` is ``floor``, ``user:ID`` or ``instrument:ID``."""

    scope: str
    mode: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Ticks were lost or the broker was away: nothing fills until an instrument has a fresh quote."""

    reason: str


@dataclass(frozen=True, slots=True)
class Timer:
    """Time passed an expiry."""


Body = Tick | Submit | Cancel | Halt | Gap | Timer


@dataclass(frozen=True, slots=True)
class Input:
    """One step of the one gapless sequence. ``ts_ns`` is when the broker received it."""

    seq: int
    ts_ns: int
    body: Body


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


Event = Working | Filled | Closed
