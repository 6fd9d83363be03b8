"""The page for many orders at once, without a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import batch
from app.components.table import Row
from trading.config import PROJECT_ROOT
from trading.services import ledger, people
from trading.services.access import SYSTEM

PASSWORD = "correct horse battery"
HEAD = "symbol,side,type,quantity,limit_price\n"


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    own.quote("99.99", "100.00")
    yield own
    own.close()


@pytest.fixture
def shown() -> list[Row]:
    return []


@pytest.fixture
def page(floor: TradingFloor, shown: list[Row], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main")
    ledger.deposit(floor.floor, SYSTEM, portfolio.id, "10000.00", "opening")
    login = people.login(floor.floor, "ann", PASSWORD, "test", "pytest")
    assert isinstance(login, people.Login)
    monkeypatch.setattr(room, "session_token", lambda: login.token)

    def keep(_key: str, _columns: list[str], rows: list[Row], _empty: str) -> None:
        shown[:] = rows

    monkeypatch.setattr(batch, "table", keep)
    page = AppTest.from_file(str(PROJECT_ROOT / "app" / "main.py"), default_timeout=90).run()
    return page.switch_page("views/batch.py").run()


def verdicts(shown: list[Row]) -> list[str]:
    return [str(row.cells[-1][0]) for row in shown]


def said(page: AppTest) -> str:
    told = [str(part.proto.body) for part in page.get("html") if "tf-said" in part.proto.body]
    return " | ".join([*told, *(str(each.value) for each in [*page.info, *page.warning])])


def type_in(page: AppTest, text: str) -> AppTest:
    return page.text_area(key="batch_text").set_value(text).run()


def test_an_empty_page_says_what_to_do(page: AppTest) -> None:
    assert not page.exception
    assert "Nothing to send yet" in said(page)


def test_each_row_gets_its_verdict_and_good_rows_are_sent(page: AppTest, shown: list[Row], floor: TradingFloor) -> None:
    type_in(page, HEAD + "AAPL,buy,limit,10,99.00\nAAPL,buy,limit,95,99.00\nnull,buy,limit,1,1\n")
    assert not page.exception
    assert verdicts(shown)[0] == "✓ holds $991.00"
    assert "insufficient_cash" in verdicts(shown)[1]
    assert "unknown_instrument" in verdicts(shown)[2]
    send = next(button for button in page.button if button.label.startswith("Send"))
    assert send.disabled
    page.segmented_control(key="batch_mode").set_value(batch.BatchMode.EACH).run()
    next(button for button in page.button if button.label == "Send 1 order").click().run()
    assert not page.exception
    assert "1 of 3 orders accepted. row 2:" in said(page)
    assert floor.query("select quantity_lots from orders") == [(10,)]


def test_a_formula_is_refused_and_what_is_no_table_is_told_as_text(page: AppTest, shown: list[Row]) -> None:
    type_in(page, HEAD + "=cmd(),buy,limit,10,99.00\n")
    assert "formula_cell" in verdicts(shown)[0]
    assert "1 row is no order" in said(page)
    type_in(page, "<img src=x>,b\n1,2\n")
    assert "&lt;img_src=x&gt;" in said(page)
    assert not page.exception
