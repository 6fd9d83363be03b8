"""Interest on margin debt: the worked example, once a day, adding up to the rounded whole."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from trading_floor import TradingFloor

from trading.adapters.postgres.pool import connection_of
from trading.adapters.postgres.reference import keep_instruments
from trading.domain.errors import Invalid
from trading.services import interest, statements
from trading.services.access import SYSTEM
from trading.services.ports.desk import Line, Posting

DAY = date(2026, 9, 21)  # START_NS lies in it


@pytest.fixture
def debtor(floor: TradingFloor) -> int:
    """A margin portfolio that owes 10,000.00 USD, at 8.25 % a year; the clock stands a day later."""
    portfolio = floor.floor.people.create_portfolio(floor.trader.user_id, "Levered", "margin", "USD", 0).id
    usd = floor.floor.ledger.currencies()["USD"].id
    owe = Posting(
        0, portfolio, "test", "owe", (Line(usd, -1_000_000, "deposits", "reversal"),), "", "", floor.clock.now_ns()
    )
    floor.floor.ledger.post(owe)
    interest.set_rate(floor.floor, SYSTEM, "USD", "8.25", "the worked example of the domain")
    floor.clock.advance(86_400)
    return portfolio


def booked(floor: TradingFloor, portfolio: int) -> list[int]:
    rows = floor.query(
        "select amount from transfer where kind = 'interest' and portfolio_id = %s order by id", portfolio
    )
    return [row[0] for row in rows]  # type: ignore[misc]


def test_a_day_of_debt_is_charged_once_however_often_it_is_asked(floor: TradingFloor, debtor: int) -> None:
    with ThreadPoolExecutor(6) as threads:
        lines = list(threads.map(lambda _: interest.accrue_interest(floor.floor, SYSTEM, DAY), range(12)))
    assert sum(lines) == 1
    assert booked(floor, debtor) == [229]  # 10,000.00 x 0.0825 / 360
    found = statements.period(floor.floor, floor.trader, debtor, 0, 2**61)
    assert found.agrees
    assert found.assets[0].lines[-1].memo == "2026-09-21: 10,000.00 at 8.2500 %, 1/360"
    floor.check()


def test_days_add_up_to_the_rounded_whole_and_what_was_missed_is_made_up(floor: TradingFloor, debtor: int) -> None:
    floor.clock.advance(2 * 86_400)
    assert interest.accrue_due(floor.floor, SYSTEM) == 3
    assert interest.accrue_due(floor.floor, SYSTEM) == 0
    # The balance of each day is that at its end: all three were 10,000.00, booked after them.
    assert booked(floor, debtor) == [229, 229, 230]
    floor.clock.advance(86_400)
    interest.accrue_due(floor.floor, SYSTEM)
    assert floor.query("select balance from interest_day order by day desc limit 1") == [(-1_000_688,)]
    floor.check()


def test_a_day_that_is_not_over_a_credit_and_a_cash_portfolio_bear_none(floor: TradingFloor, debtor: int) -> None:
    with pytest.raises(Invalid) as refused:
        interest.accrue_interest(floor.floor, SYSTEM, datetime.fromtimestamp(floor.clock.now_ns() / 1e9, UTC).date())
    assert refused.value.code == "day_not_over"
    assert interest.accrue_interest(floor.floor, SYSTEM, DAY - timedelta(days=1)) == 0
    assert booked(floor, floor.portfolio) == []


def test_a_new_floor_has_a_rate_with_its_source_for_each_currency(floor: TradingFloor) -> None:
    usd = next(rate for rate in interest.rates(floor.floor, floor.trader) if rate.currency == "USD")
    assert (usd.percent, usd.basis, usd.version) == (Decimal("5.5"), 360, 1)
    assert "primary credit rate" in usd.source
    assert all(rate.percent for rate in interest.rates(floor.floor, floor.trader))
    interest.set_rate(floor.floor, SYSTEM, "USD", "6", "another one")
    with connection_of(floor.pool) as connection:
        keep_instruments(connection, [])
    assert {rate.currency: rate.version for rate in interest.rates(floor.floor, floor.trader)}["USD"] == 2


@pytest.mark.parametrize(
    ("currency", "percent", "source", "code"),
    [
        ("XXX", "1", "somewhere", "unknown_currency"),
        ("USD", "-1", "somewhere", "bad_rate"),
        ("USD", "100.0001", "somewhere", "bad_rate"),
        ("USD", "0.00001", "somewhere", "off_step"),
        ("USD", "1", "", "bad_rate"),
    ],
)
def test_a_rate_has_bounds_and_a_source(
    floor: TradingFloor, currency: str, percent: str, source: str, code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        interest.set_rate(floor.floor, SYSTEM, currency, percent, source)
    assert refused.value.code == code


def test_interest_booked_otherwise_than_its_days_say_is_a_break(floor: TradingFloor, debtor: int) -> None:
    interest.accrue_interest(floor.floor, SYSTEM, DAY)
    with psycopg.connect(floor.database.dsn(), autocommit=True) as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update interest_day set booked = 228")
    assert [found["check"] for found in floor.floor.verify.all().breaks] == ["interest"]
