"""Splits and dividends through the whole floor: entered, booked by the broker, to the cent, and replayed."""

from datetime import date
from decimal import Decimal

import pytest
from trading_floor import TradingFloor, refusal

from trading.domain.errors import Conflict, Invalid
from trading.services import actions, night, queries
from trading.services.access import SYSTEM, Actor, Role

ADMIN = Actor(0, "boss", Role.ADMIN)
DAY = date(2026, 9, 21)


def split(floor: TradingFloor, new: int, old: int, price: str | None = None) -> None:
    """A split of AAPL, booked now."""
    action = actions.enter_split(floor.floor, ADMIN, "AAPL", DAY, new, old, reference_price=price)
    actions.book(floor.floor, ADMIN, action)
    floor.run_broker()
    assert floor.query("select state from corporate_action where id = %s", action) == [("applied",)]


def dividend(floor: TradingFloor, amount: str, tax: str = "0") -> None:
    action = actions.enter_dividend(floor.floor, ADMIN, "AAPL", DAY, amount, tax_percent=tax)
    actions.book(floor.floor, ADMIN, action)
    floor.run_broker()


def replays(floor: TradingFloor) -> None:
    """Every invariant holds; a new broker comes to the same state; the night's replay gives the same."""
    floor.run_broker()  # what was quiet is written too
    floor.check()
    state = floor.broker.engine.save()
    floor.restart_broker()
    assert floor.broker.engine.save() == state
    parity = night.replay(floor.floor, SYSTEM)
    assert parity.ok, parity.breaks


def order_row(floor: TradingFloor, order_id: int) -> tuple[int, ...]:
    """Quantity, limit, protection and stop."""
    return floor.query(
        "select quantity_lots, limit_ticks, protection_ticks, stop_ticks from orders where id = %s", order_id
    )[0]


def test_seven_for_one_keeps_the_cost_and_seven_times_the_shares(rich: TradingFloor) -> None:
    cash = rich.cash()
    split(rich, 7, 1)
    assert rich.shares() == (700, 0)
    assert rich.cash() == cash, "nothing is left over"
    assert rich.query("select quantity_lots, remaining_lots, cost, remaining_cost from lot") == [
        (700, 700, 1_000_100, 1_000_100)
    ]
    rich.quote("14.28", "14.29")
    rich.accepted("sell", "700", "14.28")
    rich.run_broker()
    # 700 x 14.28 less 3.50 of fee, for what cost 10,001.00
    assert queries.realised(rich.floor, rich.trader, rich.portfolio) == Decimal("-8.50")
    replays(rich)


def test_a_reverse_split_pays_the_fraction_and_cancels_open_orders(rich: TradingFloor) -> None:
    limit = rich.accepted("sell", "40", "110.00")
    buy = rich.accepted("buy", "10", "90.00")
    rich.run_broker()
    cash = rich.cash()[0]
    split(rich, 1, 8, "100.00")  # 12.5 shares: half a new one is four old ones
    assert rich.shares() == (12, 0)
    assert rich.cash() == (cash + Decimal("400.00"), Decimal(0))
    assert rich.state(limit.order_id) == rich.state(buy.order_id) == ("cancelled", 0, "corporate_action")
    assert rich.query("select lots_before, lots_after, cash, dropped from action_effect") == [(100, 12, 40_000, 0)]
    assert queries.realised(rich.floor, rich.trader, rich.portfolio) == Decimal("400.00")
    replays(rich)


def test_a_position_of_less_than_one_new_share_is_paid_out(rich: TradingFloor) -> None:
    split(rich, 1, 200, "90.00")
    assert rich.shares() == (0, 0)
    assert rich.query("select cash, dropped from action_effect") == [(900_000, 1_000_100)]
    assert queries.realised(rich.floor, rich.trader, rich.portfolio) == Decimal("-1001.00")
    assert queries.positions(rich.floor, rich.trader, rich.portfolio) == []
    replays(rich)


