"""Reset of a portfolio: history stays readable under the archive, a new one goes on, nothing open is left behind."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from trading_floor import START_NS, TradingFloor, refusal

from trading.adapters.postgres import schedule_store
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


# Plans and resets at once --------------------------------------------------------------------------------------------

LIMIT = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "30", "99.00")


def planned(floor: TradingFloor, key: str) -> Any:
    return schedules.create(floor.floor, floor.trader, floor.portfolio, LIMIT, Timing(cron="*/10 * * * *"), key)


def worked(floor: TradingFloor, key: str) -> Any:
    return parents.create(floor.floor, floor.trader, floor.portfolio, LIMIT, Working(Style.TWAP, 3, slices=3), key)


def answer_of(call: Callable[[], Any]) -> str:
    try:
        return type(call()).__name__
    except Invalid as refused:
        return refused.code


def wait_for_a_waiter(floor: TradingFloor, most_s: float) -> bool:
    until = time.monotonic() + most_s
    while time.monotonic() < until:
        if floor.query(
            "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ):
            return True
        time.sleep(0.005)
    return False


def test_a_reset_waits_for_a_schedule_that_is_being_made_and_is_refused_then(
    rich: TradingFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, making = schedule_store._insert, threading.Event()

    def slowly(*args: Any) -> Any:
        making.set()
        wait_for_a_waiter(rich, 1.0)
        return insert(*args)

    monkeypatch.setattr(schedule_store, "_insert", slowly)
    with ThreadPoolExecutor(1) as other:
        made = other.submit(planned, rich, "later")
        assert making.wait(5)
        assert answer_of(lambda: wallet.reset(rich.floor, rich.trader, rich.portfolio, "Main")) == "open_schedules"
        assert isinstance(made.result(), Schedule)


def test_a_reset_and_the_first_order_of_an_instrument_do_not_wait_for_each_other(rich: TradingFloor) -> None:
    with psycopg.connect(rich.database.dsn()) as desk, ThreadPoolExecutor(1) as other:
        lock = "select id from account where portfolio_id = %s and asset_id = %s for no key update"
        desk.execute(lock, (rich.portfolio, rich.aapl.currency.id))
        reset = other.submit(wallet.reset, rich.floor, rich.trader, rich.portfolio, "Main")
        assert wait_for_a_waiter(rich, 1.5)
        desk.execute("select account_of(%s, %s)", (rich.portfolio, rich.instrument("MSFT").asset.id))
        desk.commit()
        assert reset.result(5) != rich.portfolio


def test_an_order_that_comes_while_a_reset_is_under_way_is_refused_for_the_archive(rich: TradingFloor) -> None:
    rich.cancel(rich.accepted("buy", "1", "90.00").order_id)  # what it was judged on is remembered
    rich.run_broker()
    with psycopg.connect(rich.database.dsn("tf_app")) as resetting, ThreadPoolExecutor(1) as other:
        reset = "select reset_portfolio(%s, %s, 'Main', 'test', %s) -> 'answer'"
        answer = resetting.execute(reset, (rich.trader.user_id, rich.portfolio, START_NS)).fetchall()
        assert "portfolio_id" in answer[0][0]
        order = other.submit(rich.order, "buy", "1", "90.00")
        assert wait_for_a_waiter(rich, 1.5)
        resetting.commit()
        assert refusal(order.result()) == "portfolio_archived"
    rich.check()


@pytest.mark.parametrize("plan", [planned, worked])
def test_what_is_planned_while_a_reset_is_under_way_is_refused_for_the_archive(
    rich: TradingFloor, plan: Callable[[TradingFloor, str], Any]
) -> None:
    first = planned(rich, "first")  # which reads the calendars
    schedules.cancel(rich.floor, rich.trader, rich.portfolio, first.id)
    with psycopg.connect(rich.database.dsn("tf_app")) as resetting, ThreadPoolExecutor(1) as other:
        reset = "select reset_portfolio(%s, %s, 'Main', 'test', %s) -> 'answer'"
        answer = resetting.execute(reset, (rich.trader.user_id, rich.portfolio, START_NS)).fetchall()
        assert "portfolio_id" in answer[0][0]
        made = other.submit(answer_of, lambda: plan(rich, "later"))
        assert wait_for_a_waiter(rich, 1.5)
        resetting.commit()
        assert made.result() == "portfolio_archived"
    assert rich.query("select count(*) from schedule where state = 'active'") == [(0,)]
    assert rich.query("select count(*) from parent_order where state = 'working'") == [(0,)]


@pytest.mark.parametrize("plan", [planned, worked])
def test_of_a_reset_and_a_plan_at_once_one_is_refused(
    floor: TradingFloor, plan: Callable[[TradingFloor, str], Any]
) -> None:
    floor.quote("99.99", "100.00")
    ends = set()
    with ThreadPoolExecutor(2) as threads:
        for n in range(12):
            floor.trader, floor.portfolio = floor.add_trader(f"tina{n}", "100.00")
            start = threading.Barrier(2)

            def at_once(call: Callable[[], Any], wait_s: float, start: threading.Barrier = start) -> str:
                start.wait(5)
                time.sleep(wait_s)
                return answer_of(call)

            reset = threads.submit(
                at_once, lambda: wallet.reset(floor.floor, floor.trader, floor.portfolio, "Main"), n % 4 * 0.004
            )
            made = threads.submit(at_once, lambda n=n: plan(floor, f"plan-{n}"), 0)
            ends.add((reset.result(20), made.result(20)))
    assert ends <= {
        ("int", "portfolio_archived"),
        ("open_schedules", "Schedule"),
        ("open_parents", "WorkedParent"),
    }, ends
