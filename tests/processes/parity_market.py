"""The tape of the parity day: quotes, prints, depth in snapshots and deltas, gaps, lost records, a closed session."""

import threading
import time
from itertools import count, zip_longest

import numpy as np

from trading.adapters.redis_bus import RedisBus
from trading.domain.instruments import Instrument
from trading.market.ticks import CLOSED, DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TICK, TRADE, Ticks

STEP_S = 0.02
SPEED = 200
"""How much faster the tape's own time runs than the clock."""
LEVELS = 5
SNAPSHOT_STEPS = 40
CLOSED_STEPS = range(150, 250)
"""When the session of the last instrument is closed."""

Side = dict[int, int]


class Street:
    """One instrument's displayed book, a seeded walk, as records."""

    def __init__(self, instrument: Instrument, middle: int, start_ns: int, chance: np.random.Generator) -> None:
        self.instrument, self.middle, self.deep = instrument, middle, True
        self.closes = False
        self._chance, self._start_ns = chance, start_ns
        self._seq = 0
        self._shown: tuple[Side, Side] = ({}, {})
        self._broken = True

    def step(self, step: int) -> list[Ticks]:
        """All records of one moment."""
        self._now_ns = self._start_ns + int(step * STEP_S * SPEED * 1e9)
        rows: list[Ticks] = []
        if self.closes and step in (CLOSED_STEPS.start, CLOSED_STEPS.stop):
            rows.append(self._row(CLOSED if step == CLOSED_STEPS.start else OPENED))
        lost = self._chance.random()
        if lost < 0.001:
            self._seq += 1  # a record that never arrives
            self._broken = True
        elif lost < 0.002:
            rows.append(self._row(GAP))
            self._broken = True
        if self._chance.random() < 0.4:
            self.middle += int(self._chance.integers(-4, 5))
        if self._chance.random() < 0.3:
            trade = self._row(TRADE)
            trade["trade_ticks"] = self.middle + int(self._chance.integers(-5, 6))
            trade["trade_lots"] = self._chance.integers(1, 200)
            rows.append(trade)
        book = self._book()
        if self.deep:
            rows += self._depth(book, step % SNAPSHOT_STEPS == 0 or self._broken)
        self._shown, self._broken = book, False
        quote = self._row(QUOTE)
        quote["bid_ticks"], quote["ask_ticks"] = max(book[0]), min(book[1])
        quote["bid_lots"], quote["ask_lots"] = book[0][max(book[0])], book[1][min(book[1])]
        return [*rows, quote]

    def _row(self, kind: int) -> Ticks:
        row = np.zeros(1, dtype=TICK)
        self._seq += 1
        row["instrument_id"], row["kind"], row["seq"], row["ts_ns"] = self.instrument.id, kind, self._seq, self._now_ns
        return row

    def _book(self) -> tuple[Side, Side]:
        """Sizes by price; a level that was there keeps its size more often than not."""
        best = (self.middle - int(self._chance.integers(0, 3)), self.middle + int(self._chance.integers(1, 4)))
        sides: list[Side] = []
        for way, price, shown in zip((-1, 1), best, self._shown, strict=True):
            fresh = self._chance.integers(10, 200, LEVELS).tolist()
            kept = self._chance.random(LEVELS) < 0.6
            prices = [price + way * n for n in range(LEVELS)]
            sides.append({p: shown[p] if p in shown and kept[n] else fresh[n] for n, p in enumerate(prices)})
        return sides[0], sides[1]

    def _depth(self, book: tuple[Side, Side], whole: bool) -> list[Ticks]:
        changes = [
            list(now.items())
            if whole
            else [(p, now.get(p, 0)) for p in sorted({*now, *was}) if now.get(p) != was.get(p)]
            for now, was in zip(book, self._shown, strict=True)
        ]
        rows = []
        for bid, ask in zip_longest(*changes):
            row = self._row(DEPTH | MORE | (RESET if whole and not rows else 0))
            row["bid_ticks"], row["bid_lots"] = bid or (0, -1)
            row["ask_ticks"], row["ask_lots"] = ask or (0, -1)
            rows.append(row)
        if rows:
            rows[-1]["kind"] &= ~MORE & 0xFF
        return rows


class Market(threading.Thread):
    """Publishes what every street shows, `STEP_S` apart, and records it. One street in five has quotes alone."""

    def __init__(self, bus: RedisBus, instruments: list[Instrument], seed: int) -> None:
        super().__init__(daemon=True)
        self._bus = bus
        start_ns, chance = time.time_ns(), np.random.default_rng(seed)
        self.streets = {i.symbol: Street(i, 10_000 + 500 * n, start_ns, chance) for n, i in enumerate(instruments)}
        for n, street in enumerate(self.streets.values()):
            street.deep = n % 5 != 0
        street.closes = True
        self.published: list[Ticks] = []
        self._over = threading.Event()

    def middle(self, symbol: str) -> int:
        """Where it trades now."""
        return self.streets[symbol].middle

    def run(self) -> None:
        for step in count():
            if self._over.wait(STEP_S):
                return
            rows = [row for street in self.streets.values() for row in street.step(step)]
            self.published.append(np.concatenate(rows))
            assert self._bus.publish_ticks(self.published[-1])

    def close(self) -> None:
        self._over.set()
        self.join()
