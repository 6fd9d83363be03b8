"""The admin's page of instruments and the tax page of a portfolio, without a browser."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from trading.services import actions, fees, people
from trading.services.access import SYSTEM, Actor

VIEWS = Path(room.__file__).parent / "views"


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    own.quote("99.99", "100.00")
    own.accepted("buy", "100")
    own.run_broker()
    yield own
    own.close()


@pytest.fixture
def show(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Actor], AppTest]:
    def show_to(view: str, who: Actor) -> AppTest:
        monkeypatch.setattr(room, "actor", lambda: who)
        return AppTest.from_file(str(VIEWS / f"{view}.py"), default_timeout=90).run()

    return show_to


def admin(floor: TradingFloor) -> Actor:
    user = people.create_user(floor.floor, SYSTEM, "adam", "Adam", "admin", "correct horse battery")
    return Actor(user.id, "adam", user.role)  # type: ignore[arg-type]


def click(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def test_an_admin_enters_a_split_sees_what_it_would_do_and_has_it_booked(
    floor: TradingFloor, show: Callable[[str, Actor], AppTest]
) -> None:
    page = show("market", admin(floor))
    assert not page.exception
    page.selectbox(key="action_symbol").select("AAPL")
    page.number_input(key="action_new").set_value(1)
    page.number_input(key="action_old").set_value(8)
    page = click(page, "Enter")
    assert not page.exception
    assert "Entered: AAPL, 1 for 8." in [each.value for each in page.success]
    captions = [each.value for each in page.caption]
    assert "Fractions are paid at 99.99. Open orders are cancelled." in captions
    page.checkbox(key="action_sure").check().run()
    page = click(page, "Book now")
    assert actions.book_due(floor.floor, floor.clock.now_ns()) == "asked for AAPL"
    floor.run_broker()
    assert floor.shares() == (12, 0)


def test_a_refusal_is_said_in_words(floor: TradingFloor, show: Callable[[str, Actor], AppTest]) -> None:
    actions.enter_dividend(floor.floor, SYSTEM, "AAPL", date(2026, 9, 22), "1")
    page = show("market", admin(floor))
    page.segmented_control(key="action_kind").set_value("Dividend").run()
    page.selectbox(key="action_symbol").select("AAPL")
    page.date_input(key="action_day").set_value(date(2026, 9, 22))
    page.text_input(key="action_amount").set_value("2").run()
    page = click(page, "Enter")
    assert "already_entered" in page.error[0].value


def test_an_admin_sets_a_schedule(floor: TradingFloor, show: Callable[[str, Actor], AppTest]) -> None:
    page = show("market", admin(floor))
    page.segmented_control(key="market_view").set_value("Fees and taxes").run()
    page.selectbox(key="fee_symbol").select("AAPL").run()
    page.selectbox(key="fee_listed").select("in_equity_delivery").run()
    page.checkbox(key="fee_sure").check().run()
    page = click(page, "Set")
    assert not page.exception
    newest, *_ = fees.history(floor.floor, SYSTEM, "AAPL")
    assert [charge.name for charge in newest.schedule.charges][-1] == "stamp duty"


def test_a_portfolio_shows_its_lots_and_its_tax_report(
    floor: TradingFloor, show: Callable[[str, Actor], AppTest]
) -> None:
    floor.accepted("sell", "40")
    floor.run_broker()
    page = show("portfolio", floor.trader)
    page.segmented_control(key="holdings").set_value("Lots").run()
    assert not page.exception
    assert any("First in, first out" in each.value for each in page.caption)
    page.segmented_control(key="holdings").set_value("Tax").run()
    assert not page.exception
    assert page.selectbox(key="tax_year").options == ["2026"]
    assert any("Wash sales are not modelled" in each.value for each in page.caption)
