"""One order followed from the ticket to the ledger."""

import streamlit as st

from app import formats, frame, room
from app.components import story, worked
from app.components.blotter import orders
from app.components.change import change, headline
from trading.domain.errors import NotFound
from trading.services import queries
from trading.services.access import Role


def choose(portfolio_id: int) -> None:
    """Orders to pick one from."""
    st.subheader("Follow an order", anchor=False)
    st.caption("Pick an order to see its holds, its fills and why they happened, and the ledger lines they made.")
    orders(portfolio_id, open_only=False, actions=False)


def follow(portfolio_id: int, order_id: int) -> None:
    """The figures of an order, then its story."""
    try:
        told = queries.order(room.floor(), room.actor(), portfolio_id, order_id)
    except NotFound:
        st.warning("There is no such order in this portfolio.", icon=":material/search_off:")
        return
    line = told.order
    st.subheader(headline(line), anchor=False)
    frame.strip(
        [
            ("State", formats.state(line.state)),
            ("Filled", f"{formats.quantity(line.filled)} of {formats.quantity(line.quantity)}"),
            ("Average price", formats.price(line.average_price)),
            ("Value", formats.money(line.notional, line.currency)),
            ("Fee", formats.money(line.fee, line.currency)),
            ("Good for", good_for(line)),
            ("Never fills beyond", formats.price(line.protection_price)),
            ("Venue", line.venue),
        ]
    )
    if line.reason:
        st.info(story.reason(line.reason), icon=":material/info:")
    if line.open and line.state != "cancel_pending" and room.actor().role is Role.TRADER:
        change(line, portfolio_id)
    story.show(told, room.now_ns(), portfolio_id)
    if st.button("Other orders", icon=":material/arrow_back:"):
        st.query_params.clear()
        st.rerun()


def good_for(line: queries.OrderLine) -> str:
    """How long the order lives, in words."""
    if line.expires_ts_ns is not None:
        return f"Until {formats.date_time(line.expires_ts_ns)}"
    return formats.TIFS.get(line.tif, line.tif)


def number(name: str) -> int | None:
    """A whole number out of the address, None where there is none."""
    text = st.query_params.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


chosen = number("portfolio")
if chosen is None and (portfolio := room.portfolio(room.actor())) is not None:
    chosen = portfolio.id
asked = number("id")
if chosen is None:
    st.info("There is no portfolio to show orders of yet.", icon=":material/wallet:")
elif (worked_id := worked.asked_for()) is not None:
    worked.follow(chosen, worked_id)
elif asked is None:
    choose(chosen)
else:
    follow(chosen, asked)
