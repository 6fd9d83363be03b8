"""The admin's instruments: splits and dividends, fees and taxes."""

import streamlit as st

from app import room
from app.components import corporate_actions, fee_desk

who = room.actor()
view = st.segmented_control(
    "Show",
    ["Splits and dividends", "Fees and taxes"],
    default="Splits and dividends",
    key="market_view",
    label_visibility="collapsed",
    required=True,
)
said = st.session_state.pop("people_said", None)
if said:
    st.success(said, icon=":material/check_circle:")
if view == "Splits and dividends":
    corporate_actions.show(who)
else:
    fee_desk.show(who)
