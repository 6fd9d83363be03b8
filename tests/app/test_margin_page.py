"""A margin portfolio on screen: figures, the banner of a call, the reserve of a ticket; and who opens one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from trading.config import PROJECT_ROOT
from trading.services import interest, ledger, people
from trading.services.access import SYSTEM, Actor, Role

PASSWORD = "correct horse battery"
MAIN = str(PROJECT_ROOT / "app" / "main.py")
Show = Callable[[str], AppTest]


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    own.quote("100.00", "100.00")
    yield own
    own.close()


@pytest.fixture
def show(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> Show:
    """The app as ann, who trades on margin with 10,000.00, or as an admin sees it."""
    ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Levered", kind="margin")
    floor.trader, floor.portfolio = Actor(ann.id, "ann", Role.TRADER), portfolio.id
    ledger.deposit(floor.floor, SYSTEM, portfolio.id, "10000.00", "opening")
    people.create_user(floor.floor, SYSTEM, "boss", "Boss", "admin", PASSWORD)

    def show_to(name: str) -> AppTest:
        login = people.login(floor.floor, name, PASSWORD, "test", "pytest")
        assert isinstance(login, people.Login)
        monkeypatch.setattr(room, "session_token", lambda: login.token)
        return AppTest.from_file(MAIN, default_timeout=90).run()

    return show_to


def drawn(page: AppTest) -> str:
    return " | ".join(str(part.proto.body) for part in page.get("html"))


def test_figures_and_the_banner_of_a_call_are_on_the_trading_page(floor: TradingFloor, show: Show) -> None:
    floor.accepted("buy", "150", "100.00")
    floor.run_broker()
    page = show("ann")
    assert not page.exception
    assert "Buying power" in drawn(page)
    assert "$9,999.00" in drawn(page)
    assert "Reserved of your equity" in drawn(page)
    assert not page.warning
    floor.quote("44.00", "44.00")
    page.run()
    assert "Margin call" in page.warning[0].value
    assert "$1,650.00" in page.warning[0].value
    floor.quote("41.00", "41.00", lots=5)
    page.run()
    assert "Positions are being closed" in page.error[0].value


def test_the_portfolio_page_tells_of_its_calls(floor: TradingFloor, show: Show) -> None:
    floor.accepted("buy", "150", "100.00")
    floor.run_broker()
    floor.quote("44.00", "44.00")
    page = show("ann").switch_page(str(PROJECT_ROOT / "app" / "views" / "portfolio.py")).run()
    assert not page.exception
    page.segmented_control(key="holdings").set_value("Margin calls").run()
    assert not page.exception
    assert "Margin call" in page.warning[0].value


def test_an_admin_opens_a_margin_portfolio(floor: TradingFloor, show: Show) -> None:
    page = show("boss").switch_page(str(PROJECT_ROOT / "app" / "views" / "people.py")).run()
    page.segmented_control(key="people_view").set_value("Portfolios and cash").run()
    next(box for box in page.selectbox if box.label == "Kind").set_value("margin")
    next(field for field in page.text_input if field.label == "Name of the portfolio").set_value("Second")
    next(button for button in page.button if button.label == "Open").click().run()
    assert not page.exception
    made = next(each for each in floor.floor.people.all_portfolios() if each.name == "Second")
    assert made.kind == "margin"


def test_an_admin_sets_a_markets_policy(floor: TradingFloor, show: Show) -> None:
    page = show("boss").switch_page(str(PROJECT_ROOT / "app" / "views" / "people.py")).run()
    page.segmented_control(key="people_view").set_value("Margin").run()
    assert not page.exception
    page.selectbox(key="policy_market").set_value("crypto").run()
    page.text_input(key="policy_crypto_initial_ppm").set_value("75")
    page.text_input(key="policy_crypto_source").set_value("house rule")
    page.checkbox(key="policy_sure").set_value(True).run()
    page.button(key="set_policy").click().run()
    assert not page.exception
    rows = floor.query(
        "select version, initial_ppm, maintenance_long_ppm, source from margin_policy"
        " where asset_class = 'crypto' order by version desc limit 1"
    )
    assert rows == [(2, 750_000, 375_000, "house rule")]


def test_an_admin_sees_what_debt_costs_and_sets_another_rate(floor: TradingFloor, show: Show) -> None:
    page = show("boss").switch_page(str(PROJECT_ROOT / "app" / "views" / "people.py")).run()
    page.segmented_control(key="people_view").set_value("Margin").run()
    assert not page.exception
    page.selectbox(key="rate_currency").set_value("EUR").run()
    assert page.text_input(key="rate_EUR").value == "4.75"
    page.text_input(key="rate_EUR").input("6.25").run()
    page.text_input(key="rate_EUR_source").input("a bank's list").run()
    assert page.button(key="set_rate").disabled
    page.checkbox(key="rate_sure").check().run()
    page.button(key="set_rate").click().run()
    assert page.success[0].value == "Debt in EUR costs 6.25 % a year now."
    rates = {rate.currency: rate for rate in interest.rates(floor.floor, SYSTEM)}
    assert (str(rates["EUR"].percent), rates["EUR"].version) == ("6.2500", 2)
