"""Records of the tape out of stored history of one instrument: bars, quotes, trades, updates of books.

Prices go to the instrument's tick and sizes to its lot. Off the grid a bid goes down and an ask up, so that no quote is
better than it was, and a trade to the nearest; a size is rounded down, but is at least one lot. A side without a price
is empty, and a quote without sizes gets the usual one.

A bar of trades becomes four trades: its open, then the nearer of high and low (the high where both are as near), the
other, the close, at the start and after one, two and three quarters of its time. They share its volume, with at least
one lot each, so that bars of the replay have the same prices. Around each stands a quote of the usual spread. A bar of
quotes becomes four quotes in the same order, by its bid.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.market.replay import SNAPSHOT_NS, depth_records
from trading.market.ticks import DEPTH, QUOTE, RESET, TICK, TRADE, Ticks

DEPTH_LEVELS = 10
_GRID = 1e-3
"""A price this near to a tick, in ticks, is on it: prices come as floats."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Target:
    """What is replayed as which instrument: its units, and what stands in for a spread or a size that is not told."""

    instrument_id: int
    tick_size: float
    lot_size: float
    spread_ticks: int
    size_lots: int

    def _ticks(self, prices: Floats, direction: int) -> Ints:
        """Whole ticks; 0 where there is no price. ``direction`` -1 rounds down, 1 up, 0 to the nearest."""
        with np.errstate(invalid="ignore"):
            exact = np.where(np.isfinite(prices) & (prices > 0), prices / self.tick_size, 0.0)
        near = np.rint(exact)
        moved = near if direction == 0 else np.floor(exact) if direction < 0 else np.ceil(exact)
        whole: Ints = np.where(np.abs(exact - near) < _GRID, near, moved).astype(np.int64)
        return np.where(exact > 0, np.maximum(whole, 1), 0)

    def _lots(self, sizes: Floats | None, like: Ints) -> Ints:
        """Whole lots where ``like`` has a price, else 0."""
        if sizes is None:
            return np.where(like > 0, self.size_lots, 0)
        exact = np.where(np.isfinite(sizes), sizes, 0.0) / self.lot_size
        near = np.rint(exact)
        whole = np.where(np.abs(exact - near) < _GRID, near, np.floor(exact)).astype(np.int64)
        return np.where((like > 0) & (exact > 0), np.maximum(whole, 1), 0)

    def _empty(self, ts_ns: Ints, kind: int) -> Ticks:
        ticks = np.zeros(len(ts_ns), dtype=TICK)
        ticks["instrument_id"], ticks["ts_ns"], ticks["kind"] = self.instrument_id, ts_ns, kind
        return ticks

    def quotes(
        self, ts_ns: Ints, bid: Floats, ask: Floats, bid_size: Floats | None = None, ask_size: Floats | None = None
    ) -> Ticks:
        """Quotes in the order of the rows."""
        ticks = self._empty(ts_ns, QUOTE)
        for side, prices, sizes, direction in (("bid", bid, bid_size, -1), ("ask", ask, ask_size, 1)):
            price = self._ticks(prices, direction)
            lots = self._lots(sizes, price)
            ticks[f"{side}_lots"] = lots
            ticks[f"{side}_ticks"] = np.where(lots > 0, price, 0)
        return ticks

    def trades(self, ts_ns: Ints, price: Floats, size: Floats, aggressor: Ints) -> Ticks:
        """Trades in the order of the rows; those without a price or a size are left out."""
        ticks = self._empty(ts_ns, TRADE)
        ticks["trade_ticks"] = self._ticks(price, 0)
        ticks["trade_lots"] = self._lots(size, ticks["trade_ticks"])
        ticks["aggressor"] = aggressor
        return ticks[ticks["trade_lots"] > 0]

    def bars(self, ts_ns: Ints, length_ns: int, prices: Mapping[str, Floats], volume: Floats | None) -> Ticks:
        """Bars of trades (``open``, ``high``, ``low``, ``close``), ordered by their start; rows without prices go."""
        whole = _complete(prices)
        ts_ns = ts_ns[whole]
        path = _path({name: self._ticks(values[whole], 0) for name, values in prices.items()})
        ticks = self._empty(_moments(ts_ns, length_ns), QUOTE | TRADE)
        price = path.ravel()
        ticks["trade_ticks"] = price
        ticks["bid_ticks"] = np.maximum(1, price - self.spread_ticks // 2)
        ticks["ask_ticks"] = ticks["bid_ticks"] + max(1, self.spread_ticks)
        ticks["bid_lots"] = ticks["ask_lots"] = self.size_lots
        lots = np.zeros(len(ts_ns), np.int64) if volume is None else self._lots(volume[whole], path[:, 0])
        share = np.repeat(np.maximum(1, lots // 4)[:, np.newaxis], 4, axis=1)
        share[:, 3] = np.maximum(1, lots - 3 * share[:, 0])
        ticks["trade_lots"] = share.ravel()
        return ticks

    def quote_bars(self, ts_ns: Ints, length_ns: int, bid: Mapping[str, Floats], ask: Mapping[str, Floats]) -> Ticks:
        """Bars of quotes, each side with ``open``, ``high``, ``low``, ``close``."""
        whole = _complete(bid) & _complete(ask)
        bids = {name: self._ticks(values[whole], -1) for name, values in bid.items()}
        asks = {name: self._ticks(values[whole], 1) for name, values in ask.items()}
        high_first = _high_first(bids)
        ticks = self._empty(_moments(ts_ns[whole], length_ns), QUOTE)
        ticks["bid_ticks"], ticks["ask_ticks"] = _path(bids, high_first).ravel(), _path(asks, high_first).ravel()
        ticks["bid_lots"] = ticks["ask_lots"] = self.size_lots
        return ticks

    def books(
        self,
        ts_ns: Ints,
        update: Ints,
        reset: NDArray[np.bool_],
        is_ask: NDArray[np.bool_],
        price: Floats,
        size: Floats,
    ) -> Ticks:
        """Updates of a book of any depth as depth of its ten best levels, and quotes of its best.

        A row is a level's new total (0 removes it); rows of one ``update`` stand together and are told at once;
        ``reset`` marks the rows of a snapshot. The book is told whole with each snapshot and every second.
        """
        ticks = np.where(is_ask, self._ticks(price, 1), self._ticks(price, -1))
        # A level that is off the grid shares the tick with its neighbours: the last word counts.
        lots = self._lots(size, ticks)
        bids, asks, found = _Side(-1), _Side(1), []
        best: tuple[tuple[int, int], tuple[int, int]] | None = None
        told_ns = -SNAPSHOT_NS
        starts = np.flatnonzero(np.diff(update, prepend=update[:1] - 1))
        for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(update)], strict=True):
            now_ns = int(ts_ns[first])
            if reset[first]:
                bids.clear()
                asks.clear()
            rows = zip(is_ask[first:end].tolist(), ticks[first:end].tolist(), lots[first:end].tolist(), strict=True)
            for on_ask, at, total in rows:
                if at > 0:
                    (asks if on_ask else bids).put(at, total)
            whole = bool(reset[first]) or now_ns - told_ns >= SNAPSHOT_NS
            told_ns = now_ns if whole else told_ns
            part = [depth_records(self.instrument_id, bids.changes(whole), asks.changes(whole), reset=whole)]
            if (bids.best, asks.best) != best:
                best = (bids.best, asks.best)
                quote = self._empty(np.zeros(1, np.int64), QUOTE)
                quote["bid_ticks"], quote["bid_lots"] = best[0]
                quote["ask_ticks"], quote["ask_lots"] = best[1]
                part.append(quote)
            for records in part:
                records["ts_ns"] = now_ns
            found += part
        return np.concatenate(found) if found else np.empty(0, dtype=TICK)


class _Side:
    """One side of a book, and which of its best levels have been told. ``order`` is -1 for bids, 1 for asks."""

    def __init__(self, order: int) -> None:
        self._order = order
        self._lots: dict[int, int] = {}
        self._keys: list[int] = []
        self._told: dict[int, int] = {}

    def clear(self) -> None:
        self._lots.clear()
        self._keys.clear()

    def put(self, ticks: int, lots: int) -> None:
        key = self._order * ticks
        known = ticks in self._lots
        if lots > 0:
            self._lots[ticks] = lots
            if not known:
                insort(self._keys, key)
        elif known:
            del self._lots[ticks]
            del self._keys[bisect_left(self._keys, key)]

    @property
    def best(self) -> tuple[int, int]:
        """Price and size, both 0 where the side is empty."""
        if not self._keys:
            return 0, 0
        ticks = self._order * self._keys[0]
        return ticks, self._lots[ticks]

    def changes(self, whole: bool) -> list[tuple[int, int]]:
        """What to tell: all of the best levels, or those that changed, entered or left them."""
        told = {self._order * key: self._lots[self._order * key] for key in self._keys[:DEPTH_LEVELS]}
        before, self._told = self._told, told
        if whole:
            return list(told.items())
        gone = [(ticks, 0) for ticks in before if ticks not in told]
        return gone + [(ticks, lots) for ticks, lots in told.items() if before.get(ticks) != lots]


def with_books(ticks: Ticks) -> Ticks:
    """Records without depth with a book of one level a side before each quote; others as they are.

    Who follows an instrument that has depth takes its liquidity from there and not from quotes.
    """
    if ((ticks["kind"] & DEPTH) != 0).any():
        return ticks
    quotes = ticks[(ticks["kind"] & QUOTE) != 0]
    quotes["kind"], quotes["aggressor"], quotes["trade_ticks"], quotes["trade_lots"] = DEPTH | RESET, 0, 0, 0
    for side in ("bid", "ask"):
        quotes[f"{side}_lots"] = np.where(quotes[f"{side}_lots"] > 0, quotes[f"{side}_lots"], -1)
    return np.insert(ticks, np.flatnonzero((ticks["kind"] & QUOTE) != 0), quotes)


def merged(parts: list[Ticks]) -> Ticks:
    """Records of several sources by time; at one time those of an earlier source come first."""
    ticks = np.concatenate(parts)
    return ticks[np.argsort(ticks["ts_ns"], kind="stable")]


def _complete(prices: Mapping[str, Floats]) -> NDArray[np.bool_]:
    whole: NDArray[np.bool_] = np.all([np.isfinite(values) & (values > 0) for values in prices.values()], axis=0)
    return whole


def _high_first(bars: Mapping[str, Ints]) -> NDArray[np.bool_]:
    first: NDArray[np.bool_] = bars["high"] - bars["open"] <= bars["open"] - bars["low"]
    return first


def _path(bars: Mapping[str, Ints], high_first: NDArray[np.bool_] | None = None) -> Ints:
    """Prices in the order in which they are played, (bars, 4)."""
    high = _high_first(bars) if high_first is None else high_first
    second, third = np.where(high, bars["high"], bars["low"]), np.where(high, bars["low"], bars["high"])
    return np.stack([bars["open"], second, third, bars["close"]], axis=1)


def _moments(ts_ns: Ints, length_ns: int) -> Ints:
    """Four times a bar; a bar that the next one cuts short is as long as the time between them."""
    length = np.minimum(np.append(np.diff(ts_ns), length_ns), length_ns)
    moments: Ints = (ts_ns[:, np.newaxis] + length[:, np.newaxis] * np.arange(4) // 4).ravel()
    return moments
