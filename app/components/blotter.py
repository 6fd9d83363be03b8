"""Positions, orders, fills and cash of one portfolio, as tables that refresh by themselves."""

from datetime import timedelta
from decimal import Decimal

import streamlit as st

from app import formats, frame, room
from app.components import margin, scheduled, worked
from app.components.table import Row, table
from trading.domain.orders import GroupRole, Refusal
from trading.services import desk, queries

VIEWS = ("Positions", "Open orders", "All orders", "Fills", "Cash")


@st.fragment(run_every=timedelta(seconds=2))
@frame.guarded
def blotter(portfolio_id: int) -> None:
    """The trader's tables, new every two seconds."""
    summary(portfolio_id)
    view = st.segmented_control(
        "Show", VIEWS, default=VIEWS[0], key="blotter_view", label_visibility="collapsed", required=True
    )
    if view == "Positions":
        positions(portfolio_id)
    elif view in ("Open orders", "All orders"):
        worked.listing(portfolio_id, open_only=view == "Open orders")
        orders(portfolio_id, open_only=view == "Open orders")
        if view == "Open orders":
            scheduled.listing(portfolio_id, open_only=True)
    elif view == "Fills":
        fills(portfolio_id)
    else:
        cash(portfolio_id)


def summary(portfolio_id: int) -> None:
    """Equity, cash and P&L in one line."""
    floor, who = room.floor(), room.actor()
    held = queries.positions(floor, who, portfolio_id)
    money = queries.cash(floor, who, portfolio_id)
    currency = money[0].currency if money else "USD"
    total = sum((line.total for line in money), Decimal(0))
    worth = sum((line.worth for line in held), Decimal(0))
    on_margin = margin.show(portfolio_id)
    marked = [line.unrealised for line in held if line.unrealised is not None]
    frame.strip(
        [
            ("Equity", formats.money(total + worth, currency)),
            ("Cash", formats.money(total, currency))
            if on_margin
            else ("Cash to spend", formats.money(sum((line.available for line in money), Decimal(0)), currency)),
            ("Held by orders", formats.money(sum((line.held for line in money), Decimal(0)), currency)),
            ("Open P&L", formats.gain(sum(marked, Decimal(0)), currency)),
            ("Realised P&L", formats.gain(queries.realised(floor, who, portfolio_id), currency)),
        ]
    )


def positions(portfolio_id: int, empty: str = "No positions. Pick an instrument and place your first order.") -> None:
    """Open positions at the market."""
    rows = [
        Row(
            [
                (line.symbol, "strong"),
                formats.quantity(line.quantity),
                formats.price(line.average_cost, 4 if line.average_cost >= 10 else 6),  # a currency pair's pips
                formats.price(line.mark),
                formats.money(line.value, line.currency),
                formats.gain(line.unrealised, line.currency),
                formats.gain(line.realised, line.currency),
            ],
            id=line.symbol,
            note=f"{line.name} · {line.venue}",
        )
        for line in queries.positions(room.floor(), room.actor(), portfolio_id)
    ]
    columns = ["Symbol", ">Quantity", ">Average cost", ">Bid or ask", ">Value", ">Open P&L", ">Realised P&L"]
    table("positions", columns, rows, empty)


def orders(portfolio_id: int, *, open_only: bool, actions: bool = True) -> None:
    """Orders; a click follows one to the ledger, Change goes to its new terms, Cancel asks once more."""
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                (f"{'↳ ' if is_exit(line) else ''}{line.id}", "dim"),
                formats.moment(line.accepted_ts_ns, now_ns),
                (line.symbol, "strong"),
                formats.side(line.side),
                formats.terms(line),
                f"{formats.quantity(line.filled)} of {formats.quantity(line.quantity)}",
                formats.price(line.average_price),
                formats.state(line.state),
            ],
            id=str(line.id),
            action="Cancel" if actions and line.open and line.state != "cancel_pending" else "",
            confirm="Really cancel?",
            link="Change" if actions and line.open and line.state != "cancel_pending" else "",
            note=group_words(line),
        )
        for line in queries.orders(room.floor(), room.actor(), portfolio_id, open_only, 100)
        if line.parent_id is None or not (open_only and actions)  # there they are shown under their parent
    ]
    columns = ["Order", "Placed", "Symbol", "Side", "Type", ">Filled", ">Average price", "State"]
    empty = "Nothing is waiting. New orders show up here." if open_only else "No orders yet. Place one in the ticket."
    table(
        "orders_open" if open_only else "orders_all",
        columns,
        rows,
        empty,
        opens=order_page(portfolio_id),
        on_action=lambda order_id: _cancel(portfolio_id, int(order_id)),
    )
    said = st.session_state.pop("cancel_answer", None)
    if said:
        st.toast(said)


