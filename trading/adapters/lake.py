"""The lake: immutable Parquet files, a manifest row each in Postgres, read through a locked-down in-memory DuckDB.

A write stages and fsyncs the file, renames it to a name made of its content's hash, and only then inserts the manifest
row, which is what readers go by. A kill at any line leaves the old data visible, or the new; at worst an orphan file
that nobody sees and `Lake.sweep` removes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import psycopg
from psycopg.types.json import Jsonb

from trading.adapters import lake_files
from trading.adapters.postgres.pool import Pool, connection_of
from trading.adapters.sources.local import LocalSources
from trading.domain.errors import Inconsistent, Invalid, NotFound
from trading.services.ports.lake import LakeFile

_COLUMNS = "id, dataset, series, path, sha256, rows, ts_min_ns, ts_max_ns, meta"
_BARS = "ts TIMESTAMPTZ_NS, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE, adj_close DOUBLE"
_QUOTES = "ts TIMESTAMPTZ_NS, " + ", ".join(
    f"{side}_{field} DOUBLE" for side in ("bid", "ask") for field in ("open", "high", "low", "close", "size")
)
# A dataset known here can be queried before its first file: the view is then empty but has its columns.
_EMPTY_VIEWS = {"bars": _BARS, "sim_bars": _BARS, "quote_bars": _QUOTES}


class Lake:
    """`trading.services.ports.lake.LakeStore` over a folder and the floor's database."""

    def __init__(self, root: Path, pool: Pool) -> None:
        self._root = root.resolve()
        self._pool = pool
        self._sources = LocalSources()

    @property
    def sources(self) -> LocalSources:
        """Files that people bring."""
        return self._sources

    # Write -----------------------------------------------------------------------------------------------------------

    def write(
        self,
        dataset: str,
        series: str,
        frame: pd.DataFrame,
        *,
        meta: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> LakeFile:
        """Stage, fsync, rename, then the manifest row; with ``replace`` older live rows of the series retire with it.

        Raises `Invalid` (bad names or frame) before anything is written, `Unavailable` when disk or database refuse.
        """
        lake_files.check_dataset(dataset)
        lake_files.check_series(dataset, series)
        table = lake_files.as_table(dataset, frame)
        staged = lake_files.stage(self._root, table)
        try:
            stored = lake_files.describe(staged, dataset, series, table)
            with connection_of(self._pool) as connection, connection.transaction():
                # Shared against `sweep`: a file between its rename and its row is not an orphan.
                connection.execute("select pg_advisory_xact_lock_shared(hashtextextended('lake', 0))")
                # One writer a series, so that two replacements cannot both stay live.
                connection.execute(
                    "select pg_advisory_xact_lock(hashtextextended('lake:' || %s || ':' || %s, 0))", (dataset, series)
                )
                lake_files.publish(self._root, staged, stored.path)
                return _insert(connection, dataset, series, stored, meta, replace)
        finally:
            staged.unlink(missing_ok=True)

    @contextmanager
    def changing(self, dataset: str, series: str) -> Iterator[None]:
        """Hold a series while it is read, merged and written; a second caller waits. Freed when the process dies."""
        key = f"change:{dataset}:{series}"
        with connection_of(self._pool) as connection:
            connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
            try:
                yield
            finally:
                if not connection.closed:
                    connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (key,))

    def sweep(self, *, grace_s: float = 3600.0, retired_grace_s: float = 86_400.0) -> int:
        """Remove staged leftovers and files without a manifest row older than ``grace_s``, and files retired longer
        than ``retired_grace_s`` ago (a reader may still have them open before). Returns how many files went.
        """
        removed = 0
        horizon_s = time.time() - grace_s
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute("select pg_advisory_xact_lock(hashtextextended('lake', 0))")
            rows = connection.execute(
                "select path from lake_file where retired_at is null or retired_at > now() - make_interval(secs => %s)",
                (retired_grace_s,),
            )
            keep = {self._root / path for (path,) in rows}
            for path in lake_files.parquet_files(self._root):
                if path not in keep and path.stat().st_mtime < horizon_s:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    # Read ------------------------------------------------------------------------------------------------------------

    def files(self, dataset: str, series: str = "") -> Sequence[LakeFile]:
        """Live manifest rows of a series, or of the whole dataset, oldest first."""
        with connection_of(self._pool) as connection:
            cursor = connection.execute(
                f"select {_COLUMNS} from lake_file where dataset = %s and (%s = '' or series = %s)"  # noqa: S608
                " and retired_at is null order by id",
                (dataset, series, series),
            )
            return [LakeFile(*row) for row in cursor]

    def read(self, dataset: str, series: str = "") -> pd.DataFrame:
        """Live rows of a series ordered by ``ts``; of the whole dataset (with a column ``series``) without one.

        An empty frame where there is nothing. Times are ``datetime64[ns, UTC]``.
        """
        files = self.files(dataset, series)
        with self._duckdb() as engine:
            columns = self._view(engine, dataset, files)
            hide = " exclude (series)" if series and "series" in columns else ""
            order = [name for name in (() if series else ("series",)) if name in columns]
            order += ["ts"] if "ts" in columns else []
            tail = f" order by {', '.join(order)}" if order else ""
            return _frame(engine, f"select *{hide} from {dataset}{tail}", ())  # noqa: S608 names are checked

    def query(self, sql: str, datasets: Sequence[str], parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """One SELECT over views named like the datasets, each with a column ``series``.

        `Invalid` (code ``bad_query``) when the SQL is not one SELECT or fails.
        """
        with self._duckdb() as engine:
            for dataset in datasets:
                self._view(engine, dataset, self.files(dataset))
            return _frame(engine, sql, parameters)

    def _view(self, engine: duckdb.DuckDBPyConnection, dataset: str, files: Sequence[LakeFile]) -> list[str]:
        """Make a view of the manifest's exact files; returns its columns."""
        lake_files.check_dataset(dataset)
        if not files:
            columns = _EMPTY_VIEWS.get(dataset, "ts TIMESTAMPTZ_NS")
            engine.execute(f"create table {dataset} (series VARCHAR, {columns})")
        else:
            paths = [str(self._root / file.path) for file in files]
            engine.execute("create table if not exists manifest_file (path VARCHAR, of_series VARCHAR)")
            rows = list(zip(paths, [file.series for file in files], strict=True))
            engine.executemany("insert into manifest_file values (?, ?)", rows)
            quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
            source = (
                f"read_parquet([{quoted}], union_by_name = true, filename = 'lake_path', hive_partitioning = false)"
            )
            try:
                own = [row[0] for row in engine.execute(f"describe select * from {source}").fetchall()]  # noqa: S608
            except duckdb.IOException as error:
                raise Inconsistent(f"a file of {dataset} named in the manifest is not there or damaged") from error
            series = "" if "series" in own else "m.of_series as series, "
            engine.execute(
                f"create view {dataset} as select {series}f.* exclude (lake_path)"  # noqa: S608
                f" from {source} f join manifest_file m on m.path = f.lake_path"
            )
        return [row[0] for row in engine.execute(f"describe {dataset}").fetchall()]

    @contextmanager
    def _duckdb(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """An engine that can read the lake's folder, nothing else, and cannot be talked out of it."""
        self._root.mkdir(parents=True, exist_ok=True)
        engine = duckdb.connect(":memory:")
        try:
            engine.execute("set TimeZone = 'UTC'")
            engine.execute("set python_enable_replacements = false")
            engine.execute("set allowed_directories = [$root]", {"root": f"{self._root}/"})
            engine.execute("set enable_external_access = false")
            engine.execute("set lock_configuration = true")
            yield engine
        finally:
            engine.close()

    # Reports of ingested files ---------------------------------------------------------------------------------------

    def record_ingest(self, report: Mapping[str, Any]) -> int:
        """Keep the report of one ingested file; returns its id."""
        counts = {name: int(report.get(name, 0)) for name in ("accepted", "quarantined", "refused")}
        with connection_of(self._pool) as connection:
            row = connection.execute(
                "insert into ingest_report (source, sha256, taken, accepted, quarantined, refused, report)"
                " values (%s, %s, %s, %s, %s, %s, %s) returning id",
                (
                    str(report["source"]),
                    str(report["sha256"]),
                    bool(report["taken"]),
                    counts["accepted"],
                    counts["quarantined"],
                    counts["refused"],
                    Jsonb(dict(report)),
                ),
            ).fetchone()
        if row is None:
            raise Inconsistent("the report's id did not come back")
        return int(row[0])

    def ingest_reports(self, limit: int = 50) -> Sequence[dict[str, Any]]:
        """Newest first, each with its id and time of recording (UTC)."""
        with connection_of(self._pool) as connection:
            cursor = connection.execute(
                "select id, created_at, report from ingest_report order by id desc limit %s", (limit,)
            )
            return [{**report, "id": key, "created_at": created.isoformat()} for key, created, report in cursor]

    def taken_reports(self, sha256: str) -> Sequence[dict[str, Any]]:
        """Reports of files with this content that were taken, newest first."""
        with connection_of(self._pool) as connection:
            cursor = connection.execute(
                "select report from ingest_report where sha256 = %s and taken order by id desc", (sha256,)
            )
            return [dict(report) for (report,) in cursor]


def _insert(
    connection: psycopg.Connection[tuple[Any, ...]],
    dataset: str,
    series: str,
    stored: lake_files.StoredFile,
    meta: Mapping[str, Any] | None,
    replace: bool,
) -> LakeFile:
    if replace:
        connection.execute(
            "update lake_file set retired_at = now()"
            " where dataset = %s and series = %s and retired_at is null and path <> %s",
            (dataset, series, stored.path),
        )
    row = connection.execute(
        "insert into lake_file (dataset, series, path, sha256, rows, bytes, ts_min_ns, ts_max_ns, meta)"  # noqa: S608
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        # The same content again is the same file: its row comes back to life, with the newer meta.
        f" on conflict (path) do update set retired_at = null, meta = excluded.meta returning {_COLUMNS}",
        (
            dataset,
            series,
            stored.path,
            stored.sha256,
            stored.rows,
            stored.bytes,
            stored.ts_min_ns,
            stored.ts_max_ns,
            Jsonb({"v": 1, **(meta or {})}),
        ),
    ).fetchone()
    if row is None:
        raise Inconsistent(f"the manifest row of {stored.path} did not come back")
    return LakeFile(*row)


def _frame(engine: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any]) -> pd.DataFrame:
    """Run one SELECT and fetch through Arrow, which keeps nanoseconds and the time zone."""
    try:
        statements = engine.extract_statements(sql)
        # The lake's folder is open to this engine: anything but a SELECT (COPY ... TO) could write into it.
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise Invalid("only a single SELECT may be asked of the lake", "bad_query")
        relation = engine.sql(sql, params=list(parameters) or None)
        frame: pd.DataFrame = relation.to_arrow_table().to_pandas()
    except duckdb.IOException as error:
        raise Inconsistent("a file named in the manifest is not there or damaged") from error
    except duckdb.CatalogException as error:
        raise NotFound(f"the lake has no such table or function: {str(error).splitlines()[0]}") from error
    except duckdb.Error as error:
        raise Invalid(f"the query failed: {str(error).splitlines()[0]}", "bad_query") from error
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.DatetimeTZDtype):
            frame[name] = frame[name].dt.tz_convert("UTC").dt.as_unit("ns")
    return frame
