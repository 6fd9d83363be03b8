"""Statements of a portfolio, month by month."""

import streamlit as st

from app import room
from app.components import statement

who = room.actor()
found = room.portfolio(who)
if found is None:
    st.info("No portfolio is open to you yet. Ask an admin of the floor.", icon=":material/receipt:")
else:
    st.subheader(f"Statement of {found.name} · {found.owner}", anchor=False)
    statement.show(found)
