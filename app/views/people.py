"""The admin's people: logins, portfolios and cash, who sees what, and the audit trail, personal data."""

import streamlit as st

from app import room
from app.components import audit_trail, margin_policies, money_desk, people_data, sharing, user_admin

who = room.actor()
view = st.segmented_control(
    "Show",
    ["Logins", "Portfolios and cash", "Margin", "Sharing", "Audit trail", "Compliance"],
    default="Logins",
    key="people_view",
    label_visibility="collapsed",
    required=True,
)
said = st.session_state.pop("people_said", None)
if said:
    st.success(said, icon=":material/check_circle:")
if view == "Logins":
    user_admin.show(who)
elif view == "Portfolios and cash":
    money_desk.show(who)
elif view == "Margin":
    margin_policies.show(who)
elif view == "Sharing":
    sharing.show(who)
elif view == "Audit trail":
    audit_trail.show(who)
else:
    people_data.show(who)
