"""The rules of fills on bars as worked examples, and a backtest recomputed by other means."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.backtest.engine import run
from trading.backtest.result import USD, Costs, us_equity
from trading.domain.errors import Invalid
from trading.strategy.library.sma_cross import SmaCross
from trading.strategy.sdk import Step, Target

FREE_SPREAD = Costs(half_spread_ppm=0)


@dataclass(frozen=True)
class Plan:
    """Targets by bar number of each symbol."""

    weights: dict
    symbols: tuple = ("A",)
    name: str = "plan"

    def start(self):
        return defaultdict(int)

    def on_bar(self, context, state, bar):
        number = state[bar.symbol]
        after = defaultdict(int, {**state, bar.symbol: number + 1})
        weight = self.weights.get(number) if bar.symbol == self.symbols[0] else None
        return Step(after, () if weight is None else (Target(bar.symbol, weight),))


@dataclass(frozen=True)
class Watcher:
    """Remembers all it was shown."""

    seen: list = field(default_factory=list)
    symbols: tuple = ("A",)
    name: str = "watcher"

    def start(self):
        return None

    def on_bar(self, context, state, bar):
        self.seen.append((context, bar))
        return Step(None)


def bars_of(opens, closes=None, volume=1e9, **more):
    closes = opens if closes is None else closes
    return pd.DataFrame(
        {
            "ts": pd.date_range("2021-03-01", periods=len(opens), tz="UTC").as_unit("ns"),
            "open": np.asarray(opens, dtype=float),
            "high": np.maximum(opens, closes).astype(float),
            "low": np.minimum(opens, closes).astype(float),
            "close": np.asarray(closes, dtype=float),
            "volume": volume if isinstance(volume, list) else [float(volume)] * len(opens),
            **more,
        }
    )


def trade(strategy, bars, cash=1_000_000, costs=FREE_SPREAD):
    frames = bars if isinstance(bars, dict) else {"A": bars}
    return run(strategy, frames, {symbol: us_equity(symbol) for symbol in frames}, cash=cash, currency=USD, costs=costs)


def test_a_signal_made_on_bar_n_fills_at_the_open_of_bar_n_plus_1():
    result = trade(Plan({1: 0.5}), bars_of([100, 100, 103, 99], [100, 100, 104, 99]))
    fill = result.fills.iloc[0]
    assert fill["ts"] == pd.Timestamp("2021-03-03", tz="UTC")
    assert fill["price_ticks"] == 10301  # the open of 103.00 and the half spread of a tick
    assert fill["quantity_lots"] == 50  # half of 10,000.00 at the close of 100.00


def test_a_signal_on_the_last_bar_never_fills():
    assert trade(Plan({3: 1.0}), bars_of([100, 100, 100, 100])).fills.empty


def test_a_bar_gives_a_share_of_its_volume_once_and_the_rest_waits():
    result = trade(Plan({0: 0.8}), bars_of([100] * 5, volume=[1e9, 1000, 2000, 99, 1e9]))
    assert result.fills["quantity_lots"].tolist() == [25, 50, 2, 3]
    assert result.fills["order_id"].nunique() == 1


def test_the_fee_is_rounded_on_the_orders_cumulative_total():
    # 0.005 a share, at least 1.00: the minimum covers the first 200 shares of the order, however it is filled.
    result = trade(Plan({0: 0.9}), bars_of([10] * 5, volume=[0, 6000, 4000, 5000, 1e9]), cash=1_000_000)
    assert result.fills["quantity_lots"].tolist() == [150, 100, 125, 525]
    assert result.fills["fee"].tolist() == [100, 25, 63, 262]  # 1.00, then 1.25 - 1.00, 1.88 - 1.25, 4.50 - 1.88
    assert result.metrics.fees == 450


def test_nothing_trades_beyond_its_protection_price():
    gap = trade(Plan({0: 0.5}), bars_of([100, 106, 100, 100]), costs=Costs(half_spread_ppm=0, band_ppm=50_000))
    assert gap.fills.empty
    inside = trade(Plan({0: 0.5}), bars_of([100, 104.9, 100, 100]), costs=Costs(half_spread_ppm=0, band_ppm=50_000))
    assert len(inside.fills) == 1


def test_a_buy_never_spends_more_than_the_cash_it_holds():
    result = trade(Plan({0: 1.0}), bars_of([100, 104, 104, 104]))
    assert (result.equity["cash"] >= 0).all()
    assert result.fills["quantity_lots"].sum() == 95  # 10,000.00 at the protection price of 105.00, and the fee


def test_buying_and_selling_pays_the_spread_and_two_fees():
    costs = Costs(half_spread_ppm=1000)
    result = trade(Plan({0: 0.5, 2: 0.0}), bars_of([100] * 5), costs=costs)
    assert result.fills["price_ticks"].tolist() == [10010, 9990]
    assert result.equity["equity"].iloc[-1] == 1_000_000 - 50 * 20 - 2 * 100
    assert result.metrics.hit_rate == 0.0


def test_a_small_difference_to_the_target_is_left_alone():
    drifting = Plan(dict.fromkeys(range(8), 0.5))
    result = trade(drifting, bars_of([100, 100, 101, 102, 103, 102, 101, 100]))
    assert len(result.fills) == 1


def test_a_split_doubles_the_shares_and_leaves_equity_as_it_was():
    closes = [100.0, 100, 100, 50, 50]
    result = trade(Plan({0: 0.5}), bars_of(closes, adj_close=[50.0] * 5))
    assert result.actions[["ratio", "cash"]].to_numpy().tolist() == [["2", 0]]
    assert result.equity["equity"].nunique() == 2  # before and after paying spread and fee
    sold = trade(Plan({0: 0.5, 3: 0.0}), bars_of(closes, adj_close=[50.0] * 5))
    assert sold.fills["quantity_lots"].tolist() == [50, 100]


def test_an_order_that_waits_through_a_split_keeps_its_notional():
    result = trade(Plan({0: 0.5}), bars_of([100.0, 50, 50], adj_close=[50.0] * 3))
    assert result.fills[["quantity_lots", "price_ticks"]].to_numpy().tolist() == [[100, 5001]]


def test_a_reverse_split_pays_its_fraction_in_cash_and_cancels_what_waits():
    closes = [1.0, 1.0, 10.0, 10.0]
    result = trade(Plan({0: 0.5}), bars_of(closes, adj_close=[10.0] * 4), cash=10_070)
    assert result.fills["quantity_lots"].tolist() == [50]
    assert result.equity["positions"].iloc[-1] == 5_000
    waiting = trade(Plan({1: 0.5}), bars_of(closes, adj_close=[10.0] * 4))
    assert waiting.fills.empty


def test_a_dividend_is_paid_on_the_ex_dates_holding():
    # WIKI's arithmetic: the step of adj_close / close is 1 + dividend / close.
    adj = [100 / 1.02, 100 / 1.02, 100.0, 100.0]
    result = trade(Plan({0: 0.5}), bars_of([100.0] * 4, adj_close=adj))
    assert result.actions[["dividend", "cash"]].to_numpy().tolist() == [["2.0000", 50 * 200]]


def test_the_strategy_sees_adjusted_prices_while_fills_are_made_at_raw_ones():
    watcher = Watcher()
    trade(watcher, bars_of([100.0, 50, 50], adj_close=[50.0] * 3))
    assert [bar.close for _, bar in watcher.seen] == [50.0, 50.0, 50.0]


def test_a_missing_signal_is_not_there_rather_than_nan():
    watcher = Watcher()
    trade(watcher, bars_of([1.0, 1, 1], probability_up=[np.nan, 0.5, np.nan]))
    assert [dict(bar.signals) for _, bar in watcher.seen] == [{}, {"probability_up": 0.5}, {}]


def test_a_symbol_without_bars_or_another_currency_is_refused():
    with pytest.raises(Invalid):
        trade(Plan({}, symbols=("A", "B")), {"A": bars_of([1, 1])})


prices = st.lists(st.integers(500, 20_000), min_size=30, max_size=60)


@settings(max_examples=30, deadline=None)
@given(prices, st.integers(3, 25), st.data())
def test_truncating_the_future_changes_no_past_fill_or_equity(cents, cut, data):
    closes = np.array(cents) / 100
    opens = np.array(data.draw(st.lists(st.integers(500, 20_000), min_size=len(cents), max_size=len(cents)))) / 100
    bars = bars_of(opens, closes, volume=20_000)
    strategy = SmaCross(("A",), 2, 5)
    whole, past = trade(strategy, bars), trade(strategy, bars.iloc[:cut])
    pd.testing.assert_frame_equal(
        whole.equity.iloc[:cut].drop(columns="benchmark"), past.equity.drop(columns="benchmark")
    )
    kept = whole.fills[whole.fills["ts"] <= bars["ts"][cut - 1]]
    assert kept.to_dict("records") == past.fills.to_dict("records")


def recomputed(result, frames, cash):
    """Equity out of the fills alone, in decimals: cash by order totals, shares, dividends and splits from the bars."""
    cent = Decimal("0.01")
    money, shares, curve = Decimal(cash) / 100, defaultdict(Fraction), []
    totals = defaultdict(lambda: (Decimal(0), 0, Decimal(0)))
    marks = {}
    for ts in result.equity["ts"]:
        for action in result.actions[result.actions["ts"] == ts].itertuples():
            shares[action.symbol] *= Fraction(action.ratio)
            money += (Decimal(action.dividend) * int(shares[action.symbol])).quantize(cent, ROUND_HALF_EVEN)
            assert shares[action.symbol].denominator == 1
        for fill in result.fills[result.fills["ts"] == ts].itertuples():
            paid, lots, fees = totals[fill.order_id]
            paid, lots = paid + Decimal(fill.price_ticks) * cent * fill.quantity_lots, lots + fill.quantity_lots
            fee = max(Decimal(1), (lots * Decimal("0.005")).quantize(cent, ROUND_HALF_EVEN))
            totals[fill.order_id] = (paid, lots, fee)
            signed = 1 if fill.side == "buy" else -1
            money -= signed * Decimal(fill.price_ticks) * cent * fill.quantity_lots + fee - fees
            shares[fill.symbol] += signed * fill.quantity_lots
        for symbol, frame in frames.items():
            at = frame[frame["ts"] == ts]
            if not at.empty:
                marks[symbol] = Decimal(str(at["close"].iloc[0])).quantize(cent, ROUND_HALF_EVEN)
        worth = sum((marks[symbol] * int(held) for symbol, held in shares.items() if held), Decimal(0))
        curve.append(money + worth)
    return [int(value * 100) for value in curve]


def test_equity_equals_an_independent_recomputation_in_decimals(shipped_bars):
    frames = {symbol: frame.tail(900).reset_index(drop=True) for symbol, frame in shipped_bars.items()}
    cash = 10_000_000
    result = trade(SmaCross(tuple(frames), 10, 40), frames, cash=cash, costs=Costs())
    assert len(result.fills) > 50
    assert not result.actions.empty
    assert result.equity["equity"].tolist() == recomputed(result, frames, cash)


def test_the_published_splits_and_dividends_of_the_shipped_set_are_found(shipped_bars):
    from trading.backtest.actions import corporate_actions

    found = {symbol: corporate_actions(frame) for symbol, frame in shipped_bars.items()}
    splits = {
        (s, str(pd.Timestamp(a.ts_ns).date()), a.ratio) for s, acts in found.items() for a in acts if a.ratio != 1
    }
    assert splits == {("AAPL", "2000-06-21", 2), ("AAPL", "2005-02-28", 2), ("MSFT", "2003-02-18", 2)}
    apple = [(str(pd.Timestamp(a.ts_ns).date()), a.dividend) for a in found["AAPL"] if a.dividend]
    assert [amount for _, amount in apple] == [Decimal("2.6500")] * 3
    special = [a.dividend for a in found["MSFT"] if str(pd.Timestamp(a.ts_ns).date()) == "2004-11-15"]
    assert special == [Decimal("3.0800")]
