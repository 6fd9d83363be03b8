"""Metrics against numbers worked out by hand, and the sweep against the engine."""

import numpy as np
import pandas as pd
import pytest

from trading.backtest.engine import run
from trading.backtest.metrics import drawdowns, max_drawdown, measure
from trading.backtest.result import USD, Costs, us_equity
from trading.backtest.sweep import sma_sweep
from trading.strategy.library.sma_cross import SmaCross

YEAR_NS = int(365.25 * 86_400e9)


def test_metrics_of_a_curve_worked_out_by_hand():
    equity = np.array([10_000, 12_000, 9_000, 14_400])
    ts = np.array([0, 1, 2, 4]) * (YEAR_NS // 2)
    found = measure(ts, equity, [4000, 6000], [10, 20], [5, -1, 7, 0], periods_per_year=2)
    returns = np.array([0.2, -0.25, 0.6])
    assert found.total_return == pytest.approx(0.44)
    assert found.cagr == pytest.approx(0.2)  # 1.44 over two years
    assert found.volatility == pytest.approx(returns.std(ddof=1) * 2**0.5)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * 2**0.5)
    assert found.max_drawdown == pytest.approx(0.25)
    assert found.turnover == pytest.approx(5000 / 11_350 / 2)
    assert found.hit_rate == 0.5
    assert (found.fees, found.fills) == (30, 2)


def test_drawdown_of_a_curve_that_only_rises_is_zero():
    curve = np.array([1.0, 2.0, 3.0])
    assert max_drawdown(curve) == 0.0
    assert drawdowns(curve).tolist() == [0.0, 0.0, 0.0]


def test_a_flat_curve_has_no_sharpe_and_no_hits():
    found = measure(np.array([0, YEAR_NS]), np.array([100, 100]), [], [], [], periods_per_year=252)
    assert found.sharpe == 0.0
    assert np.isnan(found.hit_rate)


def test_the_sweep_agrees_with_the_engine_where_both_can_say_the_same(shipped_bars):
    """Without fees, spread and liquidity limits, a single share price path gives nearly the same return."""
    bars = {"GOOG": shipped_bars["GOOG"]}  # no split, no dividend
    sweep = sma_sweep(bars, [20], [100], fee_ppm=0, slippage_ppm=0)
    free = Costs(half_spread_ppm=0, volume_share_ppm=1_000_000, band_ppm=300_000, rebalance_ppm=500_000)
    result = run(SmaCross(("GOOG",), 20, 100), bars, {"GOOG": us_equity("GOOG")}, cash=10**8, currency=USD, costs=free)
    trades = result.fills.loc[result.fills["side"] == "buy", "order_id"].nunique()
    assert sweep["trades"][0] == trades
    # The engine holds back cash for its protection price, so it is invested a little less.
    assert abs(sweep["sharpe"][0] - result.metrics.sharpe) < 0.05


def test_the_sweep_ranks_every_pair_once_and_skips_impossible_ones(shipped_bars):
    frames = {symbol: shipped_bars[symbol].tail(400).reset_index(drop=True) for symbol in ("AAPL", "IBM")}
    table = sma_sweep(frames, [5, 20], [20, 60], fee_ppm=100, slippage_ppm=200)
    assert list(zip(table["fast"], table["slow"], strict=True)) != []
    assert set(zip(table["fast"], table["slow"], strict=True)) == {(5, 20), (5, 60), (20, 60)}
    assert table["sharpe"].is_monotonic_decreasing
    dearer = sma_sweep(frames, [5, 20], [20, 60], fee_ppm=5000, slippage_ppm=200)
    assert isinstance(dearer, pd.DataFrame)
    assert dearer["total_return"].mean() < table["total_return"].mean()
