"""What assets show in Dagster's UI: data versions, tables and small plots as Markdown."""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from dagster import DataVersion, MarkdownMetadataValue, MetadataValue

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GRID = "#1f2933", "#e4e7eb"
COLOURS = ("#2563eb", "#9aa5b1", "#d97706", "#059669", "#7c3aed", "#dc2626")


def version(hashes: Iterable[str]) -> DataVersion:
    """One short data version of several content hashes, in any order."""
    return DataVersion(hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:12])


def table(frame: pd.DataFrame, most_rows: int = 40) -> MarkdownMetadataValue:
    """A frame as a Markdown table; floats with four significant digits, pipes in text escaped."""
    shown = frame.head(most_rows)
    lines = [_row(shown.columns), _row(["---"] * len(shown.columns))]
    lines += [_row(values) for values in shown.itertuples(index=False)]
    if len(frame) > most_rows:
        lines.append(f"\n{len(frame) - most_rows} more rows")
    return MetadataValue.md("\n".join(lines))


def _row(values: Sequence[object]) -> str:
    return "| " + " | ".join(_cell(value) for value in values) + " |"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def lines(title: str, series: Mapping[str, pd.Series], *, percent: bool = False) -> MarkdownMetadataValue:
    """A line plot over time, at most some 500 points a line: money and prices on a log scale, or shares in percent."""
    from matplotlib.figure import Figure  # only a run that plots pays for the import
    from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

    figure = Figure(figsize=(8.0, 3.2), dpi=90, layout="constrained")
    axes = figure.subplots()
    for colour, (name, values) in zip(COLOURS * 9, series.items(), strict=False):
        thin = values.iloc[:: max(1, len(values) // 500)]
        axes.plot(thin.index, thin.to_numpy(), label=name, color=colour, linewidth=1.2)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.grid(color=GRID, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if series:
        axes.legend(frameon=False, fontsize=8, ncols=min(len(series), 6))
    return _image(figure, title)


def bars(title: str, values: pd.Series) -> MarkdownMetadataValue:
    """Horizontal bars, the first row on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 0.6 + 0.26 * len(values)), dpi=90, layout="constrained")
    axes = figure.subplots()
    axes.barh([str(name) for name in values.index], values.to_numpy(), color=COLOURS[0])
    axes.invert_yaxis()
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return _image(figure, title)


def _image(figure: "Figure", title: str) -> MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
