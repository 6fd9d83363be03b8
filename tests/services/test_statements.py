"""Statements of a period: from a balance to a balance, every line between them, by whoever may see it."""

import csv
import io
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trading_floor import START_NS, TradingFloor

from trading.domain.errors import Invalid
from trading.services import ledger, queries, statements
from trading.services.access import SYSTEM, Actor, Role

DAY_NS = statements.DAY_NS


def move(floor: TradingFloor, amount: str, memo: str = "") -> None:
    post = ledger.withdraw if amount.startswith("-") else ledger.deposit
    post(floor.floor, SYSTEM, floor.portfolio, amount.lstrip("-"), f"{floor.clock.now_ns()}{amount}", memo)


def to_midnight(floor: TradingFloor) -> None:
    floor.clock.advance((DAY_NS - floor.clock.now_ns() % DAY_NS) // 10**9)


def usd(floor: TradingFloor, from_ns: int, to_ns: int) -> statements.AssetStatement:
    found = statements.period(floor.floor, floor.trader, floor.portfolio, from_ns, to_ns)
    assert found.agrees
    return next(each for each in found.assets if each.asset == "USD")


def test_a_period_starts_from_a_balance_and_ends_in_one(floor: TradingFloor) -> None:
    for amount in ("1.00", "-0.25", "3.00"):
        floor.clock.advance(86_400)
        move(floor, amount, "a memo")
    day = usd(floor, START_NS + 2 * DAY_NS, START_NS + 3 * DAY_NS)
    assert (day.opening, day.closing) == (Decimal("100001.00"), Decimal("100000.75"))
    assert [(line.kind, line.amount, line.balance, line.memo) for line in day.lines] == [
        ("withdrawal", Decimal("-0.25"), Decimal("100000.75"), "a memo")
    ]
    assert [(t.kind, t.lines, t.received, t.paid) for t in day.totals] == [("withdrawal", 1, 0, Decimal("0.25"))]
    whole = usd(floor, START_NS - DAY_NS, START_NS + 9 * DAY_NS)
    assert (whole.opening, whole.closing, len(whole.lines)) == (Decimal(0), Decimal("100003.75"), 4)


def test_shares_have_their_own_account_and_fees_their_own_total(rich: TradingFloor) -> None:
    found = statements.period(rich.floor, rich.trader, rich.portfolio, START_NS, START_NS + DAY_NS)
    assert found.agrees
    money, shares = found.assets
    assert {total.kind for total in money.totals} == {"deposit", "trade", "fee"}
    assert (shares.asset, shares.is_money, shares.opening, shares.closing) == ("SIM:AAPL", False, 0, 100)


def test_a_statement_and_the_ledger_count_an_instrument_in_units_not_in_lots(floor: TradingFloor) -> None:
    floor.quote("5999.00", "6000.00", symbol="BTCUSD")
    order = floor.accepted("buy", "0.1", symbol="BTCUSD").order_id
    floor.run_broker()
    assert floor.shares("BTCUSD") == (1_000, 0), "the ledger counts lots"
    found = statements.period(floor.floor, floor.trader, floor.portfolio, START_NS, START_NS + DAY_NS)
    coins = found.assets[-1]
    assert (coins.asset, coins.opening, coins.closing) == ("SIM:BTCUSD", Decimal(0), Decimal("0.1"))
    assert [(line.amount, line.balance) for line in coins.lines] == [(Decimal("0.1"), Decimal("0.1"))]
    assert [(total.received, total.paid) for total in coins.totals] == [(Decimal("0.1"), Decimal(0))]
    assert "SIM:BTCUSD,2026-09-21 14:13:20,trade,0.1000,0.1000" in statements.as_csv(found)
    for lines in (
        queries.statement(floor.floor, floor.trader, floor.portfolio),
        queries.order(floor.floor, floor.trader, floor.portfolio, order).ledger,
    ):
        [line] = [each for each in lines if not each.is_money]
        assert (line.asset, line.amount, line.balance) == ("SIM:BTCUSD", Decimal("0.1"), Decimal("0.1"))


def test_a_period_without_lines_keeps_its_balance_and_one_before_all_is_empty(floor: TradingFloor) -> None:
    quiet = usd(floor, START_NS + DAY_NS, START_NS + 2 * DAY_NS)
    assert (quiet.opening, quiet.closing, quiet.lines) == (100_000, 100_000, [])
    before = statements.period(floor.floor, floor.trader, floor.portfolio, START_NS - 2 * DAY_NS, START_NS - DAY_NS)
    assert before.assets == []
    assert statements.first_line_ns(floor.floor, floor.trader, floor.portfolio) == START_NS


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5), (-(2**63), 1), (0, 2**63)])
def test_a_period_runs_forward(floor: TradingFloor, start: int, end: int) -> None:
    with pytest.raises(Invalid) as refused:
        statements.period(floor.floor, floor.trader, floor.portfolio, start, end)
    assert refused.value.code == "bad_period"


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.lists(st.lists(st.integers(-300, 300).filter(bool), max_size=3), min_size=2, max_size=6))
def test_kept_balances_change_no_statement(floor: TradingFloor, days: list[list[int]]) -> None:
    to_midnight(floor)
    first = floor.clock.now_ns()
    for cents in days:
        for amount in cents:  # the first of a day at its very first moment
            move(floor, f"{amount / 100:.2f}")
            floor.clock.advance(1)
        to_midnight(floor)
    spans = [(first + a * DAY_NS, first + b * DAY_NS) for a in range(len(days)) for b in range(a + 1, len(days) + 2)]
    plain = [usd(floor, *span) for span in spans]
    floor.clock.advance(2 * 86_400)
    floor.floor.ledger.keep_balances(first + DAY_NS)
    statements.keep_balances(floor.floor, SYSTEM)
    assert [usd(floor, *span) for span in spans] == plain
    assert statements.keep_balances(floor.floor, SYSTEM) == 0
    floor.check()


