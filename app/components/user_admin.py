"""Logins: a list, one to change, one to add. A new password is shown until it is noted."""

from collections.abc import Sequence

import streamlit as st

from app import room
from app.components.deeds import clear, do
from app.components.table import Row, table
from trading.services import people
from trading.services.access import Actor
from trading.services.ports.people import User

_ROLES = {"trader": "Trader", "admin": "Admin", "observer": "Observer"}


def show(who: Actor) -> None:
    """The list at the left; what can be done at the right."""
    users = people.users(room.floor(), who)
    secret = st.session_state.get("new_password")
    if secret:
        st.warning(f"Password of **{secret[0]}**. It cannot be shown again later:", icon=":material/key:")
        st.code(secret[1], language=None)
        st.button("I have noted it", key="password_noted", on_click=lambda: st.session_state.pop("new_password"))
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        rows = [
            Row(
                [
                    (user.username, "strong"),
                    user.display_name,
                    _ROLES[user.role],
                    ("Disabled", "down") if user.disabled else ("Active", "up"),
                ]
            )
            for user in users
        ]
        table("users", ["Login", "Name", "Role", "State"], rows, "No logins yet. Add the first one.")
    with right:
        _change(who, users)
        _add(who)


def _change(who: Actor, users: Sequence[User]) -> None:
    with st.container(border=True):
        st.markdown("**Change a login**")
        by_name = {user.username: user for user in users if user.id != who.user_id}
        if not by_name:
            st.caption("There is no other login yet. Add one below.")
            return
        user = by_name[st.selectbox("Login", list(by_name), key="change_user")]
        role = st.selectbox(
            "Role",
            list(_ROLES),
            index=list(_ROLES).index(user.role),
            format_func=_ROLES.__getitem__,
            key=f"role_{user.id}",
        )
        floor = room.floor()
        if role != user.role and st.button("Change the role", key="set_role"):
            do(
                lambda: people.set_role(floor, who, user.id, role),
                f"{user.username} is now {_ROLES[role].lower()} and has to log in again.",
            )
        word, state = ("Enable", "may log in again") if user.disabled else ("Disable", "is out, open pages included")
        sure = st.checkbox(f"Yes, I mean {user.username}", key=f"user_sure_{user.id}")
        st.caption("A new password, a new role and Disable end the login's sessions at once.")
        first, second = st.columns(2)
        if first.button("New password", key="reset", width="stretch", disabled=not sure):

            def renew() -> None:
                password = people.new_password()
                people.set_password(floor, who, user.id, password)
                st.session_state["new_password"] = (user.username, password)
                clear(f"user_sure_{user.id}")

            do(renew, f"{user.username} has a new password.")
        if second.button(word, key="disable", width="stretch", disabled=not sure):

            def switch() -> None:
                people.set_disabled(floor, who, user.id, not user.disabled)
                clear(f"user_sure_{user.id}")

            do(switch, f"{user.username} {state}.")


def _add(who: Actor) -> None:
    with st.form("add_user", clear_on_submit=True, enter_to_submit=False):
        st.markdown("**Add a login**")
        name = st.text_input("Login name", placeholder="small letters and digits")
        shown = st.text_input("Name", placeholder="as others read it")
        role = st.selectbox("Role", list(_ROLES), format_func=_ROLES.__getitem__)
        if st.form_submit_button("Add"):

            def add() -> None:
                password = people.new_password()
                made = people.create_user(room.floor(), who, name, shown, role, password)
                st.session_state["new_password"] = (made.username, password)

            do(add, f"{name.strip().lower()} can log in now.")
