"""What the pipelines found: backtests, models, and how their runs go."""

from datetime import timedelta

import streamlit as st

from app import formats, frame, room
from app.components import backtests, models
from app.components.table import Row, table
from trading.domain.errors import Unavailable
from trading.services import research

_STATES = {
    "queued": ("Waiting", "dim"),
    "running": ("Running", "warn"),
    "succeeded": ("Done", "up"),
    "failed": ("Failed", "down"),
    "cancelled": ("Cancelled", "dim"),
}


@st.fragment(run_every=timedelta(seconds=5))
@frame.guarded
def runs() -> None:
    """The pipelines' runs, newest first."""
    try:
        found = research.pipeline_runs(room.floor(), room.actor(), 15)
    except Unavailable:
        st.info("The pipelines are still starting. Their runs appear here in a moment.", icon=":material/schedule:")
        return
    now = room.floor().clock.now()
    rows = [
        Row(
            [
                (run.job.replace("_", " ").capitalize(), "strong"),
                _STATES.get(run.state, (run.state.capitalize(), "")),
                formats.ago(formats.at(run.started_s), now) if run.started_s else "not yet",
                formats.lasted(run.started_s, run.ended_s, now.timestamp()),
            ]
        )
        for run in found
    ]
    empty = "No run yet. The first one starts by itself when the floor opens; the nightly one follows every night."
    table("runs", ["Run", "State", "Started", ">Took"], rows, empty)


who = room.actor()
view = frame.part(["Backtests", "Models", "Pipeline runs"], "research_view")
if view == "Pipeline runs":
    runs()
elif view == "Models":
    models.show(who)
else:
    backtests.show(who)