def test_a_kept_balance_that_was_changed_is_found_by_verify_and_by_the_statement(floor: TradingFloor) -> None:
    floor.clock.advance(3 * 86_400)
    assert statements.keep_balances(floor.floor, SYSTEM) == 1
    with psycopg.connect(floor.database.dsn(), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update balance_mark set balance = balance + 1")
    assert not statements.period(floor.floor, SYSTEM, floor.portfolio, floor.clock.now_ns(), 2**61).agrees
    report = floor.floor.verify.all()
    assert [found["check"] for found in report.breaks] == ["balance_mark"]


def test_an_observer_reads_what_was_granted_and_a_dead_session_nothing(floor: TradingFloor) -> None:
    store = floor.floor.people
    olga = store.create_user("olga", "Olga", "observer", "no-password", 0)
    store.grant(floor.portfolio, olga.id, 0)
    store.open_session(olga.id, "olgas", floor.clock.now().replace(year=2090), "test")
    floor.clock.advance(3 * 86_400)
    statements.keep_balances(floor.floor, SYSTEM)
    for token, assets in (("olgas", 1), ("nobodys", 0)):
        seen = statements.period(
            floor.floor, Actor(olga.id, "olga", Role.OBSERVER, token), floor.portfolio, START_NS, 2**61
        )
        assert len(seen.assets) == assets


def test_no_memo_becomes_a_formula_or_a_tag(floor: TradingFloor) -> None:
    for memo in ("=cmd()", "+1", "@x", "<script>", 'a "b", c'):
        floor.clock.advance(1)
        move(floor, "1.00", memo)
    found = statements.period(floor.floor, floor.trader, floor.portfolio, START_NS, 2**61)
    rows = list(csv.DictReader(io.StringIO(statements.as_csv(found))))
    assert [row["memo"] for row in rows[2:-1]] == ["'=cmd()", "'+1", "'@x", "<script>", 'a "b", c']
    assert rows[0]["kind"] == "opening balance"
    assert rows[-1]["balance"] == "100005.00"
    page = statements.as_html(found, "Main & more")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "Main &amp; more" in page


def test_a_month_ends_where_the_next_begins() -> None:
    assert statements.month_ns(2026, 12)[1] == statements.month_ns(2027, 1)[0]
    assert statements.month_ns(2024, 2)[1] - statements.month_ns(2024, 2)[0] == 29 * DAY_NS
