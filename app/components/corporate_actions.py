"""Splits and dividends: what is to come, what it will do and to whom, and a new one."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import streamlit as st

from app import formats, room
from app.components.deeds import clear, do
from app.components.table import Cell, Row, table
from trading.services import actions, desk
from trading.services.access import Actor
from trading.services.ports.actions import ActionRow

_STATES: dict[str, Cell] = {
    "pending": ("To come", "strong"),
    "requested": "Being booked",
    "applied": ("Booked", "up"),
    "cancelled": ("Taken back", "dim"),
}


def show(who: Actor) -> None:
    """What is entered at the left, a new one at the right."""
    found = actions.listed(room.floor(), who)
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        _listed(found)
        pending = [each for each in found if each.state == "pending"]
        if pending:
            _preview(who, pending)
    with right:
        _enter(who)


def words(action: ActionRow) -> str:
    """What an action is, in words."""
    if action.kind == "split":
        return f"{action.numerator} new for {action.denominator} old"
    withheld = f", {Decimal(action.tax_ppm) / 10_000:f} % withheld" if action.tax_ppm else ""
    return f"{action.dividend.normalize():f} {action.currency} a share{withheld}"


def _listed(found: Sequence[ActionRow]) -> None:
    rows = [
        Row(
            [
                (each.symbol, "strong"),
                each.kind.capitalize(),
                words(each),
                each.ex_date.isoformat(),
                formats.date_time(each.applied_ts_ns or each.due_ts_ns),
                _STATES[each.state],
            ],
            id=str(each.id),
            action="Take back" if each.state == "pending" else "",
            confirm="Really take back?",
        )
        for each in found
    ]

    def take_back(row_id: str) -> None:
        do(lambda: actions.cancel(room.floor(), room.actor(), int(row_id)), "Taken back.")

    columns = ["Symbol", "Kind", "Terms", "Ex-date", "Session opens, or booked", "State"]
    table("actions", columns, rows, "No splits or dividends yet. Enter one at the right.", on_action=take_back)


def _preview(who: Actor, pending: list[ActionRow]) -> None:
    by_id = {each.id: each for each in pending}
    chosen = st.selectbox(
        "What it would do now",
        list(by_id),
        format_func=lambda key: f"{by_id[key].symbol}, {by_id[key].ex_date}: {words(by_id[key])}",
        key="action_preview",
    )
    told = actions.preview(room.floor(), who, chosen)
    currency = told.action.currency
    rows = [
        Row(
            [
                (each.portfolio, "strong"),
                each.owner,
                formats.quantity(each.quantity_before),
                formats.quantity(each.quantity_after),
                formats.gain(each.cash, currency),
                formats.money(each.tax, currency),
                str(each.open_orders),
            ]
        )
        for each in told.touched
    ]
    columns = ["Portfolio", "Owner", ">Holds", ">Then", ">Cash, after tax", ">Withheld", ">Open orders"]
    table("action_touched", columns, rows, "Nobody holds it and no order is open in it: nothing would change.")
    if told.action.kind == "split":
        known = told.reference_price
        price = "the last price, when there is one" if known is None else formats.price(known)
        orders = "cancelled" if told.action.numerator < told.action.denominator else "kept at their notional"
        st.caption(f"Fractions are paid at {price}. Open orders are {orders}.")
    else:
        st.caption("Open buy limits and sell stops are lowered by it. Who is short pays it.")
    sure = st.checkbox("Book it now and do not wait for the day", key="action_sure")
    if st.button("Book now", disabled=not sure, icon=":material/event_available:"):
        clear("action_sure")
        do(lambda: actions.bring_forward(room.floor(), who, chosen), "It is booked within seconds.")


def _enter(who: Actor) -> None:
    floor = room.floor()
    symbols = [instrument.symbol for instrument in desk.instruments(floor, who)]
    with st.container(border=True):
        st.markdown("**Enter a split or dividend**")
        kind = st.segmented_control("Kind", ["Split", "Dividend"], default="Split", required=True, key="action_kind")
        symbol = st.selectbox("Instrument", symbols, key="action_symbol")
        tomorrow = floor.clock.now().date() + timedelta(days=1)
        day = st.date_input("Ex-date", tomorrow, key="action_day")
        source = st.text_input("Source", key="action_source", placeholder="where it was announced")
        if kind == "Split":
            new = st.number_input("New shares", 1, 10_000, 2, key="action_new")
            old = st.number_input("for so many old ones", 1, 10_000, 1, key="action_old")
            price = st.text_input("Price for fractions", key="action_price", placeholder="the last price before it")
            if st.button("Enter", type="primary", disabled=new == old, key="action_enter"):
                clear("action_source", "action_price")
                do(
                    lambda: actions.enter_split(
                        floor, who, symbol, day, int(new), int(old), reference_price=price or None, source=source
                    ),
                    f"Entered: {symbol}, {new} for {old}.",
                )
            return
        amount = st.text_input("Cash a share", key="action_amount", placeholder="0.47")
        tax = st.text_input("Tax withheld, percent", "0", key="action_tax")
        if st.button("Enter", type="primary", disabled=not amount.strip(), key="action_enter"):
            clear("action_source", "action_amount")
            do(
                lambda: actions.enter_dividend(floor, who, symbol, day, amount, tax_percent=tax, source=source),
                f"Entered: {symbol}, {amount} a share.",
            )
