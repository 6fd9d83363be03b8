"""Health of every process of the floor."""

from datetime import timedelta

import streamlit as st

from app import formats, frame, room
from app.components.table import Row, table
from trading.services import queries

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
    "clerk": "Clerk",
    "market": "Market SIM",
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "dagster-code": "Dagster code server",
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
def show() -> None:
    """One row a process."""
    now = room.floor().clock.now()
    rows = []
    for each in queries.processes(room.floor(), room.actor()):
        late = (now - each["beat_at"]).total_seconds() > 15
        known = _STATES.get(each["state"], (each["state"].capitalize(), ""))
        state = ("No sign of life", "down") if late and each["state"] == "running" else known
        numbers = [f"{each['detail'][key]:,} {word}" for key, word in _FIGURES.items() if key in each["detail"]]
        outages = each["detail"].get("outages", {"times": 0})
        if outages["times"]:
            numbers.append(f"{outages['times']} × without a server, last for {outages['last_s']} s")
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
