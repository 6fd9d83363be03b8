"""Plotly figures in the app's look. `uirevision` keeps zoom and pan when the data moves."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from app.formats import percent, zone
from trading.services.performance import EquityPoint, MonthlyReturn, drawdowns, growth

UP, DOWN, ACCENT, GRID, TEXT = "#2ebd85", "#f0616d", "#4c8dff", "#212832", "#a9b4c2"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CONFIG = {"displaylogo": False, "displayModeBar": False, "scrollZoom": True, "doubleClick": "reset"}
"""For `st.plotly_chart`: wheel zooms, drag pans, double click shows all again."""


def _dressed(figure: go.Figure, height_px: int, revision: str) -> go.Figure:
    figure.update_layout(
        height=height_px,
        margin={"l": 4, "r": 4, "t": 8, "b": 4},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": TEXT, "size": 12, "family": "Source Sans, sans-serif"},
        hovermode="x unified",
        hoverlabel={"bgcolor": "#161b22", "bordercolor": "#30363f", "font": {"color": "#d7dde5"}},
        dragmode="pan",
        showlegend=False,
        uirevision=revision,
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, showline=False, tickangle=0, nticks=6, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, showline=False, side="right", automargin=True)
    return figure


def candles(bars: pd.DataFrame, revision: str, places: int, height_px: int = 430) -> go.Figure:
    """Candlesticks over volume out of columns ts, open, high, low, close, volume."""
    rising = bars["close"] >= bars["open"]
    figure = go.Figure(
        [
            go.Candlestick(
                x=bars["ts"],
                open=bars["open"],
                high=bars["high"],
                low=bars["low"],
                close=bars["close"],
                name="",
                increasing={"line": {"color": UP, "width": 1}, "fillcolor": UP},
                decreasing={"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
            ),
            go.Bar(
                x=bars["ts"],
                y=bars["volume"],
                yaxis="y2",
                name="Volume",
                marker={"color": rising.map({True: UP, False: DOWN}), "opacity": 0.35, "line": {"width": 0}},
                hovertemplate="%{y:,.0f}",
            ),
        ]
    )
    figure.update_layout(
        yaxis={"domain": [0.2, 1], "tickformat": f",.{places}f", "hoverformat": f",.{places}f"},
        yaxis2={"domain": [0, 0.16], "showticklabels": False, "showgrid": False},
        xaxis={"rangeslider": {"visible": False}, "anchor": "y2"},
    )
    if len(bars):
        last = float(bars["close"].iloc[-1])
        figure.add_hline(y=last, line={"color": ACCENT, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=1,
            xref="paper",
            xanchor="left",
            y=last,
            text=f"{last:,.{places}f}",
            showarrow=False,
            font={"color": "#ffffff", "size": 11},
            bgcolor=ACCENT,
            borderpad=2,
        )
    dressed = _dressed(figure, height_px, revision)
    dressed.update_layout(margin={"l": 4, "r": 64, "t": 8, "b": 34})
    return dressed


def against(when: pd.Series, own: pd.Series, benchmark: pd.Series, revision: str) -> go.Figure:
    """A strategy's equity and its benchmark over time, on a logarithmic axis: equal steps are equal percentages."""
    figure = go.Figure(
        [
            go.Scatter(x=when, y=benchmark, name="Held", mode="lines", line={"color": "#6b7686", "width": 1.2}),
            go.Scatter(x=when, y=own, name="Strategy", mode="lines", line={"color": ACCENT, "width": 2}),
        ]
    )
    low, high = (pick(own.min(), benchmark.min(), own.max(), benchmark.max()) for pick in (min, max))
    round_numbers = [step * 10**power for power in range(-2, 15) for step in (1, 2, 5)]
    figure.update_yaxes(
        type="log",
        tickvals=[value for value in round_numbers if low / 1.5 <= value <= high * 1.5],
        tickformat=",.0f",
        hoverformat=",.0f",
    )
    return _dressed(figure, 380, revision)


