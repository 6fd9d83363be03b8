"""The cash account of a backtest: splits, dividends and holds."""

from decimal import Decimal
from fractions import Fraction

from trading.backtest.account import Account
from trading.backtest.actions import CorporateAction
from trading.backtest.result import us_equity
from trading.domain.positions import FillId


def test_a_fraction_of_a_share_is_paid_at_the_open():
    account = Account({"A": us_equity("A")}, 1_000_000)
    order = account.open_order("A", 25, 10_000, "test")
    account.fill(FillId(order.book.id, 1, 0), 10_000, 25, 0)
    cash = account.cash
    account.apply_action("A", CorporateAction(1, Fraction(1, 10), Decimal(0)), 100_000)
    assert account.position("A") == 2
    assert account.cash - cash == 50_000  # half a share at 1,000.00


def test_a_hold_gives_back_what_its_order_did_not_use():
    account = Account({"A": us_equity("A")}, 1_000_000)
    order = account.open_order("A", 50, 10_500, "test")
    assert account.available() == 1_000_000 - 50 * 10_500 - 100
    account.fill(FillId(order.book.id, 1, 0), 10_000, 20, 0)
    account.end_order(order.book.id)
    assert account.available() == account.cash == 1_000_000 - 20 * 10_000 - 100
