"""The admin's page: health of every process, the kill switch, the reconciliation."""

from datetime import timedelta

import streamlit as st

from app import formats, frame, room
from app.components import kill_switch
from app.components.table import Row, table
from trading.services import queries, verify

_STATES = {
    "running": ("Running", "up"),
    "starting": ("Starting", "warn"),
    "backing_off": ("Restarting", "warn"),
    "waiting": ("Waiting", "dim"),
    "done": ("Done", "dim"),
    "stopped": ("Stopped", "dim"),
    "failed": ("Failed", "down"),
}
_NAMES = {
    "app": "App",
    "broker": "Paper broker",
    "market": "Market SIM",
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "dagster-webserver": "Dagster",
}
_FIGURES = {
    "inputs": "inputs",
    "fills": "fills",
    "open_orders": "open orders",
    "instruments": "instruments",
    "ticks": "ticks",
    "bars": "bars",
}


@st.fragment(run_every=timedelta(seconds=2))
@frame.guarded
def health() -> None:
    """One row a process."""
    now = room.floor().clock.now()
    rows = []
    for each in queries.processes(room.floor(), room.actor()):
        late = (now - each["beat_at"]).total_seconds() > 15
        known = _STATES.get(each["state"], (each["state"].capitalize(), ""))
        state = ("No sign of life", "down") if late and each["state"] == "running" else known
        numbers = [f"{each['detail'][key]:,} {word}" for key, word in _FIGURES.items() if key in each["detail"]]
        rows.append(
            Row(
                [
                    (_NAMES.get(each["name"], each["name"].replace("-", " ").capitalize()), "strong"),
                    state,
                    formats.ago(each["started_at"], now),
                    formats.ago(each["beat_at"], now),
                    (str(each["restarts"]), "warn" if each["restarts"] else ""),
                    (" · ".join(numbers), "dim"),
                ]
            )
        )
    empty = "No process has reported yet. Open the floor with `make up`; they appear here as they start."
    table("processes", ["Process", "State", "Started", "Last seen", ">Restarts", "=Figures"], rows, empty)


def reconciliation() -> None:
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
                "Nightly" if each["scope"] == "nightly" else "Check",
                ("Books agree", "up") if each["ok"] else (f"{len(each['breaks'])} breaks", "down"),
                (", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in each["counts"].items()), "dim"),
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


left, right = st.columns([2, 1], gap="large")
with left:
    st.subheader("Processes", anchor=False)
    health()
    st.subheader("Reconciliation", anchor=False)
    reconciliation()
with right:
    kill_switch.show(room.actor())
