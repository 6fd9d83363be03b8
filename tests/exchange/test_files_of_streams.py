"""The file door: a random stream written as a file comes back as the inputs it was written from."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from side_by_side import rows
from streams import Step, Stream

from trading.adapters.sources import exchange_events
from trading.adapters.sources.exchange_events import EventFile

COLUMNS = ("seq", "ts_ns", "order_id", "owner", "price", "qty", "ask_price", "ask_qty", "expires_ns")
TYPES = {("market", "stop"): "stop", ("limit", "stop"): "stop_limit"}


def can_be_said(row: Step, symbols: int) -> bool:
    """Whether the columns of a file have words for a row."""
    words = "?" not in (row["kind"], row["trigger"], row["link_kind"]) and row["side"] in (0, 1)
    named = row["link_kind"] not in ("none", "held") or row["link"] == 0
    trails = row["trigger"] not in ("trail_ticks", "trail_ppm") or row["kind"] == "market"
    return words and named and trails and (row["trigger"] == "none" or row["kind"] in ("market", "limit")) and (
        0 <= row["symbol"] < symbols or (row["symbol"] == -1 and row["op"] in ("gap", "session", "halt"))
    )  # fmt: skip


def line(row: Step) -> dict[str, Any]:
    """A row in the words of a file."""
    told: dict[str, Any] = {name: row[name] for name in COLUMNS}
    trails = row["trigger"] in ("trail_ticks", "trail_ppm")
    told["op"], told["side"] = row["op"], ("buy", "sell")[row["side"]]
    told["symbol"] = None if row["symbol"] == -1 else f"S{row['symbol']}"
    told["type"] = "trailing_stop" if trails else TYPES.get((row["kind"], row["trigger"]), row["kind"])
    told["stop_price"] = row["stop_price"] if row["trigger"] == "stop" or row["op"] == "modify" else None
    told["trail"] = row["trail"] if row["trigger"] == "trail_ticks" or row["op"] == "modify" else None
    told["trail_ppm"] = row["trail"] if row["trigger"] == "trail_ppm" else None
    told["link_kind"] = None if row["link_kind"] == "none" else row["link_kind"]
    told["link"] = row["link"] or None
    told["more"], told["reset"] = row["more"] or None, row["reset"] or None
    return told


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("batch_rows", [1 << 16, 7])
def test_a_stream_written_as_a_file_gives_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, batch_rows: int
) -> None:
    monkeypatch.setattr(exchange_events, "_BATCH_ROWS", batch_rows)
    stream, steps = Stream(3), []
    for _ in range(3_000):
        step = stream.step()
        if all(can_be_said(row, stream.symbols) for row in step):
            steps += step
    assert len(steps) > 3_000
    table = pa.Table.from_pylist([line(row) for row in steps])
    path = tmp_path / f"events.{suffix}"
    if suffix == "csv":
        flags = {name: table[name].cast(pa.int8()) for name in ("more", "reset")}
        for name, column in flags.items():
            table = table.set_column(table.schema.get_field_index(name), name, column)
        pacsv.write_csv(table, path, pacsv.WriteOptions(quoting_style="needed"))
    else:
        pq.write_table(table, path)
    file = EventFile(path)
    found, expected = np.concatenate(list(file.batches())), rows(steps)
    numbers = [file.symbols[f"S{number}"] for number in range(stream.symbols)]
    expected["symbol"] = np.array([*numbers, -1])[expected["symbol"]]
    plain = (expected["trigger"] != 1) & (expected["op"] != 3)
    expected["stop_price"][plain] = 0
    expected["trail"][(expected["trigger"] < 2) & (expected["op"] != 3)] = 0
    for name in expected.dtype.names or ():
        assert (found[name] == expected[name]).all(), name
