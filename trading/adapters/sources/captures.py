"""Recorded order books as inputs of the engine: levels (L2) of a feed, or its single orders (L3).

Times are when a message was received, nanoseconds since 1970 in UTC; inputs are numbered from 1. What was recorded is
not repaired: where updates are missing there is a gap, and an order nobody has seen is cancelled as it stands there.
"""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trading.domain.errors import Invalid
from trading.exchange.compiled.layout import BUY, INPUT, SELL, Flag, Kind, Op

Array = np.ndarray[Any, np.dtype[Any]]

_BATCH_ROWS: Final = 1 << 16
_SIDES: Final = {"bid": BUY, "ask": SELL}


@dataclass(frozen=True)
class Scale:
    """How many ticks make one unit of price, and how many lots one unit of quantity."""

    ticks: int
    lots: int


BINANCE_SPOT: Final = Scale(ticks=100, lots=100_000_000)  # 0.01 USDT; the feed gives sizes to eight decimals
BINANCE_USDM: Final = Scale(ticks=10, lots=1_000)  # 0.1 USDT, 0.001 BTC
INDEPENDENT_RESERVE: Final = Scale(ticks=100, lots=100_000_000)


@dataclass(frozen=True)
class Capture:
    """A recorded book of one symbol."""

    inputs: Array  # `INPUT` rows; those of one update share a number
    first_ids: Array  # of each row, the exchange's numbers of its update, 0 where it has none
    last_ids: Array
    gaps: int  # places where updates are missing
    skipped: int  # messages that the snapshot holds already

    def batches(self, rows: int = _BATCH_ROWS) -> Iterator[Array]:
        """The inputs in slices of about ``rows``, cut where an input ends."""
        ends = np.flatnonzero((self.inputs["flags"] & Flag.MORE) == 0) + 1
        start = 0
        while start < len(self.inputs):
            end = int(ends[min(int(np.searchsorted(ends, start + rows)), len(ends) - 1)])
            yield self.inputs[start:end]
            start = end


def whole(values: Array, per_unit: int, name: str) -> Array:
    """Decimals that a file keeps as floats, as integers. Raises `Invalid` where one is not a multiple of 1/per_unit."""
    found = np.rint(values * per_unit)
    # The division is exact to the last bit, so it gives the very float that the decimal was read as.
    wrong = found / per_unit != values
    if bool(wrong.any()):
        raise Invalid(f"{name} {values[wrong][0]!r} is finer than 1/{per_unit}", "too_fine")
    integers: Array = found.astype(np.int64)
    return integers


def read_levels(depth: Path, trades: Path | None, scale: Scale, *, symbol: int = 0) -> Capture:
    """An L2 capture: ``depth`` with columns seq, recv_ns, type (update, snapshot), side (bid, ask), price, size (the
    new total, 0 removes), first_id, last_id, prev_id; ``trades`` with seq, recv_ns, price, size. ``seq`` orders both.

    Updates that came before the snapshot and are newer than it follow it. Binance: how to manage a local order book.
    """
    table = pq.read_table(depth)
    seq, recv_ns = table["seq"].to_numpy(), table["recv_ns"].to_numpy()
    starts = np.concatenate(([0], np.flatnonzero(np.diff(seq)) + 1, [len(seq)]))
    plan = np.array(_plan(table, starts[:-1]), dtype=np.int64).reshape(-1, 3)
    message, heard, gapped = plan[:, 0], starts[plan[:, 1]], plan[:, 2] != 0
    counts = starts[message + 1] - starts[message]
    ends = np.cumsum(counts)
    take = np.arange(int(counts.sum())) + np.repeat(starts[message] - (ends - counts), counts)
    rows = np.zeros(len(take), INPUT)
    rows["op"] = Op.DEPTH
    rows["ts_ns"] = np.repeat(recv_ns[heard], counts)
    rows["side"] = np.where(pc.equal(table["side"], "bid").to_numpy()[take], BUY, SELL)
    rows["price"] = whole(table["price"].to_numpy()[take], scale.ticks, "price")
    rows["qty"] = whole(table["size"].to_numpy()[take], scale.lots, "size")
    snapshots = pc.equal(table["type"], "snapshot").to_numpy()[starts[message]]
    rows["flags"][(ends - counts)[snapshots]] = Flag.RESET
    more = np.ones(len(rows), bool)
    more[ends - 1] = False
    rows["flags"][more] += np.uint8(Flag.MORE)
    ids = [table[name].fill_null(0).to_numpy()[take] for name in ("first_id", "last_id")]
    gaps = np.zeros(int(gapped.sum()), INPUT)
    gaps["op"], gaps["ts_ns"] = Op.GAP, recv_ns[heard[gapped]]
    # What was heard first comes first; a gap stands before its update.
    parts = [(rows, np.repeat(2 * seq[heard] + 1, counts), *ids), _without_ids(gaps, 2 * seq[heard[gapped]])]
    if trades is not None:
        parts.append(_trades(trades, scale))
    inputs, at, first_ids, last_ids = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(at, kind="stable")
    inputs = inputs[order]
    inputs["symbol"] = symbol
    _number(inputs)
    return Capture(inputs, first_ids[order], last_ids[order], len(gaps), len(starts) - 1 - len(plan))


