"""The browser's half of the components: markup, style and script, one file each."""

from functools import lru_cache
from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

_FOLDER = Path(__file__).parent


@lru_cache
def _text(name: str) -> str:
    path = _FOLDER / name
    return path.read_text() if path.exists() else ""


def component(name: str, *, live: bool = False) -> ComponentRenderer:
    """The component of ``name``.html, .css and .js; a ``live`` one shares the page's connection to the tape."""
    return st.components.v2.component(
        f"tradefloor_{name}",
        html=_text(f"{name}.html") or "<span></span>",
        css=(_text("live.css") if live else "") + _text(f"{name}.css"),
        js=(_text("tape.js") if live else "") + _text(f"{name}.js"),
    )
