"""The engine's events into a CSV or Parquet file that is there whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from trading.domain.errors import Invalid, Unavailable
from trading.exchange.compiled.layout import (
    NO_LIMIT,
    Accepted,
    Cancelled,
    Event,
    Fill,
    Modified,
    Rejected,
    Sized,
    Triggered,
)

Array = np.ndarray[Any, np.dtype[Any]]

SUFFIXES: Final = (".csv", ".parquet", ".pq")
SCHEMA: Final = pa.schema(
    [
        ("event_seq", pa.int64()),
        ("input_seq", pa.int64()),
        ("ts_ns", pa.int64()),
        ("event", pa.string()),
        ("code", pa.string()),
        ("symbol", pa.string()),
        ("side", pa.string()),
        ("order_id", pa.int64()),
        ("maker_id", pa.int64()),
        ("price", pa.int64()),
        ("qty", pa.int64()),
        ("left", pa.int64()),
    ]
)
_CODES: Final[dict[Event, Any]] = {
    Event.ACCEPTED: Accepted,
    Event.REJECTED: Rejected,
    Event.FILL: Fill,
    Event.CANCELLED: Cancelled,
    Event.MODIFIED: Modified,
    Event.TRIGGERED: Triggered,
    Event.SIZED: Sized,
}
_CODES_MAX: Final = 32


def _code_words() -> Any:
    words: list[str | None] = [None] * (_CODES_MAX * (max(Event) + 1))
    for event, codes in _CODES.items():
        for code in codes:
            words[event * _CODES_MAX + code] = code.name.lower()
    return pa.array(words, pa.string())


_CODE_WORDS: Final = _code_words()
_EVENT_WORDS: Final = pa.array([None, *(event.name.lower() for event in Event)], pa.string())
_SIDE_WORDS: Final = pa.array(["buy", "sell", None], pa.string())


def check_target(path: Path) -> None:
    """Raises `Invalid` where no such file can be written, before any work is done."""
    if path.suffix.lower() not in SUFFIXES:
        raise Invalid(f"{path.name} must end in {', '.join(SUFFIXES)}", "bad_target")
    if not path.parent.is_dir():
        raise Invalid(f"There is no folder {path.parent}", "bad_target")


class ExecutionsFile:
    """An open file of executions."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.counts: Array = np.zeros(max(Event) + 1, np.int64)

    def write(self, events: Array, inputs: Array, symbols: Sequence[str]) -> None:
        """Append `EVENT` rows that the `INPUT` rows ``inputs`` caused."""
        self.counts += np.bincount(events["kind"], minlength=len(self.counts))
        kind = events["kind"].astype(np.int64)
        side = np.minimum(events["side"], 2)
        names = pa.array([*symbols, None], pa.string())
        at = np.where((events["symbol"] < 0) | (events["symbol"] >= len(symbols)), len(symbols), events["symbol"])
        columns = [
            events["seq"],
            events["input_seq"],
            inputs["ts_ns"][np.searchsorted(inputs["seq"], events["input_seq"])],
            _EVENT_WORDS.take(pa.array(kind)),
            _CODE_WORDS.take(pa.array(kind * _CODES_MAX + events["code"])),
            names.take(pa.array(at)),
            _SIDE_WORDS.take(pa.array(side)),
            events["order_id"],
            events["maker_id"],
            pa.array(events["price"], mask=np.abs(events["price"]) == NO_LIMIT),
            events["qty"],
            events["left"],
        ]
        arrays = [pa.array(column) if isinstance(column, np.ndarray) else column for column in columns]
        self._writer.write(pa.record_batch(arrays, schema=SCHEMA))


@contextmanager
def executions_file(path: Path) -> Iterator[ExecutionsFile]:
    """Write beside ``path`` and move it there when all is well; on an error nothing is left, what was there stays."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with staged.open("xb") as file:
            if path.suffix.lower() == ".csv":
                options = pacsv.WriteOptions(quoting_style="needed")
                writer = pacsv.CSVWriter(file, SCHEMA, write_options=options)
            else:
                writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
            with writer:
                yield ExecutionsFile(writer)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)