def group_words(line: queries.OrderLine) -> str:
    """What an order is in its group or of its parent; empty where it is alone."""
    if line.parent_id is not None:
        return f"Child {line.child_n} of P{line.parent_id}"
    return f"{formats.ROLES[line.group_role]} · group {line.group_id}" if line.group_role else ""


def is_exit(line: queries.OrderLine) -> bool:
    """Whether it hangs on an entry, which stands above it."""
    return line.group_role in (GroupRole.TAKE_PROFIT, GroupRole.STOP_LOSS)


def _cancel(portfolio_id: int, order_id: int) -> None:
    refusal = desk.cancel(room.floor(), room.actor(), portfolio_id, order_id)
    st.session_state["cancel_answer"] = (
        f"{refusal.reason} ({refusal.code})" if isinstance(refusal, Refusal) else f"Order {order_id}: cancel sent."
    )


def fills(portfolio_id: int, limit: int = 100) -> None:
    """Fills, newest first; a click follows the order."""
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                formats.moment(line.ts_ns, now_ns),
                (line.symbol, "strong"),
                formats.side(line.side),
                formats.quantity(line.quantity),
                formats.price(line.price),
                formats.money(line.notional, line.currency),
                formats.money(line.fee, line.currency),
            ],
            id=str(line.order_id),
        )
        for line in queries.fills(room.floor(), room.actor(), portfolio_id, limit)
    ]
    columns = ["Time", "Symbol", "Side", ">Quantity", ">Price", ">Value", ">Fee"]
    empty = "No fills yet. They appear here the moment an order trades."
    table("fills", columns, rows, empty, opens=order_page(portfolio_id))


KINDS = {
    "deposit": "Deposit",
    "withdrawal": "Withdrawal",
    "trade": "Trade",
    "fee": "Fee",
    "reversal": "Reversal",
    "tax": "Tax",
    "dividend": "Dividend",
    "interest": "Interest",
    "fx": "Conversion",
    "split": "Split",
    "archive": "Archive",
}


def cash(portfolio_id: int, limit: int = 200) -> None:
    """The ledger statement: every line that moved cash or shares, with the balance after it."""
    now_ns = room.now_ns()
    lines = queries.statement(room.floor(), room.actor(), portfolio_id, limit)
    table(
        "statement",
        ["Line", "Time", "What", "Asset", ">Amount", ">Balance after", "Memo"],
        [ledger_row(line, formats.moment(line.ts_ns, now_ns)) for line in lines],
        "No money has moved yet. An admin's deposit will be the first line.",
        opens=order_page(portfolio_id),
    )


def ledger_row(line: queries.LedgerLine, when: str) -> Row:
    """A ledger line as a table row."""

    def figure(amount: Decimal) -> str:
        return formats.money(amount, line.asset) if line.is_money else formats.quantity(amount)

    sign = "+" if line.amount > 0 else ""
    return Row(
        [
            (str(line.id), "dim"),
            when,
            KINDS.get(line.kind, line.kind),
            line.asset,
            (sign + figure(line.amount), "up" if line.amount > 0 else "down"),
            figure(line.balance),
            (line.memo, "dim"),
        ],
        id=str(line.order_id or ""),
    )


def order_page(portfolio_id: int) -> str:
    """The address of the page that follows an order, but for the order's id at its end."""
    return f"order?portfolio={portfolio_id}&id="
