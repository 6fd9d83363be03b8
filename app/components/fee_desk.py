"""What trading an instrument costs, and another schedule for it."""

import streamlit as st

from app import room
from app.components.deeds import do
from app.components.table import Row, table
from trading.domain.fees import BILLION, LISTED, Basis, Charge, FeeSchedule
from trading.domain.money import minor_to_decimal
from trading.services import desk, fees
from trading.services.access import Actor


def show(who: Actor) -> None:
    """The schedule in force at the left, another one at the right."""
    floor = room.floor()
    by_symbol = {instrument.symbol: instrument for instrument in desk.instruments(floor, who)}
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        symbol = st.selectbox("Instrument", list(by_symbol), key="fee_symbol")
        scale, currency = by_symbol[symbol].currency.scale, by_symbol[symbol].currency.code
        past = fees.history(floor, who, symbol)
        table("fee_lines", ["Line", "For", "Side", "Rate", "Bounds"], _lines(past[0].schedule, scale, currency), "")
        told = ["by an admin" if past[0].set_by_admin else "as shipped", f"version {past[0].version}"]
        st.caption(f"In force since {past[0].valid_from:%Y-%m-%d %H:%M} UTC, {', '.join(told)}.")
    with right, st.container(border=True):
        st.markdown("**Another schedule**")
        name = st.selectbox("Schedule", list(LISTED), format_func=_named, key="fee_listed")
        sure = st.checkbox(f"Yes: orders in {symbol} from now on are charged by {_named(name)}", key="fee_sure")
        st.caption("Open orders keep the schedule they were accepted on.")
        if st.button("Set", type="primary", disabled=not sure, key="fee_set"):
            do(lambda: fees.set_listed(floor, who, symbol, name), f"{symbol} is charged by {_named(name)}.")


def _named(listed: str) -> str:
    """``in_equity_delivery`` as people read it: ``India, equity, delivery``."""
    head, *rest = listed.split("_")
    return ", ".join([{"us": "US", "in": "India"}.get(head, head.capitalize()), *rest])


def _lines(schedule: FeeSchedule, scale: int, currency: str) -> list[Row]:
    def cash(minor: int | None) -> str:
        return "" if minor is None else f"{minor_to_decimal(minor, scale):f}"

    def bounds(low: int, high: int | None) -> str:
        parts = [f"at least {cash(low)}" if low else "", "" if high is None else f"at most {cash(high)}"]
        return ", ".join(part for part in parts if part)

    rates = []
    if schedule.per_lot_millis:
        rates.append(f"{minor_to_decimal(schedule.per_lot_millis, scale + 3).normalize():f} {currency} a lot")
    if schedule.rate_ppm or not rates:
        rates.append(f"{schedule.rate_ppm / 10_000:g} %")
    if schedule.maker_ppm is not None:
        rates.append(f"{schedule.maker_ppm / 10_000:g} % resting")
    least_most = bounds(schedule.minimum, schedule.maximum)
    first = Row([("Commission", "strong"), "Broker", "Both", ", ".join(rates), least_most])
    rest = [
        Row(
            [
                (charge.name, "strong"),
                "State" if charge.levy == "tax" else "Broker, exchange",
                "Both" if charge.side is None else charge.side.capitalize(),
                _rate(charge, scale, currency),
                bounds(charge.minimum, charge.maximum),
            ]
        )
        for charge in schedule.charges
    ]
    return [first, *rest]


def _rate(charge: Charge, scale: int, currency: str) -> str:
    if charge.basis is Basis.LOTS:
        return f"{minor_to_decimal(charge.rate_ppb, scale + 9).normalize():f} {currency} a lot"
    on = f" of {', '.join(charge.of)}" if charge.of else ""
    return f"{charge.rate_ppb * 100 / BILLION:g} %{on}"