def test_open_orders_keep_their_notional_and_their_place(rich: TradingFloor) -> None:
    buy, sell = rich.accepted("buy", "10", "90.01"), rich.accepted("sell", "40", "110.01")
    stop = rich.accepted("sell", "30", stop_price="95.00")
    rich.run_broker()
    held = rich.held()
    split(rich, 2, 1)
    assert order_row(rich, buy.order_id) == (20, 4500, 4500, None)
    assert order_row(rich, sell.order_id) == (80, 5501, 5501, None)
    assert order_row(rich, stop.order_id)[::3] == (60, 4750)
    assert rich.held()[1] == 2 * held[1] == 140
    assert rich.held()[0] <= held[0], "nothing costs more than was held for it"
    assert ("corporate_action", "working") in rich.causes(buy.order_id)
    rich.quote("44.99", "45.00")
    assert rich.state(buy.order_id)[:2] == ("filled", 20)
    replays(rich)


def test_a_purchase_is_made_smaller_where_its_fee_would_need_more_than_is_held(rich: TradingFloor) -> None:
    order = rich.accepted("buy", "300", "100.00", post_only=False, tif="gtc", symbol="MSFT")
    rich.run_broker()
    action = actions.enter_split(rich.floor, ADMIN, "MSFT", DAY, 2, 1, reference_price="100.00")
    actions.book(rich.floor, ADMIN, action)
    rich.run_broker()
    # 300 x 100.00 + 1.50 were held; 600 x 50.00 + 3.00 would be more
    assert order_row(rich, order.order_id)[:2] == (599, 5000)
    replays(rich)


def test_a_bracket_that_rests_goes_through_a_split_whole(rich: TradingFloor) -> None:
    order = rich.accepted("buy", "20", "99.00", take_profit="120.00", stop_loss="80.00")
    rich.run_broker()
    rich.quote("98.99", "99.00", lots=8)  # it fills in part: eight are held for the exits
    rich.quote("98.99", "99.01")
    assert rich.state(order.order_id)[:2] == ("partially_filled", 8)
    assert rich.shares() == (108, 8)
    split(rich, 2, 1)
    assert rich.shares() == (216, 16)
    take, stop, entry = order.group
    assert order_row(rich, entry)[:2] == (8 + 24, 4950)
    assert [order_row(rich, leg)[0] for leg in (take, stop)] == [40, 40]
    assert (order_row(rich, take)[1], order_row(rich, stop)[3]) == (6000, 4000)
    rich.check()
    rich.restart_broker()
    rich.quote("49.49", "49.50")
    assert rich.state(entry)[:2] == ("filled", 32)
    assert rich.shares() == (240, 40)
    rich.trade("39.99", 5)
    rich.quote("39.99", "40.00")
    assert rich.state(stop)[:2] == ("filled", 40)
    assert rich.state(take)[0] == "cancelled"
    assert rich.shares() == (200, 0)
    replays(rich)


def test_a_dividend_is_paid_on_what_is_held_and_tax_is_withheld(rich: TradingFloor) -> None:
    _, other = rich.add_trader("nora", "1000.00")
    cash = rich.cash()[0]
    dividend(rich, "0.47", "15")
    assert rich.cash()[0] - cash == Decimal("39.95")  # 47.00 less 7.05
    assert rich.cash(other)[0] == Decimal("1000.00")
    assert rich.query("select kind, amount from transfer where kind in ('dividend', 'tax') order by id") == [
        ("dividend", 4_700),
        ("tax", 705),
    ]
    assert queries.realised(rich.floor, rich.trader, rich.portfolio) == 0, "a dividend is income, no gain"
    replays(rich)


def test_a_dividend_lowers_open_buy_limits_and_sell_stops_and_no_others(rich: TradingFloor) -> None:
    buy = rich.accepted("buy", "10", "90.00")
    sell = rich.accepted("sell", "10", "110.00")
    stop = rich.accepted("sell", "10", "94.00", stop_price="95.00")
    market_stop = rich.accepted("sell", "10", stop_price="95.00")
    buy_stop = rich.accepted("buy", "10", stop_price="105.00")
    penny = rich.accepted("buy", "10", "0.20")
    rich.run_broker()
    held, worst = rich.held()[0], order_row(rich, market_stop.order_id)[2]
    dividend(rich, "0.465")  # 47 ticks
    assert order_row(rich, buy.order_id)[1:3] == (8953, 8953)
    assert order_row(rich, sell.order_id)[1] == 11_000
    assert order_row(rich, stop.order_id)[1:] == (9353, 9353, 9453)
    assert order_row(rich, market_stop.order_id)[2:] == (worst - 47, 9453)
    assert order_row(rich, buy_stop.order_id)[3] == 10_500
    assert rich.state(penny.order_id) == ("cancelled", 0, "corporate_action")
    assert held - rich.held()[0] == Decimal("4.70") + Decimal("2.00") + Decimal("1.00"), "what is not needed goes back"
    replays(rich)


