"""Bars of the simulated venue out of its ticks: M1 incrementally, the longer frames rolled up from it.

The rules, one each:

* A bar is made of *trades* alone: open, high, low, close in ticks, volume in lots. A minute without a trade has no bar.
* A bar's time is its start, UTC, and buckets are counted from the epoch, so days start at midnight UTC. The sessions of
  the exchanges that the venue follows lie within one such day each, so their D1 is the session's; a market that never
  closes has no other day; the FX week, whose days change at 17:00 in New York, has a short bar for its Sunday evening.
* Order is the order of arrival, which for one source is that of ``seq``; a ``seq`` that is not above the last one of
  its instrument is a repeat and ignored. Within the open minute an earlier time is no matter.
* A trade of a minute that is already closed is late: it is counted in `BarBuilder.late` and changes nothing, in no
  frame, so that a bar never changes once somebody has seen it closed and the frames agree with one another.
* Records of depth (``DEPTH``) carry no trade.
* M1 closes when a trade of a later minute arrives or when the clock says so; a longer bar closes with its last M1.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading.market.ticks import DEPTH, TRADE, Ticks

MINUTE_NS = 60_000_000_000
FRAMES: dict[str, int] = {"M1": 1, "M5": 5, "M15": 15, "M30": 30, "H1": 60, "H4": 240, "D1": 1440}
"""Timeframes by name, in minutes."""
FRAME_NS = np.array([minutes * MINUTE_NS for minutes in FRAMES.values()], dtype=np.int64)
FRAME_NAMES = tuple(FRAMES)

BAR = np.dtype(
    [
        ("instrument_id", "<i4"),
        ("frame", "<i2"),  # index into FRAMES
        ("reserved", "<i2"),
        ("ts_ns", "<i8"),  # start of the bar, UTC
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),
    ]
)
"""56 bytes; prices in ticks, volume in lots."""

Bars = NDArray[np.void]
_Words = NDArray[np.int64]
_M1 = 0
_OUT_ROWS = 4096  # small enough to stay in the cache


def no_bars() -> Bars:
    """An empty array of `BAR`."""
    return np.empty(0, dtype=BAR)


def pack_bars(bars: Bars) -> bytes:
    """Bytes of an array of `BAR`."""
    return bars.tobytes()


def unpack_bars(payload: bytes) -> Bars:
    """Array of `BAR` out of bytes; raises ValueError where the length does not fit."""
    return np.frombuffer(payload, dtype=BAR)


def roll_up(bars: Bars, frame: str) -> Bars:
    """Bars of a longer frame out of shorter ones, which are ordered by instrument, then time."""
    if len(bars) == 0:
        return no_bars()
    length_ns = FRAMES[frame] * MINUTE_NS
    bucket = bars["ts_ns"] // length_ns
    changes = (np.diff(bucket) != 0) | (np.diff(bars["instrument_id"]) != 0)
    first = np.concatenate(([0], np.flatnonzero(changes) + 1))
    rolled = np.zeros(len(first), dtype=BAR)
    rolled["instrument_id"] = bars["instrument_id"][first]
    rolled["frame"] = FRAME_NAMES.index(frame)
    rolled["ts_ns"] = bucket[first] * length_ns
    rolled["open"] = bars["open"][first]
    rolled["high"] = np.maximum.reduceat(bars["high"], first)
    rolled["low"] = np.minimum.reduceat(bars["low"], first)
    rolled["close"] = bars["close"][np.append(first[1:], len(bars)) - 1]
    rolled["volume"] = np.add.reduceat(bars["volume"], first)
    return rolled


def bars_of_ticks(ticks: Ticks, frame: str) -> Bars:
    """All bars of an array of ticks at once, by the rules above: what the builder gives for the same ticks.

    Ordered by instrument, then time; the last bar of an instrument may be incomplete.
    """
    kept = []
    for instrument_id in np.unique(ticks["instrument_id"]):
        own = ticks[(ticks["instrument_id"] == instrument_id) & ((ticks["kind"] & (TRADE | DEPTH)) == TRADE)]
        if len(own) == 0:
            continue
        highest = np.maximum.accumulate(own["seq"])
        own = own[np.concatenate(([True], own["seq"][1:] > highest[:-1]))]
        minute = own["ts_ns"] // MINUTE_NS
        kept.append(own[minute >= np.maximum.accumulate(minute)])
    if not kept:
        return no_bars()
    trades = np.concatenate(kept)
    single = np.zeros(len(trades), dtype=BAR)
    single["instrument_id"] = trades["instrument_id"]
    single["ts_ns"] = trades["ts_ns"] // MINUTE_NS * MINUTE_NS
    for name in ("open", "high", "low", "close"):
        single[name] = trades["trade_ticks"]
    single["volume"] = trades["trade_lots"]
    return roll_up(single, frame)


class BarBuilder:
    """Open bars of every instrument and frame; feed it ticks, take the closed bars. Not for use by several threads."""

    def __init__(self) -> None:
        # Late: most who know what a bar is build none, and the compiled code takes a moment to load.
        from trading.market import bars_kernel

        self._kernel = bars_kernel
        self._counters = bars_kernel.empty_counters()
        self._out: _Words = np.empty((_OUT_ROWS, bars_kernel.OUT_WORDS), dtype=np.int64)
        self._book: _Words = np.empty((0, bars_kernel.BOOK_WORDS), dtype=np.int64)
        self._index: _Words = np.empty(0, dtype=np.int64)
        self._room_for(64)

    @property
    def late(self) -> int:
        """Trades so far that came after their minute was closed."""
        return int(self._counters[self._kernel.LATE])

    def add(self, ticks: Ticks) -> Bars:
        """Take ticks in their order of arrival; returns the bars they closed."""
        words = np.ascontiguousarray(ticks).view(np.int64).reshape(-1, self._kernel.TICK_WORDS)
        return self._run(self._kernel.add, words)

    def merge(self, bars: Bars) -> Bars:
        """Take M1 bars made elsewhere, in order of time, as if their trades had arrived; returns the bars they closed.

        A bar of the minute that is open joins it.
        """
        if (bars["frame"] != _M1).any():
            raise ValueError("only M1 bars can be merged")
        words = np.ascontiguousarray(bars).view(np.int64).reshape(-1, self._kernel.OUT_WORDS)
        return self._run(self._kernel.merge, words)

    def close_until(self, now_ns: int) -> Bars:
        """Close every bar that ends at or before ``now_ns``; later trades of those minutes are late."""
        self._room_for_all()
        self._kernel.close_until(now_ns - now_ns % MINUTE_NS, self._book, self._counters, self._out)
        return self._taken()

    def forming(self) -> Bars:
        """The bars of every frame as they stand now, the open minute included, by instrument, then frame."""
        self._room_for_all()
        order = np.argsort(self._rows()[:, self._kernel.ID]).astype(np.int64)
        self._kernel.forming(order, self._book, self._counters, self._out)
        return self._taken()

    # The working parts ------------------------------------------------------------------------------------------------

    def _run(self, step: Callable[..., int], words: _Words) -> Bars:
        """Run a kernel over all rows; where it stops, room was short of bars or of instruments."""
        kernel, at, closed = self._kernel, 0, []
        while (at := step(words, at, self._index, self._book, self._counters, self._out)) < len(words):
            if self._counters[kernel.CLOSED] + kernel.CLOSED_MAX > len(self._out):
                closed.append(self._taken())
            else:
                self._room_for(2 * len(self._book))
        return np.concatenate([*closed, self._taken()]) if closed else self._taken()

    def _taken(self) -> Bars:
        """The bars that a kernel has written, as an array of their own."""
        count = int(self._counters[self._kernel.CLOSED])
        self._counters[self._kernel.CLOSED] = 0
        return self._out[:count].copy().view(BAR).reshape(-1)

    def _rows(self) -> _Words:
        return self._book[: self._counters[self._kernel.INSTRUMENTS]]

    def _room_for(self, instruments: int) -> None:
        book = np.empty((instruments, self._kernel.BOOK_WORDS), dtype=np.int64)
        rows = self._rows()
        book[: len(rows)] = rows
        # Twice the rows, in a power of two.
        self._index = np.empty(1 << (2 * instruments - 1).bit_length(), dtype=np.int64)
        self._book = book
        self._kernel.index_book(self._index, self._book, len(rows))

    def _room_for_all(self) -> None:
        """Room for every bar that is open, and for the longer ones that it begins and closes."""
        needed = len(self._rows()) * self._kernel.CLOSED_MAX
        if needed > len(self._out):
            self._out = np.empty((needed, self._kernel.OUT_WORDS), dtype=np.int64)

    # Saving -----------------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """The open bars as a JSON object."""
        kernel, rows = self._kernel, self._rows()
        bars = rows[:, kernel.OPEN :].reshape(-1, kernel.BAR_WORDS).tolist()
        keys = [(instrument_id, frame) for instrument_id in rows[:, kernel.ID].tolist() for frame in range(len(FRAMES))]

        def known(word: int) -> list[list[int]]:
            return [pair for pair in rows[:, [kernel.ID, word]].tolist() if pair[1] != kernel.NONE]

        return {
            "v": 1,
            "open": [[*key, *bar] for key, bar in zip(keys, bars, strict=True) if bar[0] != kernel.NONE],
            "seq": known(kernel.SEQ),
            "closed_until_ns": known(kernel.UNTIL),
            "late": self.late,
        }

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> "BarBuilder":
        """The builder out of `dump`."""
        builder = cls()
        kernel, seq, until_ns = builder._kernel, dict(saved["seq"]), dict(saved["closed_until_ns"])
        ids = sorted({row[0] for row in saved["open"]} | set(seq) | set(until_ns))
        builder._room_for(max(64, len(ids)))
        builder._counters[kernel.INSTRUMENTS], builder._counters[kernel.LATE] = len(ids), saved["late"]
        rows = builder._rows()
        rows[:] = kernel.NONE
        rows[:, kernel.ID] = ids
        rows[:, kernel.SEQ] = [seq.get(key, kernel.NONE) for key in ids]
        rows[:, kernel.UNTIL] = [until_ns.get(key, kernel.NONE) for key in ids]
        for instrument_id, frame, *bar in saved["open"]:
            at = kernel.OPEN + frame * kernel.BAR_WORDS
            rows[ids.index(instrument_id), at : at + kernel.BAR_WORDS] = bar
        kernel.index_book(builder._index, builder._book, len(ids))
        return builder
