"""Wallet, statement and money desk without a browser: what they show, and what a click does."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from trading.config import PROJECT_ROOT
from trading.services import ledger, people, wallet
from trading.services.access import SYSTEM, Actor, Role

PASSWORD = "correct horse battery"
MAIN = str(PROJECT_ROOT / "app" / "main.py")
Open = Callable[[str, str], AppTest]


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake", cash="0")
    room.open_room(own.floor)
    yield own
    own.close()


@pytest.fixture
def opened(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A page as a user sees it; users but tina are made."""

    def open_page(user: str, page: str) -> AppTest:
        if user != "tina" and floor.floor.people.user_by_name(user) is None:
            role = "observer" if user == "olga" else "admin"
            people.create_user(floor.floor, SYSTEM, user, user.title(), role, PASSWORD)
        found = floor.floor.people.user_by_name(user)
        assert found is not None
        if user == "olga" and not floor.floor.people.is_granted(found[0].id, floor.portfolio):
            people.grant(floor.floor, SYSTEM, floor.portfolio, found[0].id)
        floor.floor.people.open_session(found[0].id, user, floor.clock.now().replace(year=2090), "test")
        monkeypatch.setattr(room, "session_token", lambda: user)
        return AppTest.from_file(MAIN, default_timeout=90).run().switch_page(f"views/{page}.py").run()

    return open_page


def said(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.success, *page.subheader]
    assert not page.exception
    return " | ".join(str(part.value) for part in parts)


def test_a_statement_before_any_money_says_so(opened: Open) -> None:
    assert "No money has moved in this portfolio yet" in said(opened("tina", "statement"))


def test_trader_and_observer_read_a_statement_with_its_balances(opened: Open, floor: TradingFloor) -> None:
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "1250.00", "k", "salary")
    for user in ("tina", "olga"):
        page = opened(user, "statement")
        assert "Statement of Main" in said(page)
        assert [box.label for box in page.selectbox] == ["From the start of", "To the end of"]
        assert "do not agree" not in said(page)


def test_a_trader_asks_and_an_admin_agrees(opened: Open, floor: TradingFloor) -> None:
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "1250.00", "k")
    page = opened("tina", "wallet")
    page.text_input(key="ask_amount").input("1,000.00").run()
    page.checkbox(key="ask_sure").check().run()
    page.button(key="ask_withdrawal").click().run()
    assert "Asked for 1,000.00 USD" in said(page)
    assert floor.cash() == (Decimal("1250.00"), Decimal("1000.00"))
    page = opened("adam", "people")
    page.segmented_control(key="people_view").set_value("Portfolios and cash").run()
    assert page.button(key="approve_request").disabled
    number = floor.query("select id from cash_request")[0][0]
    page.checkbox(key=f"decide_sure_{number}").check().run()
    page.button(key="approve_request").click().run()
    assert f"Request {number}: you agreed." in said(page)
    assert floor.cash() == (Decimal("250.00"), 0)
    floor.check()


def test_a_trader_sees_a_price_and_takes_it(opened: Open, floor: TradingFloor) -> None:
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "1250.00", "k")
    floor.quote("1.08340", "1.08350", symbol="EURUSD")
    page = opened("tina", "wallet")
    page.selectbox(key="fx_way").set_value(("USD", "EUR"))
    page.text_input(key="fx_amount").input("1,000.00").run()
    page.button(key="fx_ask").click().run()
    assert "$1,000.00 bring **€922.93** at EURUSD 1.0835" in said(page)
    page.button(key="fx_take").click().run()
    assert "$1,000.00 converted to EUR." in said(page)
    assert floor.cash()[0] == Decimal("250.00")


def test_a_large_deposit_becomes_a_request_that_its_admin_can_not_approve(opened: Open, floor: TradingFloor) -> None:
    page = opened("adam", "people")
    page.segmented_control(key="people_view").set_value("Portfolios and cash").run()
    page.text_input(key="cash_amount").input("20,000.00").run()
    assert "another one has to agree" in said(page)
    page.checkbox(key="cash_sure").check().run()
    next(button for button in page.button if button.label == "Book it").click().run()
    assert "waits for another admin" in said(page)
    assert floor.cash() == (0, 0)
    ada = people.create_user(floor.floor, SYSTEM, "ada", "Ada", "admin", PASSWORD)
    waiting = wallet.waiting(floor.floor, Actor(ada.id, "ada", Role.ADMIN))
    assert "You asked for this yourself" in said(page)
    page.checkbox(key=f"decide_sure_{waiting[0].id}").check().run()
    page.button(key="approve_request").click().run()
    assert "(same_person)" in said(page)


def test_an_admin_lowers_the_limit_of_one_admin_and_cannot_raise_it(opened: Open, floor: TradingFloor) -> None:
    page = opened("adam", "people")
    page.segmented_control(key="people_view").set_value("Portfolios and cash").run()
    page.selectbox(key="lower_currency").set_value("USD").run()
    for amount, words in (("5,000.00", "Above 5,000.00 USD a second admin has to agree"), ("6000", "only_lower")):
        page.text_input(key="lower_USD").input(amount).run()
        page.checkbox(key="lower_sure").check().run()
        page.button(key="lower_limit").click().run()
        assert words in said(page)
    assert {each.currency: each.above for each in wallet.limits(floor.floor, floor.trader)}["USD"] == 5000
