"""Cash leaves a margin portfolio only as far as nothing requires it, judged where it moves and not before."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from trading_floor import TradingFloor

from trading.domain import margin
from trading.domain.errors import Invalid
from trading.domain.margin import Mark
from trading.domain.orders import Acceptance
from trading.services import actions, desk, fx, ledger, wallet
from trading.services import margin as margin_service
from trading.services.access import SYSTEM, Actor, Role

Who = tuple[Actor, int]
SYMBOLS = ("AAPL", "ETHUSD", "MSFT")
KEYS = count(1)


@pytest.fixture
def ada(floor: TradingFloor) -> Actor:
    user = floor.floor.people.create_user("ada", "Ada", "admin", "no-password", 0)
    floor.quote("1.00000", "1.00000", symbol="EURUSD")
    floor.quote("100.00", "100.00")
    return Actor(user.id, "ada", Role.ADMIN)


@pytest.fixture
def agreed(floor: TradingFloor) -> TradingFloor:
    """A margin portfolio with an account of each instrument; its figures are written as a test wants them."""
    _, floor.portfolio = floor.add_trader("mia", "1.00", kind="margin")
    for symbol in SYMBOLS:
        floor.query("select account_of(%s, %s)", floor.portfolio, floor.instrument(symbol).asset.id)
    return floor


def short(floor: TradingFloor, name: str) -> Who:
    """10,000.00 in cash, 50 shares sold short: 14,999.00 of cash, of which 7,499.00 are not required."""
    who = floor.add_trader(name, "10000.00", kind="margin")
    floor.accepted("sell", "50", "100.00", who=who)
    floor.run_broker()
    return who


def withdraw(floor: TradingFloor, who: Who, amount: str) -> Any:
    return ledger.withdraw(floor.floor, SYSTEM, who[1], amount, f"out-{next(KEYS)}")


def request(floor: TradingFloor, who: Who, amount: str) -> Any:
    return wallet.request(floor.floor, *who, "withdrawal", amount, f"ask-{next(KEYS)}")


def convert(floor: TradingFloor, who: Who, amount: str) -> Any:
    now_ns = floor.clock.now_ns()
    return fx.convert(floor.floor, *who, "USD", "EUR", amount, "1.00000", now_ns, f"fx-{next(KEYS)}")


def answer_of(call: Callable[[], Any]) -> str:
    try:
        answer = call()
    except Invalid as refused:
        return refused.code
    if isinstance(answer, Acceptance):
        return "went through"
    return getattr(answer, "code", "went through")


def free(floor: TradingFloor, who: Who) -> Decimal:
    """What nothing requires of the dollars: below zero where too much has left."""
    line = next(each for each in margin_service.account(floor.floor, *who) if each.currency == "USD")
    assert line.excess is not None
    return line.excess - line.reserved


OUT = (withdraw, request, convert)


@pytest.mark.parametrize("out", OUT)
def test_an_order_accepted_after_the_question_and_before_the_posting_counts(
    floor: TradingFloor, ada: Actor, out: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = short(floor, "mia")
    store, name = {
        withdraw: (floor.floor.ledger, "withdraw"),
        request: (floor.floor.wallet, "request"),
        convert: (floor.floor.ledger, "convert"),
    }[out]
    post = getattr(store, name)

    def an_order_first(*args: Any) -> Any:
        floor.accepted("sell", "60", "100.00", who=who)  # reserves 3,090.00 and its fee
        return post(*args)

    monkeypatch.setattr(store, name, an_order_first)
    with pytest.raises(Invalid, match=r"leave 4,408\.00 USD of 9,999\.00; 5,000\.00 are needed") as refused:
        out(floor, who, "5000.00")
    assert refused.value.code == "insufficient_margin"
    assert free(floor, who) >= 0
    floor.check()


@pytest.mark.parametrize("out", OUT)
def test_an_order_that_is_being_judged_is_waited_for(
    floor: TradingFloor, ada: Actor, out: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    who, judging, decide = short(floor, "mia"), threading.Event(), desk.decide

    def slowly(*args: Any) -> Any:
        judging.set()
        waits = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        until = time.monotonic() + 1
        while time.monotonic() < until and not floor.query(waits):
            time.sleep(0.005)
        return decide(*args)

    monkeypatch.setattr(desk, "decide", slowly)
    with ThreadPoolExecutor(1) as other:
        order = other.submit(floor.order, "sell", "80", "100.00", who=who)  # reserves 4,120.00 and its fee
        assert judging.wait(5)
        assert answer_of(lambda: out(floor, who, "4000.00")) == "insufficient_margin"
        assert isinstance(order.result(), Acceptance)
    assert free(floor, who) >= 0
    floor.check()


def test_of_withdrawals_conversions_and_orders_at_once_one_goes_through(floor: TradingFloor, ada: Actor) -> None:
    """7,499.00 are free and each takes more than 4,000.00 of it: one may, whoever comes first."""
    with ThreadPoolExecutor(8) as threads:
        for n in range(12):
            who, start = short(floor, f"mia{n}"), threading.Barrier(8)

            def at_once(name: str, call: Callable[[], Any], start: threading.Barrier = start) -> tuple[str, str]:
                start.wait(5)
                return name, answer_of(call)

            def order(who: Who = who) -> Any:
                return floor.order("sell", "80", "100.00", who=who)

            calls: list[tuple[str, Callable[[], Any]]] = [
                (out.__name__, lambda out=out, who=who: out(floor, who, "4000.00")) for out in OUT
            ]
            calls.insert(n % 4, ("order", order))
            racers = [threads.submit(at_once, *call) for call in calls * 2]
            answers = [racer.result(20) for racer in racers]
            through = [name for name, answer in answers if answer == "went through"]
            assert len(through) == 1, answers
            assert {answer for _, answer in answers} == {"went through", "insufficient_margin"}
            assert free(floor, who) >= 0
    floor.check()
    floor.run_broker()
    floor.check()


def test_a_withdrawal_that_was_made_answers_its_key_whatever_is_required_by_then(
    floor: TradingFloor, ada: Actor
) -> None:
    who = short(floor, "mia")
    first = ledger.withdraw(floor.floor, SYSTEM, who[1], "7000.00", "k")
    asked = wallet.request(floor.floor, *who, "withdrawal", "400.00", "k")
    floor.quote("110.00", "110.00")
    assert ledger.withdraw(floor.floor, SYSTEM, who[1], "7000.00", "k") == first
    assert wallet.request(floor.floor, *who, "withdrawal", "400.00", "k") == asked
    floor.bus.newest.clear()
    assert answer_of(lambda: withdraw(floor, who, "1.00")) == "no_mark"


def test_a_quote_from_before_a_split_is_no_price_after_it(floor: TradingFloor, ada: Actor) -> None:
    who = floor.add_trader("mia", "10000.00", kind="margin")
    floor.accepted("buy", "50", "100.00", who=who)  # cash 4,999.00, equity 9,999.00, required 2,500.00
    floor.run_broker()
    split = actions.enter_split(floor.floor, ada, "AAPL", date(2026, 9, 22), 1, 5, reference_price="100.00")
    floor.floor.actions.bring_forward(ada.user_id, split, "test", floor.clock.now_ns())
    assert answer_of(lambda: withdraw(floor, who, "1.00")) == "went through", "price and shares are of before"
    floor.quoted("500.00", "500.00")  # the venue's price goes ahead of the booking
    assert answer_of(lambda: withdraw(floor, who, "1.00")) == "corporate_action"
    actions.book(floor.floor, ada, split)
    assert answer_of(lambda: withdraw(floor, who, "1.00")) == "corporate_action", "asked for"
    floor.run_broker()
    assert answer_of(lambda: withdraw(floor, who, "1.00")) == "corporate_action", "no quote since"
    floor.quote("500.00", "500.00")
    with pytest.raises(Invalid, match=r"leave 4,998\.00 USD"):
        withdraw(floor, who, "4998.01")
    floor.check()


lots = st.integers(-5000, 5000)
prices = st.tuples(st.integers(0, 300_000), st.integers(0, 50))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    held=st.fixed_dictionaries(dict.fromkeys(SYMBOLS, st.tuples(lots, prices))),
    cash=st.integers(-(10**9), 10**9),
    reserved=st.integers(0, 10**7),
)
@example(held={"AAPL": (0, (1, 0)), "ETHUSD": (1, (2500, 0)), "MSFT": (0, (1, 0))}, cash=1000, reserved=0)
@example(held={"AAPL": (0, (1, 0)), "ETHUSD": (-5, (300, 0)), "MSFT": (1, (7, 0))}, cash=1000, reserved=0)
def test_the_database_reckons_as_the_domain_does(
    agreed: TradingFloor, held: Mapping[str, tuple[int, tuple[int, int]]], cash: int, reserved: int
) -> None:
    floor, portfolio = agreed, agreed.portfolio
    with psycopg.connect(floor.database.dsn(), autocommit=True) as superuser:
        for symbol, (count_of, _) in held.items():
            superuser.execute(
                "update account set posted = %s where portfolio_id = %s and asset_id = %s",
                (count_of, portfolio, floor.instrument(symbol).asset.id),
            )
        usd = floor.instrument("AAPL").currency.id
        superuser.execute(
            "update account set posted = %s, held = %s where portfolio_id = %s and asset_id = %s",
            (cash, reserved, portfolio, usd),
        )
        known = {each.instrument.symbol: each for each in floor.floor.queries.margin_positions(portfolio)}
        marks = {floor.instrument(symbol).id: Mark(bid, bid + wide) for symbol, (_, (bid, wide)) in held.items()}
        quotes = Jsonb({str(key): [mark.bid_ticks, mark.ask_ticks, 1] for key, mark in marks.items()})
        holdings = [replace(each, lots=held[symbol][0]) for symbol, each in known.items()]
        worth = margin.assess(cash, holdings, marks)

        def asked(amount: int) -> Any:
            row = superuser.execute("select margin_refusal(%s, %s, %s, %s)", (portfolio, usd, amount, quotes))
            return row.fetchall()[0][0]

        if worth is None:
            assert asked(1)["refused"] == "no_mark"
            return
        most = margin.withdrawable(worth, reserved)
        assert asked(most) is None
        refused = asked(most + 1)
        assert (refused["available"], refused["equity"]) == (most, worth.equity)
        assert (refused["initial_requirement"], refused["reserved"]) == (worth.initial, reserved)
