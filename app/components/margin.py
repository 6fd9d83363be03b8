"""A margin portfolio's equity and what is required of it, and a banner while there is a margin call."""

from decimal import Decimal

import streamlit as st

from app import formats, frame, room
from app.components.table import Row, table
from trading.services import margin
from trading.services.margin import MarginLine

_KINDS = {"call": ("Margin call", "warn"), "close_out": ("Positions closed", "down"), "met": ("Covered again", "up")}


def show(portfolio_id: int) -> list[MarginLine]:
    """Banner and figures of each currency; nothing for a cash portfolio. Returns what was shown."""
    lines = margin.account(room.floor(), room.actor(), portfolio_id)
    for line in lines:
        _banner(line)
        frame.strip(_figures(line))
    return lines


def calls(portfolio_id: int) -> None:
    """Calls and close-outs, newest first, with the figures they were decided on."""
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                formats.moment(line.ts_ns, now_ns),
                _KINDS[line.kind],
                formats.money(line.equity, line.currency),
                formats.money(line.maintenance, line.currency),
                formats.money(line.close_out, line.currency),
            ],
            note=f"input {line.input_seq}",
        )
        for line in margin.calls(room.floor(), room.actor(), portfolio_id)
    ]
    columns = ["When", "What", ">Equity", ">Required", ">Close-out below"]
    table("margin_calls", columns, rows, "There has been no margin call.")


def _banner(line: MarginLine) -> None:
    equity, required = (formats.money(each, line.currency) for each in (line.equity, line.maintenance))
    if line.state == "close_out":
        st.error(
            f"**Positions are being closed.** Equity {equity} is below what is required, {required}. Open orders were "
            "cancelled; the largest losses are closed first, until equity covers the requirement.",
            icon=":material/warning:",
        )
    elif line.state == "call":
        below = formats.money(line.close_out, line.currency)
        st.warning(
            f"**Margin call.** Equity {equity} is below the {required} that your positions require. Close positions or "
            f"ask for a deposit; below {below} positions are closed for you.",
            icon=":material/warning:",
        )
    if line.unmarked:
        st.caption(f"No price yet for {', '.join(line.unmarked)}: equity is not known.")
    elif line.stale:
        st.caption(f"Old price for {', '.join(line.stale)}: orders that open positions wait for a fresh one.")


def _figures(line: MarginLine) -> list[tuple[str, str | tuple[str, str]]]:
    def cash(name: str) -> str:
        return formats.money(getattr(line, name), line.currency)

    tone = {"met": "", "call": "warn", "close_out": "down"}[line.state]
    return [
        ("Margin equity", (cash("equity"), tone)),
        ("Required to open", cash("initial")),
        ("Required to hold", cash("maintenance")),
        ("Reserved by orders", cash("reserved")),
        ("Excess", cash("excess")),
        ("Buying power", cash("buying_power")),
        ("Debt", formats.money(max(-line.cash, Decimal(0)), line.currency)),
    ]
