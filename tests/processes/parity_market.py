"""The tape of the parity day: quotes, prints, depth in snapshots and deltas, gaps, lost records, a closed session."""

import random
import threading
import time
from itertools import count, zip_longest

import numpy as np

from trading.adapters.redis_bus import RedisBus
from trading.domain.instruments import Instrument
from trading.market.ticks import CLOSED, DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TICK, TRADE, Ticks

STEP_S = 0.04
SPEED = 60
"""How much faster the tape's own time runs than the clock."""
LEVELS = 5
SNAPSHOT_STEPS = 25
CLOSED_STEPS = range(100, 200)
"""When the session of the last instrument is closed."""

Side = dict[int, int]
Level = tuple[int, int]
Row = tuple[int, ...]


class Street:
    """One instrument's displayed book, a seeded walk, as records."""

    def __init__(self, instrument: Instrument, middle: int, start_ns: int, chance: random.Random) -> None:
        self.instrument, self.middle, self.deep = instrument, middle, True
        self.closes = False
        self._chance, self._start_ns = chance, start_ns
        self._seq = 0
        self._shown: tuple[Side, Side] = ({}, {})
        self._broken = True

    def step(self, step: int) -> list[Row]:
        """All records of one moment."""
        self._now_ns = self._start_ns + int(step * STEP_S * SPEED * 1e9)
        rows: list[Row] = []
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
            self.middle += self._chance.randint(-4, 4)
        if self._chance.random() < 0.3:
            price, lots = self.middle + self._chance.randint(-5, 5), self._chance.randint(1, 200)
            rows.append(self._row(TRADE, trade=(price, lots)))
        book = self._book()
        if self.deep:
            rows += self._depth(book, step % SNAPSHOT_STEPS == 0 or self._broken)
        self._shown, self._broken = book, False
        bid, ask = max(book[0]), min(book[1])
        return [*rows, self._row(QUOTE, (bid, book[0][bid]), (ask, book[1][ask]))]

    def _row(self, kind: int, bid: Level = (0, 0), ask: Level = (0, 0), trade: Level = (0, 0)) -> Row:
        """A record; prices and sizes of either side and of the print."""
        self._seq += 1
        return (
            self.instrument.id, kind, 0, 0, self._seq, self._now_ns, bid[0], ask[0], bid[1], ask[1], trade[0], trade[1]
        )  # fmt: skip

    def _book(self) -> tuple[Side, Side]:
        """Sizes by price; a level that was there keeps its size more often than not."""
        chance = self._chance
        best = (self.middle - chance.randint(0, 2), self.middle + chance.randint(1, 3))
        sides: list[Side] = []
        for way, price, shown in zip((-1, 1), best, self._shown, strict=True):
            prices = [price + way * n for n in range(LEVELS)]
            sides.append(
                {p: shown[p] if p in shown and chance.random() < 0.6 else chance.randint(10, 200) for p in prices}
            )
        return sides[0], sides[1]

    def _depth(self, book: tuple[Side, Side], whole: bool) -> list[Row]:
        """A snapshot or what changed: a level of each side in a record, -1 lots where a side has no more."""
        changes = [
            list(now.items())
            if whole
            else [(p, now.get(p, 0)) for p in sorted({*now, *was}) if now.get(p) != was.get(p)]
            for now, was in zip(book, self._shown, strict=True)
        ]
        pairs = list(zip_longest(*changes, fillvalue=(0, -1)))
        kinds = [DEPTH | MORE] * len(pairs)
        if kinds:
            kinds[-1] = DEPTH
            kinds[0] |= RESET if whole else 0
        return [self._row(kind, bid, ask) for kind, (bid, ask) in zip(kinds, pairs, strict=True)]


class Market(threading.Thread):
    """Publishes what every street shows, `STEP_S` apart, and records it. One street in five has quotes alone."""

    def __init__(self, bus: RedisBus, instruments: list[Instrument], seed: int) -> None:
        super().__init__(daemon=True)
        self._bus = bus
        start_ns, chance = time.time_ns(), random.Random(seed)
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
            self.published.append(np.array(rows, dtype=TICK))
            assert self._bus.publish_ticks(self.published[-1])

    def close(self) -> None:
        self._over.set()
        self.join()
