"""The lake: immutable Parquet files plus a manifest row each in Postgres."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from trading.market.bar_table import RawTable


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


class Sources(Protocol):
    """Files that people bring, before they are in the lake. Refusals are `trading.market.bar_table.FileRefused`."""

    def sha256(self, path: Path) -> str:
        """Hash of the file's bytes."""
        ...

    def read(self, path: Path) -> RawTable:
        """A CSV (gzipped or not) or Parquet file as a table, nothing interpreted."""
        ...

    def settled_files(self, inbox_dir: Path, now: datetime) -> Sequence[Path]:
        """Files in a folder that nobody has written to for two seconds."""
        ...

    def file_away(self, path: Path, *, taken: bool, report: Mapping[str, Any]) -> Path:
        """Move a file beside its report into ``taken/`` or ``refused/``; returns where it went."""
        ...


class LakeStore(Protocol):
    """Write whole files atomically, read through in-memory DuckDB over the manifest's live files."""

    @property
    def sources(self) -> Sources:
        """Where files come from."""
        ...

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

    def changing(self, dataset: str, series: str) -> AbstractContextManager[None]:
        """Hold a series while it is read, merged and written, so that two of these cannot lose each other's rows."""
        ...

    def sweep(self, *, grace_s: float = 3600.0, retired_grace_s: float = 86_400.0) -> int:
        """Remove orphan and long-retired files; returns how many."""
        ...

    def taken_reports(self, sha256: str) -> Sequence[dict[str, Any]]:
        """Reports of files with this content that were taken, newest first."""
        ...

    def record_ingest(self, report: Mapping[str, Any]) -> int:
        """Keep the report of one ingested file; returns its id."""
        ...

    def ingest_reports(self, limit: int = 50) -> Sequence[dict[str, Any]]:
        """Newest first."""
        ...
