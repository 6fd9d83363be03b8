"""The lake: immutable Parquet files plus a manifest row each in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A manifest row. ``series`` is ``source/symbol/resolution`` where the data is a series, else empty."""

    id: int
    dataset: str
    series: str
    path: str
    sha256: str
    rows: int
    ts_min_ns: int | None
    ts_max_ns: int | None
    meta: Mapping[str, Any]


class LakeStore(Protocol):
    """Write whole files atomically, read through in-memory DuckDB over the manifest's live files."""

    def write(
        self,
        dataset: str,
        series: str,
        frame: pd.DataFrame,
        *,
        meta: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> LakeFile:
        """Stage, fsync, rename to a content-hashed name, then insert the manifest row.

        With ``replace`` the row retires all live files of the same dataset and series in the same transaction. The
        same content written twice is one file and one row.
        """
        ...

    def read(self, dataset: str, series: str = "") -> pd.DataFrame:
        """All live rows of a series (of the whole dataset where ``series`` is empty), ordered by ``ts`` if present."""
        ...

    def query(self, sql: str, datasets: Sequence[str], parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """SQL over views named like the datasets, in a locked-down in-memory DuckDB."""
        ...

    def files(self, dataset: str, series: str = "") -> Sequence[LakeFile]:
        """Live manifest rows, oldest first."""
        ...

    def record_ingest(self, report: Mapping[str, Any]) -> int:
        """Keep the report of one ingested file; returns its id."""
        ...

    def ingest_reports(self, limit: int = 50) -> Sequence[dict[str, Any]]:
        """Newest first."""
        ...
