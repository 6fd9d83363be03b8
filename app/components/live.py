"""Live prices without a rerun: components with one shared WebSocket of the page's own."""

from collections.abc import Callable, Sequence
from typing import Any

from app.components.web import component


def watchlist(instruments: Sequence[dict[str, Any]], picked: str, on_pick: Callable[[], None]) -> None:
    """Rows ``{symbol, name, reference}`` with live bid, ask, sizes and the change since ``reference``.

    A click, or Enter on a focused row, sets ``st.session_state["watchlist"].picked`` and calls ``on_pick``.
    """
    component("watchlist", live=True)(
        key="watchlist", data={"instruments": list(instruments), "picked": picked}, on_picked_change=on_pick
    )


def quote_line(symbol: str, name: str, reference: str | None, *, small: bool = False) -> None:
    """One instrument's live quote in large figures; ``small`` fits a narrow column."""
    component("quote", live=True)(
        key="quote_small" if small else "quote",
        data={"symbol": symbol, "name": name, "reference": reference, "small": small},
    )


def ladder(symbol: str) -> None:
    """The displayed levels of one instrument, best in the middle, sizes as bars."""
    component("ladder", live=True)(key="ladder", data={"symbol": symbol})
