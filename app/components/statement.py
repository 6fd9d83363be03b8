"""A statement of some months: balances at both ends, every line between, totals, to read, keep and print."""

from datetime import UTC, datetime
from decimal import Decimal

import streamlit as st

from app import formats, frame, room
from app.components.blotter import KINDS, order_page
from app.components.table import Row, table
from trading.services import statements
from trading.services.ports.people import Portfolio

SHOWN_MAX = 500


def show(portfolio: Portfolio) -> None:
    """Pick months, read the statement, take it along."""
    floor, who = room.floor(), room.actor()
    first_ns = statements.first_line_ns(floor, who, portfolio.id)
    if first_ns is None:
        st.info("No money has moved in this portfolio yet.", icon=":material/receipt:")
        return
    months = _months(first_ns, room.now_ns())
    left, right = st.columns(2)
    start = left.selectbox("From the start of", months, format_func=_month_words, key="statement_from")
    ends = [month for month in months if month >= start]
    end = right.selectbox("To the end of", ends, format_func=_month_words, key="statement_to")
    from_ns, to_ns = statements.month_ns(*start)[0], statements.month_ns(*end)[1]
    found = statements.period(floor, who, portfolio.id, from_ns, to_ns)
    if not found.agrees:
        st.error("Balances and lines of this statement do not agree. Tell an admin.", icon=":material/report:")
    if not found.assets:
        st.info("Nothing was in this portfolio in these months.", icon=":material/receipt:")
        return
    _take_along(portfolio, found, _name(start, end))
    for each in found.assets:
        _asset(portfolio, each)
    if found.listed < found.lines:
        st.caption(f"The first {found.listed:,} of {found.lines:,} lines are listed; balances and totals are of all.")


def _asset(portfolio: Portfolio, each: statements.AssetStatement) -> None:
    def figure(amount: Decimal) -> str:
        return formats.money(amount, each.asset) if each.is_money else formats.quantity(amount)

    st.markdown(f"**{each.asset}**")
    totals = [(KINDS.get(total.kind, total.kind), figure(total.received - total.paid)) for total in each.totals]
    frame.strip([("Opening balance", figure(each.opening)), *totals, ("Closing balance", figure(each.closing))])
    rows = [
        Row(
            [
                (str(line.id), "dim"),
                statements.utc(line.ts_ns),
                KINDS.get(line.kind, line.kind),
                (("+" if line.amount > 0 else "") + figure(line.amount), "up" if line.amount > 0 else "down"),
                figure(line.balance),
                (line.memo, "dim"),
            ],
            id=str(line.order_id or ""),
        )
        for line in each.lines[:SHOWN_MAX]
    ]
    columns = ["Line", "Time, UTC", "What", ">Amount", ">Balance after", "Memo"]
    empty = "No lines in these months; the balance stayed."
    table(f"statement_{each.asset}", columns, rows, empty, opens=order_page(portfolio.id))
    if len(each.lines) > SHOWN_MAX:
        st.caption(f"The first {SHOWN_MAX} lines are shown here; the files have {len(each.lines):,}.")


def _take_along(portfolio: Portfolio, found: statements.Statement, name: str) -> None:
    left, right, _ = st.columns([1, 1, 3])
    left.download_button(
        "Save as CSV", statements.as_csv(found), f"statement-{portfolio.id}-{name}.csv", "text/csv", key="statement_csv"
    )
    title = f"Statement of {portfolio.name}, {portfolio.owner}"
    right.download_button(
        "Save to print",
        statements.as_html(found, title),
        f"statement-{portfolio.id}-{name}.html",
        "text/html",
        key="statement_html",
    )


def _months(first_ns: int, last_ns: int) -> list[tuple[int, int]]:
    """Every month (UTC) from one moment to another, newest first."""
    first, last = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (first_ns, last_ns))
    count = (last.year - first.year) * 12 + last.month - first.month
    since = first.year * 12 + first.month - 1
    return [((since + n) // 12, (since + n) % 12 + 1) for n in range(count, -1, -1)]


def _month_words(month: tuple[int, int]) -> str:
    return f"{datetime(month[0], month[1], 1, tzinfo=UTC):%B %Y}"


def _name(start: tuple[int, int], end: tuple[int, int]) -> str:
    words = [f"{year}-{month:02}" for year, month in (start, end)]
    return words[0] if words[0] == words[1] else "-to-".join(words)
