"""Models of the newest walk-forward run: how well they guess out of sample, and what they look at."""

import streamlit as st

from app import charts, frame, room
from app.components.backtests import WAITING, title
from app.components.table import Row, table
from trading.services import research
from trading.services.access import Actor


def show(who: Actor) -> None:
    """One model after the other."""
    found = research.models(room.floor(), who)
    if not found:
        st.info(WAITING, icon=":material/hourglass_top:")
    for model in found:
        st.subheader(title(model.name), anchor=False)
        st.caption("Trained on the past, judged on the time after it. Baseline: always the training share.")
        scores = model.scores
        frame.strip(
            [
                ("Hit rate", _share(scores.get("hit_rate"))),
                ("Baseline hit rate", _share(scores.get("baseline_hit_rate"))),
                ("AUC (0.5 is chance)", _plain(scores.get("auc"))),
                ("Log loss", _plain(scores.get("log_loss"), 4)),
                ("Baseline log loss", _plain(scores.get("baseline_log_loss"), 4)),
            ]
        )
        left, right = st.columns([1.5, 1], gap="large")
        with left:
            st.markdown("**Fold by fold**")
            _folds(model)
        with right:
            st.markdown("**What it looks at**")
            st.plotly_chart(
                charts.shares(model.importance["feature"].map(_feature), model.importance["gain"]),
                config=charts.CONFIG,
                key=f"importance_{model.name}",
                theme=None,
            )


def _folds(model: research.ModelSummary) -> None:
    rows = [
        Row(
            [
                f"{fold.test_start:%d %b %Y}",
                f"{fold.train_rows:,}",
                f"{fold.scored_rows:,}",
                _share(fold.hit_rate),
                _plain(fold.auc),
            ]
        )
        for fold in model.folds.itertuples()
    ]
    columns = ["Tested from", ">Days learned", ">Days judged", ">Hit rate", ">AUC"]
    table(f"folds_{model.name}", columns, rows, "No fold was long enough to judge.")


def _feature(name: str) -> str:
    """``sma_10_to_sma_50`` as ``SMA 10 to SMA 50``, ``volatility_60`` as ``Volatility 60``."""
    words = [word.upper() if word in ("sma", "rsi", "atr", "macd") else word for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _share(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value * 100:.1f} %"


def _plain(value: float | None, places: int = 3) -> str:
    return "–" if value is None or value != value else f"{value:.{places}f}"
