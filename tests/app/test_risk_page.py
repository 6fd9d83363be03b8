"""The screens of limits and of the kill switch's parts, without a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import kill_switch, own_limits, risk_limits
from app.components.table import Row
from trading.config import PROJECT_ROOT
from trading.domain.errors import Invalid
from trading.services import halt, limits, people
from trading.services.access import SYSTEM

PASSWORD = "correct horse battery"
MAIN = str(PROJECT_ROOT / "app" / "main.py")
Rows = dict[str, list[Row]]


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    yield own
    own.close()


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """What the tables of the last run showed: they are drawn in the browser."""
    shown: Rows = {}

    def show(key: str, _columns: object, rows: list[Row], *_: object, **__: object) -> None:
        shown[key.rstrip("_0123456789")] = list(rows)

    for module in (risk_limits, own_limits, kill_switch):
        monkeypatch.setattr(module, "table", show)
    return shown


def enter(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch, page: str, name: str = "boss") -> AppTest:
    if name == "boss":
        people.create_user(floor.floor, SYSTEM, "boss", "Boss", "admin", PASSWORD)
    else:
        people.set_password(floor.floor, SYSTEM, floor.trader.user_id, PASSWORD)
    login = people.login(floor.floor, name, PASSWORD, "test", "pytest")
    assert isinstance(login, people.Login)
    monkeypatch.setattr(room, "session_token", lambda: login.token)
    return AppTest.from_file(MAIN, default_timeout=60).run().switch_page(f"views/{page}.py").run()


def texts(row: Row) -> list[str]:
    return [cell if isinstance(cell, str) else cell[0] for cell in row.cells]


def button(page: AppTest, label: str) -> Callable[[], AppTest]:
    return next(each for each in page.button if each.label == label).click().run  # type: ignore[no-any-return]


def test_an_admin_sets_limits_with_a_reason_and_means_it(
    floor: TradingFloor, tables: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = enter(floor, monkeypatch, "risk")
    assert not page.exception
    assert [texts(row)[1] for row in tables["limits"]] == ["basic", "professional", "standard"]
    page.selectbox(key="limit_tier").set_value("standard").run()
    field = {each.label: each for each in page.text_input}
    assert (field["Order value"].value, field["Price band around the market (%)"].value) == ("1000000.00", "5")
    field["Order value"].input("2,500.50")
    field["Why"].input("smaller")
    button(page, "Set the limits")()
    assert [each.version for each in limits.history(floor.floor, SYSTEM, "tier:standard")] == [1]
    page.checkbox[0].check()
    button(page, "Set the limits")()
    assert not page.exception
    newest = limits.history(floor.floor, SYSTEM, "tier:standard")[0]
    assert (newest.version, newest.set_by, newest.reason) == (2, "boss", "smaller")
    assert (newest.figures.max_order_notional, newest.figures.price_band_ppm) == (250_050, 50_000)


@pytest.mark.parametrize("view", ["Tiers of traders", "Restricted instruments", "Losses"])
def test_the_other_views_show_what_there_is(
    floor: TradingFloor, tables: Rows, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    limits.restrict(floor.floor, SYSTEM, floor.aapl.id, "no_opening", "earnings")
    floor.query("select mark_equity(%s, %s, 10000000, 0)", floor.portfolio, floor.clock.now_ns())
    floor.query("update risk_state set equity = 8000000, tripped_ts_ns = 1, tripped_ppm = 200000")
    page = enter(floor, monkeypatch, "risk")
    page.session_state["risk_view"] = view
    page.run()
    assert not page.exception
    if view == "Tiers of traders":
        assert [texts(row) for row in tables["tiers"]] == [["tina", "Tina", "standard"]]
    elif view == "Restricted instruments":
        assert [texts(row)[:3] for row in tables["restricted"]] == [["AAPL", "May only be closed", "earnings"]]
    else:
        assert texts(tables["losses"][0])[2:] == [
            "$80,000.00", "▼ −$20,000.00", "20.00 %", "Tripped: only closing",
        ]  # fmt: skip
        next(each for each in page.text_input if each.label == "Why").input("talked to her")
        button(page, "It may open positions again")()
        assert floor.query("select tripped_ppm, peak_equity from risk_state") == [(None, 8_000_000)]


def test_a_trader_sees_ones_own_limits(floor: TradingFloor, tables: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    floor.accepted("buy", "1", "99.00")
    page = enter(floor, monkeypatch, "account", "tina")
    assert not page.exception
    assert [texts(row) for row in tables["own_limits"]] == [
        ["Order value", "1,000,000.00", "", "each order", "tier standard"],
        ["Price band around the market", "5 %", "", "each order", "tier standard"],
        ["Open orders, all portfolios", "200", "1", "0 %", "tier standard"],
    ]


def test_an_admin_stops_a_strategy_from_the_floor_page(
    floor: TradingFloor, tables: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = enter(floor, monkeypatch, "floor")
    page.selectbox(key="part_kind").set_value("strategy").run()
    page.text_input(key="part_strategy").input("mean-reversion").run()
    page.text_input(key="part_reason").input("it runs wild").run()
    assert next(each for each in page.button if each.label == "Stop it").disabled
    page.checkbox(key="part_sure").check().run()
    button(page, "Stop it")()
    assert not page.exception
    assert [(each["scope"], each["mode"]) for each in halt.current(floor.floor, SYSTEM)] == [
        ("strategy:mean-reversion", "halted")
    ]
    assert texts(tables["stops"][0])[:4] == ["Strategy", "mean-reversion", "halted", "it runs wild"]


def test_figures_are_typed_and_shown_in_the_same_units() -> None:
    from app.components import limit_words as words

    for name, value in (("max_daily_loss", 123_456), ("price_band_ppm", 12_345), ("max_open_orders", 7)):
        assert words.parsed(name, words.typed(name, value)) == value
    assert words.parsed("max_open_orders", " ") is None
    assert (words.figure("max_daily_loss", 123_456), words.figure("price_band_ppm", 12_345)) == ("1,234.56", "1.2345 %")
    with pytest.raises(Invalid):
        words.parsed("max_open_orders", "1.5")