def shares(names: pd.Series, values: pd.Series) -> go.Figure:
    """Horizontal bars of shares of one, largest on top, each with its percentage."""
    figure = go.Figure(
        go.Bar(
            x=values * 100,
            y=names,
            orientation="h",
            marker={"color": ACCENT},
            text=[f"{value * 100:.0f} %" for value in values],
            textposition="auto",
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    )
    dressed = _dressed(figure, 60 + 26 * max(1, len(names)), "shares")
    dressed.update_layout(hovermode="closest", dragmode=False)
    dressed.update_yaxes(side="left", autorange="reversed", showgrid=False)
    dressed.update_xaxes(showticklabels=False, showgrid=False, fixedrange=True)
    return dressed


def equity(points: Sequence[EquityPoint], revision: str, currency: str) -> go.Figure:
    """Equity over time, cash below it as a faint line."""
    when = _when(points)
    figure = go.Figure(
        [
            go.Scatter(
                x=when,
                y=[float(point.equity) for point in points],
                name="Equity",
                mode="lines" if len(points) > 1 else "markers",
                line={"color": ACCENT, "width": 2},
            )
        ]
    )
    # A flat curve would be drawn with cents on its axis: show at least a tenth of a percent of the equity.
    low, high = (float(pick(point.equity for point in points)) for pick in (min, max))
    room = max((high - low) * 0.12, high * 0.0005, 0.5)
    figure.update_yaxes(
        tickformat=",.0f", hoverformat=",.2f", range=[low - room, high + room], title={"text": currency}
    )
    return _dressed(figure, 320, revision)


def drawdown(points: Sequence[EquityPoint], revision: str) -> go.Figure:
    """How far below the best value so far, in percent."""
    when = _when(points)
    fallen = [value * 100 for value in drawdowns(points)]
    figure = go.Figure(
        go.Scatter(
            x=when,
            y=fallen,
            name="Drawdown",
            mode="lines",
            fill="tozeroy",
            line={"color": DOWN, "width": 1},
            fillcolor="rgba(240,97,109,.18)",
        )
    )
    figure.update_yaxes(ticksuffix=" %", hoverformat=".2f", range=[min([*fallen, -0.05]) * 1.15, 0])
    return _dressed(figure, 170, revision)


def months(returns: Sequence[MonthlyReturn]) -> go.Figure:
    """A year a row, a month a column; the figure is written in each cell, so that colour is not the only hint."""
    years = sorted({each.year for each in returns}, reverse=True)
    values = {(each.year, each.month): each.value * 100 for each in returns}
    grid = [[values.get((year, month)) for month in range(1, 13)] for year in years]
    written = [["" if value is None else percent(value / 100).removesuffix(" %") for value in row] for row in grid]
    limit = max([abs(value) for value in values.values()] + [1.0])
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x=list(MONTHS),
            y=[str(year) for year in years],
            text=written,
            texttemplate="%{text}",
            colorscale=[[0, "#8c2f3a"], [0.5, "#1b212a"], [1, "#1c7a55"]],
            zmin=-limit,
            zmax=limit,
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{x} %{y}: %{text} %<extra></extra>",
        )
    )
    dressed = _dressed(figure, 60 + 34 * max(1, len(years)), "months")
    dressed.update_layout(hovermode="closest", dragmode=False)
    dressed.update_yaxes(side="left", type="category", showgrid=False)
    dressed.update_xaxes(side="top", showgrid=False, fixedrange=True, nticks=12)
    return dressed


def total_return(points: Sequence[EquityPoint]) -> float:
    """Time-weighted return from the first point to the last."""
    grown = growth(points)
    return grown[-1] - 1 if grown else 0.0


def _when(points: Sequence[EquityPoint]) -> pd.DatetimeIndex:
    """Times of points as the viewer's clock shows them."""
    return pd.to_datetime([point.ts_ns for point in points], utc=True).tz_convert(zone()).tz_localize(None)
