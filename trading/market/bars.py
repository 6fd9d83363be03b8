"""Bars of the simulated venue out of its ticks: M1 incrementally, the longer frames rolled up from it.

The rules, one each:

* A bar is made of *trades* alone: open, high, low, close in ticks, volume in lots. A minute without a trade has no bar.
* A bar's time is its start, UTC, and buckets are counted from the epoch, so days start at midnight UTC.
* Order is the order of arrival, which for one source is that of ``seq``; a ``seq`` that is not above the last one of
  its instrument is a repeat and ignored.
* A trade of a minute that is already closed is late: it is counted in `BarBuilder.late` and changes nothing.
* M1 closes when a trade of a later minute arrives or when the clock says so; a longer bar closes with its last M1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading.market.ticks import TRADE, Ticks

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
_M1 = 0


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
        own = ticks[(ticks["instrument_id"] == instrument_id) & ((ticks["kind"] & TRADE) != 0)]
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
        # (instrument, frame) -> [start_ns, open, high, low, close, volume]
        self._open: dict[tuple[int, int], list[int]] = {}
        self._seq: dict[int, int] = {}
        self._closed_until_ns: dict[int, int] = {}
        self.late = 0

    def add(self, ticks: Ticks) -> Bars:
        """Take ticks in their order of arrival; returns the bars they closed."""
        closed: list[tuple[int, ...]] = []
        trades = ticks[(ticks["kind"] & TRADE) != 0]
        columns = ("instrument_id", "seq", "ts_ns", "trade_ticks", "trade_lots")
        for instrument_id, seq, ts_ns, price, lots in zip(*(trades[name].tolist() for name in columns), strict=True):
            if seq <= self._seq.get(instrument_id, seq - 1):
                continue
            self._seq[instrument_id] = seq
            start_ns = ts_ns - ts_ns % MINUTE_NS
            if start_ns < self._closed_until_ns.get(instrument_id, start_ns):
                self.late += 1
                continue
            self._take(instrument_id, _M1, start_ns, (price, price, price, price, lots), closed)
        return _array(closed)

    def merge(self, bars: Bars) -> Bars:
        """Take M1 bars made elsewhere, in order of time, as if their trades had arrived; returns the bars they closed.

        A bar of the minute that is open joins it.
        """
        closed: list[tuple[int, ...]] = []
        for instrument_id, frame, _, start_ns, *values in bars.tolist():
            if frame != _M1:
                raise ValueError("only M1 bars can be merged")
            if start_ns >= self._closed_until_ns.get(instrument_id, start_ns):
                self._take(instrument_id, _M1, start_ns, values, closed)
        return _array(closed)

    def close_until(self, now_ns: int) -> Bars:
        """Close every bar that ends at or before ``now_ns``; later trades of those minutes are late."""
        closed: list[tuple[int, ...]] = []
        until_ns = now_ns - now_ns % MINUTE_NS
        for instrument_id in {key[0] for key in self._open}:
            self._close_minute(instrument_id, until_ns, closed)
            self._close_longer(instrument_id, until_ns, closed)
        return _array(closed)

    def forming(self) -> Bars:
        """The bars of every frame as they stand now, the open minute included."""
        rows = []
        for instrument_id in sorted({key[0] for key in self._open}):
            minute = self._open.get((instrument_id, _M1))
            for frame in range(len(FRAMES)):
                bar = self._open.get((instrument_id, frame))
                if frame != _M1 and minute is not None:
                    bar = _joined(bar, minute, int(FRAME_NS[frame]))
                if bar is not None:
                    rows.append((instrument_id, frame, 0, *bar))
        return _array(rows)

    # The working parts ------------------------------------------------------------------------------------------------

    def _take(
        self, instrument_id: int, frame: int, start_ns: int, values: Sequence[int], closed: list[tuple[int, ...]]
    ) -> None:
        """Put open, high, low, close, volume into the bar that starts at ``start_ns``, opening it where it is new."""
        bar = self._open.get((instrument_id, frame))
        if bar is not None and bar[0] == start_ns:
            bar[2] = max(bar[2], values[1])
            bar[3] = min(bar[3], values[2])
            bar[4] = values[3]
            bar[5] += values[4]
            return
        if frame == _M1:
            self._close_minute(instrument_id, start_ns, closed)
            self._close_longer(instrument_id, start_ns, closed)
        self._open[instrument_id, frame] = [start_ns, *values]

    def _close_minute(self, instrument_id: int, until_ns: int, closed: list[tuple[int, ...]]) -> None:
        """Close the open minute if it ends by ``until_ns`` (a whole minute) and put it into the longer bars."""
        self._closed_until_ns[instrument_id] = max(until_ns, self._closed_until_ns.get(instrument_id, until_ns))
        minute = self._open.get((instrument_id, _M1))
        if minute is None or minute[0] >= until_ns:
            return
        del self._open[instrument_id, _M1]
        closed.append((instrument_id, _M1, 0, *minute))
        # A longer bar that ended before this minute closes first, so that each stays one bucket.
        self._close_longer(instrument_id, minute[0], closed)
        for frame in range(1, len(FRAMES)):
            length_ns = int(FRAME_NS[frame])
            self._take(instrument_id, frame, minute[0] - minute[0] % length_ns, minute[1:], closed)

    def _close_longer(self, instrument_id: int, until_ns: int, closed: list[tuple[int, ...]]) -> None:
        for frame in range(1, len(FRAMES)):
            bar = self._open.get((instrument_id, frame))
            if bar is not None and bar[0] + int(FRAME_NS[frame]) <= until_ns:
                del self._open[instrument_id, frame]
                closed.append((instrument_id, frame, 0, *bar))

    # Saving -----------------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """The open bars as a JSON object."""
        return {
            "v": 1,
            "open": [[*key, *bar] for key, bar in self._open.items()],
            "seq": list(self._seq.items()),
            "closed_until_ns": list(self._closed_until_ns.items()),
            "late": self.late,
        }

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> "BarBuilder":
        """The builder out of `dump`."""
        builder = cls()
        builder._open = {(row[0], row[1]): list(row[2:]) for row in saved["open"]}
        builder._seq = dict(saved["seq"])
        builder._closed_until_ns = dict(saved["closed_until_ns"])
        builder.late = int(saved["late"])
        return builder


def _joined(bar: list[int] | None, minute: list[int], length_ns: int) -> list[int]:
    start_ns = minute[0] - minute[0] % length_ns
    if bar is None or bar[0] != start_ns:
        return [start_ns, *minute[1:]]
    return [bar[0], bar[1], max(bar[2], minute[2]), min(bar[3], minute[3]), minute[4], bar[5] + minute[5]]


def _array(rows: list[tuple[int, ...]]) -> Bars:
    return np.array(rows, dtype=BAR) if rows else no_bars()
