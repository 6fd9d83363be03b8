"""Deeds and refusals, newest first, with a search."""

import streamlit as st

from app import formats, room
from app.components.table import Row, table
from trading.services import people
from trading.services.access import Actor

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
}


def show(who: Actor) -> None:
    """The trail; nothing in it can be changed."""
    search = st.text_input(
        "Search", key="audit_search", placeholder="name, deed, code …", icon=":material/search:", width=420
    )
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
        for each in people.audit_trail(room.floor(), who, search)
    ]
    empty = "Nothing matches. Try a shorter word." if search else "Nothing has happened yet."
    table("audit", ["No.", "When", "Who", "What", "About", "Result", "Code", "From"], rows, empty)
