"""The trader's ticket and the form that changes an order, without a browser."""

import time

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import chart
from trading.config import PROJECT_ROOT
from trading.domain.orders import OrderType, Side
from trading.market.bars import BAR, FRAME_NAMES
from trading.services import actions, ledger, people
from trading.services.access import SYSTEM, Actor, Role

PASSWORD = "correct horse battery"
MAIN = str(PROJECT_ROOT / "app" / "main.py")


@pytest.fixture
def page(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app as a trader with money sees it."""
    ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main")
    floor.trader, floor.portfolio = Actor(ann.id, "ann", Role.TRADER), portfolio.id
    ledger.deposit(floor.floor, SYSTEM, portfolio.id, "100000.00", "opening")
    login = people.login(floor.floor, "ann", PASSWORD, "test", "pytest")
    assert isinstance(login, people.Login)
    monkeypatch.setattr(room, "session_token", lambda: login.token)
    return AppTest.from_file(MAIN, default_timeout=90).run()


def labels(page: AppTest) -> list[str]:
    return [field.label for field in page.text_input]


def choose(page: AppTest, side: Side, kind: OrderType) -> AppTest:
    page.segmented_control(key="ticket_side").set_value(side)
    page.selectbox(key="ticket_type").set_value(kind)
    return page.run()


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()


def costs(page: AppTest) -> str:
    return next(str(part.proto.body) for part in page.get("html") if "tf-cost" in part.proto.body)


@pytest.mark.parametrize(
    ("side", "kind", "fields"),
    [
        (Side.BUY, OrderType.MARKET, {"Take profit", "Stop loss"}),
        (Side.BUY, OrderType.LIMIT, {"Limit price", "Take profit", "Stop loss"}),
        (Side.SELL, OrderType.STOP_LIMIT, {"Stop price", "Limit price", "Other order's limit"}),
        (Side.SELL, OrderType.TRAILING_STOP, {"Distance", "Other order's limit"}),
    ],
)
def test_the_ticket_shows_the_fields_of_the_type_that_is_chosen(
    page: AppTest, side: Side, kind: OrderType, fields: set[str]
) -> None:
    choose(page, side, kind)
    assert not page.exception
    assert {label.partition(" (")[0] for label in labels(page)} == {"Quantity", *fields}
    lives = next(box for box in page.selectbox if box.label == "Good for").options
    assert ("FOK" in lives) == (kind in (OrderType.MARKET, OrderType.LIMIT))


def test_a_bracket_is_typed_previewed_and_sent_as_one(page: AppTest, floor: TradingFloor) -> None:
    page.text_input(key="ticket_take_profit_AAPL").input("110.00")
    page.text_input(key="ticket_stop_loss_AAPL").input("100.50")
    page.run()
    assert "must rise in this order" in costs(page)
    page.text_input(key="ticket_stop_loss_AAPL").input("95.00").run()
    assert "take profit 110.00 or stop loss 95.00" in costs(page)
    assert "$1,053.02" in costs(page)  # 1,050.00, the least fee three times and two cents
    press(page, "Buy 10 AAPL")
    assert not page.exception
    assert floor.query("select group_role from orders order by id") == [("take_profit",), ("stop_loss",), ("entry",)]


def test_all_that_is_in_the_way_is_said_at_once_beside_the_cost(page: AppTest) -> None:
    page.text_input(key="ticket_quantity_AAPL").input("20000").run()
    said = costs(page)
    assert "At most $1,000,000.00, this comes to $2,100,000.00." in said
    assert "Not enough cash" in said
    assert "Cost at 100.00" in said
    assert next(button for button in page.button if button.label == "Buy 20000 AAPL").disabled


def test_an_order_is_changed_and_cancelled_on_its_page(page: AppTest, floor: TradingFloor) -> None:
    order = floor.accepted("buy", "10", stop_price="102.00").order_id
    floor.run_broker()
    page.switch_page("views/order.py")
    page.query_params["portfolio"], page.query_params["id"] = str(floor.portfolio), str(order)
    page.run()
    assert not page.exception
    assert {"Quantity, in total", "Stop price"} <= set(labels(page))
    page.text_input(key=f"change_stop_price_{order}").input("99.00")
    press(page, "Send the change")
    assert "must be above the current ask" in page.warning[0].value
    page.text_input(key=f"change_stop_price_{order}").input("103.00")
    press(page, "Send the change")
    assert "change sent" in page.success[0].value
    floor.run_broker()
    assert floor.query("select stop_ticks from orders") == [(10_300,)]
    page.run()
    press(page, "Cancel this order")
    assert "cancel sent" in page.success[0].value
    floor.run_broker()
    assert floor.state(order)[0] == "cancelled"


@pytest.mark.parametrize(("symbol", "quantity"), [("AAPL", "10"), ("BTCUSD", "10"), ("EURUSD", "1000")])
def test_a_ticket_begins_with_a_quantity_that_can_be_traded(
    page: AppTest, floor: TradingFloor, symbol: str, quantity: str
) -> None:
    floor.quoted("1.10", "1.11", symbol=symbol)
    page.session_state["symbol"] = symbol
    page.run()
    assert page.text_input(key=f"ticket_quantity_{symbol}").value == quantity
    assert "is not a multiple" not in costs(page)


def test_a_split_is_no_change_of_the_day_and_the_chart_says_what_was_adjusted(
    page: AppTest, floor: TradingFloor
) -> None:
    day_ns = 86_400 * 10**9
    today_ns = floor.clock.now_ns() // day_ns * day_ns
    rows = pd.DataFrame({"ts": pd.to_datetime([today_ns - 2 * day_ns, today_ns - day_ns], unit="ns", utc=True)})
    for name in ("open", "high", "low", "close", "volume"):
        rows[name] = [100.0, 102.0]
    floor.floor.lake.write("sim_bars", "SIM/AAPL/D1", rows)
    bar = np.zeros(1, dtype=BAR)
    bar["instrument_id"], bar["frame"], bar["ts_ns"] = floor.aapl.id, FRAME_NAMES.index("D1"), today_ns
    for name in ("open", "high", "low", "close"):
        bar[name] = 10_000
    floor.bus.get_bars = lambda: (bar.tobytes(), b"")  # type: ignore[method-assign]
    boss = Actor(0, "boss", Role.ADMIN)
    assert chart.references(("AAPL",), boss) == {"AAPL": "102.0"}
    page.segmented_control(key="timeframe").set_value("D1")
    page.run()
    assert not [each.value for each in page.caption if "split" in each.value]
    action = actions.enter_split(floor.floor, boss, "AAPL", floor.clock.now().date(), 2, 1)
    actions.book(floor.floor, boss, action)
    floor.run_broker()
    assert chart.references(("AAPL",), boss) == {"AAPL": "51.0"}
    page.run()
    assert not page.exception
    [note] = [each.value for each in page.caption if "split" in each.value]
    assert note == "Prices before the split of 21 Sep 2026 14:13 (2 new for 1 old) are adjusted for it."


def test_a_venue_that_is_still_writing_its_past_is_asked_again_soon(
    page: AppTest, floor: TradingFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, now_s = Actor(0, "boss", Role.ADMIN), time.monotonic()
    monkeypatch.setattr(chart.time, "monotonic", lambda: now_s)
    assert chart.references(("AAPL",), boss) == {}
    rows = pd.DataFrame({"ts": pd.to_datetime([floor.clock.now_ns()], unit="ns", utc=True)})
    for name in ("open", "high", "low", "close", "volume"):
        rows[name] = [100.0]
    floor.floor.lake.write("sim_bars", "SIM/AAPL/D1", rows)
    now_s += chart.MISSING_S
    assert chart.references(("AAPL",), boss) == {"AAPL": "100.0"}
    floor.floor.lake.write("sim_bars", "SIM/AAPL/D1", rows.assign(open=90.0), replace=True)
    now_s += chart.MISSING_S
    assert chart.references(("AAPL",), boss) == {"AAPL": "100.0"}, "a day before does not change"
    now_s += chart.KEPT_S
    assert chart.references(("AAPL",), boss) == {"AAPL": "90.0"}


def test_a_page_that_nobody_touches_is_drawn_anew_once_a_split_is_settled(page: AppTest, floor: TradingFloor) -> None:
    action = actions.enter_split(floor.floor, SYSTEM, "AAPL", floor.clock.now().date(), 2, 1)
    actions.book(floor.floor, SYSTEM, action)
    floor.run_broker()

    def chart_alone() -> None:
        """The chart's own rerun, on a page that was drawn before the split; the next draw knows of it."""
        import streamlit as st

        from app import room
        from app.components import chart
        from trading.services import desk

        draws = st.session_state["draws"] = st.session_state.get("draws", 0) + 1
        st.session_state["splits_counted"] = min(draws - 1, 1)
        chart.candles(next(each for each in desk.instruments(room.floor(), room.actor()) if each.symbol == "AAPL"))

    assert AppTest.from_function(chart_alone, default_timeout=90).run().session_state["draws"] == 1, "it halts still"
    floor.clock.advance(chart.FOLLOWED_NS / 1e9)
    assert AppTest.from_function(chart_alone, default_timeout=90).run().session_state["draws"] == 2
