"""A table for figures: aligned digits, rows that open, an action with a second click to confirm, cards on a phone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app.components.web import component

Cell = str | tuple[str, str]
"""Text, or text and tone: ``up``, ``down``, ``dim``, ``warn`` or ``strong``."""


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in the order of the columns; ``id`` is what comes back from a click; ``action`` empty means none.

    ``link`` is a button that goes where a click on the row goes.
    """

    cells: Sequence[Cell]
    id: str = ""
    action: str = ""
    confirm: str = ""
    note: str = field(default="")
    link: str = ""


def table(
    key: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    empty: str,
    *,
    opens: str = "",
    on_action: Callable[[str], None] | None = None,
) -> None:
    """Show ``rows`` under ``columns``; a column's name may start with ``>`` (right-aligned) or ``=`` (full width).

    ``empty`` says what to do next where there are no rows. A click on a row with an id goes to the address ``opens``
    with the id at its end: a plain link, because a page switch of Streamlit's can meet a refresh of the page it leaves
    and end up blank. ``on_action`` gets the row's id.
    """

    def acted() -> None:
        row_id = st.session_state[key].get("acted")
        if on_action is not None and row_id is not None:
            on_action(str(row_id))

    data: dict[str, Any] = {
        "columns": [
            {"label": name.lstrip(">="), "right": name.startswith(">"), "wide": name.startswith("=")}
            for name in columns
        ],
        "rows": [
            {
                "id": row.id,
                "cells": [list(cell) if isinstance(cell, tuple) else cell for cell in row.cells],
                "action": row.action,
                "confirm": row.confirm,
                "note": row.note,
                "link": row.link,
            }
            for row in rows
        ],
        "empty": empty,
        "opens": opens,
    }
    component("table")(key=key, data=data, on_acted_change=acted)
