"""The trader's page: watchlist, chart, ticket, and what they own and ordered."""

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from app import frame, room
from app.components import chart
from app.components.blotter import blotter
from app.components.live import ladder, quote_line, watchlist
from app.components.ticket import ticket
from trading.domain.instruments import Instrument
from trading.services import desk
from trading.services.access import Actor
from trading.services.ports.people import Portfolio


def pick() -> None:
    """Make the clicked row the instrument of chart and ticket."""
    st.session_state["symbol"] = st.session_state["watchlist"].picked


@st.fragment(run_every=timedelta(seconds=3))
@frame.guarded
def order_ticket(instrument: Instrument, portfolio: Portfolio, reference: str | None) -> None:
    """The ticket, with a fresh preview every three seconds."""
    ticket(instrument, portfolio.id, reference, on_margin=portfolio.kind == "margin")


def show(who: Actor, portfolio: Portfolio, instruments: Sequence[Instrument]) -> None:
    """Watchlist, chart, ladder and ticket side by side, and the blotter under them."""
    by_symbol = {each.symbol: each for each in instruments}
    picked = st.session_state.get("symbol", "AAPL")
    instrument = by_symbol.get(picked) or instruments[0]
    references = chart.references(tuple(by_symbol), who)
    reference = references.get(instrument.symbol)
    left, middle, beside, right = st.columns([2.8, 4.6, 1.5, 2.6], gap="medium")
    with left:
        rows = [
            {"symbol": each.symbol, "name": each.name, "reference": references.get(each.symbol)} for each in instruments
        ]
        watchlist(rows, instrument.symbol, pick)
    with middle:
        quote_line(instrument.symbol, instrument.name, reference)
        chart.candles(instrument)
    with beside:
        ladder(instrument.symbol)
    with right.container(border=True):
        order_ticket(instrument, portfolio, reference)
    blotter(portfolio.id)


actor = room.actor()
portfolio = room.portfolio(actor)
traded = desk.instruments(room.floor(), actor)
if portfolio is None:
    st.info("You have no portfolio yet. Ask an admin of the floor to open one for you.", icon=":material/wallet:")
elif not traded:
    st.info("The simulated market has not opened yet. This page fills up when it does.", icon=":material/schedule:")
else:
    show(actor, portfolio, traded)
