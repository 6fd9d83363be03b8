"""Statements of a portfolio, month by month."""

import streamlit as st

from app import room
from app.components import statement
from trading.services import wallet

who = room.actor()
found = room.portfolio(who)
archives = wallet.archives(room.floor(), who)
if archives:
    choices = [each for each in (found, *archives) if each is not None]
    found = st.selectbox("Portfolio or archive", choices, format_func=lambda each: f"{each.name} · {each.owner}")
if found is None:
    st.info("No portfolio is open to you yet. Ask an admin of the floor.", icon=":material/receipt:")
else:
    st.subheader(f"Statement of {found.name} · {found.owner}", anchor=False)
    statement.show(found)