def test_a_trailing_stop_follows_a_split(rich: TradingFloor) -> None:
    order = rich.accepted("sell", "50", trail="4.00")
    rich.run_broker()
    rich.trade("104.00", 1)  # its mark
    split(rich, 2, 1)
    rich.quote("51.99", "52.00")
    rich.trade("50.01", 1)
    assert rich.state(order.order_id)[0] == "pending_trigger"
    rich.trade("50.00", 1)
    rich.quote("49.99", "50.00")
    assert rich.state(order.order_id)[:2] == ("filled", 100)
    replays(rich)


def test_old_prices_do_not_fill_new_orders(rich: TradingFloor) -> None:
    split(rich, 2, 1)
    late = rich.accepted("buy", "10", "100.00")
    rich.run_broker()
    assert rich.state(late.order_id)[:2] == ("working", 0), "the quote from before the split is gone"
    rich.quote("49.99", "50.00")
    assert rich.state(late.order_id)[:2] == ("filled", 10)
    replays(rich)


def test_orders_are_refused_while_an_action_is_on_its_way(rich: TradingFloor) -> None:
    before = rich.accepted("buy", "10", "90.00")
    action = actions.enter_split(rich.floor, ADMIN, "AAPL", DAY, 2, 1)
    actions.book(rich.floor, ADMIN, action)
    assert refusal(rich.order("buy", "10", "90.00")) == "corporate_action"
    assert refusal(rich.modify(before.order_id, limit_price="91.00")) == "corporate_action"
    rich.run_broker()
    assert order_row(rich, before.order_id)[:2] == (20, 4500), "what was sent before is part of it"
    rich.quote("49.99", "50.00")
    rich.accepted("buy", "10", "45.00")
    replays(rich)


def test_an_action_is_booked_once_and_survives_a_crash_before_its_commit(rich: TradingFloor) -> None:
    action = actions.enter_split(rich.floor, ADMIN, "AAPL", DAY, 3, 1)
    actions.book(rich.floor, ADMIN, action)
    rich.restart_broker()  # the command waits in the database
    rich.run_broker()
    rich.restart_broker()
    rich.run_broker()
    assert rich.shares() == (300, 0)
    with pytest.raises(Conflict):
        actions.book(rich.floor, ADMIN, action)
    with pytest.raises(Conflict):
        actions.cancel(rich.floor, ADMIN, action)
    replays(rich)


def test_actions_wait_for_the_session_of_their_day(rich: TradingFloor) -> None:
    action = actions.enter_dividend(rich.floor, ADMIN, "AAPL", date(2026, 9, 22), "1")
    due = rich.query("select due_ts_ns from corporate_action where id = %s", action)[0][0]
    assert due == 1_790_083_800 * 10**9  # 2026-09-22 13:30 UTC, New York's open in summer
    assert actions.book_due(rich.floor, due - 1) == ""
    assert actions.book_due(rich.floor, due) == "asked for AAPL"
    assert actions.book_due(rich.floor, due) == ""
    rich.run_broker()
    assert rich.query("select state, cash from corporate_action c join action_effect e on e.action_id = c.id") == [
        ("applied", 10_000)
    ]


