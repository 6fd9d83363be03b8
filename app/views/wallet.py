"""A trader's cash: what is there of each currency, what can be withdrawn, and requests to withdraw."""

import streamlit as st

from app import room
from app.components import deeds, money_waiting, purse

who = room.actor()
found = room.portfolio(who)
if found is None:
    st.info("There is no portfolio yet. Ask an admin of the floor to open one.", icon=":material/wallet:")
else:
    st.subheader(f"Wallet of {found.name}", anchor=False)
    deeds.told()
    purse.cash(who, found)
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        st.markdown("**Requests**")
        money_waiting.of_portfolio(who, found.id)
    with right:
        purse.withdraw(who, found)
        purse.convert(who, found)
        purse.reset(who, found)
