"""Reset of a portfolio: history stays readable under the archive, a new one goes on, nothing open is left behind."""

from decimal import Decimal

import pytest
from trading_floor import START_NS, TradingFloor, refusal

from trading.domain.errors import Invalid, NotFound
from trading.domain.orders import OrderType, Side, Ticket
from trading.services import ledger, parents, people, queries, schedules, statements, wallet
from trading.services.access import SYSTEM, Actor, Role
from trading.services.parents import Working
from trading.services.ports.parents import Style, WorkedParent
from trading.services.ports.schedules import Schedule
from trading.services.schedules import Timing


def test_a_reset_portfolio_is_an_archive_and_a_new_one_has_the_first_cash_again(rich: TradingFloor) -> None:
    olga = rich.floor.people.create_user("olga", "Olga", "observer", "no-password", 0)
    rich.floor.people.grant(rich.portfolio, olga.id, 0)
    fresh = wallet.reset(rich.floor, rich.trader, rich.portfolio, " Main ")
    assert wallet.reset(rich.floor, rich.trader, rich.portfolio, "Main") == fresh
    assert rich.cash(fresh) == (Decimal(100_000), 0)
    assert [each.id for each in people.portfolios(rich.floor, rich.trader)] == [fresh]
    assert rich.floor.people.is_granted(olga.id, fresh)
    archive = wallet.archives(rich.floor, rich.trader)[0]
    assert (archive.id, archive.name) == (rich.portfolio, "Main until 2026-09-21")
    assert [each.id for each in wallet.archives(rich.floor, Actor(olga.id, "olga", Role.OBSERVER))] == [rich.portfolio]
    assert queries.positions(rich.floor, rich.trader, rich.portfolio)[0].quantity == 100
    assert statements.period(rich.floor, rich.trader, rich.portfolio, START_NS, 2**61).agrees
    assert rich.query("select result, subject from audit where action = 'wallet.reset'") == [
        ("ok", f"portfolio:{rich.portfolio}")
    ]
    rich.check()


def test_an_archive_takes_no_order_and_no_money(rich: TradingFloor) -> None:
    wallet.reset(rich.floor, rich.trader, rich.portfolio, "Main")
    assert refusal(rich.order("buy", "1", "99.00"))
    with pytest.raises(NotFound):
        ledger.deposit(rich.floor, SYSTEM, rich.portfolio, "1.00", "k")
    rich.check()


def test_a_reset_waits_for_open_orders_requests_and_the_right_name(rich: TradingFloor) -> None:
    def code() -> str:
        with pytest.raises(Invalid) as refused:
            wallet.reset(rich.floor, rich.trader, rich.portfolio, "Main")
        return refused.value.code

    with pytest.raises(Invalid) as refused:
        wallet.reset(rich.floor, rich.trader, rich.portfolio, "main")
    assert refused.value.code == "wrong_name"
    number = wallet.request(rich.floor, rich.trader, rich.portfolio, "withdrawal", "1.00", "k")
    assert code() == "requests_wait"
    wallet.take_back(rich.floor, rich.trader, number)
    rich.accepted("buy", "1", "90.00")
    assert code() == "open_orders"
    assert people.portfolios(rich.floor, rich.trader)[0].id == rich.portfolio


def test_a_reset_waits_for_worked_and_scheduled_orders(rich: TradingFloor) -> None:
    def code() -> str:
        with pytest.raises(Invalid) as refused:
            wallet.reset(rich.floor, rich.trader, rich.portfolio, "Main")
        return refused.value.code

    own = (rich.floor, rich.trader, rich.portfolio)
    limit = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "30", "99.00")
    worked = parents.create(*own, limit, Working(Style.TWAP, 3, slices=3), "worked")
    assert isinstance(worked, WorkedParent)
    assert code() == "open_parents"
    parents.cancel(*own, worked.id)
    for _ in range(2):
        rich.run_broker()
        parents.work_all(rich.floor, SYSTEM)
    later = schedules.create(*own, limit, Timing(cron="*/10 * * * *"), "later")
    assert isinstance(later, Schedule)
    assert code() == "open_schedules"
    schedules.pause(*own, later.id)
    assert code() == "open_schedules"
    schedules.cancel(*own, later.id)
    assert wallet.reset(rich.floor, rich.trader, rich.portfolio, "Main") != rich.portfolio
    rich.check()
