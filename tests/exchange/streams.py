"""Random streams of inputs: a few prices, a few owners, many orders that hang together, and a market that misbehaves.

A stream does not look at any engine. It remembers what it asked for, so that most of its cancels, changes and links
name orders that may be there.
"""

from collections import deque
from typing import Any

import numpy as np
from oracle_state import NO_LIMIT

Step = dict[str, Any]

MS = 1_000_000
BLANK: Step = {
    "order_id": 0, "owner": 0, "price": 0, "qty": 0, "ask_price": 0, "ask_qty": 0, "expires_ns": 0, "stop_price": 0,
    "trail": 0, "link": 0, "symbol": 0, "side": 0, "kind": "limit", "trigger": "none", "link_kind": "none",
    "more": False, "reset": False,
}  # fmt: skip
KINDS = ["limit"] * 7 + ["market", "ioc", "fok", "fok", "post_only"]
FAR = [4095, 4096, 4097, 8191, 8192, 20_000, 10**9]


class Dice:
    """Draws out of a numpy generator, a block at a time."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._block: list[float] = []

    def part(self) -> float:
        """Uniform in [0, 1)."""
        if not self._block:
            self._block = self._rng.random(4096).tolist()
        return self._block.pop()

    def chance(self, p: float) -> bool:
        return self.part() < p

    def whole(self, low: int, high: int) -> int:
        """Uniform in low..high, both ends possible."""
        return low + int(self.part() * (high - low + 1))

    def one(self, of: Any) -> Any:
        return of[int(self.part() * len(of))]


class Stream:
    """`step` gives the rows of the next input, all of one number."""

    def __init__(self, seed: int, symbols: int = 3) -> None:
        self.dice, self.symbols = Dice(seed), symbols
        d = self.dice
        self.seq = self.ts_ns = self.last_id = 0
        self.mids = [d.one([0, 100, 50_000, -3_000_000]) for _ in range(symbols)]
        self.spread = d.one([3, 3, 10, 40])
        self.speed = d.one([0, 0, 1, 30, 700])
        self.owners = d.one([2, 4, 6])
        self.silence = d.chance(0.5)
        # Of each symbol how the outside comes: quotes, levels, both, or not at all.
        self.feeds = [d.one(["quote", "depth", "both", "none"]) for _ in range(symbols)]
        # In a quiet symbol nothing ever trades, so that its stops look at quotes: one owner has all the orders.
        self.quiet = [d.chance(0.25) for _ in range(symbols)]
        self.asked: deque[Step] = deque([{**BLANK, "order_id": 1}], maxlen=60)
        # Of each symbol (side, price) of orders and levels named lately, where others join them.
        self.places: list[deque[tuple[int, int]]] = [deque([(0, mid)], maxlen=10) for mid in self.mids]
        self.switched: list[Step] = []  # closings and halts that nothing has undone yet

    def step(self) -> list[Step]:
        d = self.dice
        self.seq += 1
        self.ts_ns += d.one([0, MS, 20 * MS])
        if self.silence and d.chance(0.01):
            self.ts_ns += 6_000 * MS
        symbol = d.whole(0, self.symbols - 1)
        self.mids[symbol] += d.whole(-self.speed, self.speed)
        rows = self.rows(symbol)
        for at, row in enumerate(rows):
            row.update({"seq": self.seq, "ts_ns": self.ts_ns, "more": at < len(rows) - 1})
            if row["op"] == "add" and 0 <= row["symbol"] < self.symbols and row["side"] in (0, 1):
                self.asked.append(row)
        return rows

    def rows(self, symbol: int) -> list[Step]:
        d = self.dice
        if self.switched and d.chance(0.06):
            return [{**self.switched.pop(d.whole(0, len(self.switched) - 1))}]
        what = d.part()
        if what < 0.28:
            return [self.plain(symbol)]
        if what < 0.36:
            return [self.stop(self.plain(symbol))]
        if what < 0.50:
            return self.linked(symbol)
        if what < 0.64:
            return [{**BLANK, "op": "cancel", "order_id": self.old()["order_id"]}]
        if what < 0.74:
            return [self.change()]
        if what < 0.755:
            return [self.wrong(symbol)]
        if what < 0.762:
            return [self.switch(symbol)]
        if what < 0.90 and self.feeds[symbol] != "none":
            return self.outside(symbol)
        if what < 0.985 and not self.quiet[symbol]:
            price = d.one(self.places[symbol])[1] if d.chance(0.6) else self.price(symbol)
            return [{**BLANK, "op": "trade", "symbol": symbol, "price": price, "qty": d.whole(0, 40)}]
        if what < 0.99:
            return [{**BLANK, "op": "gap", "symbol": d.one([symbol, symbol, -1, self.symbols])}]
        return [{**BLANK, "op": "time"}]

    def price(self, symbol: int) -> int:
        d = self.dice
        if d.chance(0.02):
            return int(self.mids[symbol] + d.one([-1, 1]) * d.one(FAR))
        return self.mids[symbol] + d.whole(-self.spread, self.spread)

    def passive(self, symbol: int, side: int) -> int:
        """A price that would not trade in an orderly market."""
        distance = self.dice.whole(0, self.spread)
        return self.mids[symbol] + (distance if side == 1 else -1 - distance)

    # Orders ---------------------------------------------------------------------------------------------------------

    def old(self, last: int = 60) -> Step:
        """An order asked for before, sooner a late one."""
        return self.asked[-1 - int(min(last, len(self.asked)) * self.dice.part() ** 2)]

    def new_id(self) -> int:
        self.last_id += 1
        return self.old()["order_id"] if self.dice.chance(0.01) else self.last_id * 7 % 100_003 + 1

    def plain(self, symbol: int, kinds: list[str] = KINDS) -> Step:
        d = self.dice
        kind, side, price = d.one(kinds), d.whole(0, 1), self.price(symbol)
        if kind in ("limit", "post_only"):
            if d.chance(0.5):
                side, price = d.one(self.places[symbol])
            elif d.chance(0.5):
                price = self.passive(symbol, side)
            self.places[symbol].append((side, price))
        else:
            linked = [o for o in self.asked if o["symbol"] == symbol and o["link_kind"] != "none"]
            if linked and d.chance(0.7):
                side = 1 - linked[-1 - int(len(linked[-8:]) * d.part())]["side"]
            if d.chance(0.6):
                price = NO_LIMIT if side == 0 else -NO_LIMIT
        lasts = d.one([0, 1, 500, 9000]) if d.chance(0.1) else None
        owner = 1 if self.quiet[symbol] else d.whole(0, self.owners)
        qty = d.whole(1, 12 if kind == "fok" else 50)  # some of those must find enough
        return {
            **BLANK, "op": "add", "symbol": symbol, "order_id": self.new_id(), "owner": owner, "side": side,
            "kind": kind, "price": price, "qty": qty,
            "expires_ns": 0 if lasts is None else self.ts_ns + lasts * MS,
        }  # fmt: skip

    def stop(self, step: Step) -> Step:
        """Turn a new order into one that waits for its trigger."""
        d = self.dice
        trigger = d.one(["stop", "stop", "stop", "trail_ticks", "trail_ppm"])
        kind = "market" if trigger != "stop" or d.chance(0.6) else "limit"
        if kind == "limit" and abs(step["price"]) == NO_LIMIT:
            step["price"] = self.price(step["symbol"])
        elif kind == "market" and d.chance(0.7):
            step["price"] = NO_LIMIT if step["side"] == 0 else -NO_LIMIT
        ppm = d.one([1, 20, 2_000, 30_000, 999_999])
        trail = ppm if trigger == "trail_ppm" else d.whole(1, self.spread)
        return {**step, "trigger": trigger, "kind": kind, "stop_price": self.price(step["symbol"]), "trail": trail}

    def linked(self, symbol: int) -> list[Step]:
        d = self.dice
        what = d.part()
        if what < 0.35:
            other = self.old(20)
            second = self.plain(other["symbol"])
            if d.chance(0.4):
                second = self.stop(second)
            if d.chance(0.7):
                second["side"] = other["side"]
            return [{**second, "owner": other["owner"], "link_kind": "oco", "link": other["order_id"]}]
        if what < 0.48:
            return self.pair(symbol)
        if what < 0.95:
            return self.bracket(symbol)
        other = self.old(6)
        link = d.one(["oco", "held", "held_oco", "entry", "entry", "?"])
        owner = other["owner"] if d.chance(0.8) else d.whole(0, self.owners)
        made = self.plain(other["symbol"] if d.chance(0.8) else symbol)
        if d.chance(0.5):
            made = self.stop(made)
        side = 1 - other["side"] if link == "entry" and d.chance(0.8) else other["side"]
        return [{**made, "owner": owner, "side": side, "link_kind": link, "link": other["order_id"]}]

    def pair(self, symbol: int) -> list[Step]:
        """A stop and a limit, or two limits, of which one alone may fill, sent together."""
        first = self.plain(symbol, ["limit"])
        if self.dice.chance(0.5):
            first = self.stop(first)
        second = self.plain(symbol, ["limit"])
        both = {"owner": max(1, first["owner"]), "side": first["side"]}
        return [{**first, **both}, {**second, **both, "link_kind": "oco", "link": first["order_id"]}]

    def bracket(self, symbol: int) -> list[Step]:
        """Exit legs, then their entry."""
        d = self.dice
        entry = self.plain(symbol)
        if d.chance(0.15):
            entry = self.stop(entry)
        owner, side, qty = max(1, entry["owner"]), 1 - entry["side"], entry["qty"]
        legs = []
        for at in range(2 if d.chance(0.85) else 1):
            leg = self.plain(symbol, ["limit"])
            if at == 1 or d.chance(0.3):
                leg = self.stop(leg)
            # Now and then a leg is planned smaller or larger than its entry.
            planned = qty if d.chance(0.8) else d.whole(1, 60)
            leg.update({"owner": owner, "side": side, "qty": planned, "link_kind": "held"})
            legs.append(leg)
        if len(legs) == 2:
            legs[1].update({"link_kind": "held_oco", "link": legs[0]["order_id"]})
        named = legs[0] if d.chance(0.95) else legs[-1]
        entry.update({"owner": owner, "link_kind": "entry", "link": named["order_id"]})
        return [*legs, entry]

    def change(self) -> Step:
        """A change of an order: of everything, or of nothing but its quantity."""
        d = self.dice
        old = self.old(30)
        names = ("order_id", "price", "stop_price", "trail")
        step = {**BLANK, "op": "modify", **{name: old[name] for name in names}}
        step["qty"] = d.one([old["qty"], old["qty"], 0, d.whole(1, 60), d.whole(1, max(1, old["qty"]))])
        if d.chance(0.6):
            step["price"] = self.price(old["symbol"])
        if d.chance(0.4):
            step["stop_price"] = self.price(old["symbol"]) if d.chance(0.9) else d.one([2**46 + 1, -(2**60)])
            step["trail"] = d.one([0, 1, 2, self.spread, 2_000, 30_000, 1_000_000, 2**46 + 1])
        return step

    def wrong(self, symbol: int) -> Step:
        """An input with a fault."""
        d = self.dice
        op = d.one(["add"] * 5 + ["quote", "trade", "depth", "session", "halt"])
        faults = [("symbol", self.symbols), ("symbol", -2), ("qty", -1), ("qty", 2**60)]
        if op in ("quote", "trade", "depth"):
            faults += [("price", 2**46 + 1), ("price", -(2**60))]
        if op in ("add", "depth"):
            faults.append(("side", 7))
        if op == "add":
            faults += [("price", 2**50 + 1), ("qty", 0), ("order_id", 0), ("order_id", -1)]
            faults += [("kind", "?"), ("trigger", "?"), ("link_kind", "?"), ("trigger", "trail_ticks")]
            faults.append(("stop_price", d.one([2**46 + 1, -(2**50)])))
        name, value = d.one(faults)
        step = self.plain(symbol) if op == "add" else {**BLANK, "symbol": symbol}
        if name == "stop_price":
            step = self.stop(step)
        return {**step, "op": op, name: value}

    # The market -----------------------------------------------------------------------------------------------------

    def outside(self, symbol: int) -> list[Step]:
        d = self.dice
        feed = self.feeds[symbol]
        if feed == "quote" or (feed == "both" and d.chance(0.4)):
            sizes = {"qty": d.one([0, 5, 40, 300]), "ask_qty": d.one([0, 5, 40, 300])}
            bid, ask = (self.passive(symbol, side) for side in (0, 1))
            if d.chance(0.3):
                bid = self.price(symbol)
                ask = bid + d.whole(0, self.spread)
            self.places[symbol].extend([(0, bid), (1, ask)])
            return [{**BLANK, "op": "quote", "symbol": symbol, "price": bid, "ask_price": ask, **sizes}]
        snapshot = d.chance(0.25)
        rows = []
        for at in range(d.whole(1, 8) if snapshot else d.one([1, 1, 2, 3, 5])):
            side = d.whole(0, 1)
            price = self.passive(symbol, side) if d.chance(0.85) else self.price(symbol)
            if d.chance(0.5):
                side, price = d.one(self.places[symbol])
            self.places[symbol].append((side, price))
            rows.append({**BLANK, "op": "depth", "symbol": symbol, "side": side, "price": price,
                         "qty": d.one([0, 3, 8, 40, 300]), "reset": snapshot and at == 0})  # fmt: skip
        return rows

    def switch(self, symbol: int) -> Step:
        d = self.dice
        if d.chance(0.65):
            step = {**BLANK, "op": "session", "symbol": d.one([symbol, symbol, -1]), "qty": 0}
        else:
            scope, owner = d.one([(symbol, 0), (symbol, 2), (-1, 1), (-1, 0)])
            step = {**BLANK, "op": "halt", "qty": 1, "symbol": scope, "owner": owner}
        self.switched.append({**step, "qty": 1 - step["qty"]})
        return step
