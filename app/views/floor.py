"""The admin's page: health of every process, the reconciliation, the kill switch."""

import streamlit as st

from app import room
from app.components import books, health, kill_switch, last_backup, periodic

# On a phone the kill switch comes first, see `frame`.
left, right = st.container(key="floor_page").columns([2, 1], gap="large")
with left:
    st.subheader("Processes", anchor=False)
    health.show()
    st.subheader("Periodic work", anchor=False)
    periodic.show()
    st.subheader("Reconciliation", anchor=False)
    books.show()
    st.subheader("Backups", anchor=False)
    last_backup.show()
with right:
    kill_switch.show(room.actor())
