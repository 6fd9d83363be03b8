"""The realism report: one HTML file with plots of the simulated market beside real history, and its bands."""

import html
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from trading.market.profiles import Profile
from trading.market.realism import LAGS, Band, Facts, autocorrelation
from trading.market.simulator_prices import Floats
from trading.market.ticks import QUOTE, TRADE, Ticks
from trading.processes.real_history import RealHistory

SHOWN: Final = ("AAPL", "MSFT", "EURUSD", "BTCUSD")
"""Instruments whose minutes and days are drawn."""
SIMULATED, REAL, BUY, SELL = "#2a6fbb", "#c4731d", "#1d8a4e", "#b3362b"
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c2430}
p{max-width:52rem}table{border-collapse:collapse;font-size:13px}
td,th{padding:.15rem .6rem;text-align:right;border-bottom:1px solid #dde3ea}
td:first-child,th:first-child{text-align:left}.no{background:#fbe1de;font-weight:600}
"""


def page(
    profiles: Sequence[Profile],
    facts: Sequence[Facts],
    checked: Sequence[Sequence[Band]],
    hourly: Floats,
    tape: Ticks,
    real: RealHistory,
    about: str,
) -> str:
    """The whole page; it needs nothing from the network."""
    kept = sum(band.kept for bands in checked for band in bands)
    total = sum(len(bands) for bands in checked)
    parts = [
        _plot(_minutes(profiles, tape), True),
        _plot(_days(profiles, hourly)),
        _plot(_returns(profiles, facts, real)),
        _plot(_quotes(profiles, facts, real)),
    ]
    words = (
        "Blue is the simulated venue, orange real history where it is at hand. Returns are in standard deviations, so"
        " that instruments can be laid over each other."
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>The simulated market</title>"
        f"<style>{_STYLE}</style><h1>The simulated market, measured</h1><p>{html.escape(about)}</p>"
        f"<p><b>{kept} of {total} bands kept.</b> {words}</p>{''.join(parts)}"
        f"<h2>Bands</h2>{_table(profiles, checked)}</html>"
    )


def _plot(figure: go.Figure, with_library: bool = False) -> str:
    text: str = figure.to_html(full_html=False, include_plotlyjs=with_library)
    return text


def _table(profiles: Sequence[Profile], checked: Sequence[Sequence[Band]]) -> str:
    heads = "".join(
        f"<th>{html.escape(band.name)}<br>{band.low:.2g} to {band.high:.2g}</th>".replace("to inf", "or more")
        for band in checked[0]
    )
    rows = "".join(
        f"<tr><td>{html.escape(profile.symbol)}</td>"
        + "".join(f"<td class='{'' if band.kept else 'no'}'>{band.value:.3f}</td>" for band in bands)
        + "</tr>"
        for profile, bands in zip(profiles, checked, strict=True)
    )
    return f"<table><tr><th>Instrument</th>{heads}</tr>{rows}</table>"


def _styled(figure: go.Figure, title: str, height: int) -> go.Figure:
    figure.update_layout(
        title=title, height=height, template="plotly_white", showlegend=False, margin={"l": 60, "r": 20}
    )
    return figure


def _shown(profiles: Sequence[Profile]) -> list[tuple[int, Profile]]:
    return [(place, profile) for place, profile in enumerate(profiles) if profile.symbol in SHOWN]


def _minutes(profiles: Sequence[Profile], tape: Ticks) -> go.Figure:
    """Bid, ask and trades of some minutes."""
    shown = _shown(profiles)
    figure = make_subplots(rows=len(shown), cols=1, subplot_titles=[each.symbol for _, each in shown])
    for row, (place, profile) in enumerate(shown, 1):
        own, tick = tape[tape["instrument_id"] == place], float(profile.tick_size)
        minute = (own["ts_ns"] - tape["ts_ns"][0]) / 60e9
        quotes = (own["kind"] & QUOTE) != 0
        for name, color in (("bid", BUY), ("ask", SELL)):
            line = {"color": color, "width": 1, "shape": "hv"}
            figure.add_scatter(
                x=minute[quotes], y=own[f"{name}_ticks"][quotes] * tick, name=name, line=line, row=row, col=1
            )
        for way, color in ((1, BUY), (-1, SELL)):
            at = ((own["kind"] & TRADE) != 0) & (own["aggressor"] == way)
            marker = {"color": color, "size": 3}
            figure.add_scatter(
                x=minute[at], y=own["trade_ticks"][at] * tick, mode="markers", marker=marker, row=row, col=1
            )
    return _styled(figure, "Minutes: bid, ask and trades, by minute", 220 * len(shown) + 100)


def _days(profiles: Sequence[Profile], hourly: Floats) -> go.Figure:
    """The first two weeks by hour, and all days."""
    shown = _shown(profiles)
    titles = [f"{each.symbol}, {what}" for _, each in shown for what in ("fourteen days", "all days")]
    figure = make_subplots(rows=len(shown), cols=2, subplot_titles=titles)
    for row, (place, profile) in enumerate(shown, 1):
        prices, line = hourly[:, place] * float(profile.tick_size), {"color": SIMULATED, "width": 1}
        first, whole = prices[: 14 * 24], prices[::24]
        figure.add_scatter(x=np.arange(len(first)) / 24, y=first, line=line, row=row, col=1)
        figure.add_scatter(x=np.arange(len(whole)), y=whole, line=line, row=row, col=2)
    return _styled(figure, "Days", 220 * len(shown) + 100)


def _standard(values: Floats) -> Floats:
    standard: Floats = (values - values.mean()) / values.std()
    return standard


def _returns(profiles: Sequence[Profile], facts: Sequence[Facts], real: RealHistory) -> go.Figure:
    """Tails, volatility clustering, serial correlation, and volatility against the profile's."""
    titles = ["Density of daily returns, log scale", "Autocorrelation of |returns|"]
    titles += ["Autocorrelation of returns", "Daily volatility: profile and simulated"]
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles)
    simulated = {each.symbol: each.returns for each in facts}
    lags = np.arange(1, LAGS + 1)
    for returns, color in ((simulated, SIMULATED), (real.returns, REAL)):
        if returns:
            together = np.concatenate([_standard(each) for each in returns.values()])
            density, edges = np.histogram(together, bins=np.linspace(-10, 10, 81), density=True)
            where = density > 0
            line: dict[str, Any] = {"color": color}
            figure.add_scatter(x=(edges[:-1] + edges[1:])[where] / 2, y=density[where], line=line, row=1, col=1)
            for col, size in ((2, True), (1, False)):
                each = [autocorrelation(np.abs(values) if size else values) for values in returns.values()]
                figure.add_scatter(x=lags, y=np.mean(each, axis=0), line=line, row=1 if size else 2, col=col)
    grid = np.linspace(-10, 10, 201)
    normal = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    figure.add_scatter(x=grid, y=normal, line={"color": "#888", "dash": "dot"}, row=1, col=1)
    figure.update_yaxes(type="log", range=[-6, 0], row=1, col=1)
    figure.update_yaxes(range=[-0.3, 0.3], row=2, col=1)
    wanted, found = [each.daily_volatility for each in profiles], [each.volatility for each in facts]
    names = [each.symbol for each in profiles]
    figure.add_scatter(
        x=wanted, y=found, text=names, mode="markers", marker={"color": SIMULATED, "size": 6}, row=2, col=2
    )
    for share in (0.8, 1.0, 1.2):
        ends = np.array([min(wanted), max(wanted)])
        figure.add_scatter(x=ends, y=share * ends, line={"color": "#888", "dash": "dot", "width": 1}, row=2, col=2)
    return _styled(figure, "Returns", 760)


def _quotes(profiles: Sequence[Profile], facts: Sequence[Facts], real: RealHistory) -> go.Figure:
    """Spreads, depth and the directions of trades."""
    titles = [f"Spread of {symbol} in ticks" for symbol in ("EURUSD", "XAUUSD", "BTCUSD")]
    titles += ["Depth by level / profile's size", "Autocorrelation of trade signs", "Best size / profile's size"]
    figure = make_subplots(rows=2, cols=3, subplot_titles=titles)
    by_symbol = {each.symbol: each for each in facts}
    for col, symbol in enumerate(("EURUSD", "XAUUSD", "BTCUSD"), 1):
        own = by_symbol[symbol].spreads if symbol in by_symbol else np.zeros(0)
        for spreads, color in ((own, SIMULATED), (real.spreads.get(symbol, np.zeros(0)), REAL)):
            if len(spreads):
                top = np.quantile(spreads, 0.99)
                counts, edges = np.histogram(spreads[spreads <= top], bins=40, density=True)
                marker = {"color": color, "opacity": 0.55}
                figure.add_bar(x=(edges[:-1] + edges[1:]) / 2, y=counts, marker=marker, row=1, col=col)
    sizes = np.array([profile.size_lots for profile in profiles], dtype=float)
    depth = np.array([each.depth for each in facts]) / sizes[:, None]
    figure.add_bar(x=np.arange(1, depth.shape[1] + 1), y=depth.mean(axis=0), marker={"color": SIMULATED}, row=2, col=1)
    lags = np.arange(1, LAGS + 1)
    signs = np.mean([each.signs for each in facts], axis=0)
    figure.add_scatter(x=lags, y=signs, line={"color": SIMULATED}, row=2, col=2)
    if real.signs is not None:
        figure.add_scatter(x=lags, y=real.signs, line={"color": REAL}, row=2, col=2)
    figure.add_histogram(x=depth[:, 0], marker={"color": SIMULATED}, row=2, col=3)
    figure.update_layout(barmode="overlay")
    return _styled(figure, "Quotes, depth and trades", 760)
