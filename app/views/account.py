"""One's own login: password, data and log out."""

import streamlit as st

from app import room
from app.components import own_data, own_limits
from app.components.navigate import leave
from trading.domain.errors import Invalid
from trading.domain.orders import Refusal
from trading.services import people

who = room.actor()
_, middle, _ = st.columns([1, 1.6, 1])
with middle:
    st.subheader(f"{who.username}", anchor=False)
    st.caption({"trader": "Trader", "admin": "Admin of the floor", "observer": "Observer"}[who.role])
    if st.button("Log out", icon=":material/logout:", type="primary") or st.session_state.get("leaving"):
        people.logout(room.floor(), who.session_token)
        leave()
        st.caption("Logging out …")
        st.stop()
    if who.role == "trader":
        for portfolio in people.portfolios(room.floor(), who):
            own_limits.show(who, portfolio)
    st.markdown("**Change your password**")
    with st.form("password", border=True):
        old = st.text_input("Current password", type="password", autocomplete="current-password")
        new = st.text_input(
            f"New password, at least {people.PASSWORD_LENGTH_MIN} characters",
            type="password",
            autocomplete="new-password",
        )
        again = st.text_input("New password once more", type="password", autocomplete="new-password")
        st.caption("All your sessions end, this one too: you log in again with the new password.")
        if st.form_submit_button("Change password"):
            if new != again:
                st.error("The two new passwords differ.")
            else:
                try:
                    refused = people.change_own_password(room.floor(), who, old, new)
                except Invalid as error:
                    refused = Refusal(error.code, f"{str(error).capitalize()}.")
                if refused:
                    st.error(refused.reason)
                else:
                    st.success("Your password is changed. Log in again.")
                    leave()
    own_data.show(who)
