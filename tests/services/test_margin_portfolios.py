"""Margin portfolios from the ticket to the close-out: debt, shorts, calls, and what a restart makes of them."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from trading_floor import TradingFloor, refusal

from trading.domain.margin import REG_T
from trading.domain.orders import OrderType, Side, Ticket
from trading.exchange.codec import decode
from trading.exchange.engine import ENGINE_REV
from trading.exchange.messages import Cancel, Input, Margin, Submit, TurnAway
from trading.services import actions, desk, halt, ledger, margin, night
from trading.services.access import SYSTEM, Actor, Role

ADMIN = Actor(0, "boss", Role.ADMIN)
Who = tuple[Actor, int]


@pytest.fixture
def mia(floor: TradingFloor) -> Who:
    """A trader with 10,000.00 in a margin portfolio."""
    return floor.add_trader("mia", "10000.00", kind="margin")


def decisions(floor: TradingFloor) -> list[tuple[str, object]]:
    """What the broker recorded of margin, in the order of inputs."""
    found: list[tuple[str, object]] = []
    for chunk in floor.store.log_after(0, ENGINE_REV):
        for step in decode(chunk.inputs):
            if isinstance(step, Input) and isinstance(step.body, Margin):
                found.append((step.body.kind, step.body.equity))
            elif isinstance(step, Input) and isinstance(step.body, Cancel):
                found.append(("cancel", step.body.order_id))
            elif isinstance(step, Input) and isinstance(step.body, Submit) and step.body.tif == "ioc":
                found.append(("close", (step.body.instrument_id, step.body.direction, step.body.quantity_lots)))
            elif isinstance(step, Input) and isinstance(step.body, TurnAway):
                found.append(("turn_away", step.body.order_id))
    return found


def levels(floor: TradingFloor) -> list[str]:
    """The margin events of the database."""
    return [kind for (kind,) in floor.query("select kind from margin_event order by id")]


def checked(floor: TradingFloor) -> None:
    """Every invariant holds, and a replay of all inputs gives what was booked."""
    floor.check()
    parity = night.replay(floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:3]


def bought(floor: TradingFloor, who: Who, lots: str = "150", symbol: str = "AAPL") -> int:
    order = floor.accepted("buy", lots, "100.00", symbol=symbol, who=who)
    floor.run_broker()
    return order.order_id


def test_a_purchase_on_margin_makes_debt_and_its_hold_becomes_the_requirement(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    order = floor.accepted("buy", "150", "100.00", who=mia)
    assert order.cash_held == 750_000 + 100  # 50 % of 15,000.00 and the fee
    floor.run_broker()
    assert floor.cash(mia[1]) == (Decimal("-5001"), Decimal(0))
    assert floor.shares(portfolio=mia[1]) == (150, 0)
    checked(floor)


def test_what_equity_does_not_cover_is_refused_with_the_numbers(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    assert floor.order("buy", "199", "100.00", who=mia) is not None
    answer = floor.order("buy", "2", "100.00", who=mia)
    assert refusal(answer) == "insufficient_margin"
    assert answer.numbers == {  # type: ignore[union-attr]
        "needed": "10100",
        "available": "4900",
        "equity": "1000000",
        "initial_requirement": "0",
        "reserved": "995100",
        "buying_power": "9800",
    }
    floor.check()


def test_a_short_reserves_three_percent_above_the_ask_and_its_proceeds_are_cash(floor: TradingFloor, mia: Who) -> None:
    floor.quote("99.00", "100.00")
    order = floor.accepted("sell", "100", "99.00", who=mia)
    assert order.cash_held == 515_000 + 100
    floor.run_broker()
    assert floor.cash(mia[1]) == (Decimal("19899"), Decimal(0))
    assert floor.shares(portfolio=mia[1]) == (-100, 0)
    assert floor.query("select short, cost from lot") == [(True, 989_900)]
    checked(floor)


def test_a_short_that_is_bought_back_realises_what_it_brought_less_what_it_cost(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    floor.accepted("sell", "100", "100.00", who=mia)
    floor.run_broker()
    floor.quote("90.00", "90.00")
    back = floor.accepted("buy", "60", "90.00", who=mia)
    assert (back.cash_held, floor.shares(portfolio=mia[1])) == (0, (-100, 60))
    floor.run_broker()
    assert floor.shares(portfolio=mia[1]) == (-40, 0)
    # 60 % of 9,999.00 less 5,400.00 and the dollar of fee.
    assert floor.query("select cost, proceeds from lot_close") == [(540_100, 599_940)]
    floor.accepted("buy", "40", who=mia)
    floor.run_broker()
    assert floor.shares(portfolio=mia[1]) == (0, 0)
    assert floor.cash(mia[1])[0] == Decimal("10000") + 1000 - 3
    checked(floor)


def test_one_order_never_turns_a_position_round(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia, "10")
    assert refusal(floor.order("sell", "15", who=mia)) == "reversal_is_two_orders"
    resting = floor.accepted("sell", "6", "120.00", who=mia)
    assert refusal(floor.order("sell", "5", who=mia)) == "insufficient_position"
    floor.cancel(resting.order_id, mia)
    floor.run_broker()
    floor.accepted("sell", "10", who=mia)
    floor.run_broker()
    floor.accepted("sell", "5", "110.00", who=mia)  # flat: this one opens a short
    assert refusal(floor.order("buy", "5", "90.00", who=mia)) == "opens_other_way"
    checked(floor)


def test_closing_is_always_possible_and_opening_needs_live_prices(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    floor.quote("50.00", "50.01", symbol="MSFT")
    floor.clock.advance(10)
    floor.quoted("50.00", "50.01", symbol="MSFT")  # AAPL's quote is old by now
    answer = floor.order("buy", "1", "50.00", symbol="MSFT", who=mia)
    assert refusal(answer) == "no_mark"
    assert answer.numbers == {"symbols": "AAPL"}  # type: ignore[union-attr]
    floor.accepted("sell", "150", "101.00", who=mia)
    floor.check()


def test_the_preview_says_what_is_required_and_what_is_left(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    ticket = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "50", "100.00")
    seen = desk.preview(floor.floor, mia[0], mia[1], ticket)
    assert isinstance(seen, desk.Preview)
    assert (seen.initial_requirement, seen.buying_power, seen.buying_power_after) == (250_100, 2_000_000, 1_499_800)
    cash = desk.preview(floor.floor, floor.trader, floor.portfolio, ticket)
    assert isinstance(cash, desk.Preview)
    assert (cash.initial_requirement, cash.buying_power) == (None, None)


def test_a_dearer_short_reserves_more_before_the_exchange_sees_it(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    order = floor.accepted("sell", "100", "104.00", who=mia)
    floor.run_broker()
    assert floor.cash(mia[1])[1] == Decimal("5201")
    assert not isinstance(floor.modify(order.order_id, who=mia, limit_price="110.00"), type(None))
    assert floor.cash(mia[1])[1] == Decimal("5501")
    floor.run_broker()
    floor.modify(order.order_id, who=mia, limit_price="101.00")
    floor.run_broker()
    assert floor.cash(mia[1])[1] == Decimal("5151"), "no less than 3 % above the ask it was accepted at"
    checked(floor)


def test_a_bracket_on_margin_and_two_that_exclude_each_other(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    entry = floor.accepted("buy", "100", "100.00", who=mia, take_profit="110.00", stop_loss="90.00")
    assert entry.cash_held == 500_100
    floor.run_broker()
    assert floor.shares(portfolio=mia[1]) == (100, 100)
    floor.quote("110.00", "110.01")
    assert floor.shares(portfolio=mia[1]) == (0, 0)
    pair = floor.accepted("buy", "10", stop_price="120.00", oco_limit="105.00", who=mia)
    floor.run_broker()
    floor.quote("104.99", "105.00")
    assert floor.shares(portfolio=mia[1]) == (10, 0)
    assert floor.cash(mia[1])[1] == 0
    assert len(pair.group) == 2
    checked(floor)


def test_a_bracket_around_a_short_is_the_mirror_of_one_around_a_long(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    wrong = floor.order("sell", "100", "100.00", who=mia, take_profit="110.00", stop_loss="90.00")
    assert refusal(wrong) == "exit_prices"
    entry = floor.accepted("sell", "100", "100.00", who=mia, take_profit="90.00", stop_loss="110.00")
    floor.run_broker()
    assert floor.shares(portfolio=mia[1]) == (-100, 100)
    stop = entry.group[1]
    assert refusal(floor.modify(stop, who=mia, stop_price="89.00")) in ("exit_prices", "stop_side")
    floor.modify(stop, who=mia, stop_price="112.00")
    floor.run_broker()
    floor.quote("111.00", "111.01")
    assert floor.shares(portfolio=mia[1])[0] == -100
    floor.trade("112.00", 10)
    floor.quote("112.00", "112.01")
    assert floor.state(stop)[0] == "filled"
    assert floor.state(entry.group[0])[::2] == ("cancelled", "oco")
    assert floor.shares(portfolio=mia[1]) == (0, 0)
    checked(floor)


# Calls and close-outs -----------------------------------------------------------------------------------------------


def test_a_call_is_an_input_before_the_next_ticks_fills(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)  # equity 9,999.00, debt 5,001.00
    other = floor.accepted("buy", "5", "44.00")
    floor.run_broker()
    # One read of the tape: the first tick is the call (equity 1,629.00 < 1,657.50), the second fills tina's order.
    floor.run_broker(np.concatenate([floor.quoted("44.20", "44.21"), floor.quoted("43.99", "44.00")]))
    call = floor.query("select kind, input_seq, equity, maintenance from margin_event")
    fill = floor.query("select input_seq from fill where order_id = %s", other.order_id)
    assert call[0][0] == "call"
    assert call[0][2:] == (150 * 4_420 - 500_100, 165_750)
    assert fill[0][0] == call[0][1] + 1
    assert [kind for kind, _ in decisions(floor)] == ["call"], "the log has it"
    checked(floor)


def test_a_price_between_call_and_recovery_says_nothing_twice(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    for price in ("44.00", "43.90", "44.00", "43.95"):
        floor.quote(price, price)
    assert levels(floor) == ["call"]
    floor.quote("46.00", "46.00")
    assert levels(floor) == ["call", "met"]
    floor.quote("44.00", "44.00")
    assert levels(floor) == ["call", "met", "call"]
    checked(floor)


def test_a_deposit_meets_a_call_and_a_withdrawal_makes_one(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    floor.quote("44.00", "44.00")
    assert levels(floor) == ["call"]
    ledger.deposit(floor.floor, SYSTEM, mia[1], "1000", "help")
    floor.clock.advance(1)
    floor.run_broker()
    assert levels(floor) == ["call", "met"]
    checked(floor)


def test_a_close_out_cancels_first_then_closes_and_stops_above_maintenance(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    resting = [floor.accepted("sell", "20", "120.00", who=mia), floor.accepted("buy", "1", "30.00", who=mia)]
    floor.run_broker()
    floor.quote("41.00", "41.00")  # equity 1,149.00, maintenance 1,537.50, close-out below 1,230.00
    taken = decisions(floor)
    assert [kind for kind, _ in taken] == ["call", "close_out", "cancel", "cancel", "close", "met"]
    assert [order for kind, order in taken if kind == "cancel"] == [order.order_id for order in resting]
    assert floor.state(resting[0].order_id) == ("cancelled", 0, "margin_close_out")
    # Each share closed frees 10.25: 38 of them and the dollar of fee bring 1,148.00 above 25 % of what is left.
    assert taken[-2][1] == (floor.aapl.id, -1, 38)
    assert floor.shares(portfolio=mia[1]) == (112, 0)
    (order,) = floor.query("select id, effect, tif, state from orders where tif = 'ioc'")
    assert order[1:] == ("close", "ioc", "filled")
    assert floor.query("select actor, cause from order_event where order_id = %s order by id limit 1", order[0]) == [
        ("system:margin", "margin_close_out")
    ]
    assert {kind for (kind,) in floor.query("select action from audit where action like 'margin.%%'")} == {
        "margin.call",
        "margin.close_out",
        "margin.order",
        "margin.met",
    }
    checked(floor)


def test_a_close_out_trades_through_the_market_by_no_more_than_the_markets_policy_lets_it(
    floor: TradingFloor, mia: Who
) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    floor.quote("41.00", "41.00")
    margin.set_policy(floor.floor, ADMIN, "equity", replace(REG_T, close_band_ppm=20_000), "a calmer market")
    floor.clock.advance(1)
    floor.run_broker()
    floor.quote("34.00", "34.00")
    worst = "select protection_ticks from orders where tif = 'ioc' order by id"
    assert floor.query(worst) == [(4_100 - 410,), (3_400 - 68,)]
    checked(floor)


def test_the_worst_position_goes_first_and_the_other_stays(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    floor.quote("100.00", "100.00", symbol="MSFT")
    bought(floor, mia, "150")
    bought(floor, mia, "40", "MSFT")
    floor.quote("105.00", "105.00", symbol="MSFT")
    floor.quote("46.00", "46.00")  # equity 2,098, maintenance 2,775, close-out below 2,220
    assert levels(floor) == ["call", "close_out", "met"]
    closes = [what for kind, what in decisions(floor) if kind == "close"]
    assert closes == [(floor.aapl.id, -1, 59)]  # each frees 11.50, and a dollar of fee
    assert floor.shares("MSFT", mia[1])[0] == 40
    checked(floor)


def test_a_short_squeeze_is_bought_back_at_the_ask(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    floor.accepted("sell", "150", "100.00", who=mia)
    floor.run_broker()
    floor.quote("127.00", "128.00")  # equity 25,000 - 1 - 19,200 = 5,799 against 30 % of 19,200 = 5,760
    assert levels(floor) == []
    floor.quote("134.00", "135.00")  # equity 4,749, maintenance 6,075, close-out below 4,860
    assert levels(floor) == ["call", "close_out", "met"]
    ((price, side, lots),) = floor.query(
        "select price_ticks, side, quantity_lots from fill order by input_seq desc limit 1"
    )
    assert (price, side) == (13_500, "buy")
    assert floor.shares(portfolio=mia[1]) == (-150 + lots, 0)
    checked(floor)


def test_what_is_not_displayed_is_closed_with_the_next_quotes(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    floor.quote("40.00", "40.00", lots=20)
    assert levels(floor) == ["call", "close_out"]
    assert floor.shares(portfolio=mia[1]) == (130, 0)
    floor.run_broker()
    assert floor.shares(portfolio=mia[1]) == (130, 0), "the quote is used up"
    floor.quote("40.00", "40.00", lots=20)
    floor.quote("40.00", "40.00", lots=20)
    assert levels(floor)[-1] == "met"
    checked(floor)


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_restart_between_call_and_close_out_goes_on_as_if_nothing_had_been(
    floor: TradingFloor, mia: Who, snapshot: bool
) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    floor.accepted("sell", "20", "120.00", who=mia)
    floor.run_broker()
    floor.quote("43.00", "43.00")
    assert levels(floor) == ["call"]
    if snapshot:
        floor.broker.snapshot(floor.clock.now_ns())
    floor.restart_broker()
    floor.quote("42.90", "42.90")
    assert levels(floor) == ["call"], "the call was made once"
    floor.quote("41.00", "41.00")
    assert [kind for kind, _ in decisions(floor)] == ["call", "close_out", "cancel", "close", "met"]
    before = floor.broker.engine.save()
    floor.restart_broker()
    assert floor.broker.engine.save() == before
    checked(floor)


def test_a_crash_before_the_commit_of_a_close_out_decides_it_again(
    floor: TradingFloor, mia: Who, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    order_id = floor.store.order_id

    def die() -> int:
        raise ConnectionError("killed")

    monkeypatch.setattr(floor.store, "order_id", die)
    with pytest.raises(ConnectionError):
        floor.quote("41.00", "41.00")
    monkeypatch.setattr(floor.store, "order_id", order_id)
    floor.restart_broker()
    floor.quote("41.00", "41.00")
    assert levels(floor)[-1] == "met"
    assert floor.shares(portfolio=mia[1])[0] == 112
    checked(floor)


def test_an_order_to_close_what_a_close_out_has_closed_is_turned_away(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    late = floor.accepted("sell", "150", "96.00", who=mia)  # accepted, not sequenced before the tick
    floor.run_broker(floor.quoted("36.00", "36.00"), commands=[])
    assert levels(floor)[:2] == ["call", "close_out"]
    floor.run_broker()
    assert floor.state(late.order_id) == ("rejected", 0, "position_closed")
    assert floor.shares(portfolio=mia[1])[1] == 0
    checked(floor)


def test_a_halted_instrument_is_left_alone_until_it_trades_again(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    bought(floor, mia)
    halt.set_mode(floor.floor, ADMIN, f"instrument:{floor.aapl.id}", "halted", "news")
    floor.run_broker()
    floor.quote("41.00", "41.00")
    assert levels(floor) == ["call", "close_out"]
    assert floor.shares(portfolio=mia[1])[0] == 150
    halt.set_mode(floor.floor, ADMIN, f"instrument:{floor.aapl.id}", "running", "over")
    floor.run_broker()
    floor.quote("41.00", "41.00")
    assert levels(floor)[-1] == "met"
    checked(floor)


def test_a_split_of_what_is_short_makes_no_call_on_the_price_before_it(floor: TradingFloor, mia: Who) -> None:
    floor.quote("100.00", "100.00")
    floor.accepted("sell", "150", "100.00", who=mia)
    floor.run_broker()
    split = actions.enter_split(floor.floor, ADMIN, "AAPL", date(2026, 9, 21), 2, 1, reference_price="100.00")
    actions.book(floor.floor, ADMIN, split)
    floor.run_broker()
    floor.clock.advance(1)
    floor.run_broker()  # reads its margin accounts again, and has no price
    assert floor.shares(portfolio=mia[1]) == (-300, 0)
    assert levels(floor) == []
    floor.quote("50.00", "50.00")
    assert levels(floor) == []
    floor.quote("64.00", "64.00")  # equity 24,999 - 19,200 against 30 % of 19,200 = 5,760
    assert levels(floor) == []
    floor.quote("65.00", "65.00")
    assert levels(floor) == ["call"]
    checked(floor)
