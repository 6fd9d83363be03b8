"""Bars out of ticks: incremental equals at once, equals SQL over the archived ticks."""

import json

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.market.bars import (
    BAR,
    FRAME_NAMES,
    FRAMES,
    MINUTE_NS,
    BarBuilder,
    Bars,
    bars_of_ticks,
    no_bars,
    pack_bars,
    roll_up,
    unpack_bars,
)
from trading.market.profiles import PROFILES
from trading.market.sessions import CONTINUOUS, FX_WEEK, sessions
from trading.market.simulator import Simulator
from trading.market.ticks import DEPTH, MORE, QUOTE, TICK, TRADE, Ticks

DAY_NS = 1440 * MINUTE_NS
FAR_NS = 10**18


def trades(*rows: tuple[int, int, float, int, int]) -> Ticks:
    """(instrument, seq, minute, price, lots); no lots means a quote without a trade."""
    ticks = np.zeros(len(rows), dtype=TICK)
    for tick, (instrument_id, seq, minute, price, lots) in zip(ticks, rows, strict=True):
        tick["instrument_id"], tick["seq"], tick["ts_ns"] = instrument_id, seq, int(minute * MINUTE_NS)
        tick["kind"] = QUOTE | (TRADE if lots else 0)
        tick["trade_ticks"], tick["trade_lots"] = (price, lots) if lots else (0, 0)
        tick["bid_ticks"], tick["ask_ticks"] = price, price + 1
    return ticks


def rows(bars: Bars, frame: str, instrument_id: int = 1) -> list[tuple[float, ...]]:
    own = bars[(bars["frame"] == FRAME_NAMES.index(frame)) & (bars["instrument_id"] == instrument_id)]
    return [(bar["ts_ns"] / MINUTE_NS, *bar.tolist()[4:]) for bar in own]


def ordered(bars: Bars) -> Bars:
    return bars[np.lexsort((bars["ts_ns"], bars["instrument_id"], bars["frame"]))]


def test_a_bar_is_made_of_trades_and_closes_with_a_trade_of_a_later_minute() -> None:
    builder = BarBuilder()
    assert (
        len(builder.add(trades((1, 1, 0.1, 100, 5), (1, 2, 0.2, 999, 0), (1, 3, 0.5, 90, 1), (1, 4, 0.9, 95, 2)))) == 0
    )
    closed = builder.add(trades((1, 5, 1.0, 97, 1)))
    assert rows(closed, "M1") == [(0, 100, 100, 90, 95, 8)]
    assert rows(builder.forming(), "M1") == [(1, 97, 97, 97, 97, 1)]
    assert rows(builder.forming(), "D1") == [(0, 100, 100, 90, 97, 9)]


def test_minutes_without_a_trade_have_no_bar_and_longer_bars_close_with_their_bucket() -> None:
    builder = BarBuilder()
    builder.add(trades((1, 1, 0, 100, 1)))
    closed = builder.add(trades((1, 2, 7, 101, 1)))
    assert rows(closed, "M1") == [(0, 100, 100, 100, 100, 1)]
    assert rows(closed, "M5") == [(0, 100, 100, 100, 100, 1)]
    assert rows(closed, "M15") == []
    assert rows(builder.close_until(10 * MINUTE_NS), "M5") == [(5, 101, 101, 101, 101, 1)]


def test_a_late_trade_is_counted_and_changes_nothing() -> None:
    builder = BarBuilder()
    builder.add(trades((1, 1, 3, 100, 1)))
    builder.add(trades((1, 2, 2.9, 50, 7)))
    assert builder.late == 1
    builder.close_until(5 * MINUTE_NS)
    builder.add(trades((1, 3, 4.9, 50, 7)))
    assert builder.late == 2, "the clock has closed that minute"
    assert rows(builder.forming(), "M15") == [(0, 100, 100, 100, 100, 1)]


def test_a_repeated_number_is_ignored() -> None:
    builder = BarBuilder()
    builder.add(trades((1, 1, 0, 100, 1), (1, 1, 0, 200, 1), (2, 1, 0, 7, 1)))
    assert rows(builder.forming(), "M1") == [(0, 100, 100, 100, 100, 1)]
    assert rows(builder.forming(), "M1", 2) == [(0, 7, 7, 7, 7, 1)]


