"""What each market asks of margin portfolios, what their debt costs, and forms for the next of each."""

import streamlit as st

from app import formats, room
from app.components.deeds import clear, do
from app.components.table import Row, table
from trading.domain.margin import Policy
from trading.domain.money import to_units
from trading.domain.orders import PPM_STEP
from trading.services import interest, margin
from trading.services.access import Actor

_FIELDS = {
    "initial_ppm": "To open",
    "maintenance_long_ppm": "To hold a long",
    "maintenance_short_ppm": "To hold a short",
    "close_out_ppm": "Close-out below, of what is required to hold",
    "close_band_ppm": "A close-out trades through the market by at most",
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
        columns = ["Market", ">To open", ">Long", ">Short", ">Close-out", ">Band", "=Source"]
        table("margin_policies", columns, rows, "No policies yet.")
        st.caption(
            "In percent of the market value; close-out in percent of what is required to hold, band of the price."
        )
    with right:
        _form(who, {line.asset_class: line.policy for line in lines})
    left, right = st.columns([1.7, 1], gap="large")
    rates = interest.rates(room.floor(), who)
    with left:
        _debt(rates)
    with right:
        _rate_form(who, {rate.currency: rate for rate in rates})


def _debt(rates: list[interest.DebtRate]) -> None:
    st.markdown("**Interest on debt**")
    rows = [
        Row(
            [
                (rate.currency, "strong"),
                ("None: debt bears no interest", "warn") if rate.percent is None else f"{rate.percent.normalize():f} %",
                f"1/{rate.basis}",
                (rate.source, "dim"),
                "" if rate.set_at is None else formats.date_time(int(rate.set_at.timestamp() * 1e9)),
            ],
            note=f"version {rate.version}" if rate.version else "",
        )
        for rate in rates
    ]
    table("debt_rates", ["Currency", "A year", "A day", "=Source", "Since"], rows, "No currencies yet.")
    st.caption("Reckoned on what is owed at the end of a UTC day, and booked once for that day.")


def _rate_form(who: Actor, known: dict[str, interest.DebtRate]) -> None:
    if not known:
        return
    with st.container(border=True):
        st.markdown("**Set a rate on debt**")
        currency = st.selectbox("Currency", list(known), key="rate_currency")
        now = known[currency].percent
        percent = st.text_input(
            "Percent a year", "" if now is None else f"{now.normalize():f}", key=f"rate_{currency}", placeholder="5.5"
        )
        source = st.text_input("Source", key=f"rate_{currency}_source", placeholder="whose published rate it is")
        sure = st.checkbox(f"Yes: debt in {currency} costs {percent or '…'} % a year from now on", key="rate_sure")
        if st.button("Set the rate", disabled=not (sure and percent.strip() and source.strip()), key="set_rate"):

            def keep() -> None:
                interest.set_rate(room.floor(), who, currency, percent.replace("%", "").strip(), source)
                clear("rate_sure", f"rate_{currency}_source")

            do(keep, f"Debt in {currency} costs {percent} % a year now.")


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
                clear("policy_sure")

            do(keep, f"{_market(market)} has a new margin policy.")


def _market(asset_class: str) -> str:
    return {"": "All others", "fx": "FX"}.get(asset_class, asset_class.capitalize())


def _percent(ppm: int) -> str:
    return f"{(ppm * PPM_STEP).normalize():f}"
