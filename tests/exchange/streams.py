"""Random streams of inputs, the compiled engine beside the oracle, and what must hold after each input."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
from oracle import NO_LIMIT, Oracle

from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import (
    INPUT,
    Accepted,
    Cancelled,
    Event,
    Fill,
    Kind,
    Model,
    Modified,
    Op,
    Rejected,
)

CODES: dict[Event, Any] = {
    Event.ACCEPTED: Accepted,
    Event.REJECTED: Rejected,
    Event.FILL: Fill,
    Event.CANCELLED: Cancelled,
    Event.MODIFIED: Modified,
}
MS = 1_000_000
BLANK = {"order_id": 0, "owner": 0, "price": 0, "qty": 0, "ask_price": 0, "ask_qty": 0, "expires_ns": 0,
         "symbol": 0, "side": 0, "kind": "limit"}  # fmt: skip
KINDS = ["limit"] * 6 + ["market", "ioc", "fok", "post_only"]


class Stream:
    """Inputs that live round a price that wanders, with now and then a far one, a wrong one, or a silence."""

    def __init__(self, seed: int, symbols: int = 3, quotes: bool = True) -> None:
        self.random, self.symbols, self.quotes = Random(seed), symbols, quotes
        self.seq = self.ts_ns = 0
        self.mids = [self.random.choice([0, 100, 50_000, -3_000_000]) for _ in range(symbols)]
        self.spread = self.random.choice([3, 10, 40])
        self.speed = self.random.choice([0, 1, 30, 700])
        self.silence = self.random.random() < 0.5
        self.last_id = 0

    def price(self, symbol: int) -> int:
        r = self.random
        if r.random() < 0.02:
            return self.mids[symbol] + r.choice([-1, 1]) * r.choice([4095, 4096, 4097, 8191, 8192, 20_000, 10**9])
        return self.mids[symbol] + r.randint(-self.spread, self.spread)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self.step()

    def step(self) -> dict[str, Any]:
        r = self.random
        self.seq += 1
        self.ts_ns += r.choice([0, MS, 20 * MS])
        if self.silence and r.random() < 0.01:
            self.ts_ns += 6_000 * MS
        symbol = r.randrange(self.symbols)
        self.mids[symbol] += r.randint(-self.speed, self.speed)
        step = {**BLANK, "seq": self.seq, "ts_ns": self.ts_ns, "symbol": symbol, "op": "add"}
        op = r.random()
        if op < 0.55:
            step |= self.order(symbol)
        elif op < 0.80:
            step |= {"op": "cancel", "order_id": self.old_id()}
        elif op < 0.88:
            step |= {"op": "modify", "order_id": self.old_id(), "price": self.price(symbol), "qty": r.randint(1, 60)}
        elif op < 0.90:
            step |= {"op": r.choice(["time", "add"]), "qty": r.choice([0, -1, 2**60]), "order_id": r.choice([-1, 0, 1])}
        elif not self.quotes:
            step["op"] = "time"
        elif op < 0.97:
            bid = self.price(symbol)
            step |= {"op": "quote", "price": bid, "ask_price": bid + r.randint(0, self.spread),
                     "qty": r.choice([0, 5, 40, 300]), "ask_qty": r.choice([0, 5, 40, 300])}  # fmt: skip
        elif op < 0.995:
            step |= {"op": "trade", "price": self.price(symbol), "qty": r.randint(0, 80)}
        else:
            step |= {"op": "gap", "symbol": r.choice([symbol, -1, self.symbols])}
        return step

    def order(self, symbol: int) -> dict[str, Any]:
        r = self.random
        self.last_id += 1
        kind, side, price = r.choice(KINDS), r.randrange(2), self.price(symbol)
        if kind in ("market", "ioc", "fok") and r.random() < 0.5:
            price = NO_LIMIT if side == 0 else -NO_LIMIT
        return {"order_id": self.last_id * 7 % 100_003 + 1 if r.random() < 0.99 else self.old_id(),
                "owner": r.randrange(6), "side": side, "kind": kind, "price": price, "qty": r.randint(1, 50),
                "expires_ns": self.ts_ns + r.choice([0, 1, 500, 9000]) * MS if r.random() < 0.1 else 0}  # fmt: skip

    def old_id(self) -> int:
        return max(1, self.last_id - int(self.random.expovariate(0.03))) * 7 % 100_003 + 1


def rows(steps: Sequence[dict[str, Any]]) -> np.ndarray[Any, Any]:
    found = np.zeros(len(steps), INPUT)
    for row, step in zip(found, steps, strict=True):
        for name, value in step.items():
            if name == "op":
                row["op"] = Op[value.upper()]
            elif name == "kind":
                row["kind"] = Kind[value.upper()]
            else:
                row[name] = value
    return found


def told(events: np.ndarray[Any, Any]) -> list[tuple[Any, ...]]:
    """Events in the oracle's words."""
    found = []
    for _, seq, order_id, maker_id, price, qty, left, symbol, kind, code, side, _ in events.tolist():
        event = Event(kind)
        word = CODES[event](code).name.lower() if event in CODES else "now" if event == Event.RESTED else ""
        found.append((seq, event.name.lower(), word, symbol, side, order_id, maker_id, price, qty, left))
    return found


def book_of(engine: CompiledEngine) -> list[tuple[int, ...]]:
    names = ("symbol", "side", "where", "order_id", "owner", "price", "qty", "expires_ns")
    return [tuple(int(row[name]) for name in names) for row in engine.open_orders()]


def book_of_oracle(oracle: Oracle) -> list[tuple[int, ...]]:
    found = []
    for symbol, book in enumerate(oracle.books):
        queues = [(side, 0, oracle.best_first(book, side)) for side in (0, 1)]
        for side, waits, queue in [*queues, (-1, 1, book.waiting)]:
            for o in queue:
                found.append((symbol, o.side if side < 0 else side, waits, o.id, o.owner, o.price, o.qty, o.expires))
    return found


def check_not_crossed(engine: CompiledEngine) -> None:
    orders = engine.open_orders()
    resting = orders[orders["where"] == 0]
    for symbol in range(engine.n_symbols):
        buys, sells = (resting[(resting["symbol"] == symbol) & (resting["side"] == side)]["price"] for side in (0, 1))
        assert not (len(buys) and len(sells)) or buys.max() < sells.min()


def compare(seed: int, count: int, *, batch: int, quotes: bool = True, save_every: int = 0) -> int:
    """Run both on ``count`` inputs in batches; every event and, after each batch, every queue must be equal."""
    stream = Stream(seed, quotes=quotes)
    touch, waits = seed % 3 == 1, seed % 4 == 2
    engine = CompiledEngine(stream.symbols, model=Model.TOUCH if touch else Model.THROUGH, waits=waits, orders=4)
    oracle = Oracle(stream.symbols, touch, waits)
    events = done = 0
    while done < count:
        steps = [stream.step() for _ in range(min(batch, count - done))]
        expected = [event for step in steps for event in oracle.apply(step)]
        caused = engine.apply(rows(steps))
        found = told(caused)
        if found != expected:
            at = next((i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), -1)
            raise AssertionError(f"seed {seed}: event {at}: {found[at:][:3]} is not {expected[at:][:3]}")
        assert book_of(engine) == book_of_oracle(oracle), f"seed {seed}: the queues differ after input {stream.seq}"
        check_not_crossed(engine)
        events += len(caused)
        assert engine.event_seq == events
        done += len(steps)
        if save_every and done % save_every == 0:
            engine = CompiledEngine.load(engine.save())
    return events
