"""Orders for later, and what became of them."""

import streamlit as st

from app import room
from app.components import scheduled


def number(name: str) -> int | None:
    """A whole number out of the address, None where there is none."""
    text = st.query_params.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


chosen, asked = number("portfolio"), number("id")
if chosen is None and (portfolio := room.portfolio(room.actor())) is not None:
    chosen = portfolio.id
if chosen is None:
    st.info("There is no portfolio to show schedules of yet.", icon=":material/wallet:")
elif asked is not None:
    scheduled.follow(chosen, asked)
    if st.button("All schedules", icon=":material/arrow_back:"):
        st.query_params.clear()
        st.rerun()
else:
    st.subheader("Scheduled orders", anchor=False)
    st.caption("An order is scheduled in the ticket. Pick one to pause it and to see what became of its runs.")
    scheduled.listing(chosen, open_only=False)
