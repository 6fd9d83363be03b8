"""An order's story: what happened, what it held, why it filled, what was booked."""

from decimal import Decimal

import streamlit as st

from app import formats
from app.components.blotter import ledger_row, order_page
from app.components.table import Row, table
from trading.services.queries import FillLine, Hold, OrderEvent, OrderLine, OrderStory

_CAUSES = {
    "desk": "Accepted by the desk",
    "sequenced": "Taken in by the broker",
    "working": "Waiting for its price",
    "rest": "Waiting for its price",
    "fill": "Traded",
    "filled": "Traded",
    "cancel": "Cancel asked for",
    "ioc": "The rest was cancelled: immediate or cancel",
    "fok": "Cancelled: it could not be filled whole",
    "pending": "Waiting for its trigger or its entry",
    "triggered": "Its stop price was met",
    "sized": "Its size follows the orders it is linked to",
    "modify": "New terms asked for",
    "modified": "New terms in force",
    "corporate_action": "Split or dividend of the instrument",
    "modify_refused": "The exchange kept the old terms",
    "oco": "Cancelled: the other of the two traded or was cancelled",
    "entry_over": "Cancelled: its entry is over and bought nothing for it to sell",
    "would_take": "Rejected: post-only, and it would have traded at once",
    "post_only": "Cancelled: post-only, and it would have traded at once",
    "no_liquidity": "The rest was cancelled: there was nobody to trade with",
    "expired": "Expired at its time",
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


_TERMS = {
    "quantity": "quantity",
    "limit_price": "limit",
    "stop_price": "stop",
    "trail": "trail",
    "trail_percent": "trail (%)",
}


def show(told: OrderStory, now_ns: int, portfolio_id: int) -> None:
    """The chapters, one under the other; the orders it is linked to come first."""
    if told.group:
        st.markdown("**Linked orders**")
        columns = ["Order", "Role", "Side", "Terms", ">Filled", "State"]
        rows = [_mate(mate) for mate in told.group]
        table("story_group", columns, rows, "", opens=order_page(portfolio_id))
    st.markdown("**What happened**")
    table("story_events", ["State", "Time", "Why", ">Input"], [_event(e) for e in told.events], "Nothing yet.")
    st.markdown("**What it held**")
    held = "This order holds nothing of its own; what linked orders share is kept under the first of them."
    held = held if told.group else "This order held nothing."
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
    why += _facts(event)
    by = "paper broker" if event.actor == "broker" else "desk" if event.cause == "desk" else "by hand"
    return Row(
        [(word, tone or "strong"), formats.precise(event.ts_ns), why, (str(event.input_seq or "–"), "dim")],
        note=by,
    )


def _facts(event: OrderEvent) -> str:
    """The figures of an event: which price met the stop, what changed from what to what, why not."""
    if event.met_price is not None:
        by = "a trade" if event.by == "trade" else "the quote"
        return f": {formats.price(event.met_price)}, by {by}"
    if event.grown is not None:
        word = "bought for it" if event.grown > 0 else "given up"
        return f": {formats.quantity(abs(event.grown))} {word}"
    if event.changes:
        said = (
            f"{_TERMS[name]} {formats.quantity(was)} → {formats.quantity(now)}"
            for name, (was, now) in event.changes.items()
        )
        return ": " + ", ".join(said)
    return f": {event.reason.replace('_', ' ')}" if event.cause == "modify_refused" else ""


def _mate(line: OrderLine) -> Row:
    return Row(
        [
            (str(line.id), "dim"),
            (formats.ROLES[line.group_role], "strong"),
            formats.side(line.side),
            formats.terms(line),
            f"{formats.quantity(line.filled)} of {formats.quantity(line.quantity)}",
            formats.state(line.state),
        ],
        id=str(line.id),
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
    """The recorded facts of a fill, and what it was charged line by line, as one sentence."""
    words = [_RULES.get(fill.rule, fill.rule.replace("_", " ")).capitalize() or "Matched"]
    if fill.bid and fill.ask:
        words.append(f"quote {formats.price(fill.bid)} / {formats.price(fill.ask)}")
    if fill.displayed:
        words.append(f"{formats.quantity(fill.displayed)} on display")
    if fill.tick_seq:
        words.append(f"tick {fill.tick_seq}")
    words.append("taker" if fill.liquidity == "taker" else "maker")
    words += [f"{name} {formats.money(amount, fill.currency)}" for name, amount in fill.charges]
    return " · ".join(words)
