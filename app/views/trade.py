"""The trader's page: watchlist, chart, ticket, and what they own and ordered."""

from datetime import timedelta

import streamlit as st

from app import frame, room
from app.components import chart
from app.components.blotter import blotter
from app.components.live import quote_line, watchlist
from app.components.ticket import ticket
from trading.services import desk

who = room.actor()
portfolio = room.portfolio(who)
instruments = {each.symbol: each for each in desk.instruments(room.floor(), who)}
if portfolio is None:
    st.info("You have no portfolio yet. Ask an admin of the floor to open one for you.", icon=":material/wallet:")
    st.stop()
if not instruments:
    st.info("The simulated market has not opened yet. This page fills up when it does.", icon=":material/schedule:")
    st.stop()


def pick() -> None:
    """Make the clicked row the instrument of chart and ticket."""
    st.session_state["symbol"] = st.session_state["watchlist"].picked


symbol = st.session_state.get("symbol")
if symbol not in instruments:
    symbol = "AAPL" if "AAPL" in instruments else next(iter(instruments))
instrument = instruments[symbol]
references = chart.references(tuple(instruments), who)
left, middle, right = st.columns([2.9, 5.6, 2.6], gap="medium")
with left:
    rows = [
        {"symbol": each.symbol, "name": each.name, "reference": references.get(each.symbol)}
        for each in instruments.values()
    ]
    watchlist(rows, symbol, pick)
with middle:
    quote_line(instrument.symbol, instrument.name, references.get(symbol))
    chart.candles(instrument)


@st.fragment(run_every=timedelta(seconds=3))
@frame.guarded
def order_ticket() -> None:
    """The ticket, with a fresh preview every three seconds."""
    ticket(instrument, portfolio.id, references.get(symbol))


with right.container(border=True):
    order_ticket()
blotter(portfolio.id)
