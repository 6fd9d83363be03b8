"""Tickets out of a pasted or uploaded table."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.errors import Invalid
from trading.domain.orders import OrderType, Refusal, Side, Ticket, TimeInForce
from trading.services.batch_file import COLUMNS, read_tickets

HEAD = "symbol,side,type,quantity,limit_price"


def only(row: str, head: str = HEAD) -> Ticket | Refusal:
    (found,) = read_tickets(f"{head}\n{row}\n")
    return found.ticket


def test_a_row_is_a_ticket_with_its_line() -> None:
    rows = read_tickets(f"{HEAD},time_in_force\n\nAAPL, Buy ,LIMIT,10,99.50,day\nMSFT,sell,market,1,,\n")
    assert [row.line for row in rows] == [3, 4]
    assert rows[0].ticket == Ticket("AAPL", Side.BUY, OrderType.LIMIT, "10", "99.50", TimeInForce.DAY)
    assert rows[1].ticket == Ticket("MSFT", Side.SELL, OrderType.MARKET, "1")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_line_ends_and_a_byte_order_mark_do_not_matter(separator: str, mark: str, end: str) -> None:
    text = mark + (HEAD + end + "AAPL,buy,limit,1000,99.50").replace(",", separator)
    for content in (text, text.encode()):
        assert [row.ticket for row in read_tickets(content)] == [
            Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1000", "99.50")
        ]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("=cmd(),buy,limit,1,99", "formula_cell"),
        ("AAPL,buy,limit,+1,99", "formula_cell"),
        ("AAPL,buy,limit,1,@SUM(A1)", "formula_cell"),
        ("AAPL,hold,limit,1,99", "bad_side"),
        ("AAPL,buy,iceberg,1,99", "bad_type"),
        (f"{'A' * 61},buy,limit,1,99", "cell_too_long"),
    ],
)
def test_a_row_that_is_no_ticket_says_why_and_the_others_stand(row: str, code: str) -> None:
    found = read_tickets(f"{HEAD}\n{row}\nAAPL,buy,limit,1,99\n")
    assert isinstance(found[0].ticket, Refusal)
    assert found[0].ticket.code == code
    assert isinstance(found[1].ticket, Ticket)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "empty"),
        (HEAD, "empty"),
        ("AAPL,buy,limit,1,99", "unknown_column"),
        (f"{HEAD},price\nAAPL,buy,limit,1,99,1", "unknown_column"),
        (f"{HEAD},side\nAAPL,buy,limit,1,99,buy", "double_column"),
        ("symbol,side,type\nAAPL,buy,market", "missing_column"),
        (f"{HEAD}\nAAPL,buy,limit,1,99,5", "ragged"),
        (f'{HEAD}\nAAPL,buy,limit,1,"99', "ragged"),
        (HEAD + "\nAAPL,buy,limit,1,99" * 101, "bad_batch"),
        (f"{HEAD}\nAAPL,buy,limit,1,99".encode("utf-16"), "not_text"),
        (b"\x1f\x8b\x08\x00\x00", "not_text"),
        ("x" * 70_000, "too_large"),
        (",".join(["a"] * 10_000), "unknown_column"),
    ],
)
def test_what_is_no_table_of_orders_is_refused_whole(content: str | bytes, code: str) -> None:
    with pytest.raises(Invalid) as error:
        read_tickets(content)
    assert error.value.code == code


def test_names_of_symbols_are_text_whatever_they_look_like() -> None:
    for symbol in ("NA", "null", "../../x", "1e5"):
        found = only(f"{symbol},buy,market,1,")
        assert isinstance(found, Ticket)
        assert found.symbol == symbol


def test_flags_and_times_are_read() -> None:
    head = "symbol,side,type,quantity,limit_price,post_only,time_in_force,expires_at"
    assert only("AAPL,buy,limit,1,99,yes,gtd,2026-12-31T16:00", head) == Ticket(
        "AAPL", Side.BUY, OrderType.LIMIT, "1", "99", TimeInForce.GTD, post_only=True, expires_at="2026-12-31T16:00"
    )
    wrong = only("AAPL,buy,limit,1,99,perhaps,,", head)
    assert isinstance(wrong, Refusal)
    assert wrong.code == "bad_flag"


@given(
    st.one_of(
        st.text(max_size=200),
        st.binary(max_size=200),
        st.lists(st.sampled_from([*COLUMNS, "a,b", '"', "\n"]), max_size=30).map(",".join),
    )
)
def test_any_content_is_tickets_or_refused_never_a_crash(content: str | bytes) -> None:
    with contextlib.suppress(Invalid):
        assert all(isinstance(row.ticket, Ticket | Refusal) for row in read_tickets(content))
