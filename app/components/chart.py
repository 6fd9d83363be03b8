"""The candlestick chart of a simulated instrument."""

from datetime import timedelta

import streamlit as st

from app import charts, formats, frame, room
from gateway.tape import decimals
from trading.domain.instruments import Instrument
from trading.market.bars import FRAME_NAMES
from trading.services import market_data
from trading.services.access import Actor

BARS = 160


@st.cache_data(ttl=300, show_spinner=False)
def _references(symbols: tuple[str, ...], _who: Actor) -> dict[str, str]:
    found = {}
    for symbol in symbols:
        days = market_data.sim_bars(room.floor(), _who, symbol, "D1", 2)
        if len(days):
            # The last bar is the day that is still forming; its open stands in where there is no day before.
            found[symbol] = str(days["close"].iloc[-2] if len(days) > 1 else days["open"].iloc[-1])
    return found


def references(symbols: tuple[str, ...], who: Actor) -> dict[str, str]:
    """The close of the day before for each symbol: what the day's change is counted from. The same for everybody."""
    return _references(symbols, who)


@st.fragment(run_every=timedelta(seconds=3))
@frame.guarded
def candles(instrument: Instrument) -> None:
    """The chart with its timeframes; the forming bar moves every three seconds, zoom and pan stay."""
    timeframe = st.segmented_control(
        "Timeframe", FRAME_NAMES, default="M5", key="timeframe", label_visibility="collapsed", required=True
    )
    bars = market_data.sim_bars(room.floor(), room.actor(), instrument.symbol, timeframe, BARS)
    if bars.empty:
        st.info("No trades in this timeframe yet. A shorter one fills up first.", icon=":material/hourglass_top:")
        return
    bars["ts"] = bars["ts"].dt.tz_convert(formats.zone()).dt.tz_localize(None)
    figure = charts.candles(bars, f"{instrument.symbol}-{timeframe}", decimals(instrument.tick_size))
    st.plotly_chart(figure, config=charts.CONFIG, key="candles", theme=None)
