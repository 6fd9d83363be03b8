"""When the floor was last backed up, and what went wrong since."""

from datetime import timedelta

import streamlit as st

from app import formats, frame, room
from trading.services import backups

OLD = timedelta(hours=48)
"""Twice the time between two backups, as shipped."""


@st.fragment(run_every=timedelta(seconds=30))
@frame.guarded
def show() -> None:
    """One line; a warning where there is none, or an old one."""
    tries, now = backups.newest(room.floor(), room.actor()), room.floor().clock.now()
    good = next((each for each in tries if each.ok), None)
    if good is None:
        st.warning("There is no backup yet. The clerk makes one every day; `tradefloor backup` makes one now.")
    else:
        then = formats.at(good.ts_ns / 1e9)
        line = f"Last backup {formats.ago(then, now)}: {good.name}, {good.bytes / 1e6:.1f} MB"
        (st.warning if now - then > OLD else st.caption)(line)
    if tries and not tries[0].ok:
        st.error(f"A backup failed {formats.moment(tries[0].ts_ns, room.now_ns())}: {tries[0].trouble}")
