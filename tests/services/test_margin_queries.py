"""What a margin portfolio's owner sees, what may leave it, and what an admin sets."""

from dataclasses import replace
from decimal import Decimal

import pytest
from trading_floor import TradingFloor

from trading.domain.errors import Forbidden, Invalid
from trading.domain.margin import REG_T
from trading.services import ledger, margin, queries, wallet
from trading.services.access import SYSTEM, Actor, Role

ADMIN = Actor(0, "boss", Role.ADMIN)
Who = tuple[Actor, int]


@pytest.fixture
def mia(floor: TradingFloor) -> Who:
    """A trader with 10,000.00 in a margin portfolio; AAPL stands at 100.00."""
    floor.quote("100.00", "100.00")
    return floor.add_trader("mia", "10000.00", kind="margin")


def test_a_margin_account_is_shown_at_the_market(floor: TradingFloor, mia: Who) -> None:
    floor.accepted("buy", "150", "100.00", who=mia)
    floor.run_broker()
    floor.quote("98.00", "98.02")
    (line,) = margin.account(floor.floor, *mia)
    assert (line.cash, line.positions, line.equity) == (Decimal("-5001"), Decimal("14700"), Decimal("9699"))
    assert (line.initial, line.maintenance, line.close_out) == (Decimal("7350"), Decimal("3675"), Decimal("2940"))
    assert (line.excess, line.buying_power, line.withdrawable) == (Decimal("2349"), Decimal("4698"), Decimal(0))
    assert (line.state, line.unmarked, line.stale) == ("met", (), ())
    floor.clock.advance(6)
    assert margin.account(floor.floor, *mia)[0].stale == ("AAPL",)
    assert margin.account(floor.floor, floor.trader, floor.portfolio) == []


def test_a_short_is_shown_at_the_ask(floor: TradingFloor, mia: Who) -> None:
    floor.accepted("sell", "100", "100.00", who=mia)
    floor.run_broker()
    floor.quote("89.00", "90.00")
    (position,) = queries.positions(floor.floor, *mia)
    assert (position.quantity, position.mark, position.value) == (Decimal(-100), Decimal("90"), Decimal("-9000"))
    assert (position.cost, position.average_cost) == (Decimal("9999"), Decimal("99.99"))
    assert position.unrealised == Decimal("999")
    assert queries.equity_curve(floor.floor, *mia)[-1].equity == Decimal("10999")
    floor.store.mark_equity(floor.clock.now_ns(), floor.broker.marks())
    assert floor.query("select equity, positions from equity_mark where portfolio_id = %s", mia[1]) == [
        (1_099_900, -900_000)
    ]


def test_a_call_is_shown_with_its_figures_until_it_is_met(floor: TradingFloor, mia: Who) -> None:
    floor.accepted("buy", "150", "100.00", who=mia)
    floor.run_broker()
    floor.quote("44.00", "44.00")
    assert margin.account(floor.floor, *mia)[0].state == "call"
    (call,) = margin.calls(floor.floor, *mia)
    assert (call.kind, call.equity, call.maintenance, call.close_out) == (
        "call",
        Decimal("1599"),
        Decimal("1650"),
        Decimal("1320"),
    )
    floor.quote("60.00", "60.00")
    assert margin.account(floor.floor, *mia)[0].state == "met"


def test_only_what_nothing_requires_may_be_withdrawn(floor: TradingFloor, mia: Who) -> None:
    floor.accepted("sell", "100", "100.00", who=mia)  # cash 19,999, equity 9,999, required 5,000
    floor.run_broker()
    with pytest.raises(Invalid, match=r"leave 4,999\.00 USD of 9,999\.00; 5,000\.00 are needed") as refused:
        ledger.withdraw(floor.floor, SYSTEM, mia[1], "5000", "too-much")
    assert refused.value.code == "insufficient_margin"
    ledger.withdraw(floor.floor, SYSTEM, mia[1], "4999", "all")
    floor.bus.newest.clear()
    with pytest.raises(Invalid) as unknown:
        ledger.withdraw(floor.floor, SYSTEM, mia[1], "1", "blind")
    assert unknown.value.code == "no_mark"
    floor.check()


def test_a_withdrawal_that_positions_have_come_to_require_is_not_approved(floor: TradingFloor, mia: Who) -> None:
    admin = floor.floor.people.create_user("ada", "Ada", "admin", "no-password", 0)
    floor.accepted("sell", "100", "100.00", who=mia)  # equity 9,999, required 5,000
    floor.run_broker()
    number = wallet.request(floor.floor, *mia, "withdrawal", "4999", "k")
    floor.quote("110.00", "110.00")  # equity 8,999, required 5,500
    with pytest.raises(Invalid, match=r"leave 3,499\.00 USD") as refused:
        wallet.approve(floor.floor, Actor(admin.id, "ada", Role.ADMIN), number)
    assert refused.value.code == "insufficient_margin"
    assert wallet.requests(floor.floor, *mia)[0].state == "pending"
    floor.quote("100.00", "100.00")
    assert wallet.approve(floor.floor, Actor(admin.id, "ada", Role.ADMIN), number) == "approved"
    floor.check()


def test_a_policy_is_set_by_an_admin_and_the_broker_goes_by_it(floor: TradingFloor, mia: Who) -> None:
    floor.accepted("buy", "150", "100.00", who=mia)
    floor.run_broker()
    strict = replace(REG_T, initial_ppm=900_000, maintenance_long_ppm=700_000)
    margin.set_policy(floor.floor, ADMIN, "equity", strict, "house rule of today")
    assert {line.asset_class: line.version for line in margin.policies(floor.floor, mia[0])} == {
        "": 1,
        "crypto": 1,
        "equity": 1,
        "fx": 1,
    }
    floor.clock.advance(1)
    floor.run_broker()
    assert margin.account(floor.floor, *mia)[0].state == "call", "equity 9,999 is below 70 % of 15,000"
    with pytest.raises(Forbidden):
        margin.set_policy(floor.floor, mia[0], "equity", REG_T, "mine")
    floor.check()


@pytest.mark.parametrize(
    ("market", "policy", "source"),
    [
        ("equity", replace(REG_T, initial_ppm=0), "a good source"),
        ("equity", replace(REG_T, maintenance_short_ppm=600_000), "a good source"),
        ("equity", replace(REG_T, close_out_ppm=1_000_001), "a good source"),
        ("equity", replace(REG_T, close_band_ppm=0), "a good source"),
        ("tulips", REG_T, "a good source"),
        ("equity", REG_T, "  "),
    ],
)
def test_a_policy_that_is_none_is_refused(floor: TradingFloor, market: str, policy: object, source: str) -> None:
    with pytest.raises(Invalid) as refused:
        margin.set_policy(floor.floor, ADMIN, market, policy, source)  # type: ignore[arg-type]
    assert refused.value.code == "bad_policy"
