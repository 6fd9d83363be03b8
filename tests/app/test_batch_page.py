"""The page for many orders at once, without a browser."""

import pytest
from streamlit.testing.v1 import AppTest
from trader_page import Tables, enter, tables_of
from trading_floor import TradingFloor

from app.components import batch

HEAD = "symbol,side,type,quantity,limit_price\n"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Tables:
    return tables_of(batch, monkeypatch)


@pytest.fixture
def page(floor: TradingFloor, shown: Tables, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return enter(floor, monkeypatch).switch_page("views/batch.py").run()


def verdicts(shown: Tables) -> list[str]:
    return [str(row.cells[-1][0]) for row in shown["batch_rows"]]


def said(page: AppTest) -> str:
    told = [str(part.proto.body) for part in page.get("html") if "tf-said" in part.proto.body]
    return " | ".join([*told, *(str(each.value) for each in [*page.info, *page.warning])])


def type_in(page: AppTest, text: str) -> AppTest:
    return page.text_area(key="batch_text").set_value(text).run()


def test_an_empty_page_says_what_to_do(page: AppTest) -> None:
    assert not page.exception
    assert "Nothing to send yet" in said(page)


def test_each_row_gets_its_verdict_and_good_rows_are_sent(page: AppTest, shown: Tables, floor: TradingFloor) -> None:
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


def test_a_formula_is_refused_and_what_is_no_table_is_told_as_text(page: AppTest, shown: Tables) -> None:
    type_in(page, HEAD + "=cmd(),buy,limit,10,99.00\n")
    assert "formula_cell" in verdicts(shown)[0]
    assert "1 row is no order" in said(page)
    type_in(page, "<img src=x>,b\n1,2\n")
    assert "&lt;img_src=x&gt;" in said(page)
    assert not page.exception
