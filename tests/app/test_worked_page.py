"""An order worked in children, from the ticket to its own page, without a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import worked
from app.components.table import Row
from trading.config import PROJECT_ROOT
from trading.services import halt, ledger, parents, people
from trading.services.access import SYSTEM

PASSWORD = "correct horse battery"


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    own.quote("99.99", "100.00")
    yield own
    own.close()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}

    def keep(key: str, _columns: list[str], rows: list[Row], _empty: str, **_more: object) -> None:
        found[key] = rows

    monkeypatch.setattr(worked, "table", keep)
    return found


@pytest.fixture
def page(floor: TradingFloor, shown: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    floor.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "10000.00", "opening")
    login = people.login(floor.floor, "ann", PASSWORD, "test", "pytest")
    assert isinstance(login, people.Login)
    monkeypatch.setattr(room, "session_token", lambda: login.token)
    return AppTest.from_file(str(PROJECT_ROOT / "app" / "main.py"), default_timeout=90).run()


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def test_the_ticket_is_worked_shown_with_its_children_paused_resumed_and_cancelled(
    page: AppTest, shown: dict[str, list[Row]], floor: TradingFloor
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
