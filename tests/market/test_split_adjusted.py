"""Bars behind a split: what they would be if every trade before it had been in new shares."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.market.adjust import AROUND_NS, Split, split_adjusted
from trading.market.bars import FRAMES, MINUTE_NS

DAY_NS = 20_700 * 1440 * MINUTE_NS
NAMES = ["open", "high", "low", "close", "volume"]
RATIOS = [Fraction(2), Fraction(7), Fraction(3, 2), Fraction(5, 4), Fraction(1, 2), Fraction(1, 10)]
Trade = tuple[int, float, float]
"""Time, price, volume."""


def bars_of(trades: Sequence[Trade], frame: str) -> pd.DataFrame:
    rows = pd.DataFrame(trades, columns=["ts_ns", "price", "volume"])
    length_ns = FRAMES[frame] * MINUTE_NS
    each = rows.groupby(rows["ts_ns"] // length_ns * length_ns)
    bars = each["price"].agg(["first", "max", "min", "last"]).set_axis(NAMES[:4], axis=1)
    bars["volume"] = each["volume"].sum()
    bars.insert(0, "ts", pd.to_datetime(bars.index.to_numpy(), unit="ns", utc=True).as_unit("ns"))
    return bars.reset_index(drop=True)


@st.composite
def days(draw: st.DrawFn) -> tuple[list[Trade], Split, list[Trade]]:
    """Trades of a day with a split in it, the split, and the same trades all in new shares.

    Behind the booking nothing trades for eight seconds, as on the venue.
    """
    ratio = draw(st.sampled_from(RATIOS))
    split_ns = DAY_NS + draw(st.integers(200, 1200)) * MINUTE_NS + draw(st.integers(0, 59)) * 10**9
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    seconds = np.unique(random.integers(0, 86_400, draw(st.integers(50, 600))))
    prices = 800 * np.exp(np.cumsum(random.normal(0, 0.0005, len(seconds))))
    traded, renewed = [], []
    for second, new_price in zip(seconds, prices, strict=True):
        ts_ns, volume = DAY_NS + int(second) * 10**9, float(random.integers(1, 100))
        if split_ns <= ts_ns < split_ns + 8 * 10**9:
            continue
        is_old = ts_ns < split_ns
        traded.append((ts_ns, new_price * float(ratio) if is_old else new_price, volume))
        renewed.append((ts_ns, new_price, volume * float(ratio) if is_old else volume))
    booked_ns = split_ns + draw(st.integers(0, 5 * 10**9))
    return traded, Split(split_ns, booked_ns, ratio, 800 * float(ratio)), renewed


@settings(max_examples=60, deadline=None)
@given(days(), st.sampled_from(["M1", "M5", "H1", "D1"]))
def test_adjusted_bars_are_those_of_the_same_trades_in_new_shares(
    day: tuple[list[Trade], Split, list[Trade]], frame: str
) -> None:
    traded, split, renewed = day
    raw = bars_of(traded, frame)
    kept = raw.copy()
    found = split_adjusted(raw, [split], FRAMES[frame] * MINUTE_NS, bars_of(traded, "M1"))
    pd.testing.assert_frame_equal(raw, kept)  # what was given is as it was
    expected = bars_of(renewed, frame)
    assert list(found["ts"]) == list(expected["ts"])
    # One minute may hold both sides: how much of it was old, and how far the smaller side went, nobody knows.
    minute_ns = split.asked_ns // MINUTE_NS * MINUTE_NS
    sides = {ts_ns < split.asked_ns for ts_ns, _, _ in traded if minute_ns <= ts_ns < minute_ns + MINUTE_NS}
    start = found["ts"].astype("int64")
    both = (start <= minute_ns) & (start + FRAMES[frame] * MINUTE_NS > minute_ns) & (len(sides) == 2)
    np.testing.assert_allclose(found[~both][NAMES], expected[~both][NAMES], rtol=1e-9)
    np.testing.assert_allclose(found[both][["open", "close"]], expected[both][["open", "close"]], rtol=1e-9)
    np.testing.assert_allclose(found[both][["high", "low"]], expected[both][["high", "low"]], rtol=0.01)
    assert (found["high"] >= found[["open", "close", "low"]].max(axis=1)).all()
    assert (found["low"] <= found[["open", "close"]].min(axis=1)).all()


@given(st.lists(st.sampled_from(RATIOS), min_size=1, max_size=3))
def test_splits_add_up_and_leave_what_came_after_them_as_it_was(ratios: list[Fraction]) -> None:
    price, trades, splits = 1000.0, [], []
    for n, ratio in enumerate(ratios):
        trades.append((DAY_NS + n * 60 * MINUTE_NS, price, 10.0))
        at_ns = DAY_NS + (n * 60 + 30) * MINUTE_NS
        splits.append(Split(at_ns, at_ns, ratio, price))
        price /= float(ratio)
    trades.append((DAY_NS + len(ratios) * 60 * MINUTE_NS, price, 10.0))
    for frame in ("M1", "D1"):
        raw, length_ns = bars_of(trades, frame), FRAMES[frame] * MINUTE_NS
        found = split_adjusted(raw, splits[::-1], length_ns, bars_of(trades, "M1"))
        np.testing.assert_allclose(found[NAMES[:4]], price, rtol=1e-9)
    assert found["volume"].iloc[-1] > 0


def test_a_longer_bar_whose_minutes_are_gone_keeps_no_jump() -> None:
    at_ns = DAY_NS + 600 * MINUTE_NS
    traded = [(DAY_NS, 100.0, 4.0), (at_ns - MINUTE_NS, 104.0, 4.0), (at_ns + MINUTE_NS, 52.0, 8.0)]
    [bar] = split_adjusted(
        bars_of(traded, "D1"), [Split(at_ns, at_ns, Fraction(2), 104.0)], 1440 * MINUTE_NS, bars_of(traded[1:], "M1")
    )[NAMES].to_numpy()
    assert bar.tolist() == [50.0, 52.0, 50.0, 52.0, 16.0]


def test_a_minute_wholly_outside_the_split_is_told_by_time_alone() -> None:
    """A price that fell to half by itself is no split."""
    at_ns = DAY_NS + 60 * MINUTE_NS
    long_before = (at_ns - AROUND_NS - 2 * MINUTE_NS, 40.0, 1.0)
    long_behind = (at_ns + AROUND_NS + MINUTE_NS, 110.0, 1.0)
    found = split_adjusted(
        bars_of([long_before, long_behind], "M1"), [Split(at_ns, at_ns, Fraction(2), 100.0)], MINUTE_NS
    )
    assert found["close"].tolist() == [20.0, 110.0]
    assert found["volume"].tolist() == [2.0, 1.0]


def test_without_splits_or_bars_nothing_changes() -> None:
    bars = bars_of([(DAY_NS, 100.0, 4.0)], "M1")
    pd.testing.assert_frame_equal(split_adjusted(bars, [], MINUTE_NS), bars)
    assert split_adjusted(bars[:0], [Split(DAY_NS, DAY_NS, Fraction(2), 100.0)], MINUTE_NS).empty
