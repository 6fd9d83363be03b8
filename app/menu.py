"""Which pages each role has. The menu is a convenience: the services check every call."""

import streamlit as st
from streamlit.navigation.page import Page

from trading.services.access import Role

_PAGES = {
    "trade": ("Trade", "candlestick_chart"),
    "order": ("Order", "receipt_long"),
    "batch": ("Batch", "playlist_add"),
    "scheduled": ("Scheduled", "schedule"),
    "research": ("Research", "science"),
    "floor": ("Floor", "monitor_heart"),
    "people": ("People", "group"),
    "market": ("Instruments", "inventory_2"),
    "risk": ("Risk", "shield"),
    "portfolio": ("Portfolio", "show_chart"),
    "statement": ("Statement", "receipt"),
    "wallet": ("Wallet", "account_balance_wallet"),
    "monitor": ("Monitor", "radar"),
    "account": ("Account", "person"),
}
_OF_ROLE = {
    Role.TRADER: (
        "trade",
        "order",
        "batch",
        "scheduled",
        "portfolio",
        "wallet",
        "statement",
        "research",
        "monitor",
        "account",
    ),
    Role.ADMIN: (
        "floor",
        "people",
        "risk",
        "market",
        "portfolio",
        "statement",
        "order",
        "research",
        "monitor",
        "account",
    ),
    Role.OBSERVER: ("portfolio", "statement", "order", "account"),
}


def pages(role: Role) -> list[Page]:
    """Pages of a role, its home first."""
    return [
        st.Page(
            f"views/{name}.py",
            title=_PAGES[name][0],
            icon=f":material/{_PAGES[name][1]}:",
            url_path=name,
            default=not n,
        )
        for n, name in enumerate(_OF_ROLE[role])
    ]
