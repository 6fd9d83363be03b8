"""The admin's limits: of tiers, users, portfolios and instruments; the compliance list; losses and the breaker."""

import streamlit as st

from app import room
from app.components import risk_limits

who = room.actor()
views = {
    "Limits": risk_limits.show,
    "Tiers of traders": risk_limits.tiers,
    "Restricted instruments": risk_limits.restricted,
    "Losses": risk_limits.losses,
}
view = st.segmented_control(
    "Show", list(views), default="Limits", key="risk_view", label_visibility="collapsed", required=True
)
said = st.session_state.pop("people_said", None)
if said:
    st.success(said, icon=":material/check_circle:")
views[view](who)
