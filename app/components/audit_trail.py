"""Deeds, refusals and looks at others' portfolios, newest first: searched, paged and taken away as a file."""

from datetime import UTC, date, datetime, time, timedelta

import streamlit as st

from app import formats, room
from app.components.table import Row, table
from trading.services import audit
from trading.services.access import Actor
from trading.services.ports.audit import AuditFilter

PAGE = 100
_DEEDS = {
    "login": "Log in",
    "logout": "Log out",
    "desk.submit": "Send an order",
    "desk.modify": "Change an order",
    "desk.cancel": "Cancel an order",
    "ledger.deposit": "Deposit",
    "ledger.withdrawal": "Withdrawal",
    "create_user": "Add a login",
    "create_portfolio": "Open a portfolio",
    "disable_user": "Disable a login",
    "enable_user": "Enable a login",
    "set_password": "Set a password",
    "set_role": "Change a role",
    "grant": "Share a portfolio",
    "revoke_grant": "Stop sharing",
    "access.portfolio": "Look at another's portfolio",
    "audit.export": "Export the audit trail",
    "backups.ask": "Ask for a backup",
    "backup.make": "Make a backup",
    "compliance.export_person": "Hand out a person's data",
    "compliance.erase_person": "Erase a person",
    "compliance.prune": "Delete what is over",
    "compliance.set_retention": "Change how long something is kept",
}
_RESULTS = {"": "Done or refused", "ok": "Done", "refused": "Refused"}


def show(who: Actor) -> None:
    """The trail; nothing in it can be changed."""
    wanted = _wanted()
    stack: list[int] = st.session_state.setdefault("audit_pages", [])
    if st.session_state.get("audit_wanted") != wanted:
        stack.clear()
        st.session_state["audit_wanted"] = wanted
    page = audit.search(room.floor(), who, wanted, stack[-1] if stack else None, PAGE)
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                (str(each["id"]), "dim"),
                formats.moment(int(each["at"].timestamp() * 1e9), now_ns),
                (each["username"] or "the floor", "strong"),
                _DEEDS.get(each["action"], each["action"].replace("_", " ").replace(".", ", ").capitalize()),
                each["subject"].replace(":", " "),
                ("Done", "up") if each["result"] == "ok" else ("Refused", "down"),
                (each["code"].replace("_", " "), "dim"),
                (each["origin"], "dim"),
            ]
        )
        for each in page.rows
    ]
    empty = "Nothing here matches." if wanted != AuditFilter() else "Nothing has happened yet."
    if page.next_before is not None and not rows:
        empty = "Nothing on this page matches; older rows may. Go on with: Older."
    table("audit", ["No.", "When", "Who", "What", "About", "Result", "Code", "From"], rows, empty)
    newer, older, _, export = st.columns([1, 1, 4, 2])
    if newer.button("Newest", disabled=not stack, key="audit_newest"):
        stack.clear()
        st.rerun()
    if older.button("Older", disabled=page.next_before is None, key="audit_older") and page.next_before is not None:
        stack.append(page.next_before)
        st.rerun()
    with export:
        _export(who, wanted)


def _wanted() -> AuditFilter:
    first, second, third, fourth = st.columns([2, 1, 1, 1])
    text = first.text_input(
        "Search", key="audit_search", placeholder="name, deed, code, number …", icon=":material/search:"
    )
    user = second.text_input("Login", key="audit_user")
    result = third.selectbox("Result", list(_RESULTS), format_func=_RESULTS.__getitem__, key="audit_result") or ""
    days = fourth.date_input("Days, first and last (UTC)", [], key="audit_days")
    more = st.columns([2, 2, 1])
    action = more[0].text_input("Deed, or how its name begins", key="audit_action", placeholder="desk.")
    subject = more[1].text_input("About", key="audit_subject", placeholder="portfolio:7")
    period = [day for day in (days if isinstance(days, tuple) else (days,)) if isinstance(day, date)]
    since = datetime.combine(period[0], time(), UTC) if period else None
    until = datetime.combine(period[-1], time(), UTC) + timedelta(days=1) if period else None
    return AuditFilter(user.strip(), action.strip(), subject.strip(), result, since, until, text.strip())


def _export(who: Actor, wanted: AuditFilter) -> None:
    """Made when it is asked for: an export leaves its own row."""
    form = st.segmented_control("As", ["csv", "jsonl"], default="csv", key="audit_form", required=True)
    if st.button("Export what is found", key="audit_export"):
        content = audit.export(room.floor(), who, wanted, form or "csv")
        st.download_button(
            f"Save {len(content):,} bytes", content, f"audit.{form}", key="audit_save", icon=":material/download:"
        )
