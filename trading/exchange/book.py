"""One instrument's users' orders and the outside quote."""

from bisect import insort
from dataclasses import asdict, dataclass, field
from typing import Any

from trading.exchange.messages import BUY, Direction, Tick


@dataclass(slots=True)
class Resting:
    """An order in the book. ``arrival`` orders those of one price; ``waits`` for a quote, not shown to others."""

    order_id: int
    portfolio_id: int
    user_id: int
    direction: int
    market: bool
    limit_ticks: int
    remaining_lots: int
    arrival: int
    expires_ns: int | None
    waits: bool


def _priority(order: Resting) -> tuple[int, int]:
    return (-order.direction * order.limit_ticks, order.arrival)


@dataclass(slots=True)
class Book:
    """Resting limit orders by price and time, orders that wait for a quote, and what the last quote shows."""

    buys: list[Resting] = field(default_factory=list)
    sells: list[Resting] = field(default_factory=list)
    waiting: list[Resting] = field(default_factory=list)
    quote_seq: int = 0
    quote_ts_ns: int = 0
    received_ns: int = 0
    fresh: bool = False
    bid_ticks: int = 0
    ask_ticks: int = 0
    bid_lots: int = 0  # what is left of the displayed size; consumed once for each update
    ask_lots: int = 0

    def take_quote(self, tick: Tick, ts_ns: int) -> None:
        """Replace what is displayed."""
        self.quote_seq, self.quote_ts_ns, self.received_ns, self.fresh = tick.seq, tick.ts_ns, ts_ns, True
        self.bid_ticks, self.ask_ticks = tick.bid_ticks, tick.ask_ticks
        self.bid_lots, self.ask_lots = tick.bid_lots, tick.ask_lots

    def side(self, direction: int) -> list[Resting]:
        """Resting orders of a direction, best first."""
        return self.buys if direction == BUY else self.sells

    def rest(self, order: Resting) -> None:
        """Put an order at its place."""
        if order.waits:
            self.waiting.append(order)
        else:
            insort(self.side(order.direction), order, key=_priority)

    def remove(self, order: Resting) -> None:
        """Take an order out."""
        (self.waiting if order.waits else self.side(order.direction)).remove(order)

    def is_live(self, now_ns: int, max_age_ns: int) -> bool:
        """Whether the quote may be traded against now."""
        return self.fresh and now_ns - self.received_ns <= max_age_ns

    def outside(self, direction: Direction | int) -> tuple[int, int]:
        """Price and lots that an order of ``direction`` can take from the quote."""
        return (self.ask_ticks, self.ask_lots) if direction == BUY else (self.bid_ticks, self.bid_lots)

    def consume(self, direction: int, lots: int) -> None:
        """Displayed size is used once."""
        if direction == BUY:
            self.ask_lots -= lots
        else:
            self.bid_lots -= lots

    def to_value(self) -> dict[str, Any]:
        """The book as plain data, for the canonical form."""
        return asdict(self)

    @staticmethod
    def from_value(value: dict[str, Any]) -> "Book":
        """Inverse of `to_value`."""
        orders = {name: [Resting(**item) for item in value[name]] for name in ("buys", "sells", "waiting")}
        return Book(**{**value, **orders})
