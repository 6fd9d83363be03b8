"""Deposits and withdrawals: once for each key, never more than there is, every cent on two accounts."""

from decimal import Decimal

import pytest
from trading_floor import TradingFloor

from trading.domain.errors import Conflict, Forbidden, Invalid, NotFound
from trading.services import ledger
from trading.services.access import SYSTEM, Actor, Role

ADMIN = Actor(0, "boss", Role.ADMIN)


def test_a_deposit_is_one_transfer_between_the_world_and_the_portfolio(floor: TradingFloor) -> None:
    group = ledger.deposit(floor.floor, ADMIN, floor.portfolio, "1234.56", "k", "salary")
    assert floor.cash()[0] == Decimal("101234.56")
    assert floor.query(
        "select d.kind, c.kind, t.amount, t.kind, t.memo from transfer t join account d on d.id = t.debit_id"
        " join account c on c.id = t.credit_id where t.group_id = %s",
        group,
    ) == [("deposits", "portfolio", 123_456, "deposit", "salary")]
    floor.check()


def test_the_same_key_posts_once_and_another_body_is_a_conflict(floor: TradingFloor) -> None:
    first = ledger.deposit(floor.floor, ADMIN, floor.portfolio, "10.00", "k")
    assert ledger.deposit(floor.floor, ADMIN, floor.portfolio, "10.00", "k") == first
    assert floor.cash()[0] == Decimal("100010")
    with pytest.raises(Conflict):
        ledger.deposit(floor.floor, ADMIN, floor.portfolio, "11.00", "k")


def test_what_open_orders_hold_can_not_be_withdrawn(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "900", "99.00")  # holds 89,104.50
    with pytest.raises(Invalid) as refused:
        ledger.withdraw(floor.floor, ADMIN, floor.portfolio, "10895.51", "all")
    assert refused.value.code == "insufficient_cash"
    ledger.withdraw(floor.floor, ADMIN, floor.portfolio, "10895.50", "rest")
    assert floor.cash() == (Decimal("89104.50"), Decimal("89104.50"))
    assert floor.query("select code from audit where result = 'refused'") == [("insufficient_cash",)]
    floor.check()


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("0", "not_positive"),
        ("-1", "not_positive"),
        ("0.001", "off_step"),
        ("nan", "not_a_number"),
        ("1,50", "not_a_number"),
        ("1e400", "out_of_range"),
        ("99999999999999999999", "out_of_range"),
    ],
)
def test_bad_amounts_are_refused_and_move_nothing(floor: TradingFloor, amount: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        ledger.deposit(floor.floor, ADMIN, floor.portfolio, amount, "k")
    assert refused.value.code == code
    assert floor.cash()[0] == Decimal(100_000)


def test_no_cash_goes_into_a_portfolio_that_is_not_there_or_is_archived(floor: TradingFloor) -> None:
    with pytest.raises(NotFound):
        ledger.deposit(floor.floor, SYSTEM, 999, "1.00", "k")
    floor.query("update portfolio set archived_at = now() where id = %s", floor.portfolio)
    with pytest.raises(NotFound):
        ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "1.00", "k")


def test_a_trader_can_not_pay_himself(floor: TradingFloor) -> None:
    with pytest.raises(Forbidden):
        ledger.deposit(floor.floor, floor.trader, floor.portfolio, "1.00", "k")
