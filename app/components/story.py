"""An order's story: what happened, what it held, why it filled, what was booked."""

from decimal import Decimal

import streamlit as st

from app import formats
from app.components.blotter import ledger_row
from app.components.table import Row, table
from trading.services.queries import FillLine, Hold, OrderEvent, OrderStory

_CAUSES = {
    "desk": "Accepted by the desk",
    "sequenced": "Taken in by the broker",
    "working": "Waiting for its price",
    "rest": "Waiting for its price",
    "fill": "Traded",
    "filled": "Traded",
    "cancel": "Cancel asked for",
    "ioc": "The rest was cancelled: immediate or cancel",
    "price_protection": "The rest was cancelled: the market moved beyond the protection price",
    "self_trade": "Cancelled: it would have traded with your own resting order",
    "day_end": "Expired at the end of the day",
    "halt": "Cancelled: trading was halted",
    "halted": "Cancelled: trading was halted",
}
_RULES = {
    "quote": "took the quote",
    "quote_reached": "the quote came to its limit",
    "trade_through": "a trade went through its limit",
    "internal_cross": "met another order on this floor",
}


def reason(code: str) -> str:
    """A reason code in words."""
    return _CAUSES.get(code, code.replace("_", " ").capitalize()) + "."


def show(told: OrderStory, now_ns: int) -> None:
    """The four chapters, one under the other."""
    st.markdown("**What happened**")
    table("story_events", ["State", "Time", "Why", ">Input"], [_event(e) for e in told.events], "Nothing yet.")
    st.markdown("**What it held**")
    held = "This order held nothing."
    table("story_holds", ["Hold", ">Held", ">Used", ">Given back", ">Still held"], [_hold(h) for h in told.holds], held)
    st.markdown("**Fills, and why**")
    waiting = "Not filled yet. The broker fills it at the first quote that allows it."
    columns = ["Time", ">Quantity", ">Price", ">Value", ">Fee", "=Why this fill"]
    table("story_fills", columns, [_fill(f) for f in told.fills], waiting)
    st.markdown("**Ledger lines**")
    table(
        "story_ledger",
        ["Line", "Time", "What", "Asset", ">Amount", ">Balance after", "Memo"],
        [ledger_row(line, formats.precise(line.ts_ns)) for line in told.ledger],
        "Nothing is booked until the order fills.",
    )
    st.caption(f"Every line is one side of a transfer in the double-entry ledger. Read at {formats.precise(now_ns)}.")


def _event(event: OrderEvent) -> Row:
    word, tone = formats.state(event.target)
    why = _CAUSES.get(event.cause) or _RULES.get(event.cause, event.cause.replace("_", " ")).capitalize()
    by = "paper broker" if event.actor == "broker" else "desk" if event.cause == "desk" else "by hand"
    return Row(
        [(word, tone or "strong"), formats.precise(event.ts_ns), why, (str(event.input_seq or "–"), "dim")],
        note=by,
    )


def _hold(hold: Hold) -> Row:
    def figure(amount: Decimal) -> str:
        return formats.money(amount, hold.asset) if hold.leg == "cash" else formats.quantity(amount)

    name = f"Cash, {hold.asset}" if hold.leg == "cash" else hold.asset
    figures = [figure(amount) for amount in (hold.amount, hold.used, hold.released, hold.waiting)]
    return Row([(name, "strong"), *figures])


def _fill(fill: FillLine) -> Row:
    return Row(
        [
            formats.precise(fill.ts_ns),
            formats.quantity(fill.quantity),
            formats.price(fill.price),
            formats.money(fill.notional, fill.currency),
            formats.money(fill.fee, fill.currency),
            (why(fill), "dim"),
        ]
    )


def why(fill: FillLine) -> str:
    """The recorded facts of a fill as one sentence."""
    words = [_RULES.get(fill.rule, fill.rule.replace("_", " ")).capitalize() or "Matched"]
    if fill.bid and fill.ask:
        words.append(f"quote {formats.price(fill.bid)} / {formats.price(fill.ask)}")
    if fill.displayed:
        words.append(f"{formats.quantity(fill.displayed)} on display")
    if fill.tick_seq:
        words.append(f"tick {fill.tick_seq}")
    words.append("taker" if fill.liquidity == "taker" else "maker")
    return " · ".join(words)
