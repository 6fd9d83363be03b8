"""When the floor was last backed up, what went wrong since, and a backup on request."""

from datetime import timedelta

import streamlit as st

from app import formats, frame, room
from trading.domain.errors import Conflict, Unavailable
from trading.services import backups

OLD = timedelta(hours=48)
"""Twice the time between two backups, as shipped."""
SLOW_NS = 30 * 10**9
"""The clerk takes what is asked for within seconds."""


@st.fragment(run_every=timedelta(seconds=3))
@frame.guarded
def show() -> None:
    """The newest one, a warning where there is none or an old one; what is being made, and the button for another."""
    floor, who = room.floor(), room.actor()
    now, tries = backups.work(floor, who), backups.newest(floor, who)  # in this order: what ends in between is seen
    good = next((each for each in tries if each.ok), None)
    if good is None:
        st.warning("There is no backup yet. The clerk makes one every day.")
    else:
        then = formats.at(good.ts_ns / 1e9)
        line = f"Last backup {formats.ago(then, floor.clock.now())}: {good.name}, {good.bytes / 1e6:.1f} MB"
        (st.warning if floor.clock.now() - then > OLD else st.caption)(line)
    if tries and not tries[0].ok:
        st.error(f"A backup failed {formats.moment(tries[0].ts_ns, room.now_ns())}: {tries[0].trouble}")
    _going_on(now)
    busy = now.asked_ns is not None or now.making_ns is not None
    st.button("Back up now", key="backup_now", disabled=busy, icon=":material/backup:", on_click=_ask)
    refused = st.session_state.pop("backup_refused", "")
    if refused:
        st.error(refused)


def _going_on(now: backups.BackupWork) -> None:
    now_ns = room.now_ns()
    if now.making_ns is not None:
        took_s = max(0, now_ns - now.making_ns) // 10**9
        st.info(f"A backup is being made, for {took_s} s so far. Trading goes on.", icon=":material/backup:")
    elif now.asked_ns is not None and now_ns - now.asked_ns > SLOW_NS:
        st.warning("A backup is asked for and the clerk does not take it. Does it run? See Processes.")
    elif now.asked_ns is not None:
        st.info("A backup is asked for; the clerk begins it within seconds.", icon=":material/backup:")


def _ask() -> None:
    try:
        backups.ask(room.floor(), room.actor())
    except Conflict as error:
        st.session_state["backup_refused"] = f"{str(error).capitalize()}."
    except Unavailable:
        st.session_state["backup_refused"] = "The clerk cannot be asked now. `tradefloor backup` makes a backup."
