"""A trader's own limits and how much of each is used."""

import streamlit as st

from app import formats, room
from app.components import limit_words as words
from app.components.table import Row, table
from trading.services import limits
from trading.services.access import Actor
from trading.services.limits import Use
from trading.services.ports.people import Portfolio

_BANS = {"no_opening": "may only be closed", "no_trading": "may not be traded"}


def show(who: Actor, portfolio: Portfolio) -> None:
    """The strictest of each kind; what it is of and whose it is."""
    told = limits.own(room.floor(), who, portfolio.id)
    st.markdown(f"**Limits of {portfolio.name}** · tier {told.tier}")
    if told.tripped_ppm is not None:
        fell = f"{told.tripped_ppm / 10_000:.1f} %"
        st.warning(f"It fell {fell} below its peak: only closing orders are taken until an admin resets it.")
    table(
        f"own_limits_{portfolio.id}",
        ["Limit", ">Most", ">Now", ">Used", "Of"],
        [_row(use) for use in told.uses],
        "No limits.",
    )
    for ban in told.bans:
        since = formats.date_time(int(ban.set_at.timestamp() * 1e9))
        st.caption(f"{ban.symbol} {_BANS[ban.mode]} since {since}: {ban.reason}")


def _row(use: Use) -> Row:
    most = words.figure(use.name, use.limit)
    if use.used is None:
        return Row([words.NAMES[use.name], most, ("", "dim"), ("each order", "dim"), words.scope(use.scope)])
    part = use.used / use.limit
    tone = "down" if part >= 1 else "warn" if part >= 0.8 else "dim"
    now = words.figure(use.name, use.used) + (f" {use.of}" if use.of else "")
    return Row([words.NAMES[use.name], most, now, (f"{part * 100:.0f} %", tone), words.scope(use.scope)])
