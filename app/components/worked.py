"""Large orders that the floor works in children: from the ticket, in the blotter, and one followed."""

import secrets
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from app import formats, frame, room
from app.components.table import Row, table
from trading.domain.errors import TradefloorError
from trading.domain.orders import OrderState, OrderType, Refusal, Ticket
from trading.services import parents
from trading.services.parents import Working
from trading.services.ports.parents import OPEN, ChildOrder, ParentState, Style, WorkedParent

_STYLES = {
    Style.TWAP: "Evenly over time (TWAP)",
    Style.POV: "Share of the volume (POV)",
    Style.ICEBERG: "Iceberg",
}
_SHORT = {Style.TWAP: "TWAP", Style.VWAP: "VWAP", Style.POV: "POV", Style.ICEBERG: "Iceberg"}
_STATES = {
    ParentState.WORKING: ("Working", ""),
    ParentState.PAUSED: ("Paused", "warn"),
    ParentState.STOPPING: ("Cancelling", "warn"),
    ParentState.FILLED: ("Filled", "up"),
    ParentState.ENDED: ("Ended", "dim"),
    ParentState.CANCELLED: ("Cancelled", "dim"),
}
_AT_END: dict[Literal["leave", "take"], str] = {"leave": "Leave the rest", "take": "Take the rest at once"}
_CHILDREN_SHOWN = 5
_COLUMNS = ["Order", "Symbol", "Side", "How", ">Filled", "Ends", "State", "=Why"]


def work_it(asked: Ticket, portfolio_id: int) -> None:
    """The part of the ticket that has the floor work it."""
    if not st.toggle("Work it", key="work_open", help="The floor sends this order in small parts."):
        return
    styles = [each for each in _STYLES if each is not Style.ICEBERG or asked.type == OrderType.LIMIT]
    style = st.selectbox("How", styles, format_func=_STYLES.__getitem__, key="work_style")
    left, right = st.columns(2)
    minutes = left.number_input("Minutes", 1, parents.MINUTES_MAX, 30, key="work_minutes")
    rate = display = None
    if style is Style.POV:
        rate = right.text_input("Percent of the volume", "10", key="work_rate")
    if style is Style.ICEBERG:
        display = right.text_input("Shown at a time", "10", key="work_display")
    at_end = st.selectbox("When the time is over", list(_AT_END), format_func=_AT_END.__getitem__, key="work_at_end")
    working = Working(style, int(minutes), rate_percent=rate, display=display, at_end=at_end)
    st.session_state.setdefault("work_key", secrets.token_urlsafe(16))
    key = st.session_state["work_key"]
    st.button(
        f"Work {asked.quantity or '…'} {asked.symbol}", key=f"work_send_{key}", width="stretch",
        disabled=not asked.quantity, on_click=_create, args=(asked, portfolio_id, working, key),
    )  # fmt: skip
    said = st.session_state.get("work_answer")
    if said:
        st.caption(said)


def _create(asked: Ticket, portfolio_id: int, working: Working, key: str) -> None:
    try:
        answer = parents.create(room.floor(), room.actor(), portfolio_id, asked, working, key)
    except TradefloorError as error:
        st.session_state["work_answer"] = f"Not begun: {error}."
        return
    st.session_state["work_key"] = secrets.token_urlsafe(16)
    st.session_state["work_answer"] = (
        f"✕ {answer.reason} ({answer.code})"
        if isinstance(answer, Refusal)
        else f"✓ Order P{answer.id} is being worked."
    )


def listing(portfolio_id: int, *, open_only: bool) -> None:
    """Worked orders, each with its newest children under it; nothing where there are none."""
    found = parents.listing(room.floor(), room.actor(), portfolio_id, open_only)
    if found:
        rows = [row for parent in found for row in (_row(parent), *_nested(parent, parent.children[-_CHILDREN_SHOWN:]))]
        table(
            "worked_open" if open_only else "worked_all",
            _COLUMNS,
            rows,
            "",
            opens=f"order?portfolio={portfolio_id}&id=",
            on_action=lambda row_id: _deed("cancel", portfolio_id, int(row_id.removeprefix("P"))),
        )
        said = st.session_state.pop("work_deed", None)
        if said:
            st.toast(said)


