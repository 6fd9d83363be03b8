"""Orders that hang together in the plain engine: pairs of which one alone may fill, and exits sized by their entry."""

from typing import Any

from oracle_state import LINKS, Order, State


class Links(State):
    def activate(self, order: Order) -> None:
        raise NotImplementedError

    def named_legs(self, step: dict[str, Any]) -> list[Order]:
        """The legs that a new entry names, none where it names them wrongly."""
        first = self.find(step["link"])
        if first is None:
            return []
        legs = [first] + ([first.sibling] if first.sibling else [])
        for leg in legs:
            strange = (leg.symbol, leg.owner) != (step["symbol"], step["owner"]) or leg.owner == 0
            if strange or leg.where != "held" or leg.entry or leg.side != 1 - step["side"]:
                return []
        return legs

    def link_is_wrong(self, step: dict[str, Any]) -> bool:
        link = step["link_kind"]
        if link == "none":
            return False
        if link not in LINKS or step["owner"] == 0:
            return True
        if link == "held":
            return False
        if link == "entry":
            return not self.named_legs(step)
        other = self.find(step["link"])
        if other is None or other.sibling or (other.symbol, other.owner) != (step["symbol"], step["owner"]):
            return True
        if link == "held_oco":
            return other.where != "held" or other.entry is not None
        return other.qty == 0

    def is_linked(self, order: Order) -> bool:
        has_legs = any(leg.entry is order and leg.where != "over" for leg in order.legs)
        return order.where == "held" or order.sibling is not None or order.entry is not None or has_legs

    def end(self, order: Order, name: str, code: str) -> None:
        """An order is over without a fill."""
        self.say(name, code, order, order.price, 0, order.qty)
        self.out(order)
        order.where = "over"
        sibling = self.part(order)
        if sibling and (name == "expired" or code == "requested"):
            self.end(sibling, "cancelled", "oco")
        self.let_legs_go(order)

    def part(self, order: Order) -> Order | None:
        sibling, order.sibling = order.sibling, None
        if sibling:
            sibling.sibling = None
        return sibling

    def let_legs_go(self, entry: Order) -> None:
        """The entry is over: its legs get what it has filled and no more."""
        for leg in entry.legs:
            if leg.entry is entry and leg.where != "over":
                leg.entry = None
                leg.planned = min(leg.planned, entry.ungrown)
                if leg.qty == 0 and leg.planned == 0:
                    self.end(leg, "cancelled", "entry_over")

    def filled(self, order: Order, lots: int) -> None:
        """What follows from a fill of an order whose quantity has been taken down and told."""
        if order.legs:
            order.ungrown += lots
            filled = self.book(order).filled
            if order not in filled:
                filled.append(order)
        sibling = order.sibling
        if order.qty == 0:
            self.emptied(order)
        if sibling:
            self.shrink(sibling, lots)

    def emptied(self, order: Order) -> None:
        self.out(order)
        if order.planned:
            if order.waits_for_trigger() and order.trigger != "stop":
                order.stop = order.mark = None
            self.put(order, "held")
        else:
            order.where = "over"
            self.part(order)
            self.let_legs_go(order)

    def shrink(self, order: Order, lots: int) -> None:
        change = min(lots, order.qty)
        if change == order.qty and order.planned == 0:
            self.end(order, "cancelled", "oco")
        elif change:
            order.qty -= change
            self.say("sized", "shrunk", order, order.price, change, order.qty)
            if order.qty == 0:
                self.emptied(order)

    def grow_legs(self, entries: list[Order]) -> None:
        """First all legs get their size, so that one that fills at once can shrink its sibling; then they enter."""
        enter = []
        for entry in entries:
            lots, entry.ungrown = entry.ungrown, 0
            for leg in entry.legs:
                grown = min(lots, leg.planned)
                if leg.where == "over" or grown == 0:
                    continue
                leg.planned -= grown
                leg.qty += grown
                self.say("sized", "grown", leg, leg.price, grown, leg.qty)
                if leg.where == "held":
                    leg.arrival = self.event_seq
                if leg.where != "pending":
                    self.out(leg)
                    enter.append(leg)
        for leg in enter:
            if leg.where == "":
                self.activate(leg)
