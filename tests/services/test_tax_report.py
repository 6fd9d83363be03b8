"""The tax report: every realised cent is in it once, with its dates, its term and what was withheld."""

from datetime import date
from decimal import Decimal

from trading_floor import TradingFloor

from trading.services import actions, people, queries, tax_report
from trading.services.access import SYSTEM, Actor, Role
from trading.services.people import Login

ADMIN = Actor(0, "boss", Role.ADMIN)
YEAR_S = 366 * 86_400


def sold(floor: TradingFloor, lots: str, bid: str) -> None:
    floor.quote(bid, str(Decimal(bid) + Decimal("0.01")))
    floor.accepted("sell", lots)
    floor.run_broker()


def test_lots_are_reported_with_their_dates_terms_and_dividends(rich: TradingFloor) -> None:
    sold(rich, "40", "110.00")
    dividend = actions.enter_dividend(rich.floor, ADMIN, "AAPL", date(2026, 9, 21), "0.50", tax_percent="30")
    actions.book(rich.floor, ADMIN, dividend)
    rich.run_broker()
    split = actions.enter_split(rich.floor, ADMIN, "AAPL", date(2026, 9, 21), 3, 8, reference_price="110.00")
    actions.book(rich.floor, ADMIN, split)  # 22.5: half a new share is four thirds of an old one
    rich.run_broker()
    rich.clock.advance(YEAR_S)
    sold(rich, "22", "300.00")
    first = tax_report.report(rich.floor, rich.trader, rich.portfolio, 2026)
    assert [(line.what, line.quantity, line.long_term, line.proceeds, line.cost) for line in first.disposals] == [
        ("sale", Decimal(40), False, Decimal("4399.00"), Decimal("4000.40")),
        ("cash in lieu", Decimal("0.5"), False, Decimal("146.67"), Decimal("0.00")),
    ]
    assert [(line.quantity, line.amount, line.withheld) for line in first.dividends] == [(60, 30, 9)]
    (totals,) = first.totals
    assert (totals.short_term, totals.long_term) == (Decimal("545.27"), Decimal(0))
    second = tax_report.report(rich.floor, rich.trader, rich.portfolio, 2027)
    (line,) = second.disposals
    assert (line.acquired, line.disposed, line.long_term) == (date(2026, 9, 21), date(2027, 9, 22), True)
    assert (line.quantity, line.proceeds, line.cost) == (22, Decimal("6599.00"), Decimal("6000.60"))
    assert tax_report.years(rich.floor, rich.trader, rich.portfolio) == [2027, 2026]
    realised = sum((each.realised for year in (first, second) for each in year.totals), Decimal(0))
    assert realised == queries.realised(rich.floor, rich.trader, rich.portfolio)
    gained = rich.cash()[0] - 100_000
    assert gained == realised + 30 - 9, "all that came in is in the report"
    assert tax_report.report(rich.floor, rich.trader, rich.portfolio, 2025).totals == []
    rich.check()


def test_open_lots_say_since_when_and_for_how_much(rich: TradingFloor) -> None:
    rich.accepted("buy", "10")
    rich.run_broker()
    split = actions.enter_split(rich.floor, ADMIN, "AAPL", date(2026, 9, 21), 2, 1)
    actions.book(rich.floor, ADMIN, split)
    rich.run_broker()
    told = tax_report.open_lots(rich.floor, rich.trader, rich.portfolio)
    assert [(lot.quantity, lot.cost, lot.splits, lot.long_term) for lot in told] == [
        (200, Decimal("10001.00"), 1, False),
        (20, Decimal("1001.00"), 1, False),
    ]
    rich.clock.advance(YEAR_S)
    assert all(lot.long_term for lot in tax_report.open_lots(rich.floor, rich.trader, rich.portfolio))


def test_a_report_as_csv_has_a_line_for_each_lot_and_dividend(rich: TradingFloor) -> None:
    sold(rich, "100", "99.00")
    told = tax_report.to_csv(tax_report.report(rich.floor, rich.trader, rich.portfolio, 2026))
    assert told.splitlines() == [
        "kind,symbol,quantity,acquired,disposed,term,proceeds,cost,gain,withheld,currency",
        "sale,AAPL,100,2026-09-21,2026-09-21,short,9899.00,10001.00,-102.00,,USD",
    ]


def test_an_observer_reads_the_report_of_what_was_shared_and_no_other(rich: TradingFloor) -> None:
    sold(rich, "100", "99.00")
    dividend = actions.enter_dividend(rich.floor, ADMIN, "AAPL", date(2026, 9, 21), "0.50")
    actions.book(rich.floor, ADMIN, dividend)
    rich.run_broker()
    user = people.create_user(rich.floor, SYSTEM, "oli", "Oli", "observer", "correct horse battery")
    people.grant(rich.floor, SYSTEM, rich.portfolio, user.id)
    login = people.login(rich.floor, "oli", "correct horse battery", "test", "pytest")
    assert isinstance(login, Login)
    rich.query("update app_session set expires_at = now() + interval '1 hour' where user_id = %s", user.id)
    observer = people.actor_of(rich.floor, login.token, "test")
    told = tax_report.report(rich.floor, observer, rich.portfolio, 2026)
    assert [line.gain for line in told.disposals] == [Decimal("-102.00")]
    assert told == tax_report.report(rich.floor, rich.trader, rich.portfolio, 2026)
    assert tax_report.open_lots(rich.floor, observer, rich.portfolio) == []
