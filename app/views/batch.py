"""The page for many orders at once."""

import streamlit as st

from app import room
from app.components import batch

st.subheader("Many orders at once", anchor=False)
portfolio = room.portfolio(room.actor())
if portfolio is None:
    st.info("You have no portfolio yet. Ask an admin of the floor to open one for you.", icon=":material/wallet:")
else:
    batch.show(portfolio.id)
