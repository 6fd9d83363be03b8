"""Files of history to replay: bars that the ingest knows, quotes, trades, captures of books; CSV or Parquet.

Which of them a file is, its columns say:

* bars: a date, open, high, low, close (volume), or the four prices of each side, as `trading.market.bar_table` reads;
* quotes: a time, ``bid``, ``ask`` (``bid_size``, ``ask_size``);
* trades: a time, ``price``, ``size`` (``aggressor``: buy or sell);
* captures of books, by level or by order, as `trading.adapters.sources.captures` reads them. Where updates are missing
  the book is empty until the next snapshot.

The time is ``ts`` (with its zone), or ``ts_ns`` or ``recv_ns`` (nanoseconds UTC). Rows of quotes and trades need not be
in order.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trading.adapters.sources import captures, files
from trading.domain.errors import Invalid
from trading.exchange.compiled.layout import INPUT, SELL, Flag, Op
from trading.market.bar_parsing import parse
from trading.market.bar_table import PRICES, BarKind, FileRefused, RawTable
from trading.market.recordings import Floats, Ints, Target, merged
from trading.market.resolution import RESOLUTIONS_NS, resolution_of
from trading.market.ticks import Ticks

Rows = NDArray[np.void]

_TIMES = ("ts", "ts_ns", "recv_ns")
_DAY_NS = RESOLUTIONS_NS["D1"]
_LONG_NS = {"W1": 7 * _DAY_NS, "MN1": 28 * _DAY_NS}
_SIDES = {"buy": 1, "sell": -1}
_LEVELS = frozenset({"seq", "recv_ns", "type", "side", "price", "size", "first_id", "last_id", "prev_id"})
_ORDERS = frozenset({"recv_s", "exch_time", "type", "side", "order_id", "price", "size", "nonce"})
_EXACT = captures.Scale(ticks=10**8, lots=10**8)
"""Fine enough for what exchanges write; the target's own grid comes after."""


def read(paths: Sequence[Path], target: Target, *, symbol: str | None = None, zone: str | None = None) -> Ticks:
    """The records of all files together, by time. ``symbol`` picks one of a file of bars that holds several.

    `FileRefused` (an `Invalid`) with a code and one sentence where a file cannot be read or is none of these.
    """
    return merged([_records(path, target, symbol, zone) for path in paths])


def _records(path: Path, target: Target, symbol: str | None, zone: str | None) -> Ticks:
    table = files.read_table(path)
    columns = {str(name) for name in table.frame.columns}
    for of_capture, read_book in ((_ORDERS, _orders), (_LEVELS, _levels)):
        if of_capture <= columns:
            return read_book(path, target)
    if "side" in columns:
        raise FileRefused("not_a_capture", f"a capture of a book has the columns {', '.join(sorted(_LEVELS))}")
    if {"price", "size"} <= columns:
        return _trades(table.frame, target)
    if {"bid", "ask"} <= columns:
        return _quotes(table.frame, target)
    return _bars(table, target, symbol, zone)


def of_bars(frame: pd.DataFrame, target: Target) -> Ticks:
    """The records of one series of the lake: ``ts`` and the prices of trades, or of both sides."""
    if len(frame) == 0:
        raise Invalid("the lake has no such bars", "not_found")
    kind = BarKind.TRADE if set(PRICES) <= set(frame.columns) else BarKind.QUOTE
    ts = frame["ts"]
    return _of_rows(frame, kind, target, date_only=bool((ts == ts.dt.normalize()).all()))


def _bars(table: RawTable, target: Target, symbol: str | None, zone: str | None) -> Ticks:
    parsed = parse(table, symbol=None, zone=zone) if _names_symbols(table) else parse(table, symbol="X", zone=zone)
    rows = parsed.rows[parsed.rows["ts"].notna()]
    names = sorted(set(rows["symbol"]))
    if len(names) > 1:
        if symbol is None:
            raise FileRefused("many_symbols", f"the file holds {len(names)} symbols; say which one with --symbol")
        rows = rows[rows["symbol"] == symbol.upper()]
    if len(rows) == 0:
        raise FileRefused("no_rows", f"the file holds no bars of {symbol}")
    rows = rows.drop_duplicates("ts", keep="last").sort_values("ts")
    return _of_rows(rows, parsed.layout.kind, target, date_only=parsed.date_only)


def _names_symbols(table: RawTable) -> bool:
    return any(str(name).strip().lower() in ("symbol", "ticker", "instrument", "sym") for name in table.frame.columns)


