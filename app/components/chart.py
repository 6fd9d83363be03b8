"""The candlestick chart of a simulated instrument."""

import time
from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from app import charts, formats, frame, room
from gateway.tape import decimals
from trading.domain.instruments import Instrument
from trading.market.adjust import Split
from trading.market.bars import FRAME_NAMES
from trading.services import market_data
from trading.services.access import Actor
from trading.services.floor import Floor

BARS = 160
KEPT_S, MISSING_S = 300.0, 10.0
FOLLOWED_NS = 6 * 10**9
"""The venue halts around a split; so long after the booking its quotes are in new shares."""
_closes_kept: dict[tuple[Floor, tuple[str, ...], int], tuple[float, dict[str, str]]] = {}


def references(symbols: tuple[str, ...], who: Actor) -> dict[str, str]:
    """The close of the day before for each symbol: what the day's change is counted from. The same for everybody.

    In shares as they are now: a split is no change. Kept for a while; where some are missing, since a venue that has
    just opened is still writing its past, for a short one.
    """
    st.session_state["splits_counted"] = count = len(_splits(who))
    key, now_s = (room.floor(), symbols, count), time.monotonic()
    until_s, found = _closes_kept.get(key, (0.0, {}))
    if now_s >= until_s:
        found = _closes(symbols, who)
        _closes_kept.clear()
        _closes_kept[key] = now_s + (KEPT_S if len(found) == len(symbols) else MISSING_S), found
    return found


def _closes(symbols: tuple[str, ...], who: Actor) -> dict[str, str]:
    found = {}
    for symbol in symbols:
        days = market_data.sim_bars(room.floor(), who, symbol, "D1", 2, adjust=True)
        if len(days):
            # The last bar is the day that is still forming; its open stands in where there is no day before.
            found[symbol] = str(days["close"].iloc[-2] if len(days) > 1 else days["open"].iloc[-1])
    return found


def _splits(who: Actor) -> list[Split]:
    return [split for own in market_data.splits(room.floor(), who).values() for split in own]


@st.fragment(run_every=timedelta(seconds=3))
@frame.guarded
def candles(instrument: Instrument) -> None:
    """The chart with its timeframes; the forming bar moves every three seconds, zoom and pan stay."""
    timeframe = st.segmented_control(
        "Timeframe", FRAME_NAMES, default="M5", key="timeframe", label_visibility="collapsed", required=True
    )
    who = room.actor()
    settled = sum(split.booked_ns + FOLLOWED_NS <= room.now_ns() for split in _splits(who))
    if settled > st.session_state.get("splits_counted", settled):
        st.rerun()  # the day's changes of the whole page are counted from old shares
    bars = market_data.sim_bars(room.floor(), who, instrument.symbol, timeframe, BARS, adjust=True)
    if bars.empty:
        st.info("No trades in this timeframe yet. A shorter one fills up first.", icon=":material/hourglass_top:")
        return
    note = adjustment(market_data.splits(room.floor(), who).get(instrument.symbol, []), bars["ts"].iloc[0].value)
    bars["ts"] = bars["ts"].dt.tz_convert(formats.zone()).dt.tz_localize(None)
    figure = charts.candles(bars, f"{instrument.symbol}-{timeframe}", decimals(instrument.tick_size))
    st.plotly_chart(figure, config=charts.CONFIG, key="candles", theme=None)
    if note:
        st.caption(note)


def adjustment(splits: Sequence[Split], first_ns: int) -> str:
    """What was done to bars from ``first_ns`` on, in words; empty where it is nothing."""
    shown = [split for split in splits if split.booked_ns > first_ns]
    if not shown:
        return ""
    each = [
        f"{formats.date_time(split.booked_ns)} ({split.ratio.numerator} new for {split.ratio.denominator} old)"
        for split in shown
    ]
    return f"Prices before the split of {', and of '.join(each)} are adjusted for it."
