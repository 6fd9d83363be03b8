"""Do the books agree: ledger, holds, orders, fills and positions against each other."""

import streamlit as st

from app import formats, room
from app.components.table import Row, table
from trading.services import queries, verify

_COUNTED = {
    "account": "accounts",
    "transfer": "transfers",
    "hold": "holds",
    "fill": "fills",
    "lot": "lots",
    "input_log": "log blocks",
    "ledger_block": "sealed blocks",
    "more_breaks": "more breaks",
    "milliseconds": "ms",
}
_SCOPES = {"nightly": "Nightly", "new": "What is new"}


def show() -> None:
    """The last checks of ledger, holds, orders, fills and positions against each other."""
    if st.button("Check the books now", icon=":material/fact_check:"):
        with st.spinner("Comparing ledger, holds, orders, fills and positions …"):
            verify.run(room.floor(), room.actor())
    found = queries.reconciliations(room.floor(), room.actor(), 10)
    now_ns = room.now_ns()
    rows = [
        Row(
            [
                formats.moment(each["ts_ns"], now_ns),
                _SCOPES.get(each["scope"], "Check"),
                ("Books agree", "up") if each["ok"] else (f"{len(each['breaks'])} breaks", "down"),
                (", ".join(_counted(what, count) for what, count in each["counts"].items()), "dim"),
            ]
        )
        for each in found
    ]
    empty = "The books have not been checked yet. Check them now; the nightly run does it too."
    table("reconciliations", ["When", "Kind", "Result", "=Looked at"], rows, empty)
    for broken in found[0]["breaks"] if found else []:
        st.error(
            f"{broken['check']}: {broken['subject']} should be {broken['expected']}, is {broken['found']}",
            icon=":material/report:",
        )


def _counted(what: str, count: int) -> str:
    word = _COUNTED.get(what, what.replace("_", " "))
    return f"{count:,} {word.removesuffix('s') if count == 1 and word != 'ms' else word}"
