"""How an admin's deed is done from a form: refusals in words on the spot, a success after the rerun."""

from collections.abc import Callable

import streamlit as st

from trading.domain.errors import Conflict, Invalid, NotFound


def do(deed: Callable[[], object], done: str) -> None:
    """Run ``deed``; say ``done`` on the fresh page, or why not here."""
    try:
        deed()
    except (Invalid, NotFound, Conflict) as error:
        st.error(f"{str(error)[:1].upper()}{str(error)[1:]}. ({error.code})", icon=":material/block:")
        return
    st.session_state["people_said"] = done
    st.rerun()
