"""Kept backtests: figures, equity against benchmark, trades."""

import pandas as pd
import streamlit as st

from app import charts, formats, frame, room
from app.components.table import Row, table
from trading.domain.money import minor_to_decimal
from trading.services import research
from trading.services.access import Actor

NAMES = {
    "sma_cross": "Moving-average cross",
    "model_signals": "Model's signals",
    "xgboost_direction": "XGBoost, direction",
}
WAITING = (
    "The first pipeline run is still going on in the background: it reads the shipped price history, trains the model "
    "and tests both strategies. Results appear here when it is done, usually within a few minutes."
)


def title(name: str) -> str:
    """A strategy's name for people."""
    return NAMES.get(name, name.replace("_", " ").capitalize())


def show(who: Actor) -> None:
    """One backtest at a time, picked by name."""
    found = {each.name: each for each in research.backtests(room.floor(), who)}
    if not found:
        st.info(WAITING, icon=":material/hourglass_top:")
        return
    picked = st.segmented_control(
        "Strategy", list(found), default=next(iter(found)), format_func=title, key="backtest", required=True
    )
    detail = research.backtest(room.floor(), who, picked)
    summary, numbers = detail.summary, detail.summary.metrics
    st.caption(
        f"{', '.join(summary.symbols)} · real daily prices, {summary.first:%d %b %Y} to {summary.last:%d %b %Y} · "
        "orders fill at the next open, fees included"
    )
    frame.strip(
        [
            ("Total return", formats.share(numbers.get("total_return"), 1)),
            ("A year", _percent(numbers.get("cagr"))),
            ("Volatility", _percent(numbers.get("volatility"), sign=False)),
            ("Sharpe ratio", _plain(numbers.get("sharpe"))),
            ("Deepest drawdown", _percent(-abs(numbers.get("max_drawdown") or 0.0))),
            ("Winning lots", _percent(numbers.get("hit_rate"), sign=False)),
            ("Trades", f"{int(numbers.get('fills') or 0):,}"),
            ("Fees", formats.money(minor_to_decimal(int(numbers.get("fees") or 0), summary.scale), summary.currency)),
        ]
    )
    factor = 10**-summary.scale
    curve = detail.equity
    st.plotly_chart(
        charts.against(curve["ts"], curve["equity"] * factor, curve["benchmark"] * factor, f"backtest-{picked}"),
        config=charts.CONFIG,
        key="backtest_equity",
        theme=None,
    )
    st.caption("Blue: the strategy. Grey: the same money held in equal parts of all symbols, without costs.")
    st.markdown("**Latest trades**")
    _trades(detail.fills, summary)


def _trades(fills: pd.DataFrame, summary: research.BacktestSummary) -> None:
    rows = [
        Row(
            [
                f"{fill.ts:%d %b %Y}",
                (str(fill.symbol), "strong"),
                formats.side(str(fill.side)),
                f"{fill.quantity_lots:,}",
                f"{fill.price:,.2f}",
                formats.money(minor_to_decimal(int(fill.notional), summary.scale), summary.currency),
                formats.money(minor_to_decimal(int(fill.fee), summary.scale), summary.currency),
            ]
        )
        for fill in fills.tail(50).iloc[::-1].itertuples()
    ]
    columns = ["Day", "Symbol", "Side", ">Shares", ">Price", ">Value", ">Fee"]
    table("backtest_trades", columns, rows, "This strategy never traded.")


def _percent(value: float | None, *, sign: bool = True) -> str:
    if value is None:
        return "–"
    return formats.percent(value, 1) if sign else f"{value * 100:.1f} %"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")
