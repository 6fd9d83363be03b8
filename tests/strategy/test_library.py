"""Reference strategies, and sizing, on bars that can be checked by eye."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.backtest.result import us_equity
from trading.domain.errors import Invalid
from trading.domain.orders import Side
from trading.strategy.library.model_signals import ModelSignals
from trading.strategy.library.sma_cross import SmaCross
from trading.strategy.sdk import Bar, Context, Target
from trading.strategy.sizing import affordable_lots, target_lots

CONTEXT = Context(0, Decimal(1000), Decimal(1000), {})


def weights(strategy, closes, symbol="A", signals=None):
    state, out = strategy.start(), []
    for i, close in enumerate(closes):
        known = {} if signals is None or signals[i] is None else {"probability_up": signals[i]}
        step = strategy.on_bar(CONTEXT, state, Bar(symbol, i, close, close, close, close, 1.0, known))
        state = step.state
        out.append([target.weight for target in step.targets])
    return out


def test_sma_cross_waits_for_its_slow_window_then_follows_the_cross():
    strategy = SmaCross(("A", "B"), fast=1, slow=3)
    assert weights(strategy, [1.0, 2, 3, 4, 1]) == [[], [], [0.5], [0.5], [0.0]]


def test_symbols_do_not_share_their_closes():
    strategy = SmaCross(("A", "B"), fast=1, slow=2)
    state = strategy.start()
    for symbol in ("A", "B"):
        step = strategy.on_bar(CONTEXT, state, Bar(symbol, 0, 1, 1, 1, 1, 1))
        state = step.state
        assert not step.targets


def test_the_same_state_and_bar_give_the_same_step():
    strategy = SmaCross(("A",), fast=1, slow=2)
    state = strategy.on_bar(CONTEXT, strategy.start(), Bar("A", 0, 1, 1, 1, 1, 1)).state
    bar = Bar("A", 1, 2, 2, 2, 2, 1)
    assert strategy.on_bar(CONTEXT, state, bar) == strategy.on_bar(CONTEXT, state, bar)


def test_model_signals_enter_high_leave_low_and_stay_between():
    strategy = ModelSignals(("A",), enter=0.6, leave=0.4)
    assert weights(strategy, [1.0] * 6, signals=[0.5, 0.6, 0.5, None, 0.4, 0.5]) == [[0], [1], [1], [], [0], [0]]


@pytest.mark.parametrize("weight", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_weight_outside_zero_to_one_is_refused(weight):
    with pytest.raises(Invalid) as caught:
        Target("A", weight)
    assert caught.value.code == "weight_out_of_range"


def test_parameters_that_make_no_sense_are_refused():
    with pytest.raises(Invalid):
        SmaCross(("A",), fast=20, slow=20)
    with pytest.raises(Invalid):
        ModelSignals(("A",), enter=0.4, leave=0.6)


@settings(deadline=None)
@given(cash=st.integers(0, 10**12), price=st.integers(1, 10**6))
def test_what_is_affordable_is_paid_for_and_one_more_lot_is_not(cash, price):
    share = us_equity("A")

    def cost(lots):
        notional = share.notional(price * lots)
        return notional + share.fee.total(Side.BUY, lots, notional)

    lots = affordable_lots(share, cash, price)
    assert lots == 0 or cost(lots) <= cash
    assert lots == share.max_order_lots or cost(lots + 1) > cash


@settings(deadline=None)
@given(equity=st.integers(0, 10**12), weight=st.floats(0, 1), price=st.integers(1, 10**6))
def test_a_target_never_buys_more_than_its_weight(equity, weight, price):
    share = us_equity("A")
    assert share.notional(target_lots(share, equity, weight, price) * price) <= equity * round(weight * 10**6) // 10**6
