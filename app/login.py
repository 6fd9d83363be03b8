"""The login: streamlit-authenticator's form and its credentials check, over our users, sessions and throttle."""

import secrets
from typing import Any

import streamlit as st
from streamlit_authenticator import Authenticate
from streamlit_authenticator.controllers import AuthenticationController

from app import room
from app.components.navigate import enter
from trading.domain.orders import Refusal
from trading.services import people

_FIELDS = {"Form name": "Log in", "Username": "User name", "Password": "Password", "Login": "Log in"}


class _NoCookie:
    """The form's own cookie is left out: ours is HttpOnly and set by a route of ours."""

    def get_cookie(self) -> None:
        """Nobody is remembered here."""

    def set_cookie(self) -> None:
        """Nothing is kept here."""

    def delete_cookie(self) -> None:
        """Nothing to delete."""


class _Form(Authenticate):  # type: ignore[misc]  # the package has no types
    """The package's login form; the check goes to Postgres, argon2id and the throttle in `people.begin_login`."""

    def __init__(self) -> None:
        self.path = self.api_key = None
        self.attrs: dict[str, Any] = {"login_sleep_time": 0}
        self.secret_key = secrets.token_hex(16)
        self.cookie_controller = _NoCookie()
        self.authentication_controller = AuthenticationController({"usernames": {}}, auto_hash=False)
        self.model = self.authentication_controller.authentication_model
        self.model.check_credentials = self.check
        self.answer: str | Refusal | None = None

    def check(self, username: str, password: str) -> bool:
        """Ask the people service; keep its code or its refusal."""
        self.answer = people.begin_login(room.floor(), username, password, f"app {st.context.ip_address or 'local'}")
        self.model.credentials["usernames"][username] = {"name": username}
        return isinstance(self.answer, str)


def ask_for_login() -> None:
    """The login page; a right password sends the browser for its cookie."""
    _, middle, _ = st.columns([1, 1.1, 1])
    with middle:
        st.html("<div style='height: 7vh'></div>")
        st.title("Tradefloor", anchor=False)
        st.caption("A simulated market, a paper broker and a ledger that adds up.")
        st.session_state["authentication_status"] = None
        form = _Form()
        form.login(fields=_FIELDS, key="login")
        if isinstance(form.answer, str):
            st.session_state["authentication_status"] = None
            st.caption("Opening your floor …")
            enter(form.answer)
        elif isinstance(form.answer, Refusal):
            st.error(form.answer.reason, icon=":material/key_off:")
        st.caption("First time here? The logins were printed when the floor opened and are kept in its data folder.")