def _of_rows(rows: pd.DataFrame, kind: BarKind, target: Target, *, date_only: bool) -> Ticks:
    resolution = resolution_of(rows["ts"], date_only=date_only)
    length_ns = RESOLUTIONS_NS.get(resolution) or _LONG_NS[resolution]
    ts_ns = _ns(rows["ts"])
    if kind is BarKind.TRADE:
        volume = _floats(rows["volume"]) if "volume" in rows else None
        return target.bars(ts_ns, length_ns, {name: _floats(rows[name]) for name in PRICES}, volume)
    bid, ask = ({name: _floats(rows[f"{side}_{name}"]) for name in PRICES} for side in ("bid", "ask"))
    return target.quote_bars(ts_ns, length_ns, bid, ask)


def _quotes(frame: pd.DataFrame, target: Target) -> Ticks:
    ts_ns, order = _times(frame)
    sizes = [_floats(frame[name])[order] if name in frame else None for name in ("bid_size", "ask_size")]
    return target.quotes(ts_ns, _floats(frame["bid"])[order], _floats(frame["ask"])[order], *sizes)


def _trades(frame: pd.DataFrame, target: Target) -> Ticks:
    ts_ns, order = _times(frame)
    aggressor = np.zeros(len(frame), dtype=np.int64)
    if "aggressor" in frame:
        aggressor = frame["aggressor"].map(_SIDES).fillna(0).to_numpy(dtype=np.int64)
    return target.trades(ts_ns, _floats(frame["price"])[order], _floats(frame["size"])[order], aggressor[order])


def _levels(path: Path, target: Target) -> Ticks:
    inputs = captures.read_levels(path, None, _EXACT).inputs
    resets = (inputs["flags"] & Flag.RESET) != 0
    if not resets.any():
        raise FileRefused("no_snapshot", "the capture holds no snapshot, so no book can be built from it")
    gaps = inputs["op"] == Op.GAP
    # After a gap nothing is known until the next snapshot.
    place = np.arange(len(inputs))
    since_gap = np.maximum.accumulate(np.where(gaps, place, -1))
    since_reset = np.maximum.accumulate(np.where(resets, place, -1))
    inputs = inputs[gaps | (since_reset > since_gap)]
    return _book(target, inputs, inputs["seq"], (inputs["op"] == Op.GAP) | ((inputs["flags"] & Flag.RESET) != 0))


def _orders(path: Path, target: Target) -> Ticks:
    inputs = captures.read_orders(path, _EXACT).inputs
    known: dict[int, tuple[int, int, int]] = {}
    totals: dict[tuple[int, int], int] = {}
    rows: list[tuple[int, int, int, int]] = []
    names = ("ts_ns", "order_id", "op", "side", "price", "qty")
    for ts_ns, order_id, op, side, price, lots in zip(*(inputs[name].tolist() for name in names), strict=True):
        before = known.pop(order_id, None)
        now = None if op == Op.CANCEL or lots == 0 else (side, price, lots)
        if now is not None:
            known[order_id] = now
        for order, sign in ((before, -1), (now, 1)):
            if order is not None:
                level = order[:2]
                totals[level] = totals.get(level, 0) + sign * order[2]
                rows.append((ts_ns, *level, totals[level]))
    levels = np.zeros(len(rows), dtype=INPUT)
    for name, column in zip(("ts_ns", "side", "price", "qty"), zip(*rows, strict=True), strict=True):
        levels[name] = column
    # All that was heard at one moment is one update; the first is the snapshot.
    return _book(target, levels, levels["ts_ns"], levels["ts_ns"] == levels["ts_ns"][0])


def _book(target: Target, inputs: Rows, update: Ints, reset: NDArray[np.bool_]) -> Ticks:
    price, size = inputs["price"] / _EXACT.ticks, inputs["qty"] / _EXACT.lots
    return target.books(inputs["ts_ns"], update, reset, inputs["side"] == SELL, price, size)


def _times(frame: pd.DataFrame) -> tuple[Ints, Ints]:
    """Times in order, and the order of the rows that makes them so."""
    ns = _instants(frame)
    order = np.argsort(ns, kind="stable")
    return ns[order], order


def _instants(frame: pd.DataFrame) -> Ints:
    name = next((name for name in _TIMES if name in frame), None)
    if name is None:
        raise FileRefused("no_date_column", "no column holds the time: ts, ts_ns or recv_ns")
    try:
        if name != "ts":
            instants: Ints = frame[name].to_numpy(dtype=np.int64)
            return instants
        return _ns(pd.to_datetime(frame["ts"], utc=True, format="ISO8601"))
    except (ValueError, TypeError) as error:
        raise FileRefused("bad_date", f"column {name!r} holds something that is not a time: {error}") from error


def _ns(ts: pd.Series) -> Ints:
    ns: Ints = ts.dt.tz_convert(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return ns


def _floats(column: pd.Series) -> Floats:
    numbers: Floats = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    return numbers
