"""How a deed is done from a form: refusals in words on the spot, a success after the rerun, then an empty form."""

from collections.abc import Callable

import streamlit as st

from trading.domain.errors import Conflict, Invalid, NotFound

_USED, _SAID = "used_inputs", "said_of_a_deed"


def clear(*keys: str) -> None:
    """Let these inputs start empty, or not ticked, on the next run: what was typed belonged to the deed just done."""
    st.session_state.setdefault(_USED, []).extend(keys)


def start_empty() -> None:
    """Empty what `clear` named; before any of it is drawn."""
    for key in st.session_state.pop(_USED, ()):
        if key in st.session_state:
            st.session_state[key] = "" if isinstance(st.session_state[key], str) else False


def do(deed: Callable[[], object], done: str) -> None:
    """Run ``deed``; say ``done`` on the fresh page, or why not here."""
    try:
        deed()
    except (Invalid, NotFound, Conflict) as error:
        st.error(f"{str(error)[:1].upper()}{str(error)[1:]}. ({error.code})", icon=":material/block:")
        return
    st.session_state[_SAID] = done
    st.rerun()


def told() -> None:
    """Say what the deed that was just done has come to."""
    said = st.session_state.pop(_SAID, None)
    if said:
        st.success(said, icon=":material/check_circle:")
