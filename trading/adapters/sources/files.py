"""A user's CSV or Parquet file as a raw table: nothing interpreted, every failure one plain sentence."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trading.market.bar_table import MAX_COLUMNS, FileRefused, RawTable

MAX_FILE_BYTES = 2 * 1024**3
# A gzip of zeros grows a thousandfold; text of this size is some 20 million daily bars.
MAX_TEXT_BYTES = 1024**3
_CHUNK_ROWS = 50_000
_MAX_FIELD = 100_000
_MAX_HEADER = 1_000_000

_BINARY = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet; save it as CSV"),
    (b"SQLite format 3", "a SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ARROW1", "an Arrow or Feather file; save it as Parquet"),
    (b"%PDF", "a PDF document"),
    (b"BZh", "compressed with bzip2; use gzip"),
    (b"\xfd7zXZ", "compressed with xz; use gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; use gzip"),
)


def read_table(path: Path) -> RawTable:
    """Read a file, told apart by its content and not its name: Parquet, or CSV that may be gzipped.

    Raises `FileRefused`: not_found, not_a_file, unreadable, empty, too_big, damaged, encoding, not_a_table,
    too_many_columns.
    """
    digest = file_sha256(path)
    try:
        with path.open("rb") as source:
            head = source.read(16)
        if not head:
            raise FileRefused("empty", "the file is empty")
        if head.startswith(b"PAR1"):
            return RawTable(path.name, digest, _read_parquet(path))
        text = _text(path, gzipped=head.startswith(b"\x1f\x8b"))
    except OSError as error:
        raise FileRefused("unreadable", f"the file cannot be read: {error.strerror or error}") from error
    frame, ragged = _read_csv(text)
    return RawTable(path.name, digest, frame, ragged)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises `FileRefused`: not_found, not_a_file, unreadable, too_big."""
    try:
        if not path.exists():
            raise FileRefused("not_found", f"there is no file {path.name[:80]!r}")
        if not path.is_file():
            raise FileRefused("not_a_file", f"{path.name[:80]!r} is not a file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileRefused("too_big", f"the file is larger than {MAX_FILE_BYTES // 1024**3} GB; split it")
        with path.open("rb") as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileRefused("unreadable", f"the file cannot be read: {reason}") from error


# Parquet ------------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if len(names) > MAX_COLUMNS:
                raise FileRefused("too_many_columns", f"the file has {len(names)} columns; bars need no more than 13")
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
            if size > MAX_FILE_BYTES:
                raise FileRefused("too_big", f"the file unpacks to more than {MAX_FILE_BYTES // 1024**3} GB; split it")
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise FileRefused("damaged", "the Parquet file is cut off or damaged") from error
    columns = [_plain_column(column) for column in table.columns]
    # Not from a dictionary: a file may name two columns alike, and that is for the reader of the header to refuse.
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
    frame.columns = pd.Index(names, dtype=object)
    return frame


def _plain_column(column: pa.ChunkedArray) -> "pd.Series":
    """A column as pandas knows it: decimals as floats, dates as times, dictionaries and nested values as text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_time(kind):
        return pd.Series([str(value) for value in column.to_pylist()], dtype="str")
    series: pd.Series = column.to_pandas()
    return series


# CSV ----------------------------------------------------------------------------------------------------------------


def _text(path: Path, *, gzipped: bool) -> str:
    """The file's text: UTF-8 with or without a byte-order mark, or UTF-16 with one."""
    try:
        with gzip.open(path, "rb") if gzipped else path.open("rb") as source:
            payload = source.read(MAX_TEXT_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileRefused("damaged", "the gzip file is cut off or damaged") from error
    if len(payload) > MAX_TEXT_BYTES:
        raise FileRefused("too_big", f"the text is larger than {MAX_TEXT_BYTES // 1024**3} GB; split it")
    if not payload.strip():
        raise FileRefused("empty", "the file is empty")
    for magic, what in _BINARY:
        if payload.startswith(magic):
            raise FileRefused("not_a_table", f"this is {what}")
    encoding = "utf-16" if payload[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = payload.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileRefused("encoding", "the text is not UTF-8; save the file as CSV in UTF-8") from error
    if "\x00" in text:
        raise FileRefused("not_a_table", "the file holds binary data, not text")
    first_line = text.lstrip().split("\n", 1)[0]
    if (first_line[:1] in ("<", "{", "[") and not first_line.upper().startswith("<DATE>")) or '{"' in first_line:
        raise FileRefused("not_a_table", "this is a web page, JSON or a feed capture, not a table with a header line")
    return text


def _read_csv(text: str) -> tuple[pd.DataFrame, dict[int, Sequence[str]]]:
    """All cells as text, and rows of another length than the header's, which keep their cells."""
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    if len(header_line) > _MAX_HEADER or header_line.count(",") > MAX_COLUMNS:
        count = max(header_line.count(mark) for mark in ",;\t|") + 1
        raise FileRefused("too_many_columns", f"the file has {count} columns; bars need no more than 13")
    delimiter = _delimiter(header_line)
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
    try:
        header = _header(reader)
        chunks: list[pa.Table] = []
        ragged: dict[int, Sequence[str]] = {}
        names = [f"c{i}" for i in range(len(header))]
        for chunk, odd in _chunks(reader, len(header)):
            start = sum(part.num_rows for part in chunks)
            ragged.update({start + at: cells for at, cells in odd.items()})
            columns = [pa.array(column, pa.large_string()) for column in zip(*chunk, strict=True)]
            chunks.append(pa.table(columns, names=names))
    except csv.Error as error:
        raise FileRefused("not_a_table", f"the file is not CSV: {error}") from error
    rows = sum(part.num_rows for part in chunks)
    if 2 * len(ragged) > rows:
        _refuse_ragged(ragged, len(header), delimiter)
    if chunks:
        frame = pa.concat_tables(chunks).to_pandas()
    else:
        frame = pd.DataFrame({name: pd.Series([], dtype="str") for name in names})
    frame.columns = pd.Index(header, dtype=object)
    return frame, ragged


def _header(reader: Iterator[list[str]]) -> list[str]:
    for cells in reader:
        if any(cell.strip() for cell in cells):
            names = [cell.strip() for cell in cells]
            if len(names) < 2:
                raise FileRefused("not_a_table", "the first line is not a header with several columns")
            return names
    raise FileRefused("empty", "the file is empty")


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _chunks(reader: Iterator[list[str]], width: int) -> Iterator[tuple[list[list[str]], dict[int, Sequence[str]]]]:
    """Rows in chunks; blank lines are skipped, a row of another length stands as blanks and is reported beside."""
    chunk: list[list[str]] = []
    odd: dict[int, Sequence[str]] = {}
    for cells in reader:
        if not cells or not any(cells):
            continue
        if len(cells) != width:
            odd[len(chunk)] = cells
            cells = (cells + [""] * width)[:width]
        chunk.append(cells)
        if len(chunk) == _CHUNK_ROWS:
            yield chunk, odd
            chunk, odd = [], {}
    if chunk:
        yield chunk, odd


def _refuse_ragged(ragged: dict[int, Sequence[str]], width: int, delimiter: str) -> None:
    at, cells = next(iter(ragged.items()))
    hint = "; decimal commas in a file whose fields are separated by commas?" if delimiter == "," else ""
    raise FileRefused(
        "field_count", f"most rows do not fit the header: row {at + 1} has {len(cells)} fields, not {width}{hint}"
    )