def _plan(table: Any, starts: Array) -> list[tuple[int, int, bool]]:
    """The messages that count, in order: (message, message with which it counts, whether updates miss before it)."""
    first_ids, last_ids, prev_ids = (
        table[name].fill_null(-1).to_numpy()[starts].tolist() for name in ("first_id", "last_id", "prev_id")
    )
    plan: list[tuple[int, int, bool]] = []
    early: list[int] = []  # updates that came before the snapshot
    newest: int | None = None
    for heard, is_snapshot in enumerate(pc.equal(table["type"], "snapshot").to_numpy()[starts].tolist()):
        if is_snapshot:
            plan.append((heard, heard, False))
            newest = last_ids[heard]
        else:
            early.append(heard)
        if newest is None:
            continue
        for number in early:
            if last_ids[number] > newest:
                follows = first_ids[number] <= newest + 1 or prev_ids[number] == newest
                plan.append((number, heard, not follows))
                newest = last_ids[number]
        early.clear()
    return plan


def _without_ids(rows: Array, at: Array) -> tuple[Array, Array, Array, Array]:
    none = np.zeros(len(rows), np.int64)
    return rows, at, none, none


def _trades(path: Path, scale: Scale) -> tuple[Array, Array, Array, Array]:
    table = pq.read_table(path, columns=["seq", "recv_ns", "price", "size"])
    rows = np.zeros(table.num_rows, INPUT)
    rows["op"] = Op.TRADE
    rows["ts_ns"] = table["recv_ns"].to_numpy()
    rows["price"] = whole(table["price"].to_numpy(), scale.ticks, "price")
    rows["qty"] = whole(table["size"].to_numpy(), scale.lots, "size")
    return _without_ids(rows, 2 * table["seq"].to_numpy() + 1)


def _number(inputs: Array) -> None:
    """Number the inputs from 1; the rows of one share a number."""
    begins = np.concatenate(([True], (inputs["flags"][:-1] & Flag.MORE) == 0))[: len(inputs)]
    inputs["seq"] = np.cumsum(begins)


def read_orders(path: Path, scale: Scale, *, symbol: int = 0) -> Capture:
    """An L3 capture, a CSV (gzip) with columns recv_s, exch_time (ms since 1970; of a snapshot ISO 8601), type
    (snapshot, new, change, cancel), side (bid, ask), order_id, price, size (of a change: what is left), nonce.

    Every order belongs to nobody (owner 0), so that all may meet. Events that the exchange made before the snapshot
    are left out; a nonce that does not follow is a gap. Orders are numbered in the order of their appearance.
    """
    numbers: dict[str, int] = {}
    prices: dict[str, int] = {}
    rows: list[tuple[int, ...]] = []
    snapshot_ms = 0.0
    skipped = gaps = nonce = 0
    with gzip.open(path, "rt", newline="") as file:
        for event in csv.DictReader(file):
            kind, name = event["type"], event["order_id"]
            if kind == "snapshot":
                snapshot_ms = datetime.fromisoformat(event["exch_time"]).timestamp() * 1_000
            elif int(event["exch_time"]) < snapshot_ms:
                skipped += 1
                continue
            else:
                gaps += nonce != 0 and int(event["nonce"]) != nonce + 1
                nonce = int(event["nonce"])
            if event["price"]:
                prices[name] = _whole_text(event["price"], scale.ticks, "price")
            lots = _whole_text(event["size"] or "0", scale.lots, "size")
            op = {"cancel": Op.CANCEL, "change": Op.MODIFY}.get(kind, Op.ADD)
            ts_ns = _whole_text(event["recv_s"], 1_000_000_000, "recv_s")
            order_id = numbers.setdefault(name, len(numbers) + 1)
            rows.append((ts_ns, order_id, prices.get(name, 0), lots, int(op), _SIDES[event["side"]]))
    if not rows:
        raise Invalid(f"{path.name} holds no order", "empty")
    inputs = np.zeros(len(rows), INPUT)
    columns = ("ts_ns", "order_id", "price", "qty", "op", "side")
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        inputs[column] = values
    inputs["kind"] = Kind.LIMIT
    inputs["symbol"] = symbol
    _number(inputs)
    none = np.zeros(len(inputs), np.int64)
    return Capture(inputs, none, none, gaps, skipped)


def _whole_text(text: str, per_unit: int, name: str) -> int:
    found = Decimal(text) * per_unit
    if found != int(found):
        raise Invalid(f"{name} {text!r} is finer than 1/{per_unit}", "too_fine")
    return int(found)
