"""The kill switch: stop the floor, or a part of it, with a reason and a second look; and open it again."""

import streamlit as st

from app import formats, room
from app.components.deeds import clear
from app.components.table import Row, table
from trading.domain.errors import Conflict, Invalid, NotFound
from trading.services import desk, halt, people
from trading.services.access import Actor

_MODES = {
    "halted": "Halt: open orders are cancelled, none is taken, nothing fills",
    "reducing": "Reduce only: closing orders are taken, nothing new is opened",
}
_KINDS = {"user": "User", "strategy": "Strategy", "instrument": "Instrument", "portfolio": "Portfolio"}


def show(who: Actor) -> None:
    """State of the floor and the switch; then parts of the floor."""
    st.subheader("Kill switch", anchor=False)
    stops = halt.current(room.floor(), who)
    stopped = next((stop for stop in stops if stop["scope"] == "floor"), None)
    with st.container(border=True):
        if stopped is None:
            st.markdown(":green[**● Trading is open**]")
            _stop(who)
        else:
            word = "halted" if stopped["mode"] == "halted" else "reduce only"
            st.markdown(f":red[**■ Trading is {word}**]")
            st.caption("Everybody on the floor sees the reason at the top of the page.")
            if stopped["by_file"]:
                st.caption("The file HALT lies in the data folder: remove it before you open trading again.")
            _open_again(who, stopped["by_file"])
    _parts(who, [stop for stop in stops if stop["scope"] != "floor"])


def _stop(who: Actor) -> None:
    mode = st.radio("What should happen", list(_MODES), format_func=lambda each: _MODES[each], key="halt_mode")
    reason = st.text_input("Reason, shown to everybody", key="halt_reason", placeholder="e.g. prices look wrong")
    sure = st.checkbox("I mean it: this stops trading for everyone", key="halt_sure")
    if st.button("Stop trading", type="primary", disabled=not (sure and reason.strip()), icon=":material/front_hand:"):
        _set(who, "floor", mode, reason)


def _open_again(who: Actor, by_file: bool) -> None:
    sure = st.checkbox("The reason is gone: trading may go on", key="resume_sure", disabled=by_file)
    if st.button("Open trading again", disabled=not sure or by_file, icon=":material/play_arrow:"):
        _set(who, "floor", "running", "opened again")


def _parts(who: Actor, stops: list[dict[str, object]]) -> None:
    """Users, strategies, instruments and portfolios by themselves."""
    rows = [
        Row(
            [str(stop["scope"]).partition(":")[0].capitalize(), (str(stop["name"]), "strong"), str(stop["mode"]),
             str(stop["reason"]), str(stop["set_by"]), formats.date_time(int(str(stop["ts_ns"])))],
            id=str(stop["scope"]), action="Resume", confirm="Trading may go on there",
        )
        for stop in stops
    ]  # fmt: skip
    st.markdown("**Stopped by themselves**")
    table(
        "stops",
        ["What", "Name", "Mode", "=Reason", "By", "Since"],
        rows,
        "No user, strategy, instrument or portfolio is stopped.",
        on_action=lambda scope: halt.set_mode(room.floor(), who, scope, "running", "opened again"),
    )
    with st.expander("Stop a part of the floor"):
        _stop_part(who)


def _stop_part(who: Actor) -> None:
    kind = st.selectbox("What", list(_KINDS), format_func=_KINDS.__getitem__, key="part_kind")
    if kind == "strategy":
        name = st.text_input("Which", placeholder="its name", key="part_strategy").strip()
    else:
        by_scope = _named(who, kind)
        name = st.selectbox("Which", list(by_scope), format_func=by_scope.__getitem__, key=f"part_{kind}") or ""
    mode = st.selectbox("What should happen", list(_MODES), format_func=_MODES.__getitem__, key="part_mode")
    reason = st.text_input("Reason", placeholder="traders see it", key="part_reason")
    sure = st.checkbox("I mean it: this stops trading there", key="part_sure")
    if st.button("Stop it", icon=":material/front_hand:", disabled=not (sure and name and reason.strip())):
        _set(who, f"{kind}:{name}", mode, reason)


def _named(who: Actor, kind: str) -> dict[str, str]:
    """What may be stopped, by how its scope ends, in words."""
    floor = room.floor()
    if kind == "user":
        return {each.username: f"{each.display_name} · {each.username}" for each in people.users(floor, who)}
    if kind == "portfolio":
        return {str(each.id): f"{each.name} · {each.owner}" for each in people.portfolios(floor, who)}
    return {each.symbol: f"{each.symbol} · {each.name}" for each in desk.instruments(floor, who)}


def _set(who: Actor, scope: str, mode: str, reason: str) -> None:
    floor = room.floor()
    try:
        halt.set_mode(floor, who, halt.scope_of(floor, who, scope), mode, reason)
    except (Invalid, NotFound, Conflict) as error:
        st.error(f"{str(error).capitalize()}. ({error.code})")
        return
    clear("halt_reason", "halt_sure", "resume_sure", "part_reason", "part_sure")
    st.rerun()
