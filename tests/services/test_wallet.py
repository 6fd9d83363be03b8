"""Deposits and withdrawals that take a second person: held at once, decided once, by somebody else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest
from trading_floor import TradingFloor

from trading.domain.errors import Conflict, Invalid, NotFound
from trading.services import ledger, wallet
from trading.services.access import SYSTEM, Actor, Role


@pytest.fixture
def admins(floor: TradingFloor) -> Iterator[list[Actor]]:
    yield [
        Actor(floor.floor.people.create_user(name, name.title(), "admin", "no-password", 0).id, name, Role.ADMIN)
        for name in ("adam", "ada", "alf")
    ]
    floor.check()


def ask(floor: TradingFloor, who: Actor, kind: str, amount: str, key: str = "k") -> int:
    return wallet.request(floor.floor, who, floor.portfolio, kind, amount, key, "rent")


def code_of(refused: pytest.ExceptionInfo[Invalid]) -> str:
    return refused.value.code


def newest(floor: TradingFloor) -> wallet.Request:
    return wallet.requests(floor.floor, floor.trader, floor.portfolio)[0]


def test_an_admins_large_deposit_is_booked_when_another_admin_agrees(floor: TradingFloor, admins: list[Actor]) -> None:
    first = ask(floor, admins[0], "deposit", "50000.00")
    assert floor.cash() == (Decimal(100_000), 0)
    assert [each.id for each in wallet.waiting(floor.floor, admins[1])] == [first]
    with pytest.raises(Invalid) as refused:
        wallet.approve(floor.floor, admins[0], first)
    assert code_of(refused) == "same_person"
    assert wallet.approve(floor.floor, admins[1], first, "seen the transfer") == "approved"
    assert floor.cash() == (Decimal(150_000), 0)
    done = newest(floor)
    assert (done.state, done.requested_name, done.decided_name) == ("approved", "Adam", "Ada")
    assert floor.query("select kind, actor_id, memo from transfer where group_id = %s", done.group_id) == [
        ("deposit", admins[1].user_id, "rent")
    ]
    assert [
        row[0] for row in floor.query("select action from audit where subject = %s order by id", f"request:{first}")
    ] == [
        "wallet.approve",
        "wallet.approve",
    ]


def test_a_traders_withdrawal_is_held_at_once_and_a_large_one_takes_two_admins(
    floor: TradingFloor, admins: list[Actor]
) -> None:
    number = ask(floor, floor.trader, "withdrawal", "60000.00")
    assert floor.cash() == (Decimal(100_000), Decimal(60_000))
    floor.check()
    with pytest.raises(Invalid) as refused:
        ask(floor, floor.trader, "withdrawal", "40000.01", "more")
    assert code_of(refused) == "insufficient_cash"
    assert wallet.approve(floor.floor, admins[0], number) == "pending"
    with pytest.raises(Invalid) as refused:
        wallet.approve(floor.floor, admins[0], number)
    assert code_of(refused) == "same_person"
    assert floor.cash() == (Decimal(100_000), Decimal(60_000))
    assert wallet.approve(floor.floor, admins[1], number) == "approved"
    assert floor.cash() == (Decimal(40_000), 0)


@pytest.mark.parametrize("end", ["declined", "withdrawn", "expired"])
def test_what_a_request_held_is_free_again_when_it_is_over(floor: TradingFloor, admins: list[Actor], end: str) -> None:
    number = ask(floor, floor.trader, "withdrawal", "9000.00")
    if end == "declined":
        with pytest.raises(Invalid):
            wallet.decline(floor.floor, admins[0], number, " ")
        wallet.decline(floor.floor, admins[0], number, "ask your bank first")
    elif end == "withdrawn":
        with pytest.raises(Invalid) as refused:
            wallet.take_back(floor.floor, admins[0], number)
        assert code_of(refused) == "not_yours"
        wallet.take_back(floor.floor, floor.trader, number)
    else:
        floor.clock.advance(wallet.WAITS_NS / 1e9 - 1)
        assert wallet.expire_due(floor.floor, SYSTEM) == 0
        floor.clock.advance(1)
        with pytest.raises(Invalid) as refused:
            wallet.approve(floor.floor, admins[0], number)
        assert code_of(refused) == "expired"
        assert wallet.expire_due(floor.floor, SYSTEM) == 1
    assert newest(floor).state == end
    assert floor.cash() == (Decimal(100_000), 0)
    with pytest.raises(Invalid) as refused:
        wallet.approve(floor.floor, admins[1], number)
    assert code_of(refused) == "already_decided"


def test_of_many_approvals_at_once_one_moves_the_money(floor: TradingFloor, admins: list[Actor]) -> None:
    number = ask(floor, floor.trader, "withdrawal", "10000.00")

    def approve(n: int) -> str:
        try:
            return wallet.approve(floor.floor, admins[n % 3], number)
        except Invalid as error:
            return error.code

    with ThreadPoolExecutor(9) as threads:
        answers = sorted(threads.map(approve, range(18)))
    assert answers == ["already_decided"] * 17 + ["approved"]
    assert floor.cash() == (Decimal(90_000), 0)


def test_the_same_key_asks_once(floor: TradingFloor, admins: list[Actor]) -> None:
    with ThreadPoolExecutor(8) as threads:
        numbers = set(threads.map(lambda _: ask(floor, floor.trader, "withdrawal", "60000.00"), range(16)))
    assert len(numbers) == 1
    assert floor.cash() == (Decimal(100_000), Decimal(60_000))
    with pytest.raises(Conflict):
        ask(floor, floor.trader, "withdrawal", "1.00")


def test_the_database_refuses_an_approval_by_who_asked_and_any_change_of_a_decision(
    floor: TradingFloor, admins: list[Actor]
) -> None:
    number = ask(floor, admins[0], "deposit", "50000.00")
    with psycopg.connect(floor.database.dsn(), autocommit=True) as superuser:
        approve = "update cash_request set state = 'approved', group_id = 1, decided_by = %s where id = %s"
        with pytest.raises(psycopg.errors.CheckViolation):
            superuser.execute(approve, (admins[0].user_id, number))
        with pytest.raises(psycopg.errors.CheckViolation):
            superuser.execute("update cash_request set first_by = requested_by where id = %s", (number,))
        with pytest.raises(psycopg.DatabaseError, match="what was asked and decided stays"):
            superuser.execute("update cash_request set amount = 1 where id = %s", (number,))
        with pytest.raises(psycopg.DatabaseError, match="history is kept"):
            superuser.execute("delete from cash_request")
    wallet.decline(floor.floor, admins[1], number, "no")
    with (
        psycopg.connect(floor.database.dsn(), autocommit=True) as superuser,
        pytest.raises(psycopg.DatabaseError, match="what was asked and decided stays"),
    ):
        superuser.execute(approve, (admins[1].user_id, number))


def test_a_trader_asks_for_no_deposit_and_for_no_other_portfolio(floor: TradingFloor, admins: list[Actor]) -> None:
    with pytest.raises(Invalid) as refused:
        ask(floor, floor.trader, "deposit", "5.00")
    assert code_of(refused) == "bad_kind"
    _, other = floor.add_trader("theo", "100.00")
    with pytest.raises(NotFound):  # past the service's own rule, by the database's
        floor.floor.wallet.request(
            wallet.Ask(floor.trader.user_id, other, "withdrawal", 1, "k", "", "test", 0, 9), (), {}
        )


def test_a_request_that_was_booked_otherwise_is_a_break(floor: TradingFloor, admins: list[Actor]) -> None:
    number = ask(floor, floor.trader, "withdrawal", "9000.00")
    wallet.approve(floor.floor, admins[0], number)
    with psycopg.connect(floor.database.dsn(), autocommit=True) as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update cash_request set amount = amount + 1")
        assert "cash_request" in {found["check"] for found in floor.floor.verify.all().breaks}
        superuser.execute("update cash_request set amount = amount - 1")


def test_a_limit_is_lowered_by_an_admin_and_raised_by_the_operator_alone(
    floor: TradingFloor, admins: list[Actor]
) -> None:
    wallet.set_limit(floor.floor, admins[0], "USD", "50.00")
    with pytest.raises(Invalid) as refused:
        ledger.deposit(floor.floor, admins[0], floor.portfolio, "50.01", "k")
    assert code_of(refused) == "second_admin_needed"
    with pytest.raises(Invalid) as refused:
        wallet.set_limit(floor.floor, admins[0], "USD", "50.01")
    assert code_of(refused) == "only_lower"
    wallet.set_limit(floor.floor, SYSTEM, "USD", "60.00")
    found = {each.currency: each for each in wallet.limits(floor.floor, admins[0])}
    assert (found["USD"].above, found["USD"].version) == (Decimal("60.00"), 2)
    assert (found["EUR"].above, found["EUR"].version) == (Decimal("10000.00"), 0)