def test_what_is_no_action_and_what_is_entered_twice_is_refused(rich: TradingFloor) -> None:
    for new, old in ((2, 2), (0, 1), (1, 20_000)):
        with pytest.raises(Invalid):
            actions.enter_split(rich.floor, ADMIN, "AAPL", DAY, new, old)
    for amount in ("0", "-1", "nan", "1e-12"):
        with pytest.raises(Invalid):
            actions.enter_dividend(rich.floor, ADMIN, "AAPL", DAY, amount)
    first = actions.enter_split(rich.floor, ADMIN, "AAPL", DAY, 2, 1)
    with pytest.raises(Conflict):
        actions.enter_split(rich.floor, ADMIN, "AAPL", DAY, 3, 1)
    actions.cancel(rich.floor, ADMIN, first)
    actions.enter_split(rich.floor, ADMIN, "AAPL", DAY, 3, 1)
    trail = rich.query("select action, result, code from audit where action like 'actions.%%' order by id")
    assert trail[-4:] == [
        ("actions.enter_split", "ok", ""),
        ("actions.enter_split", "refused", "already_entered"),
        ("actions.cancel", "ok", ""),
        ("actions.enter_split", "ok", ""),
    ]
    assert {code for _, result, code in trail if result == "refused"} == {
        "bad_ratio",
        "bad_dividend",
        "not_a_number",
        "already_entered",
    }


def test_the_preview_says_what_the_broker_then_does(rich: TradingFloor) -> None:
    rich.accepted("buy", "10", "90.00")
    action = actions.enter_split(rich.floor, ADMIN, "AAPL", DAY, 1, 8)
    told = actions.preview(rich.floor, ADMIN, action)
    assert told.reference_price == Decimal("99.99")
    (touched,) = told.touched
    assert (touched.owner, touched.quantity_before, touched.quantity_after) == ("tina", 100, 12)
    assert (touched.cash, touched.open_orders) == (Decimal("399.96"), 1)
    cash = rich.cash()[0]
    actions.book(rich.floor, ADMIN, action)
    rich.run_broker()
    assert (rich.shares()[0], rich.cash()[0] - cash) == (12, touched.cash)


def test_a_short_pays_the_dividend_and_what_it_is_short_of_is_split(rich: TradingFloor) -> None:
    mia = rich.add_trader("mia", "10000.00", kind="margin")
    short = rich.accepted("sell", "25", "99.99", who=mia)
    more = rich.accepted("sell", "10", "110.00", who=mia)  # opens too: 110.00 is more than the ask and three percent
    rich.run_broker()
    rich.quote("99.99", "100.00")
    assert rich.state(short.order_id)[0] == "filled"
    cover = rich.accepted("buy", "25", "90.00", who=mia)  # closes: holds what it may close
    rich.run_broker()
    cash, held = rich.cash(mia[1])
    assert held == Decimal("550.00") + 1
    dividend(rich, "0.52", "30")
    assert rich.cash(mia[1])[0] == cash - 13, "25 x 0.52, and no tax on what is paid"
    assert order_row(rich, cover.order_id)[1] == 8948
    split(rich, 3, 2, "90.00")  # 37.5: half a share of 60.00 is paid
    assert rich.shares(portfolio=mia[1]) == (-37, 37)
    assert rich.cash(mia[1])[0] == cash - 13 - 30
    assert order_row(rich, cover.order_id)[:2] == (37, 5965)
    assert order_row(rich, more.order_id)[:2] == (14, 7334), "fifteen would need five cents more than is held"
    assert rich.query("select reserve_ticks from orders where id = %s", more.order_id) == [(6867,)]
    assert rich.cash(mia[1])[1] <= held
    rich.check()
    rich.restart_broker()
    rich.quote("59.00", "59.01")
    assert rich.shares(portfolio=mia[1]) == (0, 0)
    assert rich.shares() == (150, 0)
    replays(rich)


def test_a_call_is_judged_on_the_price_after_the_split(rich: TradingFloor) -> None:
    mia = rich.add_trader("mia", "10000.00", kind="margin")
    rich.accepted("buy", "150", "100.00", who=mia)
    rich.run_broker()
    rich.quote("99.99", "100.00")
    split(rich, 2, 1)
    rich.run_broker()
    assert rich.query("select count(*) from margin_event") == [(0,)], "no price is no reason to call"
    rich.quote("50.00", "50.01")
    assert rich.query("select count(*) from margin_event") == [(0,)]
    rich.quote("21.00", "21.01")
    assert rich.query("select kind from margin_event order by id limit 1") == [("call",)]
    replays(rich)
