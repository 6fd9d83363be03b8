"""Money that waits for an admin's decision, each with a second look, and a portfolio's own requests."""

import streamlit as st

from app import formats, room
from app.components.deeds import do
from app.components.table import Row, table
from trading.domain.errors import Invalid
from trading.services import wallet
from trading.services.access import Actor

_STATES = {
    "pending": ("Waits for an admin", "warn"),
    "approved": ("Booked", "up"),
    "declined": ("Declined", "down"),
    "withdrawn": ("Taken back", "dim"),
    "expired": ("Expired", "dim"),
}


def decide(who: Actor) -> None:
    """What waits, and the two answers to it."""
    waiting = wallet.waiting(room.floor(), who)
    st.markdown("**Waits for a decision**")
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                (str(each.id), "dim"),
                f"{each.portfolio} · {each.owner}",
                each.kind.capitalize(),
                formats.money(each.amount, each.currency),
                each.requested_name + (f", {each.first_name} agreed" if each.first_name else ""),
                formats.moment(each.requested_ts_ns, now_ns),
                (each.memo, "dim"),
            ]
        )
        for each in waiting
    ]
    columns = ["Request", "Portfolio", "What", ">Amount", "Asked by", "When", "Memo"]
    table("money_waiting", columns, rows, "Nothing waits. Requests for money show up here.")
    if not waiting:
        return
    by_id = {each.id: each for each in waiting}
    with st.container(border=True):
        chosen = by_id[st.selectbox("Request", list(by_id), format_func=lambda key: _words(by_id[key]))]
        reason = st.text_input("Reason", key="decide_reason", placeholder="needed to decline; kept with the request")
        if chosen.admins_needed == 2:
            st.caption("Above the limit: this one takes two admins.")
        if chosen.requested_by == who.user_id:
            st.caption("You asked for this yourself: another admin decides.")
        sure = st.checkbox(f"Yes, I have looked at request {chosen.id}", key=f"decide_sure_{chosen.id}")
        left, right = st.columns(2)
        if left.button("Approve", type="primary", disabled=not sure, key="approve_request"):
            do(lambda: wallet.approve(room.floor(), who, chosen.id, reason), f"Request {chosen.id}: you agreed.")
        if right.button("Decline", disabled=not (sure and reason.strip()), key="decline_request"):
            do(lambda: wallet.decline(room.floor(), who, chosen.id, reason), f"Request {chosen.id} is declined.")


def of_portfolio(who: Actor, portfolio_id: int) -> None:
    """A portfolio's requests and what became of them; one's own that waits can be taken back."""
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                (str(each.id), "dim"),
                formats.moment(each.requested_ts_ns, now_ns),
                each.kind.capitalize(),
                formats.money(each.amount, each.currency),
                _STATES[each.state],
                each.decided_name,
                (each.reason or each.memo, "dim"),
            ],
            id=str(each.id),
            action="Take back" if each.state == "pending" and each.requested_by == who.user_id else "",
            confirm="Sure?",
        )
        for each in wallet.requests(room.floor(), who, portfolio_id)
    ]
    columns = ["Request", "When", "What", ">Amount", "State", "Decided by", "Reason or memo"]
    empty = "No requests yet. Ask for a withdrawal and follow it here."
    table("money_requests", columns, rows, empty, on_action=lambda request_id: _take_back(who, int(request_id)))
    said = st.session_state.pop("take_back_answer", None)
    if said:
        st.toast(said)


def _take_back(who: Actor, request_id: int) -> None:
    try:
        wallet.take_back(room.floor(), who, request_id)
        st.session_state["take_back_answer"] = f"Request {request_id} is taken back."
    except Invalid as error:
        st.session_state["take_back_answer"] = f"{error} ({error.code})"


def _words(each: wallet.Request) -> str:
    amount = formats.money(each.amount, each.currency)
    return f"{each.id}: {each.kind} of {amount}, {each.portfolio} · {each.owner}, asked by {each.requested_name}"
