"""Fees and taxes from an admin's schedule to the ledger's lines, to the cent."""

from dataclasses import replace
from decimal import Decimal

import pytest
from trading_floor import TradingFloor

from trading.adapters.postgres.pool import connection_of
from trading.adapters.postgres.reference import keep_instruments
from trading.domain.errors import Invalid, NotFound
from trading.domain.fees import LISTED, Basis, Charge, FeeSchedule, Levy
from trading.domain.orders import OrderType, Side, Ticket
from trading.market.profiles import shipped_profiles
from trading.services import desk, fees, queries
from trading.services.access import Actor, Role

ADMIN = Actor(0, "boss", Role.ADMIN)
MIX = FeeSchedule(
    1,
    0,
    1_000,
    0,
    2_000,
    charges=(
        Charge("levy", Levy.TAX, Basis.NOTIONAL, 1_000_000),
        Charge("exchange charge", Levy.FEE, Basis.NOTIONAL, 29_700),
        Charge("GST", Levy.TAX, Basis.LINES, 180_000_000, of=("commission", "exchange charge")),
        Charge("stamp duty", Levy.TAX, Basis.NOTIONAL, 150_000, Side.BUY),
    ),
)


def lines(floor: TradingFloor, order_id: int) -> list[tuple[str, str, int]]:
    return floor.query(  # type: ignore[return-value]
        "select t.kind, c.kind, sum(t.amount)::bigint from transfer t join account c on c.id = t.credit_id"
        " join asset s on s.id = t.asset_id where order_id = %s and s.code = 'USD' group by 1, 2 order by 1, 2",
        order_id,
    )


def test_a_purchase_with_taxes_posts_fee_and_tax_and_names_them(floor: TradingFloor) -> None:
    version = fees.set_schedule(floor.floor, ADMIN, "AAPL", MIX)
    floor.quote("99.99", "100.00", lots=3)
    order = floor.accepted("buy", "10", "100.00")
    # 1,000.00: commission 1.00, levy 1.00, exchange 0.0297 -> 0.03, GST 18 % of 1.03 = 0.19, stamp duty 0.15
    assert order.cash_held == 100_000 + 237
    floor.run_broker()
    for _ in range(3):
        floor.quote("99.99", "100.00", lots=3)
    assert floor.state(order.order_id)[:2] == ("filled", 10)
    assert floor.cash() == (Decimal("98997.63"), Decimal(0))
    assert lines(floor, order.order_id) == [("fee", "fees", 103), ("tax", "taxes", 134), ("trade", "market", 100_000)]
    told = floor.query(
        "select line ->> 0, sum((line ->> 2)::int) from fill f cross join jsonb_array_elements(f.charges) line"
        " where order_id = %s group by 1 order by 1",
        order.order_id,
    )
    assert told == [("GST", 19), ("commission", 100), ("exchange charge", 3), ("levy", 100), ("stamp duty", 15)]
    assert floor.query("select distinct fee_version from fill") == [(version,)]
    story = queries.order(floor.floor, floor.trader, floor.portfolio, order.order_id)
    assert len(story.fills) == 4
    assert sum(amount for fill in story.fills for _, amount in fill.charges) == Decimal("2.37")
    floor.check()


def test_a_sale_pays_its_taxes_out_of_the_proceeds(rich: TradingFloor) -> None:
    fees.set_listed(rich.floor, ADMIN, "AAPL", "us_equity")
    before = rich.cash()[0]
    order = rich.accepted("sell", "100", "99.99")
    rich.run_broker()
    rich.quote("99.99", "100.00")
    assert rich.state(order.order_id)[0] == "filled"
    # 9,999.00: commission 1.00, SEC fee 0.278 -> 0.28, TAF 1.66 cents -> 0.02
    assert rich.cash()[0] - before == Decimal("9999.00") - Decimal("1.30")
    assert lines(rich, order.order_id)[:2] == [("fee", "fees", 102), ("tax", "taxes", 28)]
    assert queries.realised(rich.floor, rich.trader, rich.portfolio) == Decimal("-3.30")
    rich.check()


def test_resting_orders_pay_the_makers_rate_and_a_restart_does_not_forget_it(floor: TradingFloor) -> None:
    fees.set_schedule(floor.floor, ADMIN, "AAPL", FeeSchedule(1, 0, 4_000, 0, maker_ppm=1_000))
    floor.quote("99.99", "100.00", lots=4)
    order = floor.accepted("buy", "10", "100.00")
    floor.run_broker()  # takes 4 at 100.00: 0.4 % of 400.00
    assert floor.query("select fee from fill") == [(160,)]
    floor.quote("100.01", "100.02")
    floor.trade("99.98", 3)  # it rests and is traded through: 0.1 %
    assert floor.state(order.order_id)[:2] == ("partially_filled", 7)
    floor.restart_broker()
    floor.quote("100.01", "100.02")
    floor.trade("99.98", 3)
    assert floor.query("select liquidity, fee from fill order by input_seq") == [
        ("taker", 160),
        ("maker", 30),
        ("maker", 30),
    ]
    floor.check()


def test_the_ticket_shows_the_lines_before_it_is_sent(floor: TradingFloor) -> None:
    fees.set_schedule(floor.floor, ADMIN, "AAPL", MIX)
    floor.quote("99.99", "100.00")
    ticket = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "10", "100.00")
    told = desk.preview(floor.floor, floor.trader, floor.portfolio, ticket)
    assert isinstance(told, desk.Preview)
    assert told.fee_at_most == 237
    assert [(line.name, line.amount) for line in told.charges] == [
        ("commission", 100),
        ("levy", 100),
        ("exchange charge", 3),
        ("GST", 19),
        ("stamp duty", 15),
    ]


def test_open_orders_keep_the_schedule_they_were_accepted_on(floor: TradingFloor) -> None:
    floor.quote("100.01", "100.02")
    order = floor.accepted("buy", "10", "100.00")
    floor.run_broker()
    fees.set_schedule(floor.floor, ADMIN, "AAPL", MIX)
    floor.quote("99.99", "100.00")
    assert floor.state(order.order_id)[0] == "filled"
    assert floor.query("select fee, tax from fill") == [(100, 0)]
    floor.check()


def test_the_shipped_table_does_not_take_back_what_an_admin_has_set(floor: TradingFloor) -> None:
    version = fees.set_listed(floor.floor, ADMIN, "AAPL", "us_equity")
    with connection_of(floor.pool) as connection:
        keep_instruments(connection, [replace(p, name=f"{p.name} again") for p in shipped_profiles()])
    newest, before, *_ = fees.history(floor.floor, floor.trader, "AAPL")
    assert (newest.version, newest.set_by_admin, before.version) == (version + 1, True, version)
    assert newest.schedule.charges == LISTED["us_equity"].charges
    assert floor.query("select action, subject, result from audit where action = 'fees.set_schedule'") == [
        ("fees.set_schedule", f"instrument:{floor.aapl.id}", "ok")
    ]


def test_what_is_no_schedule_changes_nothing(floor: TradingFloor) -> None:
    with pytest.raises(Invalid):
        fees.set_schedule(floor.floor, ADMIN, "AAPL", FeeSchedule(1, -1, 0, 0))
    with pytest.raises(NotFound):
        fees.set_listed(floor.floor, ADMIN, "AAPL", "free_lunch")
    assert len(fees.history(floor.floor, floor.trader, "AAPL")) == 1
