"""Features see the past and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.ml.features import FEATURES, WARM_UP_BARS, adjusted, features, rsi


def bars_of(closes, seed=1):
    rng = np.random.default_rng(seed)
    close = np.asarray(closes, dtype=float)
    opens = close * (1 + rng.normal(0, 0.003, len(close)))
    return pd.DataFrame(
        {
            "ts": pd.date_range("2020-01-01", periods=len(close), tz="UTC").as_unit("ns"),
            "open": opens,
            "high": np.maximum(opens, close) * 1.004,
            "low": np.minimum(opens, close) * 0.996,
            "close": close,
            "volume": rng.integers(0, 100_000, len(close)).astype(float),
        }
    )


walks = st.lists(st.floats(-0.2, 0.2), min_size=WARM_UP_BARS + 2, max_size=140).map(
    lambda steps: 50.0 * np.cumprod(1.0 + np.array(steps))
)


@settings(max_examples=40, deadline=None)
@given(walks, st.data())
def test_truncating_the_future_never_changes_a_past_feature(closes, data):
    bars = bars_of(closes)
    cut = data.draw(st.integers(WARM_UP_BARS + 1, len(bars)))
    whole, past = features(bars), features(bars.iloc[:cut])
    pd.testing.assert_frame_equal(whole.iloc[: len(past)], past, check_exact=True)


@settings(max_examples=20, deadline=None)
@given(walks, st.floats(0.05, 20.0))
def test_a_later_split_that_rebases_the_adjusted_closes_changes_no_feature(closes, factor):
    bars = bars_of(closes).assign(adj_close=lambda b: b["close"])
    rebased = bars.assign(adj_close=bars["close"] * factor)
    names = [name for name in FEATURES if name != "volume_score_20"]
    np.testing.assert_allclose(features(bars)[names], features(rebased)[names], rtol=1e-6, atol=1e-7)


def test_a_split_is_no_move_in_adjusted_bars():
    raw = bars_of([100.0] * 40 + [50.0] * 40)
    raw["adj_close"] = 50.0
    assert adjusted(raw)["close"].nunique() == 1
    assert (features(raw)["momentum_60"] == 0.0).all()


def test_rsi_gives_wilders_worked_numbers():
    # The example of StockCharts' ChartSchool page on RSI, from its QQQQ closes of 2009-12-14 on.
    closes = [
        44.3389,
        44.0902,
        44.1497,
        43.6124,
        44.3278,
        44.8264,
        45.0955,
        45.4245,
        45.8433,
        46.0826,
        45.8931,
        46.0328,
    ]
    closes += [45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439]
    found = rsi(pd.Series(closes), 14)
    assert found[:14].isna().all()
    np.testing.assert_allclose(found[14:].to_numpy(), [70.53, 66.32, 66.55, 69.41, 66.36, 57.97], atol=0.01)


def test_rsi_of_a_flat_series_is_fifty():
    assert (rsi(pd.Series([7.0] * 20), 14)[14:] == 50.0).all()


def test_no_row_has_a_missing_or_infinite_feature():
    bars = bars_of([10.0] * 100)
    bars["volume"] = 0.0
    table = features(bars)
    assert len(table) == 100 - WARM_UP_BARS
    assert np.isfinite(table[list(FEATURES)].to_numpy()).all()


@pytest.mark.parametrize("length", [0, 1, WARM_UP_BARS])
def test_a_history_shorter_than_the_warm_up_has_no_rows(length):
    assert features(bars_of(np.full(length, 10.0))).empty