def test_merged_minutes_join_the_open_one_and_close_what_they_pass() -> None:
    builder = BarBuilder()
    builder.add(trades((1, 1, 2.5, 100, 1)))
    made = np.zeros(2, dtype=BAR)
    made["instrument_id"], made["ts_ns"] = 1, [2 * MINUTE_NS, 3 * MINUTE_NS]
    for name, values in {"open": (101, 103), "high": (110, 103), "low": (99, 102), "close": (103, 102)}.items():
        made[name] = values
    made["volume"] = 10
    assert rows(builder.merge(made), "M1") == [(2, 100, 110, 99, 103, 11)]
    assert rows(builder.forming(), "M5") == [(0, 100, 110, 99, 102, 21)]
    with pytest.raises(ValueError, match="only M1"):
        builder.merge(roll_up(made, "M5"))


@st.composite
def streams(draw: st.DrawFn) -> Ticks:
    size = draw(st.integers(0, 60))
    minute = draw(st.floats(0, 3_000))
    found, seq = [], {1: 0, 2: 0}
    for _ in range(size):
        # Now and then backwards, over the borders of all frames, and with numbers that repeat or jump.
        minute = max(0.0, minute + draw(st.sampled_from([0, 0.1, 0.4, 1, 4, 17, 130, 1500, -0.3, -2])))
        instrument_id = draw(st.sampled_from([1, 2]))
        seq[instrument_id] += draw(st.sampled_from([1, 1, 1, 3, 0, -1]))
        found.append(
            (instrument_id, seq[instrument_id], minute, draw(st.integers(1, 50)), draw(st.sampled_from([0, 1, 3])))
        )
    return trades(*found)


@given(stream=streams(), cut=st.integers(0, 60), resume=st.booleans())
@settings(max_examples=150, deadline=None)
def test_incremental_bars_equal_those_made_at_once(stream: Ticks, cut: int, resume: bool) -> None:
    builder = BarBuilder()
    parts = [builder.add(stream[:cut])]
    if resume:
        builder = BarBuilder.load(json.loads(json.dumps(builder.dump())))
    parts += [builder.add(stream[cut:]), builder.close_until(FAR_NS)]
    assert len(builder.forming()) == 0
    closed = ordered(np.concatenate([no_bars(), *parts]))
    at_once = ordered(np.concatenate([no_bars(), *(bars_of_ticks(stream, frame) for frame in FRAMES)]))
    assert closed.tolist() == at_once.tolist()


@given(stream=streams())
@settings(max_examples=60, deadline=None)
def test_forming_bars_are_the_newest_of_those_made_at_once(stream: Ticks) -> None:
    builder = BarBuilder()
    closed = builder.add(stream)
    everything = ordered(np.concatenate([closed, builder.forming()]))
    at_once = ordered(np.concatenate([no_bars(), *(bars_of_ticks(stream, frame) for frame in FRAMES)]))
    assert everything.tolist() == at_once.tolist()


def test_bars_of_the_simulator_equal_sql_over_its_archived_ticks() -> None:
    own = Simulator([1, 2, 3], PROFILES[:3], seed=5, start_ns=20_000 * DAY_NS + 7, ticks_per_s=0.2)
    parts, builder, closed, count = [], BarBuilder(), [], 0
    for _ in range(3_000):
        ticks = own.advance(own.prices.ts_ns + 45 * 10**9)
        ticks["seq"] = count + np.arange(1, len(ticks) + 1)
        count += len(ticks)
        parts.append(ticks)
        closed.append(builder.add(ticks))
    bars = np.concatenate([*closed, builder.forming()])
    archived = np.concatenate(parts)
    names = ("instrument_id", "kind", "seq", "ts_ns", "trade_ticks", "trade_lots")
    tick_columns = {name: np.ascontiguousarray(archived[name]) for name in names}
    engine = duckdb.connect()
    engine.register("raw", pa.table(tick_columns))
    for frame, minutes in FRAMES.items():
        expected = engine.execute(
            """select instrument_id, ts_ns // $length * $length as bucket, arg_min(trade_ticks, seq), max(trade_ticks),
                      min(trade_ticks), arg_max(trade_ticks, seq), sum(trade_lots)::bigint
               from raw where kind & 2 = 2 group by all order by 1, 2""",
            {"length": minutes * MINUTE_NS},
        ).fetchall()
        own_bars = ordered(bars[bars["frame"] == FRAME_NAMES.index(frame)])
        assert len(expected) > 3
        assert [(row[0], *row[3:]) for row in own_bars.tolist()] == expected, frame


