"""Which pages each role has. The menu is a convenience: the services check every call."""

import streamlit as st
from streamlit.navigation.page import Page

from trading.services.access import Role

_PAGES = {
    "trade": ("Trade", "candlestick_chart"),
    "order": ("Follow an order", "receipt_long"),
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
_OF_ROLE: dict[Role, dict[str, tuple[str, ...]]] = {
    Role.TRADER: {
        "": ("trade", "portfolio", "account"),
        "Orders": ("order", "batch", "scheduled"),
        "Money": ("wallet", "statement"),
        "Tools": ("research", "monitor"),
    },
    Role.ADMIN: {
        "": ("floor", "people", "risk", "market", "account"),
        "Portfolios": ("portfolio", "statement", "order"),
        "Tools": ("research", "monitor"),
    },
    Role.OBSERVER: {"": ("portfolio", "statement", "order", "account")},
}
"""By section, most used first; the section without a name stands unfolded before the others."""


def home(role: Role) -> str:
    """The page that a role lands on."""
    return _OF_ROLE[role][""][0]


HOMES = frozenset(map(home, _OF_ROLE))


def pages(role: Role) -> dict[str, list[Page]]:
    """Pages of a role by section, its home first."""
    return {
        title: [_page(name, is_home=name == home(role)) for name in names] for title, names in _OF_ROLE[role].items()
    }


def _page(name: str, *, is_home: bool) -> Page:
    title, icon = _PAGES[name]
    return st.Page(f"views/{name}.py", title=title, icon=f":material/{icon}:", url_path=name, default=is_home)
