"""Orders for later: from the ticket, as a list, and what became of their runs."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import streamlit as st

from app import formats, room
from app.components.table import Row, table
from trading.domain.errors import TradefloorError
from trading.domain.orders import Refusal, Ticket
from trading.services import schedules
from trading.services.ports.schedules import Schedule, ScheduleState, WhenClosed
from trading.services.schedules import Timing, Upcoming, upcoming

_ONCE, _CRON = "Once", "Again and again"
_CLOSED = {WhenClosed.SKIP: "Skip the run", WhenClosed.SEND: "Send it; it waits"}
_STATES = {
    ScheduleState.ACTIVE: ("Scheduled", "up"),
    ScheduleState.PAUSED: ("Paused", "warn"),
    ScheduleState.DONE: ("Done", "dim"),
    ScheduleState.CANCELLED: ("Cancelled", "dim"),
}
_OUTCOMES = {
    "accepted": ("Sent", "up"),
    "refused": ("Refused", "down"),
    "missed": ("Missed", "warn"),
    "skipped": ("Skipped", "warn"),
}
_CRON_HELP = "minute hour day month weekday, e.g. 30 9 * * mon-fri, in the exchange's time zone"


def schedule_this(asked: Ticket, portfolio_id: int) -> None:
    """The part of the ticket that keeps it for later."""
    if not st.toggle(
        "Schedule this", key="schedule_open", help="Send this ticket later, once or by a cron expression."
    ):
        return
    st.caption("Nothing is held until then. The order is checked when it is sent.")
    how = st.segmented_control(
        "When", [_ONCE, _CRON], default=_ONCE, key="schedule_how", required=True, label_visibility="collapsed"
    )
    timing = _timing(how or _ONCE)
    told = schedules.preview(room.floor(), room.actor(), portfolio_id, asked, timing)
    st.caption(told.reason if isinstance(told, Refusal) else f"Next: {_times(told)}")
    st.session_state.setdefault("schedule_key", secrets.token_urlsafe(16))
    key = st.session_state["schedule_key"]
    st.button(
        "Schedule", key=f"schedule_send_{key}", width="stretch", disabled=isinstance(told, Refusal),
        on_click=_create, args=(asked, portfolio_id, timing, key),
    )  # fmt: skip
    said = st.session_state.pop("schedule_answer", None)
    if said:
        st.toast(said)


def _timing(how: str) -> Timing:
    closed = st.selectbox(
        "When the exchange is closed", [*WhenClosed], format_func=_CLOSED.__getitem__, key="schedule_closed"
    )
    if how == _CRON:
        return Timing(
            cron=st.text_input("Cron", "30 9 * * mon-fri", key="schedule_cron", help=_CRON_HELP), when_closed=closed
        )
    later = (datetime.now(formats.zone()) + timedelta(hours=1)).replace(second=0, microsecond=0, tzinfo=None)
    st.session_state.setdefault("schedule_at", later)
    at = st.datetime_input("At (your time)", key="schedule_at")
    local = None if at is None else at.replace(tzinfo=formats.zone()).isoformat()
    return Timing(at=local or "", when_closed=closed)


def _times(told: Upcoming) -> str:
    runs = ", ".join(formats.date_time(ns) for ns in told.runs_ns[:3])
    return f"{runs} your time. Exchange's zone: {told.zone}."


def _create(asked: Ticket, portfolio_id: int, timing: Timing, key: str) -> None:
    try:
        answer = schedules.create(room.floor(), room.actor(), portfolio_id, asked, timing, key)
    except TradefloorError as error:
        st.session_state["schedule_answer"] = f"Not scheduled: {error}."
        return
    st.session_state["schedule_key"] = secrets.token_urlsafe(16)
    st.session_state["schedule_answer"] = (
        f"{answer.reason} ({answer.code})" if isinstance(answer, Refusal) else f"Schedule {answer.id} is kept."
    )


def listing(portfolio_id: int, *, open_only: bool) -> None:
    """Schedules with their next runs; a click follows one to its history."""
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                (str(one.id), "dim"),
                (one.ticket.symbol, "strong"),
                formats.side(one.ticket.side),
                one.ticket.quantity,
                formats.TYPES[one.ticket.type],
                words(one),
                ", ".join(formats.date_time(ns) for ns in upcoming(one, now_ns, 2)) or "–",
                _STATES[one.state],
            ],
            id=str(one.id),
            action="Cancel" if one.state in (ScheduleState.ACTIVE, ScheduleState.PAUSED) else "",
            confirm="Really end it?",
        )
        for one in schedules.listing(room.floor(), room.actor(), portfolio_id, open_only)
    ]
    columns = ["Schedule", "Symbol", "Side", ">Quantity", "Type", "When", "Next", "State"]
    table(
        "schedules_open" if open_only else "schedules_all",
        columns,
        rows,
        "Nothing is scheduled. Open “Schedule this” in the ticket to send an order later.",
        opens=f"scheduled?portfolio={portfolio_id}&id=",
        on_action=lambda schedule_id: _cancel(portfolio_id, int(schedule_id)),
    )


def words(one: Schedule) -> str:
    """When it is sent, in words."""
    return f"{one.cron} ({one.zone})" if one.cron else "Once"


def follow(portfolio_id: int, schedule_id: int) -> None:
    """One schedule: its next runs, what can be done with it, what became of its runs."""
    floor, who, now_ns = room.floor(), room.actor(), room.now_ns()
    found = next((one for one in schedules.listing(floor, who, portfolio_id, False) if one.id == schedule_id), None)
    if found is None:
        st.warning("There is no such schedule in this portfolio.", icon=":material/search_off:")
        return
    asked = found.ticket
    st.subheader(f"{formats.side(asked.side)[0]} {asked.quantity} {asked.symbol}, {words(found)}", anchor=False)
    runs = ", ".join(formats.date_time(ns) for ns in upcoming(found, now_ns, 5)) or "none"
    st.caption(f"{_STATES[found.state][0]}. Next runs: {runs}.")
    left, right, _ = st.columns([1, 1, 4])
    if found.state is ScheduleState.ACTIVE:
        left.button("Pause", on_click=_deed, args=(schedules.pause, portfolio_id, schedule_id), width="stretch")
    elif found.state is ScheduleState.PAUSED:
        left.button("Resume", on_click=_deed, args=(schedules.resume, portfolio_id, schedule_id), width="stretch")
    if found.state in (ScheduleState.ACTIVE, ScheduleState.PAUSED):
        right.button("End it", on_click=_deed, args=(schedules.cancel, portfolio_id, schedule_id), width="stretch")
    said = st.session_state.pop("schedule_deed", None)
    if said:
        st.warning(said)
    rows = [
        Row(
            [
                formats.date_time(each.due_ns),
                _OUTCOMES[each.outcome],
                str(each.order_id or ""),
                f"{each.reason} ({each.code})" + (f" {each.runs:,} runs." if each.runs > 1 else "")
                if each.code
                else "",
            ],
            id=str(each.order_id or ""),
        )
        for each in schedules.firings(floor, who, portfolio_id, schedule_id)
    ]
    table(
        "firings",
        ["Due", "What", "Order", "=Why"],
        rows,
        "It has not run yet.",
        opens=f"order?portfolio={portfolio_id}&id=",
    )


def _cancel(portfolio_id: int, schedule_id: int) -> None:
    _deed(schedules.cancel, portfolio_id, schedule_id)


def _deed(deed: Callable[..., Refusal | None], portfolio_id: int, schedule_id: int) -> None:
    try:
        refusal = deed(room.floor(), room.actor(), portfolio_id, schedule_id)
    except TradefloorError as error:
        st.session_state["schedule_deed"] = str(error)
        return
    if refusal is not None:
        st.session_state["schedule_deed"] = f"{refusal.reason} ({refusal.code})"
