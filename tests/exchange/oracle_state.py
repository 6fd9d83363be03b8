"""What the plain engine knows: orders, books of symbols, events. Lists and dicts, nothing shared, nothing fast.

Events are tuples: (input seq, name, code, symbol, side, order id, maker id, price, quantity, open quantity left).
"""

from dataclasses import dataclass, field
from typing import Any

MAX = 2**46
NO_LIMIT = 2**50
FIVE_SECONDS = 5_000_000_000
BUY, SELL = 0, 1
TRIGGERS = ("none", "stop", "trail_ticks", "trail_ppm")
LINKS = ("none", "oco", "held", "held_oco", "entry")
KINDS = ("limit", "market", "ioc", "fok", "post_only")

Event = tuple[int, str, str, int, int, int, int, int, int, int]


@dataclass(eq=False)
class Order:
    id: int
    owner: int
    symbol: int
    side: int
    kind: str
    price: int
    qty: int  # open lots
    expires: int
    where: str = ""  # book, waits, pending, held, over; "" while it is on its way between two of them
    arrival: int = 0
    ahead: int | None = 0  # outside lots before it in the queue; None is unknown
    trigger: str = "none"
    stop: int | None = None  # None: a trailing stop that has seen no price
    trail: int = 0
    mark: int | None = None
    latched: bool = False
    planned: int = 0  # lots an exit leg may still grow by
    sibling: "Order | None" = None
    entry: "Order | None" = None
    legs: list["Order"] = field(default_factory=list)
    ungrown: int = 0  # lots this entry filled that its legs have not grown by

    def waits_for_trigger(self) -> bool:
        return self.trigger != "none" and not self.latched


@dataclass
class Book:
    number: int
    has_outside: bool
    sides: tuple[list[Order], list[Order]] = field(default_factory=lambda: ([], []))
    waiting: list[Order] = field(default_factory=list)
    pending: list[Order] = field(default_factory=list)
    held: list[Order] = field(default_factory=list)
    # Of bids and of asks: price -> [displayed, left].
    outside: tuple[dict[int, list[int]], dict[int, list[int]]] = field(default_factory=lambda: ({}, {}))
    received: int = 0
    fresh: bool = False
    gapped: bool = False
    closed: bool = False
    halted: bool = False
    last_trade: int | None = None
    prices: list[int] = field(default_factory=list)  # traded since the last round
    filled: list[Order] = field(default_factory=list)  # entries that filled since the last round

    def queues(self) -> list[list[Order]]:
        return [*self.sides, self.waiting, self.pending, self.held]


class State:
    def __init__(self, symbols: int, model: str, waits: bool) -> None:
        self.books = [Book(number, waits) for number in range(symbols)]
        self.model = model
        self.floor_halted = False
        self.halted_owners: set[int] = set()
        self.now = self.seq = self.event_seq = 0
        self.events: list[Event] = []

    def book(self, order: Order) -> Book:
        return self.books[order.symbol]

    def known(self, symbol: int) -> bool:
        return 0 <= symbol < len(self.books)

    def orders(self) -> list[Order]:
        return [order for book in self.books for queue in book.queues() for order in queue]

    def find(self, order_id: int) -> Order | None:
        return next((order for order in self.orders() if order.id == order_id), None)

    def say(self, name: str, code: str, order: Order, price: int, qty: int, left: int) -> None:
        self.tell(name, code, order.symbol, order.side, order.id, 0, price, qty, left)

    def refuse(self, step: dict[str, Any], code: str) -> None:
        names = ("symbol", "side", "order_id")
        self.tell("rejected", code, *(step[name] for name in names), 0, step["price"], step["qty"], 0)

    def tell(self, name: str, code: str, *rest: int) -> None:
        self.event_seq += 1
        symbol, side, order_id, maker_id, price, qty, left = rest
        self.events.append((self.seq, name, code, symbol, side, order_id, maker_id, price, qty, left))

    def put(self, order: Order, where: str) -> None:
        book = self.book(order)
        queue = {"book": book.sides[order.side], "waits": book.waiting, "pending": book.pending, "held": book.held}
        queue[where].append(order)
        order.where = where

    def out(self, order: Order) -> None:
        for queue in self.book(order).queues():
            queue[:] = [other for other in queue if other is not order]
        order.where = ""

    def live(self, book: Book) -> bool:
        return not book.closed and book.fresh and self.now - book.received <= FIVE_SECONDS

    @staticmethod
    def best_first(book: Book, side: int) -> list[Order]:
        return sorted(book.sides[side], key=lambda o: -o.price if side == BUY else o.price)  # stable: time in a price

    @staticmethod
    def shown(book: Book, side: int) -> int | None:
        """Best price that the outside displays, though nothing may be left of it."""
        levels = book.outside[side]
        return None if not levels else max(levels) if side == BUY else min(levels)

    @staticmethod
    def left(book: Book, side: int) -> int | None:
        """Best price of the outside of which something is left."""
        prices = [price for price, (_, lots) in book.outside[side].items() if lots > 0]
        return None if not prices else max(prices) if side == BUY else min(prices)

    def listed(self) -> list[Order]:
        """Open orders as `open_orders` has them."""
        found = []
        for book in self.books:
            found += [*self.best_first(book, BUY), *self.best_first(book, SELL), *book.waiting]
            unset = 2**62
            for side, sign in ((BUY, 1), (SELL, -1)):
                pending = [order for order in book.pending if order.side == side]
                found += sorted(pending, key=lambda o: (unset if o.stop is None else sign * o.stop, o.arrival))
            found += sorted(book.held, key=lambda o: (o.arrival, o.id))
        return found
