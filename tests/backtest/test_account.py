"""Lots through a split: shares and costs are neither made nor lost."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from trading.backtest.account import Account, split_lots
from trading.backtest.actions import CorporateAction
from trading.backtest.result import us_equity
from trading.domain.positions import FillId, open_lot

lots = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 10**6)), min_size=1, max_size=6)
ratios = st.sampled_from([Fraction(2), Fraction(3, 2), Fraction(7), Fraction(1, 10), Fraction(2, 3)])


@settings(deadline=None)
@given(lots, ratios)
def test_a_split_keeps_the_cost_and_the_whole_shares(bought, ratio):
    before = [open_lot(FillId(i, i, 0), i, quantity, cost, 0) for i, (quantity, cost) in enumerate(bought)]
    after = split_lots(before, ratio)
    held = sum(lot.remaining_lots for lot in before)
    assert sum(lot.remaining_lots for lot in after) == int(held * ratio)
    assert all(lot.remaining_lots > 0 for lot in after)
    if after:
        assert sum(lot.remaining_cost for lot in after) == sum(lot.remaining_cost for lot in before)
    assert [lot.opened_by for lot in after] == sorted((lot.opened_by for lot in after), key=lambda f: f.order_id)


def test_a_fraction_of_a_share_is_paid_at_the_open():
    account = Account({"A": us_equity("A")}, 1_000_000)
    order = account.open_order("A", 25, 10_000, "test")
    account.fill(FillId(order.book.id, 1, 0), 10_000, 25, 0)
    cash = account.cash
    account.apply_action("A", CorporateAction(1, Fraction(1, 10), 0), 100_000)
    assert account.position("A") == 2
    assert account.cash - cash == 50_000  # half a share at 1,000.00


def test_a_hold_gives_back_what_its_order_did_not_use():
    account = Account({"A": us_equity("A")}, 1_000_000)
    order = account.open_order("A", 50, 10_500, "test")
    assert account.available() == 1_000_000 - 50 * 10_500 - 100
    account.fill(FillId(order.book.id, 1, 0), 10_000, 20, 0)
    account.end_order(order.book.id)
    assert account.available() == account.cash == 1_000_000 - 20 * 10_000 - 100
