"""What must hold after each input, judged from the events and the open orders alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from oracle_state import Event


@dataclass
class Together:
    """Two orders of which one alone may fill: what they may fill together, what they have, and who they are."""

    may: int
    ids: tuple[int, int]
    have: int = 0


class Watch:
    """Give it what each input, or each batch of inputs, caused."""

    def __init__(self) -> None:
        self.event_seq = 0
        self.open_lots: dict[int, int] = {}
        self.rank: dict[int, int] = {}  # number of the event by which an order last took its place
        self.siblings: dict[int, Together] = {}
        self.entries: dict[int, int] = {}  # of a leg: its entry, though that may be over
        self.filled: dict[int, int] = {}

    def take(self, numbers: Sequence[int], events: Sequence[Event], open_orders: Sequence[dict[str, Any]]) -> None:
        """``numbers`` of the events, the events, and the open orders after them. Raises AssertionError."""
        for number, event in zip(numbers, events, strict=True):
            self.event_seq += 1
            assert number == self.event_seq, "events are numbered without a hole"
            self.count(number, event)
        kept = {row["order_id"]: row["qty"] for row in open_orders}
        assert len(kept) == len(open_orders), "an order is in two places"
        counted = {order_id: lots for order_id, lots in self.open_lots.items() if lots}
        assert {order_id: lots for order_id, lots in kept.items() if lots} == counted, "lots are conserved"
        self.open_lots = {order_id: self.open_lots[order_id] for order_id in kept}
        self.check_books(open_orders)
        self.note_links(open_orders)

    def count(self, number: int, event: Event) -> None:
        _, name, code, _, _, order_id, maker_id, _, qty, left = event
        if name == "accepted":
            assert self.open_lots.get(order_id, 0) == 0, "an id in use is refused"
            self.open_lots[order_id] = left
            self.filled[order_id] = 0
            # The number means another order from here on.
            for one in [order_id, *(leg for leg, entry in self.entries.items() if entry == order_id)]:
                self.siblings.pop(one, None)
                self.entries.pop(one, None)
        elif name == "fill":
            assert qty > 0, "a fill has lots"
            for one in filter(None, (order_id, maker_id)):
                self.open_lots[one] -= qty
                self.filled[one] += qty
                assert self.open_lots[one] >= 0, "more than was open"
                if together := self.siblings.get(one):
                    together.have += qty
                    assert together.have <= self.allowed(together), "both legs fill no more than one may"
            assert left == self.open_lots[order_id or maker_id], "left is what is open"
        elif name in ("cancelled", "expired"):
            assert self.open_lots.pop(order_id) == left, "what is cancelled was open"
        elif name == "sized":
            self.open_lots[order_id] += qty if code == "grown" else -qty
            assert self.open_lots[order_id] == left, "left is what is open"
        elif name == "modified":
            if left > self.open_lots[order_id]:
                self.siblings.pop(order_id, None)
            self.open_lots[order_id] = left
        if name in ("accepted", "rested", "triggered") or code in ("went_back", "grown"):
            self.rank[order_id] = number

    def allowed(self, together: Together) -> int:
        """Legs of an entry may fill together what it has filled since they hang on it."""
        entries = {self.entries[one] for one in together.ids if one in self.entries}
        if not entries:
            return together.may
        return max(self.filled[entry] for entry in entries)

    def note_links(self, open_orders: Sequence[dict[str, Any]]) -> None:
        by_id = {row["order_id"]: row for row in open_orders}
        for order_id, row in by_id.items():
            sibling = row["sibling_id"]
            if row["entry_id"] and order_id not in self.entries:
                self.entries[order_id] = row["entry_id"]
            if sibling:
                assert by_id[sibling]["sibling_id"] == order_id, "siblings know each other"
                ids = (min(order_id, sibling), max(order_id, sibling))
                known = self.siblings.get(order_id)
                if known is None or known.ids != ids:
                    may = max(row["qty"] + row["planned"], by_id[sibling]["qty"] + by_id[sibling]["planned"])
                    together = Together(may, ids)
                    self.siblings[order_id] = self.siblings[sibling] = together
        for gone in set(self.siblings) - set(by_id):
            del self.siblings[gone]
        for gone in set(self.entries) - set(by_id):
            del self.entries[gone]
        self.rank = {order_id: rank for order_id, rank in self.rank.items() if order_id in by_id}

    @staticmethod
    def book(open_orders: Sequence[dict[str, Any]]) -> dict[tuple[int, int], list[dict[str, Any]]]:
        found: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for row in open_orders:
            if row["where"] == 0:
                found.setdefault((row["symbol"], row["side"]), []).append(row)
        return found

    def check_books(self, open_orders: Sequence[dict[str, Any]]) -> None:
        sides = self.book(open_orders)
        for (symbol, side), rows in sides.items():
            sign = -1 if side == 0 else 1
            order = [(sign * row["price"], self.rank[row["order_id"]]) for row in rows]
            assert all(one < other for one, other in pairwise(order)), "by price, then by time"
            other = sides.get((symbol, 1 - side))
            if side == 0 and other:
                assert rows[0]["price"] < other[0]["price"], "users' books do not cross"
