"""What the floor keeps about the one who asks, as a file to take away."""

import streamlit as st

from app import room
from trading.services import compliance
from trading.services.access import Actor


def show(who: Actor) -> None:
    """Made when it is asked for: an export leaves its own row in the audit trail."""
    st.markdown("**Your data**")
    with st.container(border=True):
        st.caption(
            "Everything the floor keeps about you: a zip with a file of JSON lines for each table. "
            "That you took it is kept in the audit trail."
        )
        if st.button("Make the file", key="own_data", icon=":material/folder_zip:"):
            content = compliance.export_own(room.floor(), who)
            st.download_button(
                f"Save {len(content):,} bytes",
                content,
                f"{who.username}.zip",
                "application/zip",
                key="own_data_save",
                icon=":material/download:",
                on_click="ignore",  # a rerun would take the file away again
            )
