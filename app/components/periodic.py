"""The clerk's periodic work: what ran when, how long it took, what came of it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from app import formats, frame, room
from app.components.table import Row, table
from trading.services import queries


@st.fragment(run_every=timedelta(seconds=2))
@frame.guarded
def show() -> None:
    """One row a job."""
    now = room.floor().clock.now()
    processes = queries.processes(room.floor(), room.actor())
    detail: Mapping[str, Any] = next((each["detail"] for each in processes if each["name"] == "clerk"), {})
    rows = [
        Row(
            [
                (job["name"].replace("-", " ").capitalize(), "strong"),
                ("Working", "up") if job["ok"] else ("Failing", "down"),
                f"{job['every_s']:g} s",
                formats.ago(datetime.fromtimestamp(job["at_ns"] / 1e9, UTC), now) if job["runs"] else "not yet",
                f"{job['took_ms']:,.0f} ms",
                (f"{job['failures']:,}", "warn" if job["failures"] else ""),
                (job["result"], "dim"),
            ]
        )
        for job in detail.get("jobs", ())
    ]
    empty = "The clerk has reported no work yet. Its jobs appear here when the floor is open."
    table("periodic", ["Job", "State", ">Every", "Last run", ">Took", ">Failed", "=Result"], rows, empty)
