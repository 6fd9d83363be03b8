"""What each market asks of margin portfolios, and a form for the next policy of one."""

import streamlit as st

from app import room
from app.components.deeds import do
from app.components.table import Row, table
from trading.domain.margin import Policy
from trading.domain.money import to_units
from trading.domain.orders import PPM_STEP
from trading.services import margin
from trading.services.access import Actor

_FIELDS = {
    "initial_ppm": "To open",
    "maintenance_long_ppm": "To hold a long",
    "maintenance_short_ppm": "To hold a short",
    "close_out_ppm": "Close-out below, of what is required to hold",
}


def show(who: Actor) -> None:
    """The policies in force at the left, the form at the right."""
    lines = margin.policies(room.floor(), who)
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        rows = [
            Row(
                [
                    (_market(line.asset_class), "strong"),
                    *(_percent(getattr(line.policy, name)) for name in _FIELDS),
                    (line.source, "dim"),
                ],
                note=f"version {line.version}",
            )
            for line in lines
        ]
        columns = ["Market", ">To open", ">Long", ">Short", ">Close-out", "=Source"]
        table("margin_policies", columns, rows, "No policies yet.")
        st.caption("In percent of the market value; close-out in percent of what is required to hold.")
    with right:
        _form(who, {line.asset_class: line.policy for line in lines})


def _form(who: Actor, known: dict[str, Policy]) -> None:
    with st.container(border=True):
        st.markdown("**Set a policy**")
        market = st.selectbox("Market", margin.markets(room.floor(), who), format_func=_market, key="policy_market")
        now = known.get(market, known[""])
        typed = {
            name: st.text_input(f"{label} (%)", _percent(getattr(now, name)), key=f"policy_{market}_{name}")
            for name, label in _FIELDS.items()
        }
        source = st.text_input("Source", key=f"policy_{market}_source", placeholder="the rule it follows")
        sure = st.checkbox("Yes: it counts for open positions at once; calls may follow", key="policy_sure")
        if st.button("Set it", disabled=not (sure and source.strip()), key="set_policy"):

            def keep() -> None:
                policy = Policy(**{name: to_units(text, PPM_STEP, _FIELDS[name]) for name, text in typed.items()})
                margin.set_policy(room.floor(), who, market, policy, source)
                st.session_state.pop("policy_sure")

            do(keep, f"{_market(market)} has a new margin policy.")


def _market(asset_class: str) -> str:
    return asset_class.capitalize() or "All others"


def _percent(ppm: int) -> str:
    return f"{(ppm * PPM_STEP).normalize():f}"
