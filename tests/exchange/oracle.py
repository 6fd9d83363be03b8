"""A plain matching engine to hold the compiled one against: lists and sorting, nothing shared, nothing fast.

Give it inputs as dicts with `apply`; it tells what happened (see `oracle_state`).
"""

from typing import Any

from oracle_state import KINDS, MAX, NO_LIMIT, TRIGGERS, Event, Order
from oracle_triggers import Triggers

Step = dict[str, Any]


class Oracle(Triggers):
    def __init__(self, symbols: int, model: str = "through", waits: bool = False) -> None:
        super().__init__(symbols, model, waits)

    def apply(self, step: Step) -> list[Event]:
        """One row of an input. ``more``: rows of the same input follow."""
        self.events = []
        self.seq = step["seq"]
        self.now = max(self.now, step["ts_ns"])
        while due := [o for o in self.orders() if 0 < o.expires <= self.now]:
            self.end(min(due, key=lambda o: (o.expires, o.id)), "expired", "")
        getattr(self, step["op"])(step)
        return self.events

    # Orders ---------------------------------------------------------------------------------------------------------

    def add(self, step: Step) -> None:
        code = self.fault(step)
        if code:
            legs = self.named_legs(step) if step["link_kind"] == "entry" else []
            self.refuse(step, code)
            for leg in legs:
                self.end(leg, "cancelled", "entry_over")
        else:
            self.accept(step)
        if self.known(step["symbol"]) and not step["more"]:
            self.settle(self.books[step["symbol"]])

    @staticmethod
    def order_of(step: Step) -> Order:
        names = ("order_id", "owner", "symbol", "side", "kind", "price", "qty", "expires_ns")
        order = Order(*(step[name] for name in names))
        order.trigger = step["trigger"]
        if order.trigger == "stop":
            order.stop = step["stop_price"]
        elif order.trigger != "none":
            order.trail = step["trail"]
        return order

    def fault(self, step: Step) -> str:
        order = self.order_of(step)
        is_leg = step["link_kind"] in ("held", "held_oco")
        if not self.known(order.symbol):
            return "unknown_symbol"
        if order.id <= 0:
            return "bad_order_id"
        if order.side not in (0, 1):
            return "bad_side"
        if self.type_is_wrong(order, is_leg):
            return "bad_type"
        if self.price_is_wrong(order.kind, order.price):
            return "bad_price"
        if not 0 < order.qty <= MAX:
            return "bad_quantity"
        if self.stop_is_wrong(order, step):
            return "bad_stop"
        if order.expires and order.expires <= self.now:
            return "already_expired"
        if self.find(order.id):
            return "duplicate_order"
        if self.link_is_wrong(step):
            return "bad_link"
        if self.floor_halted or self.book(order).halted or order.owner in self.halted_owners:
            return "halted"
        if self.book(order).closed and order.kind in ("ioc", "fok"):
            return "closed"
        if order.kind == "post_only" and self.would_take(order):
            return "would_take"
        return ""

    @staticmethod
    def type_is_wrong(order: Order, is_leg: bool) -> bool:
        if order.kind not in KINDS or order.trigger not in TRIGGERS:
            return True
        if order.trigger == "none":
            return is_leg and order.kind != "limit"
        return order.kind != "market" and (order.kind != "limit" or order.trigger != "stop")

    @staticmethod
    def price_is_wrong(kind: str, price: int) -> bool:
        limit = NO_LIMIT if kind in ("market", "ioc", "fok") else MAX
        return not -limit <= price <= limit

    @staticmethod
    def stop_is_wrong(order: Order, step: Step) -> bool:
        if order.trigger == "stop":
            return not -MAX <= step["stop_price"] <= MAX
        most = {"trail_ticks": MAX, "trail_ppm": 999_999}.get(order.trigger)
        return most is not None and not 1 <= step["trail"] <= most

    def accept(self, step: Step) -> None:
        order, link = self.order_of(step), step["link_kind"]
        book = self.book(order)
        other = self.find(step["link"]) if link in ("oco", "held_oco") else None
        legs = self.named_legs(step) if link == "entry" else []
        if link in ("held", "held_oco"):
            code, order.planned, order.qty = "held", order.qty, 0
        elif order.trigger != "none":
            code = "pending"
        else:
            waits = book.closed or (book.has_outside and not self.live(book) and order.kind not in ("ioc", "fok"))
            code = "waits" if waits else "now"
        if link == "oco" and other is not None:
            order.qty = min(order.qty, other.qty)
        self.say("accepted", code, order, order.price, step["qty"], order.qty)
        order.arrival = self.event_seq
        if other is not None:
            order.sibling, other.sibling = other, order
        order.legs = legs
        for leg in legs:
            leg.entry = order
            leg.planned = min(leg.planned, order.qty)
        if code == "held":
            self.put(order, "held")
        else:
            self.activate(order)

    def cancel(self, step: Step) -> None:
        order = self.find(step["order_id"])
        if order:
            self.end(order, "cancelled", "requested")
        else:
            self.refuse(step, "unknown_order")

    def modify(self, step: Step) -> None:
        order = self.find(step["order_id"])
        if order is None:
            return self.refuse(step, "unknown_order")
        if self.price_is_wrong(order.kind, step["price"]):
            return self.refuse(step, "bad_price")
        if self.is_linked(order):
            if step["qty"] != order.qty:
                return self.refuse(step, "linked_quantity")
        elif not 0 < step["qty"] <= MAX:
            return self.refuse(step, "bad_quantity")
        if order.where in ("book", "waits"):
            self.modify_in_market(order, step)
        elif order.waits_for_trigger() and self.stop_is_wrong(order, step):
            self.refuse(step, "bad_stop")
        else:
            self.modify_in_wait(order, step)
        return self.settle(self.book(order))

    def modify_in_market(self, order: Order, step: Step) -> None:
        price, qty = step["price"], step["qty"]
        if price == order.price and qty <= order.qty:
            order.qty = qty
            return self.say("modified", "kept_place", order, price, qty, qty)
        asked = Order(order.id, order.owner, order.symbol, order.side, order.kind, price, qty, order.expires)
        if order.kind == "post_only" and self.would_take(asked):
            return self.refuse(step, "would_take")
        self.say("modified", "went_back", order, price, qty, qty)
        order.arrival = self.event_seq
        self.out(order)
        order.price, order.qty = price, qty
        return self.enter(order)

    def modify_in_wait(self, order: Order, step: Step) -> None:
        """Of an order that waits for its trigger or for its entry."""
        price, qty = step["price"], step["qty"]
        same = price == order.price and qty <= order.qty
        if order.waits_for_trigger():
            if order.trigger == "stop":
                same = same and order.stop == step["stop_price"]
                order.stop = step["stop_price"]
            else:
                same = same and order.trail == step["trail"]
                order.trail = step["trail"]
                if not same:
                    self.follow(order)
        order.price, order.qty = price, qty
        kept = same or order.where == "held"
        self.say("modified", "kept_place" if kept else "went_back", order, price, qty, qty)
        if not kept:
            order.arrival = self.event_seq

    # The outside ----------------------------------------------------------------------------------------------------

    def quote(self, step: Step) -> None:
        if not self.known(step["symbol"]):
            return self.refuse(step, "unknown_symbol")
        if self.sizes_are_wrong(step, ("price", "qty")) or self.sizes_are_wrong(step, ("ask_price", "ask_qty")):
            return None
        book = self.books[step["symbol"]]
        book.gapped = False
        for side, (price, qty) in enumerate((("price", "qty"), ("ask_price", "ask_qty"))):
            book.outside[side].clear()
            if step[qty]:
                self.show(book, side, step[price], step[qty])
        self.updated(book)
        return self.settle(book, updated=True)

    def depth(self, step: Step) -> None:
        if not self.known(step["symbol"]):
            return self.refuse(step, "unknown_symbol")
        if step["side"] not in (0, 1):
            return self.refuse(step, "bad_side")
        if self.sizes_are_wrong(step, ("price", "qty")):
            return None
        book = self.books[step["symbol"]]
        if step["reset"]:
            book.gapped = False
            for levels in book.outside:
                levels.clear()
        self.show(book, step["side"], step["price"], step["qty"])
        if step["more"]:
            return None
        self.updated(book)
        return self.settle(book, updated=True)

    def trade(self, step: Step) -> None:
        if not self.known(step["symbol"]):
            return self.refuse(step, "unknown_symbol")
        if self.sizes_are_wrong(step, ("price", "qty")):
            return None
        book = self.books[step["symbol"]]
        if not book.closed and step["qty"] > 0:
            self.printed(book, step["price"], step["qty"])
            self.settle(book)
        return None

    def gap(self, step: Step) -> None:
        if step["symbol"] != -1 and not self.known(step["symbol"]):
            return self.refuse(step, "unknown_symbol")
        for book in self.books if step["symbol"] == -1 else [self.books[step["symbol"]]]:
            book.fresh, book.gapped = False, True
        return None

    def time(self, step: Step) -> None:
        pass

    # Sessions and halts ---------------------------------------------------------------------------------------------

    def switch_is_wrong(self, step: Step) -> bool:
        if step["symbol"] != -1 and not self.known(step["symbol"]):
            self.refuse(step, "unknown_symbol")
        elif step["qty"] not in (0, 1):
            self.refuse(step, "bad_quantity")
        else:
            return False
        return True

    def session(self, step: Step) -> None:
        if self.switch_is_wrong(step):
            return
        for book in self.books if step["symbol"] == -1 else [self.books[step["symbol"]]]:
            was_closed, book.closed = book.closed, step["qty"] == 0
            if book.closed:
                book.fresh = False
            elif was_closed and not book.has_outside:
                self.retry(book)
                self.settle(book)

    def halt(self, step: Step) -> None:
        if self.switch_is_wrong(step):
            return
        on, symbol, owner = step["qty"] == 1, step["symbol"], step["owner"]
        if symbol >= 0:
            self.books[symbol].halted = on
        elif owner != 0:
            (self.halted_owners.add if on else self.halted_owners.discard)(owner)
        else:
            self.floor_halted = on
        for order in self.listed() if on else []:
            if order.symbol == symbol or (symbol == -1 and owner in (0, order.owner)):
                self.say("cancelled", "halted", order, order.price, 0, order.qty)
                self.out(order)
