"""Stops in the plain engine: what they look at, and the rounds in which an input's consequences settle."""

from oracle_market import Market
from oracle_state import BUY, SELL, Book, Order


class Triggers(Market):
    def activate(self, order: Order) -> None:
        """A new order, or one that has got its size: it waits for its trigger or meets the market."""
        if not order.waits_for_trigger():
            return self.enter(order)
        self.put(order, "pending")
        if order.trigger != "stop":
            order.stop, order.mark = None, self.first_mark(order)
            self.follow(order)
        return None

    def first_mark(self, order: Order) -> int | None:
        book = self.book(order)
        if book.last_trade is not None:
            return book.last_trade
        return self.shown(book, 1 - order.side) if self.live(book) else None

    @staticmethod
    def follow(order: Order) -> None:
        """Set a trailing stop by its mark."""
        if order.mark is not None:
            part = abs(order.mark) * order.trail // 1_000_000
            offset = order.trail if order.trigger == "trail_ticks" else max(1, part)
            order.stop = order.mark - offset if order.side == SELL else order.mark + offset

    def settle(self, book: Book, updated: bool = False) -> None:
        """Triggers and exit legs, until nothing follows any more. ``updated``: the input completed what is shown."""
        quoted = updated and book.last_trade is None and self.live(book)
        while True:
            prices, book.prices = book.prices, []
            # What buys and what sells look at: [lowest, highest].
            seen: list[tuple[int, int] | None] = [None, None]
            if prices:
                seen = [(min(prices), max(prices))] * 2
            elif quoted:
                shown = [self.left(book, SELL), self.left(book, BUY)]
                seen = [None if price is None else (price, price) for price in shown]
            if not book.filled and seen == [None, None]:
                return
            quoted = False
            met = self.met(book, seen)
            for order in met:
                self.out(order)
            for order in book.pending:
                self.trail_on(order, seen[order.side])
            for order in met:
                if order.where == "" and order.qty > 0:
                    order.latched = True
                    self.say("triggered", "trade" if prices else "quote", order, order.stop or 0, order.qty, order.qty)
                    self.enter(order)
            entries, book.filled = book.filled, []
            self.grow_legs(entries)

    @staticmethod
    def met(book: Book, seen: list[tuple[int, int] | None]) -> list[Order]:
        found = []
        for side in (BUY, SELL):
            if (range_ := seen[side]) is None:
                continue
            low, high = range_
            hit = [o for o in book.pending if o.side == side and o.stop is not None]
            hit = [o for o in hit if (o.stop <= high if side == BUY else o.stop >= low)]
            found += sorted(hit, key=lambda o: (o.stop if side == BUY else -o.stop, o.arrival))
        return found

    def trail_on(self, order: Order, seen: tuple[int, int] | None) -> None:
        if order.trigger == "stop" or seen is None:
            return
        low, high = seen
        before = order.stop
        if order.side == SELL:
            order.mark = high if order.mark is None else max(order.mark, high)
        else:
            order.mark = low if order.mark is None else min(order.mark, low)
        self.follow(order)
        if before is not None and order.stop is not None:
            order.stop = max(before, order.stop) if order.side == SELL else min(before, order.stop)
