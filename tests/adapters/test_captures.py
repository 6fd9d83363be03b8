"""Recorded order books through the engine: what it shows is what the exchange said it was showing."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trading.adapters.sources.captures import (
    BINANCE_SPOT,
    BINANCE_USDM,
    INDEPENDENT_RESERVE,
    Scale,
    read_levels,
    read_orders,
    whole,
)
from trading.domain.errors import Invalid
from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import Event, Flag, Op

# Of the real captures: points at which the exchange's own best prices can be compared, and how many are equal.
RECORDED = [("spot", BINANCE_SPOT, 5735, 5737), ("usdm", BINANCE_USDM, 5703, 5703)]


@pytest.mark.shared_data
@pytest.mark.parametrize(("venue", "scale", "equal", "comparable"), RECORDED)
def test_the_engine_shows_the_best_prices_that_the_exchange_told(
    shared_data: Path, venue: str, scale: Scale, equal: int, comparable: int
) -> None:
    files = {name: shared_data / "ticks" / f"BTCUSDT_binance-{venue}_20240808_{name}.parquet"
             for name in ("depth_l2", "trades", "bbo")}  # fmt: skip
    capture = read_levels(files["depth_l2"], files["trades"], scale)
    assert capture.gaps == 0
    engine = CompiledEngine(1)
    inputs = capture.inputs
    ends = np.flatnonzero((inputs["op"] == Op.DEPTH) & ((inputs["flags"] & Flag.MORE) == 0)) + 1
    shown = []
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        engine.apply(inputs[start:end])
        shown.append(engine.best(0)[:2])
    bids, asks = np.array(shown, dtype=np.int64).T
    assert int((bids >= asks).sum()) == 0, "no crossed book"
    # Comparable is an update within which the exchange told its best prices: the last it told then.
    told = pq.read_table(files["bbo"])
    ids = told["update_id"].to_numpy()
    last = np.searchsorted(ids, capture.last_ids[ends - 1], "right") - 1
    first_ids = capture.first_ids[ends - 1]
    there = (first_ids > 0) & (last >= 0) & (ids[last] >= first_ids)
    same = np.ones(len(last), bool)
    for name, ours in (("bid", bids), ("ask", asks)):
        same &= whole(told[name].to_numpy(), scale.ticks, name)[last] == ours
    assert (int((there & same).sum()), int(there.sum())) == (equal, comparable)


@pytest.mark.shared_data
def test_single_orders_of_a_real_book_never_cross_and_are_all_known(shared_data: Path) -> None:
    capture = read_orders(shared_data / "ticks" / "ETHAUD_independentreserve_l3.csv.gz", INDEPENDENT_RESERVE)
    snapshot = 1_065
    assert (len(capture.inputs) - snapshot, capture.gaps) == (826, 0)
    engine = CompiledEngine(1)
    engine.apply(capture.inputs[:snapshot])
    crossed, unknown, traded = 0, 0, 0
    for at in range(snapshot, len(capture.inputs)):
        events = engine.apply(capture.inputs[at : at + 1])
        unknown += int((events["kind"] == Event.REJECTED).sum())
        traded += int((events["kind"] == Event.FILL).sum())
        bid, ask = engine.best(0)[2:]
        crossed += bid is not None and ask is not None and bid >= ask
    assert (unknown, traded, crossed) == (0, 0, 0)
    assert engine.n_open == snapshot + int((capture.inputs["op"][snapshot:] == Op.ADD).sum()) - int(
        (capture.inputs["op"] == Op.CANCEL).sum()
    )


def levels(path: Path, rows: list[tuple[int, str, str, float, float, int | None, int]]) -> Path:
    """Rows of (seq, type, side, price, size, first id, last id)."""
    names = ("seq", "type", "side", "price", "size", "first_id", "last_id")
    kinds = (pa.int64(), pa.string(), pa.string(), pa.float64(), pa.float64(), pa.int64(), pa.int64())
    columns = dict(zip(names, map(pa.array, zip(*rows, strict=True), kinds), strict=True))
    columns["recv_ns"] = pa.array(columns["seq"].to_numpy() * 1_000)
    columns["prev_id"] = pa.nulls(len(rows), pa.int64())
    pq.write_table(pa.table(columns), path)
    return path


def test_updates_before_the_snapshot_follow_it_and_a_missing_one_is_a_gap(tmp_path: Path) -> None:
    depth = levels(
        tmp_path / "depth.parquet",
        [
            (1, "update", "bid", 0.5, 1.0, 8, 10),  # older than the snapshot
            (2, "update", "bid", 0.6, 2.0, 11, 12),
            (4, "snapshot", "bid", 0.5, 3.0, None, 10),
            (4, "snapshot", "ask", 0.9, 1.0, None, 10),
            (5, "update", "ask", 0.8, 1.5, 13, 14),
            (5, "update", "ask", 0.9, 0.0, 13, 14),
            (8, "update", "bid", 0.7, 1.0, 17, 18),  # 15 and 16 are missing
        ],
    )
    trades = tmp_path / "trades.parquet"
    pq.write_table(
        pa.table({"seq": [3, 6], "recv_ns": [3_000, 6_000], "price": [0.6, 0.7], "size": [1.0, 0.5]}), trades
    )
    capture = read_levels(depth, trades, Scale(ticks=10, lots=2), symbol=3)
    assert (capture.gaps, capture.skipped) == (1, 1)
    depth_, trade, gap = int(Op.DEPTH), int(Op.TRADE), int(Op.GAP)
    names = ("seq", "ts_ns", "op", "side", "price", "qty", "flags")
    assert [tuple(int(row[name]) for name in names) for row in capture.inputs] == [
        (1, 3_000, trade, 0, 6, 2, 0),
        (2, 4_000, depth_, 0, 5, 6, Flag.RESET | Flag.MORE),
        (2, 4_000, depth_, 1, 9, 2, 0),
        (3, 4_000, depth_, 0, 6, 4, 0),
        (4, 5_000, depth_, 1, 8, 3, Flag.MORE),
        (4, 5_000, depth_, 1, 9, 0, 0),
        (5, 6_000, trade, 0, 7, 1, 0),
        (6, 8_000, gap, 0, 0, 0, 0),
        (7, 8_000, depth_, 0, 7, 2, 0),
    ]
    assert set(capture.inputs["symbol"].tolist()) == {3}
    assert [len(batch) for batch in capture.batches(2)] == [3, 3, 2, 1]


def test_a_price_finer_than_a_tick_is_refused(tmp_path: Path) -> None:
    depth = levels(tmp_path / "depth.parquet", [(1, "snapshot", "bid", 0.51, 1.0, None, 1)])
    with pytest.raises(Invalid, match=r"price .* is finer than 1/10"):
        read_levels(depth, None, Scale(ticks=10, lots=1))


def test_single_orders_become_adds_changes_and_cancels(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(
            "seq,recv_s,exch_time,type,side,order_id,price,size,nonce\n"
            "0,5.5,1970-01-01T00:00:04Z,snapshot,bid,aa,1.5,2,\n"
            "1,5.6,3999,new,ask,old,9,9,1\n"  # before the snapshot
            "2,5.75,4000,new,ask,bb,2.5,4,7\n"
            "3,6,4100,change,bid,aa,,1,8\n"
            "4,7,4200,cancel,ask,bb,,,10\n"  # nonce 9 is missing
        )
    capture = read_orders(path, Scale(ticks=2, lots=1))
    assert (capture.gaps, capture.skipped) == (1, 1)
    names = ("seq", "ts_ns", "op", "order_id", "owner", "side", "price", "qty")
    assert [tuple(int(row[name]) for name in names) for row in capture.inputs] == [
        (1, 5_500_000_000, Op.ADD, 1, 0, 0, 3, 2),
        (2, 5_750_000_000, Op.ADD, 2, 0, 1, 5, 4),
        (3, 6_000_000_000, Op.MODIFY, 1, 0, 0, 3, 1),
        (4, 7_000_000_000, Op.CANCEL, 2, 0, 1, 5, 0),
    ]