@pytest.mark.parametrize("calendar", sorted({profile.calendar for profile in PROFILES} - {FX_WEEK, CONTINUOUS}))
def test_a_day_of_an_exchange_is_one_bar(calendar: str) -> None:
    known = sessions(calendar, 1_790_000_000 * 10**9)
    assert len(known.day_open_ns) > 1_000
    assert (known.day_open_ns // DAY_NS == (known.day_close_ns - 1) // DAY_NS).all()


def test_bars_travel_as_bytes() -> None:
    bars = bars_of_ticks(trades((1, 1, 0, 100, 1)), "M1")
    assert unpack_bars(pack_bars(bars)).tolist() == bars.tolist()


@st.composite
def ordered_streams(draw: st.DrawFn) -> Ticks:
    """Trades, quotes and depth of a few instruments, each in order of time, over the borders of every frame."""
    ids = draw(st.lists(st.integers(-5, 2**31 - 1), min_size=1, max_size=5, unique=True))
    seed, size = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 400))
    random = np.random.default_rng(seed)
    ticks = np.zeros(size, dtype=TICK)
    steps = random.choice(
        [0, 1, 10**9, MINUTE_NS, 7 * MINUTE_NS, 300 * MINUTE_NS, 2 * DAY_NS],
        size,
        p=[0.3, 0.2, 0.3, 0.1, 0.05, 0.03, 0.02],
    )
    ticks["ts_ns"] = draw(st.integers(0, 2 * 10**18)) + np.cumsum(steps)
    ticks["instrument_id"] = random.choice(ids, size)
    ticks["seq"] = np.arange(size) + draw(st.integers(0, 10**15))
    ticks["kind"] = random.choice([QUOTE, TRADE, QUOTE | TRADE, DEPTH, DEPTH | MORE, DEPTH | TRADE], size)
    ticks["trade_ticks"] = random.integers(1, 2**45, size)
    ticks["trade_lots"] = random.integers(1, 10**9, size)
    return ticks


@given(stream=ordered_streams(), cuts=st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=60)
def test_bars_equal_a_group_by_of_the_same_ticks_however_they_come(stream: Ticks, cuts: list[int]) -> None:
    builder = BarBuilder()
    closed = [builder.add(part) for part in np.split(stream, sorted(cuts))]
    bars = ordered(np.concatenate([*closed, builder.close_until(4 * 10**18)]))
    with duckdb.connect() as engine:
        engine.register("raw", pa.table({name: np.ascontiguousarray(stream[name]) for name in stream.dtype.names}))
        engine.register("frames", pa.table({"frame": range(7), "length_ns": [m * MINUTE_NS for m in FRAMES.values()]}))
        expected = engine.execute(
            """select instrument_id, frame, 0, ts_ns // length_ns * length_ns as bucket, arg_min(trade_ticks, seq),
                      max(trade_ticks), min(trade_ticks), arg_max(trade_ticks, seq), sum(trade_lots)::bigint
               from raw, frames where kind & 2 = 2 and kind & 8 = 0
               group by 1, 2, 4 order by frame, instrument_id, bucket"""
        ).fetchall()
    assert bars.tolist() == expected


def test_more_instruments_and_bars_than_there_was_room_for_are_taken_all_the_same() -> None:
    count = 5_000
    stream = trades(*((number % 500, number, number // 500, number, 1) for number in range(1, count + 1)))
    builder = BarBuilder()
    closed = [builder.add(stream), builder.close_until(FAR_NS)]
    at_once = [bars_of_ticks(stream, frame) for frame in FRAMES]
    assert ordered(np.concatenate(closed)).tolist() == ordered(np.concatenate(at_once)).tolist()
