"""The matching engine: price-time priority among users, then the outside quote. No I/O, no clock, no floats.

The state is a value: it can be saved, loaded, hashed and compared, and the same inputs on the same state give the same
events. Rules (sources in the project's trading rules):

- a new order trades against the current quote if that was received within `QUOTE_MAX_AGE_NS`, else against the next;
- displayed size is consumed once for each update; what is left of a market order waits for the next one;
- nothing trades beyond an order's limit; a market order's limit is its protection price (``price_protection``);
- a resting order fills at its limit once the opposite quote reaches it, or when a trade goes through it;
- at an equal price users' orders come before outside liquidity, then time; no trade between orders of one portfolio:
  the newer is cancelled.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from trading.exchange.book import Book, Resting
from trading.exchange.messages import BUY, Cancel, Closed, Event, Filled, Gap, Halt, Input, Submit, Tick, Timer, Working

ENGINE_REV = 1
QUOTE_MAX_AGE_NS = 5_000_000_000
_QUOTE, _TRADE, _GAP = 1, 2, 4


class Engine:
    """Books of one floor. Feed it with `apply`; read nothing else."""

    def __init__(self) -> None:
        self.seq = 0
        self.books: dict[int, Book] = {}
        self.orders: dict[int, tuple[int, Resting]] = {}
        self.halted: set[str] = set()
        self._now_ns = 0
        self._fills = 0
        self._events: list[Event] = []

    def apply(self, step: Input) -> Sequence[Event]:
        """Take the next input; returns what it caused, in order. Raises ValueError where the sequence has a hole."""
        if step.seq != self.seq + 1:
            raise ValueError(f"input {step.seq} does not follow {self.seq}")
        self.seq, self._now_ns, self._fills, self._events = step.seq, step.ts_ns, 0, []
        body = step.body
        if isinstance(body, Tick):
            self._tick(body)
        elif isinstance(body, Submit):
            self._submit(body)
        elif isinstance(body, Cancel):
            if body.order_id in self.orders:
                self._close(body.order_id, "cancelled", "cancel")
        elif isinstance(body, Halt):
            (self.halted.add if body.mode == "halted" else self.halted.discard)(body.scope)
        elif isinstance(body, Gap):
            for book in self.books.values():
                book.fresh = False
        elif isinstance(body, Timer):
            for order_id in [i for i, (_, o) in self.orders.items() if (o.expires_ns or step.ts_ns + 1) <= step.ts_ns]:
                self._close(order_id, "expired", "day_end")
        return self._events

    def next_expiry_ns(self) -> int | None:
        """When a `Timer` is due."""
        return min((o.expires_ns for _, o in self.orders.values() if o.expires_ns is not None), default=None)

    # State as a value ----------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        """Canonical form: equal states give equal bytes, whatever way they were reached."""
        value: dict[str, Any] = {
            "v": 1,
            "rev": ENGINE_REV,
            "seq": self.seq,
            "halted": sorted(self.halted),
            "books": {str(key): book.to_value() for key, book in sorted(self.books.items())},
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    @staticmethod
    def load(state: bytes) -> "Engine":
        """Inverse of `save`. Raises ValueError for another engine revision."""
        value = json.loads(state)
        if value["rev"] != ENGINE_REV:
            raise ValueError(f"state of engine revision {value['rev']}, this is {ENGINE_REV}")
        engine = Engine()
        engine.seq, engine.halted = value["seq"], set(value["halted"])
        engine.books = {int(key): Book.from_value(book) for key, book in value["books"].items()}
        for key, book in engine.books.items():
            for order in (*book.buys, *book.sells, *book.waiting):
                engine.orders[order.order_id] = (key, order)
        return engine

    def state_hash(self) -> bytes:
        """SHA-256 of `save`."""
        return hashlib.sha256(self.save()).digest()

    # Inputs --------------------------------------------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        book = self.books.setdefault(tick.instrument_id, Book())
        if tick.kind & _GAP:
            book.fresh = False
        if tick.kind & _QUOTE:
            book.take_quote(tick, self._now_ns)
            for order in list(book.waiting):
                if order.order_id in self.orders:
                    if not order.market:  # it arrived on a stale quote; this is the quote it was waiting for
                        book.remove(order)
                        order.waits = False
                        book.rest(order)
                    self._take(tick.instrument_id, book, order)
            for direction in (BUY, -BUY):
                self._quote_reaches(tick.instrument_id, book, direction)
        if tick.kind & _TRADE:
            self._trade_through(tick, book)

    def _submit(self, submit: Submit) -> None:
        book = self.books.setdefault(submit.instrument_id, Book())
        order = Resting(
            submit.order_id,
            submit.portfolio_id,
            submit.user_id,
            submit.direction,
            submit.market,
            submit.limit_ticks,
            submit.quantity_lots,
            self.seq,
            submit.expires_ns,
            waits=submit.market or not book.is_live(self._now_ns, QUOTE_MAX_AGE_NS),
        )
        self.orders[order.order_id] = (submit.instrument_id, order)
        book.rest(order)
        if self._may_fill(submit.instrument_id, order):
            self._take(submit.instrument_id, book, order)
        if order.order_id in self.orders:
            if submit.tif == "ioc":
                self._close(order.order_id, "cancelled", "ioc")
            elif order.remaining_lots == submit.quantity_lots:
                self._events.append(Working(order.order_id))

    def _may_fill(self, instrument_id: int, order: Resting) -> bool:
        return not self.halted or self.halted.isdisjoint(
            ("floor", f"user:{order.user_id}", f"instrument:{instrument_id}")
        )

    # Matching ------------------------------------------------------------------------------------------------------

    def _take(self, instrument_id: int, book: Book, order: Resting) -> None:
        """Trade as the taker against users' resting orders and the quote, best price first."""
        live = book.is_live(self._now_ns, QUOTE_MAX_AGE_NS)
        while order.remaining_lots and order.order_id in self.orders and self._may_fill(instrument_id, order):
            price, lots = book.outside(order.direction) if live else (0, 0)
            other = next((o for o in book.side(-order.direction) if self._may_fill(instrument_id, o)), None)
            inside = other is not None and (lots <= 0 or order.direction * (price - other.limit_ticks) >= 0)
            best = other.limit_ticks if inside and other is not None else price
            if not inside and lots <= 0:
                return
            if order.direction * (best - order.limit_ticks) > 0:
                if order.market:
                    self._close(order.order_id, "cancelled", "price_protection")
                return
            if inside and other is not None:
                if other.portfolio_id == order.portfolio_id:
                    self._close(order.order_id, "cancelled", "self_trade")
                    return
                traded = min(order.remaining_lots, other.remaining_lots)
                self._fill(book, order, best, traded, "taker", "internal_cross", other.remaining_lots)
                self._fill(book, other, best, traded, "maker", "internal_cross", order.remaining_lots + traded)
            else:
                traded = min(order.remaining_lots, lots)
                book.consume(order.direction, traded)
                self._fill(book, order, best, traded, "taker", "quote", lots)

    def _quote_reaches(self, instrument_id: int, book: Book, direction: int) -> None:
        """Resting orders that the opposite quote has come to fill at their own limit."""
        for order in list(book.side(direction)):
            price, lots = book.outside(direction)
            if lots <= 0 or direction * (price - order.limit_ticks) > 0:
                return
            if self._may_fill(instrument_id, order):
                traded = min(order.remaining_lots, lots)
                book.consume(direction, traded)
                self._fill(book, order, order.limit_ticks, traded, "maker", "quote_reached", lots)

    def _trade_through(self, tick: Tick, book: Book) -> None:
        """A trade beyond a resting order's limit would have met it first; the printed size is shared by priority."""
        left = tick.trade_lots
        for direction in (BUY, -BUY):
            for order in list(book.side(direction)):
                if left <= 0 or direction * (order.limit_ticks - tick.trade_ticks) <= 0:
                    break
                if self._may_fill(tick.instrument_id, order):
                    traded = min(order.remaining_lots, left)
                    left -= traded
                    self._fill(book, order, order.limit_ticks, traded, "maker", "trade_through", tick.trade_lots)

    def _fill(
        self, book: Book, order: Resting, price: int, lots: int, liquidity: Any, rule: str, displayed: int
    ) -> None:
        order.remaining_lots -= lots
        self._events.append(
            Filled(
                order.order_id,
                self._fills,
                price,
                lots,
                liquidity,
                rule,
                book.quote_seq,
                book.quote_ts_ns,
                book.bid_ticks,
                book.ask_ticks,
                displayed,
            )
        )
        self._fills += 1
        if order.remaining_lots == 0:
            book.remove(order)
            del self.orders[order.order_id]

    def _close(self, order_id: int, state: Any, reason: str) -> None:
        instrument_id, order = self.orders.pop(order_id)
        self.books[instrument_id].remove(order)
        self._events.append(Closed(order_id, state, reason))
