"""Scheduling a ticket, and the page that follows it, without a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import scheduled
from app.components.table import Row
from trading.config import PROJECT_ROOT
from trading.services import ledger, people, schedules
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

    monkeypatch.setattr(scheduled, "table", keep)
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


def test_a_ticket_is_scheduled_seen_in_the_blotter_followed_and_paused(
    page: AppTest, shown: dict[str, list[Row]], floor: TradingFloor
) -> None:
    page.toggle(key="schedule_open").set_value(True).run()
    page.segmented_control(key="schedule_how").set_value("Again and again").run()
    page.text_input(key="schedule_cron").set_value("61 * * * *").run()
    assert any("not within 0 to 59" in str(each.value) for each in page.caption)
    page.text_input(key="schedule_cron").set_value("*/5 * * * *").run()
    assert any("America/New_York" in str(each.value) for each in page.caption)
    press(page, "Schedule")
    assert not page.exception
    page.segmented_control(key="blotter_view").set_value("Open orders").run()
    (row,) = shown["schedules_open"]
    assert row.cells[1] == ("AAPL", "strong")
    assert row.cells[-1] == ("Scheduled", "up")
    page.switch_page("views/scheduled.py").run()
    assert shown["schedules_all"][0].id == row.id
    floor.clock.advance(300)
    schedules.fire_due(floor.floor, SYSTEM, "always")
    page.query_params["portfolio"], page.query_params["id"] = str(floor.portfolio), row.id
    page.run()
    assert [each.cells[1][0] for each in shown["firings"]] == ["Missed"]  # its time was minutes ago
    press(page, "Pause")
    assert not page.exception
    assert floor.query("select state from schedule") == [("paused",)]
