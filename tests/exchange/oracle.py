"""A plain matching engine to hold the compiled one against: lists and sorting, nothing shared, nothing fast.

Events are tuples: (input seq, name, code, symbol, side, order id, maker id, price, quantity, open quantity left).
"""

from dataclasses import dataclass, field
from typing import Any

MAX = 2**46
NO_LIMIT = 2**50
FIVE_SECONDS = 5_000_000_000


@dataclass
class Order:
    id: int
    owner: int
    symbol: int
    side: int
    kind: str
    price: int
    qty: int
    expires: int


@dataclass
class Book:
    sides: list[list[Order]] = field(default_factory=lambda: [[], []])
    waiting: list[Order] = field(default_factory=list)
    quote: list[list[int]] = field(default_factory=lambda: [[0, 0], [0, 0]])  # [price, left] of bid and of ask
    received: int = 0
    fresh: bool = False
    has_outside: bool = False


class Oracle:
    def __init__(self, symbols: int, touch: bool = False, waits: bool = False) -> None:
        self.books = [Book(has_outside=waits) for _ in range(symbols)]
        self.touch = touch
        self.now = 0
        self.seq = 0
        self.events: list[tuple[Any, ...]] = []

    def orders(self) -> list[Order]:
        return [o for b in self.books for o in [*b.sides[0], *b.sides[1], *b.waiting]]

    def find(self, order_id: int) -> Order | None:
        return next((o for o in self.orders() if o.id == order_id), None)

    def apply(self, step: dict[str, Any]) -> list[tuple[Any, ...]]:
        self.events = []
        self.seq = step["seq"]
        self.now = max(self.now, step["ts_ns"])
        for order in sorted((o for o in self.orders() if 0 < o.expires <= self.now), key=lambda o: (o.expires, o.id)):
            self.end(order, "expired", "")
        getattr(self, step["op"])(step)
        return self.events

    def say(self, name: str, code: str, o: Order, price: int, qty: int, left: int) -> None:
        self.events.append((self.seq, name, code, o.symbol, o.side, o.id, 0, price, qty, left))

    def refuse(self, step: dict[str, Any], code: str) -> None:
        self.events.append(
            (self.seq, "rejected", code, step["symbol"], step["side"], step["order_id"], 0, step["price"],
             step["qty"], 0)
        )  # fmt: skip

    def end(self, order: Order, name: str, code: str) -> None:
        self.say(name, code, order, order.price, 0, order.qty)
        self.out(order)

    def out(self, order: Order) -> None:
        book = self.books[order.symbol]
        for queue in [*book.sides, book.waiting]:
            queue[:] = [o for o in queue if o is not order]

    def live(self, book: Book) -> bool:
        return book.fresh and self.now - book.received <= FIVE_SECONDS

    def best_first(self, book: Book, side: int) -> list[Order]:
        return sorted(book.sides[side], key=lambda o: -o.price if side == 0 else o.price)  # stable: time within a price

    def offers(self, order: Order) -> list[tuple[int, int, int, Order | None]]:
        """What an order could take within its limit, best first: (price, who first, lots, maker)."""
        book, other = self.books[order.symbol], 1 - order.side
        found: list[tuple[int, int, int, Order | None]] = [(o.price, 0, o.qty, o) for o in self.best_first(book, other)]
        price, left = book.quote[other]
        if self.live(book) and left > 0:
            found.append((price, 1, left, None))
        found.sort(key=lambda offer: (offer[0] if order.side == 0 else -offer[0], offer[1]))
        return found

    def within(self, order: Order, price: int) -> bool:
        return price <= order.price if order.side == 0 else price >= order.price

    def would_take(self, order: Order) -> bool:
        return any(self.within(order, price) for price, _, _, _ in self.offers(order))

    def take(self, order: Order) -> bool:
        """Trade; True where the order is over."""
        book = self.books[order.symbol]
        for price, _, lots, maker in self.offers(order):
            if not self.within(order, price):
                if order.kind == "market":
                    self.say("cancelled", "price_protection", order, order.price, 0, order.qty)
                    return True
                return False
            if maker is not None and order.owner and maker.owner == order.owner:
                self.say("cancelled", "self_trade", order, order.price, 0, order.qty)
                return True
            traded = min(order.qty, lots)
            order.qty -= traded
            rule, maker_id = ("cross", maker.id) if maker else ("quote", 0)
            self.events.append(
                (self.seq, "fill", rule, order.symbol, order.side, order.id, maker_id, price, traded, order.qty)
            )
            if maker:
                maker.qty -= traded
                if not maker.qty:
                    self.out(maker)
            else:
                book.quote[1 - order.side][1] -= traded
            if not order.qty:
                return True
        return False

    def can_fill(self, order: Order) -> bool:
        total = 0
        for price, _, lots, maker in self.offers(order):
            if not self.within(order, price) or (maker and order.owner and maker.owner == order.owner):
                break
            total += lots
        return total >= order.qty

    def enter(self, order: Order) -> None:
        book = self.books[order.symbol]
        if order.kind == "fok" and not self.can_fill(order):
            self.say("cancelled", "fok", order, order.price, 0, order.qty)
        elif self.take(order):
            return
        elif order.kind == "ioc":
            self.say("cancelled", "ioc", order, order.price, 0, order.qty)
        elif order.kind == "market" and not book.has_outside:
            self.say("cancelled", "no_liquidity", order, order.price, 0, order.qty)
        elif order.kind == "market" or (book.has_outside and not self.live(book)):
            book.waiting.append(order)
        else:
            book.sides[order.side].append(order)

    def add(self, step: dict[str, Any]) -> None:
        limit = NO_LIMIT if step["kind"] in ("market", "ioc", "fok") else MAX
        order = Order(step["order_id"], step["owner"], step["symbol"], step["side"], step["kind"], step["price"],
                      step["qty"], step["expires_ns"])  # fmt: skip
        if not 0 <= order.symbol < len(self.books):
            return self.refuse(step, "unknown_symbol")
        if order.id <= 0:
            return self.refuse(step, "bad_order_id")
        if not -limit <= order.price <= limit:
            return self.refuse(step, "bad_price")
        if not 0 < order.qty <= MAX:
            return self.refuse(step, "bad_quantity")
        if order.expires and order.expires <= self.now:
            return self.refuse(step, "already_expired")
        if self.find(order.id):
            return self.refuse(step, "duplicate_order")
        if order.kind == "post_only" and self.would_take(order):
            return self.refuse(step, "would_take")
        book = self.books[order.symbol]
        waits = book.has_outside and not self.live(book) and order.kind not in ("ioc", "fok")
        self.say("accepted", "waits" if waits else "now", order, order.price, order.qty, order.qty)
        self.enter(order)
        return None

    def cancel(self, step: dict[str, Any]) -> None:
        order = self.find(step["order_id"])
        if order:
            self.end(order, "cancelled", "requested")
        else:
            self.refuse(step, "unknown_order")

    def modify(self, step: dict[str, Any]) -> None:
        order = self.find(step["order_id"])
        if not order:
            return self.refuse(step, "unknown_order")
        limit = NO_LIMIT if order.kind == "market" else MAX
        if not -limit <= step["price"] <= limit:
            return self.refuse(step, "bad_price")
        if not 0 < step["qty"] <= MAX:
            return self.refuse(step, "bad_quantity")
        new = Order(order.id, order.owner, order.symbol, order.side, order.kind, step["price"], step["qty"],
                    order.expires)  # fmt: skip
        if order.price == new.price and new.qty <= order.qty:
            order.qty = new.qty
            self.say("modified", "kept_place", order, order.price, order.qty, order.qty)
            return None
        if order.kind == "post_only" and self.would_take(new):
            return self.refuse(step, "would_take")
        self.say("modified", "went_back", order, new.price, new.qty, new.qty)
        self.out(order)
        self.enter(new)
        return None

    def sizes_are_wrong(self, step: dict[str, Any], names: tuple[str, str]) -> bool:
        price, qty = (step[name] for name in names)
        if not -MAX <= price <= MAX:
            self.refuse(step, "bad_price")
        elif not 0 <= qty <= MAX:
            self.refuse(step, "bad_quantity")
        else:
            return False
        return True

    def quote(self, step: dict[str, Any]) -> None:
        if not 0 <= step["symbol"] < len(self.books):
            return self.refuse(step, "unknown_symbol")
        if self.sizes_are_wrong(step, ("price", "qty")) or self.sizes_are_wrong(step, ("ask_price", "ask_qty")):
            return None
        book = self.books[step["symbol"]]
        book.fresh = book.has_outside = True
        book.received = self.now
        book.quote = [[step["price"], step["qty"]], [step["ask_price"], step["ask_qty"]]]
        for order in list(book.waiting):
            if order.kind == "post_only" and self.would_take(order):
                self.end(order, "cancelled", "post_only")
            elif self.take(order):
                self.out(order)
            elif order.kind != "market":
                self.out(order)
                book.sides[order.side].append(order)
                self.say("rested", "now", order, order.price, order.qty, order.qty)
        for side in (0, 1):
            shown = book.quote[1 - side]
            for order in self.best_first(book, side):
                if shown[1] > 0 and self.within(order, shown[0]):
                    shown[1] -= self.filled_outside(order, shown[1], "quote_reached")
        return None

    def filled_outside(self, order: Order, lots: int, rule: str) -> int:
        traded = min(order.qty, lots)
        order.qty -= traded
        self.events.append(
            (self.seq, "fill", rule, order.symbol, 1 - order.side, 0, order.id, order.price, traded, order.qty)
        )
        if not order.qty:
            self.out(order)
        return traded

    def trade(self, step: dict[str, Any]) -> None:
        if not 0 <= step["symbol"] < len(self.books):
            return self.refuse(step, "unknown_symbol")
        if self.sizes_are_wrong(step, ("price", "qty")):
            return None
        left, price = step["qty"], step["price"]
        for side in (0, 1):
            for order in self.best_first(self.books[step["symbol"]], side):
                beyond = price < order.price if side == 0 else price > order.price
                if left > 0 and (beyond or (self.touch and price == order.price)):
                    left -= self.filled_outside(order, left, "trade")
        return None

    def gap(self, step: dict[str, Any]) -> None:
        if step["symbol"] == -1:
            for book in self.books:
                book.fresh = False
        elif not 0 <= step["symbol"] < len(self.books):
            self.refuse(step, "unknown_symbol")
        else:
            self.books[step["symbol"]].fresh = False

    def time(self, step: dict[str, Any]) -> None:
        pass
