"""An order worked in children, from the ticket to its own page, without a browser."""

import pytest
from streamlit.testing.v1 import AppTest
from trader_page import Tables, enter, press, tables_of
from trading_floor import TradingFloor

from app.components import worked
from trading.services import halt, parents
from trading.services.access import SYSTEM


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Tables:
    return tables_of(worked, monkeypatch)


@pytest.fixture
def page(floor: TradingFloor, shown: Tables, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return enter(floor, monkeypatch)


def test_the_ticket_is_worked_shown_with_its_children_paused_resumed_and_cancelled(
    page: AppTest, shown: Tables, floor: TradingFloor
) -> None:
    page.toggle(key="work_open").set_value(True).run()
    assert page.selectbox(key="work_style").options == ["Evenly over time (TWAP)", "Share of the volume (POV)"]
    page.number_input(key="work_minutes").set_value(5).run()
    press(page, "Work 10 AAPL")
    assert not page.exception
    floor.run_broker()
    page.segmented_control(key="blotter_view").set_value("Open orders").run()
    parent, child = shown["worked_open"]
    assert (parent.cells[0], parent.cells[4], parent.action) == (("P1", "strong"), "1 of 10 (10 %)", "Cancel")
    assert child.cells[0][0].startswith("↳ ")
    halt.set_mode(floor.floor, SYSTEM, "floor", "halted", "a drill")
    floor.clock.advance(30)
    parents.work_all(floor.floor, SYSTEM)
    page.switch_page("views/order.py")
    page.query_params["portfolio"], page.query_params["id"] = str(floor.portfolio), "P1"
    page.run()
    assert not page.exception
    assert any("halted" in str(each.value) for each in page.info)
    halt.set_mode(floor.floor, SYSTEM, "floor", "running", "over")
    floor.quote("99.99", "100.00")
    press(page, "Resume")
    assert floor.query("select state from parent_order") == [("working",)]
    press(page, "Cancel all of it")
    assert not page.exception
    floor.run_broker()
    parents.work_all(floor.floor, SYSTEM)
    assert floor.query("select state from parent_order") == [("cancelled",)]
    floor.check()
