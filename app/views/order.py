"""One order followed from the ticket to the ledger."""

import streamlit as st

from app import formats, frame, room
from app.components import story
from app.components.blotter import ask_to_follow, follow_if_asked, orders
from trading.domain.errors import NotFound
from trading.services import queries

who = room.actor()
asked = st.query_params.get("id", "")
portfolio_id = int(text) if (text := st.query_params.get("portfolio", "")).isdecimal() and len(text) < 19 else None
if portfolio_id is None:
    portfolio = room.portfolio(who)
    portfolio_id = portfolio.id if portfolio else None
if portfolio_id is None:
    st.info("There is no portfolio to show orders of yet.", icon=":material/wallet:")
    st.stop()
if not asked.isdecimal() or len(asked) > 18:
    st.subheader("Follow an order", anchor=False)
    st.caption("Pick an order to see its holds, its fills and why they happened, and the ledger lines they made.")
    orders(portfolio_id, open_only=False, actions=False)
    follow_if_asked(portfolio_id)
    st.stop()
try:
    told = queries.order(room.floor(), who, portfolio_id, int(asked))
except NotFound:
    st.warning("There is no such order in this portfolio.", icon=":material/search_off:")
    st.stop()

line = told.order
word, _ = formats.side(line.side)
kind = "at market" if line.limit_price is None else f"at {formats.price(line.limit_price)} or better"
st.subheader(f"{word} {formats.quantity(line.quantity)} {line.symbol} {kind}", anchor=False)
frame.strip(
    [
        ("State", formats.state(line.state)),
        ("Filled", f"{formats.quantity(line.filled)} of {formats.quantity(line.quantity)}"),
        ("Average price", formats.price(line.average_price)),
        ("Value", formats.money(line.notional, line.currency)),
        ("Fee", formats.money(line.fee, line.currency)),
        ("Good for", formats.TIFS.get(line.tif, line.tif)),
        ("Never fills beyond", formats.price(line.protection_price)),
        ("Venue", line.venue),
    ]
)
if line.reason:
    st.info(story.reason(line.reason), icon=":material/info:")
story.show(told, room.now_ns())
if st.button("Other orders", icon=":material/arrow_back:"):
    st.query_params.clear()
    st.rerun()
_ = ask_to_follow
