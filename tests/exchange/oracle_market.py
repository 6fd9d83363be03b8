"""Who trades with whom in the plain engine, and what the outside does to orders that rest."""

from typing import Any

from oracle_links import Links
from oracle_state import BUY, MAX, Book, Order


class Market(Links):
    @staticmethod
    def within(order: Order, price: int) -> bool:
        return price <= order.price if order.side == BUY else price >= order.price

    def offers(self, order: Order) -> list[tuple[int, int, int, Order | None]]:
        """What an order could meet, best first: (price, who first, lots, maker)."""
        book, other = self.book(order), 1 - order.side
        found: list[tuple[int, int, int, Order | None]] = [(o.price, 0, o.qty, o) for o in self.best_first(book, other)]
        if self.live(book):
            found += [(price, 1, lots, None) for price, (_, lots) in book.outside[other].items() if lots > 0]
        return sorted(found, key=lambda offer: (offer[0] if order.side == BUY else -offer[0], offer[1]))

    def would_take(self, order: Order) -> bool:
        offers = self.offers(order)
        return not self.book(order).closed and bool(offers) and self.within(order, offers[0][0])

    @staticmethod
    def same_owner(order: Order, maker: Order | None) -> bool:
        return maker is not None and order.owner != 0 and maker.owner == order.owner

    def can_fill(self, order: Order) -> bool:
        total, counted = 0, {}
        for price, _, lots, maker in self.offers(order):
            if not self.within(order, price) or self.same_owner(order, maker):
                break
            if maker is not None:
                lots = max(0, lots - counted.get(maker.sibling, 0))
                counted[maker] = lots
            total += lots
        return total >= order.qty

    def take(self, order: Order) -> None:
        """Trade with what is within the limit, best first."""
        book = self.book(order)
        while order.qty > 0:
            offers = self.offers(order)
            if not offers:
                return
            price, _, lots, maker = offers[0]
            if not self.within(order, price):
                if order.kind == "market":
                    self.end(order, "cancelled", "price_protection")
                return
            if self.same_owner(order, maker):
                return self.end(order, "cancelled", "self_trade")
            traded = min(order.qty, lots)
            order.qty -= traded
            rule, maker_id = ("cross", maker.id) if maker else ("quote", 0)
            self.tell("fill", rule, order.symbol, order.side, order.id, maker_id, price, traded, order.qty)
            if maker:
                maker.qty -= traded
                book.prices.append(price)
                book.last_trade = price
            else:
                book.outside[1 - order.side][price][1] -= traded
            self.filled(order, traded)
            if maker:
                self.filled(maker, traded)

    def enter(self, order: Order) -> None:
        """An order meets the market; what is left of it rests, waits or is cancelled."""
        book = self.book(order)
        if book.closed:
            return self.put(order, "waits")
        if order.kind == "fok" and not self.can_fill(order):
            return self.end(order, "cancelled", "fok")
        self.take(order)
        if order.where == "over" or order.qty == 0:
            return
        if order.kind == "ioc":
            self.end(order, "cancelled", "ioc")
        elif order.kind == "market" and not book.has_outside:
            self.end(order, "cancelled", "no_liquidity")
        elif order.kind == "market" or (book.has_outside and not self.live(book)):
            self.put(order, "waits")
        else:
            self.rest(order)

    def rest(self, order: Order) -> None:
        self.put(order, "book")
        levels = self.book(order).outside[order.side]
        order.ahead = 0
        if self.model == "queue" and levels:
            worst = min(levels) if order.side == BUY else max(levels)
            if order.price in levels:
                order.ahead = levels[order.price][1]
            elif (order.price < worst) if order.side == BUY else (order.price > worst):
                order.ahead = None

    # The outside ----------------------------------------------------------------------------------------------------

    def show(self, book: Book, side: int, price: int, qty: int) -> None:
        """One row about a level."""
        if qty:
            book.outside[side][price] = [qty, qty]
        else:
            book.outside[side].pop(price, None)
        if self.model == "queue":
            for order in book.sides[side]:
                if order.price == price:
                    order.ahead = qty if order.ahead is None else min(order.ahead, qty)

    def updated(self, book: Book) -> None:
        """The update is complete."""
        if self.model == "queue":
            for side in (0, 1):
                best = self.shown(book, side)
                for order in book.sides[side]:
                    if best is None or ((order.price > best) if side == BUY else (order.price < best)):
                        order.ahead = 0
        book.has_outside = True
        if book.gapped or book.closed:
            return
        book.fresh, book.received = True, self.now
        self.retry(book)
        for side in (0, 1):
            self.reach(book, side)

    def retry(self, book: Book) -> None:
        """Orders that waited meet the market, in the order in which they came."""
        for order in list(book.waiting):
            if order.where != "waits":
                continue
            if order.kind == "post_only" and self.would_take(order):
                self.end(order, "cancelled", "post_only")
                continue
            self.take(order)
            if order.where != "waits":
                continue
            if order.kind != "market":
                self.out(order)
                self.rest(order)
                self.say("rested", "now", order, order.price, order.qty, order.qty)
            elif not book.has_outside:
                self.end(order, "cancelled", "no_liquidity")

    def reach(self, book: Book, side: int) -> None:
        """Resting orders that the opposite outside has come to."""
        while book.sides[side]:
            first, price = self.best_first(book, side)[0], self.left(book, 1 - side)
            if price is None or not self.within(first, price):
                break
            level = book.outside[1 - side][price]
            level[1] -= self.fill_outside(first, level[1], "quote_reached")

    def fill_outside(self, order: Order, lots: int, rule: str) -> int:
        traded = min(order.qty, lots)
        order.qty -= traded
        self.tell("fill", rule, order.symbol, 1 - order.side, 0, order.id, order.price, traded, order.qty)
        self.filled(order, traded)
        return traded

    def printed(self, book: Book, price: int, lots: int) -> None:
        """A trade outside."""
        book.prices.append(price)
        book.last_trade = price
        for side in (0, 1):
            while lots > 0 and book.sides[side]:
                first = self.best_first(book, side)[0]
                beyond = price < first.price if side == BUY else price > first.price
                if not beyond and not (self.model == "touch" and price == first.price):
                    break
                lots -= self.fill_outside(first, lots, "trade")
            if self.model == "queue":
                lots = self.printed_at(book, side, price, lots)

    def printed_at(self, book: Book, side: int, price: int, lots: int) -> int:
        """The trade was at the limit of these orders: it is theirs once what stood before them has traded."""
        gone = 0
        for order in [o for o in book.sides[side] if o.price == price]:
            if order.where != "book":
                continue
            if order.ahead is None:
                break
            before = min(max(0, order.ahead - gone), lots)
            gone += before
            lots -= before
            if lots > 0:
                lots -= self.fill_outside(order, lots, "trade")
        for order in book.sides[side]:
            if order.price == price and order.ahead is not None:
                order.ahead -= min(order.ahead, gone)
        return lots

    def sizes_are_wrong(self, step: dict[str, Any], names: tuple[str, str]) -> bool:
        price, qty = (step[name] for name in names)
        if not -MAX <= price <= MAX:
            self.refuse(step, "bad_price")
        elif not 0 <= qty <= MAX:
            self.refuse(step, "bad_quantity")
        else:
            return False
        return True
