"""The kill switch: stop the floor with a reason and a second look, and open it again."""

import streamlit as st

from app import room
from trading.domain.errors import Invalid
from trading.services import halt
from trading.services.access import Actor

_MODES = {
    "halted": "Halt: open orders are cancelled, none is taken, nothing fills",
    "reducing": "Reduce only: closing orders are taken, nothing new is opened",
}


def show(who: Actor) -> None:
    """State of the floor and the switch."""
    st.subheader("Kill switch", anchor=False)
    stopped = next((stop for stop in halt.current(room.floor(), who) if stop["scope"] == "floor"), None)
    with st.container(border=True):
        if stopped is None:
            st.markdown(":green[**● Trading is open**]")
            _stop(who)
        else:
            word = "halted" if stopped["mode"] == "halted" else "reduce only"
            st.markdown(f":red[**■ Trading is {word}**]")
            st.caption("Everybody on the floor sees the reason at the top of the page.")
            _open_again(who)


def _stop(who: Actor) -> None:
    mode = st.radio("What should happen", list(_MODES), format_func=lambda each: _MODES[each], key="halt_mode")
    reason = st.text_input("Reason, shown to everybody", key="halt_reason", placeholder="e.g. prices look wrong")
    sure = st.checkbox("I mean it: this stops trading for everyone", key="halt_sure")
    if st.button("Stop trading", type="primary", disabled=not (sure and reason.strip()), icon=":material/front_hand:"):
        _set(who, mode, reason)


def _open_again(who: Actor) -> None:
    sure = st.checkbox("The reason is gone: trading may go on", key="resume_sure")
    if st.button("Open trading again", disabled=not sure, icon=":material/play_arrow:"):
        _set(who, "running", "opened again")


def _set(who: Actor, mode: str, reason: str) -> None:
    try:
        halt.set_mode(room.floor(), who, "floor", mode, reason)
    except Invalid as error:
        st.error(f"{str(error).capitalize()}. ({error.code})")
        return
    st.rerun()
