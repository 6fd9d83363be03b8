"""Scheduling a ticket, and the page that follows it, without a browser."""

import pytest
from streamlit.testing.v1 import AppTest
from trader_page import Tables, enter, press, tables_of
from trading_floor import TradingFloor

from app.components import scheduled
from trading.services import schedules
from trading.services.access import SYSTEM


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Tables:
    return tables_of(scheduled, monkeypatch)


@pytest.fixture
def page(floor: TradingFloor, shown: Tables, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return enter(floor, monkeypatch)


def test_a_ticket_is_scheduled_seen_in_the_blotter_followed_and_paused(
    page: AppTest, shown: Tables, floor: TradingFloor
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
