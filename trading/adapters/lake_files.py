"""Parquet files of the lake on disk: checked names, staged writes, immutable content-hashed paths."""

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trading.domain.errors import Invalid, Unavailable
from trading.market.names import name_fault

STAGING = ".staging"
SERIES_DATASETS = frozenset({"bars", "quote_bars", "sim_bars"})
"""Datasets whose rows are bars of one series each: they need a ``ts`` column and a three-part series name."""
SIM_SOURCE = "SIM"

_DATASET = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A Parquet file at its final place: ``path`` relative to the lake's root, hash of its bytes, size, rows, range."""

    path: str
    sha256: str
    bytes: int
    rows: int
    ts_min_ns: int | None
    ts_max_ns: int | None


def check_dataset(dataset: str) -> None:
    """`Invalid` with code ``bad_dataset`` unless the name is lower-case letters, digits and underscores, at most 64."""
    if not _DATASET.fullmatch(dataset):
        raise Invalid(f"not a dataset name: {dataset[:80]!r}", "bad_dataset")


def check_series(dataset: str, series: str) -> None:
    """`Invalid` with code ``bad_series`` for a malformed name, ``mixed_sources`` where real and simulated would mix."""
    parts = series.split("/") if series else []
    for part in parts:
        fault = name_fault(part)
        if fault:
            raise Invalid(f"not a series name: {series[:80]!r}: {fault}", "bad_series")
    if dataset in SERIES_DATASETS:
        if len(parts) != 3:
            raise Invalid(f"a series of {dataset} is named source/symbol/resolution, not {series[:80]!r}", "bad_series")
        simulated = parts[0].upper() == SIM_SOURCE
        if simulated != (dataset == "sim_bars"):
            what = "simulated bars belong into sim_bars" if simulated else "sim_bars takes series of SIM only"
            raise Invalid(f"{series}: {what}; real and simulated data never share a dataset", "mixed_sources")


def as_table(dataset: str, frame: pd.DataFrame) -> pa.Table:
    """The frame as an Arrow table, times as UTC nanoseconds, without pandas' own metadata (equal data, equal bytes).

    A named index becomes a column. `Invalid` with code ``naive_timestamp`` or ``bad_frame``.
    """
    frame = frame.reset_index() if frame.index.name is not None else frame.reset_index(drop=True)
    if not all(isinstance(name, str) for name in frame.columns) or frame.columns.has_duplicates:
        raise Invalid("column names must be distinct texts", "bad_frame")
    for name in frame.columns:
        dtype = frame[name].dtype
        if isinstance(dtype, pd.DatetimeTZDtype):
            frame[name] = frame[name].dt.tz_convert("UTC").dt.as_unit("ns")
        elif pd.api.types.is_datetime64_dtype(dtype):
            raise Invalid(f"column {name!r} has times without a time zone", "naive_timestamp")
    if dataset in SERIES_DATASETS:
        if "ts" not in frame.columns or not isinstance(frame["ts"].dtype, pd.DatetimeTZDtype):
            raise Invalid(f"{dataset} needs a column ts of times with a time zone", "bad_frame")
        if frame["ts"].isna().any() or frame["ts"].duplicated().any():
            raise Invalid(f"{dataset} needs one row for each ts, none missing", "bad_frame")
        frame = frame.sort_values("ts", ignore_index=True)
    return pa.table({name: _as_array(frame[name]) for name in frame.columns})


def _as_array(column: pd.Series) -> pa.Array:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        naive = pa.array(column.dt.tz_convert(None).to_numpy(), pa.timestamp("ns"), from_pandas=True)
        return naive.cast(pa.timestamp("ns", "UTC"))  # the same instants, now saying that they are UTC
    return pa.array(column, from_pandas=True)


def stage(root: Path, table: pa.Table) -> Path:
    """Write and fsync the table under ``root/.staging``; `Unavailable` when the disk is full or refuses."""
    staged = root / STAGING / f"{uuid.uuid4().hex}.parquet"
    with disk_errors(root):
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            with staged.open("wb") as sink:
                pq.write_table(table, sink, compression="zstd")
                sink.flush()
                os.fsync(sink.fileno())
            staged.chmod(0o444)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
    return staged


def describe(staged: Path, dataset: str, series: str, table: pa.Table) -> StoredFile:
    """Where a staged file belongs and what its manifest row says."""
    payload = staged.read_bytes()
    digest = hashlib.sha256(payload).hexdigest()
    folder = f"{dataset}/{series}" if series else dataset
    low = high = None
    if table.num_rows and "ts" in table.column_names and pa.types.is_timestamp(table.schema.field("ts").type):
        ts_ns = pd.Series(table.column("ts").cast(pa.int64(), safe=False).to_pandas()).dropna()
        if len(ts_ns):
            low, high = int(ts_ns.min()), int(ts_ns.max())
    return StoredFile(f"{folder}/{digest[:12]}.parquet", digest, len(payload), table.num_rows, low, high)


def publish(root: Path, staged: Path, path: str) -> None:
    """Rename a staged file to its final name and fsync every folder that changed.

    A file already there has the same content (its name is its hash) and is replaced atomically by an equal one.
    """
    target = root / path
    with disk_errors(root):
        made = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, target)
        for folder in [target.parent, *(folder.parent for folder in made)]:
            _fsync_folder(folder)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn what the operating system says into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise Unavailable(f"no space left for the lake at {root}; nothing was written", "disk_full") from error
        raise Unavailable(f"the lake at {root} cannot be written: {error.strerror or error}") from error


def parquet_files(root: Path) -> Iterator[Path]:
    """Every Parquet file under the lake's root, staged ones included."""
    yield from root.rglob("*.parquet")
