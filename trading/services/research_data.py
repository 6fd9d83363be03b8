"""What the lake holds, for screens and pipelines: series, bars, reports of ingested files."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from trading.domain.errors import NotFound
from trading.market.adjust import adjusted
from trading.market.bar_table import BarKind
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

SIM_BARS = "sim_bars"
_DATASETS = (str(BarKind.TRADE), str(BarKind.QUOTE), SIM_BARS)
_EVERYONE = dict.fromkeys(Role, Reach.NO_PORTFOLIO)
_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.TRADER: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@operation(_EVERYONE)
def series_list(floor: Floor, actor: Actor) -> list[dict[str, Any]]:
    """Every series of bars, by dataset and name.

    Each: ``dataset``, ``series``, ``source``, ``symbol``, ``resolution``, ``rows``, ``first`` and ``last`` (UTC
    timestamps of the first and last bar), ``simulated``.
    """
    del actor
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for dataset in _DATASETS:
        for file in floor.lake.files(dataset):
            source, symbol, resolution = file.series.split("/")
            entry = entries.setdefault(
                (dataset, file.series),
                {
                    "dataset": dataset,
                    "series": file.series,
                    "source": source,
                    "symbol": symbol,
                    "resolution": resolution,
                    "rows": 0,
                    "first": None,
                    "last": None,
                    "simulated": dataset == SIM_BARS,
                },
            )
            entry["rows"] += file.rows
            if file.ts_min_ns is not None and file.ts_max_ns is not None:
                first, last = (pd.Timestamp(ns, unit="ns", tz="UTC") for ns in (file.ts_min_ns, file.ts_max_ns))
                entry["first"] = first if entry["first"] is None else min(first, entry["first"])
                entry["last"] = last if entry["last"] is None else max(last, entry["last"])
    return [entries[key] for key in sorted(entries)]


@operation(_EVERYONE)
def bars(floor: Floor, actor: Actor, series: str, *, dataset: str | None = None, adjust: bool = False) -> pd.DataFrame:
    """Bars of a series ``source/symbol/resolution`` by ``ts`` (``datetime64[ns, UTC]``, start of the bar).

    ``dataset`` is found by the series' name unless given: ``sim_bars`` for the simulated venue, else ``bars`` before
    ``quote_bars``. ``adjust`` scales prices by ``adj_close`` (see `trading.market.adjust.adjusted`): for features and
    charts of returns, never for fills. Raises `NotFound`.
    """
    del actor
    found = _datasets(series) if dataset is None else (dataset,)
    for name in found:
        if floor.lake.files(name, series):
            frame = floor.lake.read(name, series)
            return adjusted(frame) if adjust else frame
    raise NotFound(f"the lake has no series {series[:80]!r}", "no_series")


@operation(_STAFF)
def ingest_reports(floor: Floor, actor: Actor, limit: int = 50) -> Sequence[dict[str, Any]]:
    """Reports of ingested files, newest first, as `trading.services.ingest.IngestReport.as_json` plus id and time."""
    del actor
    return floor.lake.ingest_reports(limit)


def _datasets(series: str) -> tuple[str, ...]:
    return (SIM_BARS,) if series.startswith("SIM/") else (str(BarKind.TRADE), str(BarKind.QUOTE))
