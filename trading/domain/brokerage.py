"""What a broker and its client say to each other, in whole units.

Prices are ticks, quantities lots, money minor units of the instrument's currency, times ns UTC.
"""

from dataclasses import dataclass

from trading.domain.instruments import Instrument
from trading.domain.orders import OrderState, OrderType, Side, TimeInForce


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client sends. ``client_id`` is its key: the same one sent again is the same order.

    Of a trailing stop ``trail_ticks`` or ``trail_ppm`` (parts per million of the price) is the distance; ``expires_ns``
    ends a GTD order. ``take_profit_ticks`` and ``stop_loss_ticks`` make a bracket, ``oco_limit_ticks`` adds a limit
    order beside a stop, of which one trades.
    """

    client_id: str
    instrument: Instrument
    side: Side
    type: OrderType
    quantity_lots: int
    limit_ticks: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_ticks: int | None = None
    trail_ticks: int | None = None
    trail_ppm: int | None = None
    post_only: bool = False
    expires_ns: int | None = None
    take_profit_ticks: int | None = None
    stop_loss_ticks: int | None = None
    oco_limit_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class NewTerms:
    """What a client wants changed; None stays. ``quantity_lots`` is the new total, with what has filled."""

    quantity_lots: int | None = None
    limit_ticks: int | None = None
    stop_ticks: int | None = None
    trail_ticks: int | None = None
    trail_ppm: int | None = None


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """An order as the broker has it. ``order_id`` is the broker's; orders of one bracket or pair share a ``client_id``.

    ``stop_ticks`` of a trailing stop is where it stood when it was accepted.
    """

    order_id: str
    client_id: str
    instrument_id: int
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity_lots: int
    filled_lots: int
    limit_ticks: int | None
    stop_ticks: int | None
    state: OrderState
    reason: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. ``cursor`` is the place behind it in the account's executions; ``fee`` may be negative (a rebate)."""

    cursor: str
    order_id: str
    instrument_id: int
    side: Side
    price_ticks: int
    quantity_lots: int
    fee: int
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Holding:
    """Lots of one instrument, of which ``held_lots`` are reserved by open orders."""

    instrument_id: int
    quantity_lots: int
    held_lots: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Cash of one currency in minor units, of which ``held`` is reserved by open orders."""

    currency: str
    scale: int
    total: int
    held: int

    @property
    def available(self) -> int:
        """What is left to spend."""
        return self.total - self.held