def _row(parent: WorkedParent) -> Row:
    asked, filled = parent.ticket, parent.filled_lots
    price = f" at {asked.limit_price}" if asked.limit_price else ""
    return Row(
        [
            (f"P{parent.id}", "strong"),
            (asked.symbol, "strong"),
            formats.side(asked.side),
            f"{_SHORT[parent.style]}{price}",
            f"{_quantity(parent, filled)} of {_quantity(parent, parent.quantity_lots)}"
            f" ({100 * filled // parent.quantity_lots} %)",
            formats.date_time(parent.plan["parent"]["end_ns"]),
            _STATES[parent.state],
            (why(parent), "dim"),
        ],
        id=f"P{parent.id}",
        action="Cancel" if parent.state in (ParentState.WORKING, ParentState.PAUSED) else "",
        confirm="Cancel it and all its children?",
    )


def _nested(parent: WorkedParent, children: Sequence[ChildOrder]) -> list[Row]:
    return [
        Row(
            [
                (f"↳ {child.order_id}", "dim"),
                "",
                "",
                (f"child {child.n}", "dim"),
                f"{_quantity(parent, child.filled_lots)} of {_quantity(parent, child.quantity_lots)}",
                "",
                formats.state(child.state),
                "",
            ],
            id=str(child.order_id),
        )
        for child in reversed(children)
    ]


def _quantity(parent: WorkedParent, lots: int) -> str:
    return formats.quantity(parent.instrument.quantity(lots))


def why(parent: WorkedParent) -> str:
    """Why it stands where it stands, with the code."""
    return f"{parent.reason} ({parent.code})" if parent.code else ""


def asked_for() -> int | None:
    """The number of a worked order out of the page's address (``id=P12``), None where it names none."""
    text = st.query_params.get("id", "")
    return int(text[1:]) if text[:1] == "P" and text[1:].isdecimal() and len(text) < 20 else None


def follow(portfolio_id: int, parent_id: int) -> None:
    """One worked order with all its children, and what can be done with it."""
    found = parents.listing(room.floor(), room.actor(), portfolio_id, False)
    parent = next((each for each in found if each.id == parent_id), None)
    if parent is None:
        st.warning("There is no such order in this portfolio.", icon=":material/search_off:")
        return
    asked = parent.ticket
    st.subheader(f"P{parent.id}: {formats.side(asked.side)[0]} {asked.quantity} {asked.symbol}", anchor=False)
    frame.strip(
        [
            ("State", _STATES[parent.state]),
            ("How", _SHORT[parent.style]),
            ("Filled", f"{_quantity(parent, parent.filled_lots)} of {_quantity(parent, parent.quantity_lots)}"),
            ("Children", f"{len(parent.children)}"),
            ("Out now", _quantity(parent, sum(each.quantity_lots - each.filled_lots for each in _live(parent)))),
            ("Ends", formats.date_time(parent.plan["parent"]["end_ns"])),
        ]
    )
    if parent.code:
        st.info(why(parent), icon=":material/info:")
    left, right, _ = st.columns([1, 1, 4])
    if parent.state is ParentState.PAUSED:
        left.button("Resume", on_click=_deed, args=("resume", portfolio_id, parent_id), width="stretch")
    if parent.state in OPEN and parent.state is not ParentState.STOPPING:
        right.button("Cancel all of it", on_click=_deed, args=("cancel", portfolio_id, parent_id), width="stretch")
    said = st.session_state.pop("work_deed", None)
    if said:
        st.toast(said)
    table(
        "children",
        _COLUMNS,
        _nested(parent, parent.children),
        "No child has gone out yet.",
        opens=f"order?portfolio={portfolio_id}&id=",
    )


def _live(parent: WorkedParent) -> list[ChildOrder]:
    over = (OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED)
    return [child for child in parent.children if child.state not in over]


def _deed(name: str, portfolio_id: int, parent_id: int) -> None:
    deed = parents.cancel if name == "cancel" else parents.resume
    try:
        refusal = deed(room.floor(), room.actor(), portfolio_id, parent_id)
    except TradefloorError as error:
        st.session_state["work_deed"] = f"{error} ({error.code})"
        return
    said = {"cancel": "taking back its children", "resume": "working again"}[name]
    st.session_state["work_deed"] = (
        f"P{parent_id}: {said}." if refusal is None else f"{refusal.reason} ({refusal.code})"
    )
