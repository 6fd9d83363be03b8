"""Inputs as bytes, as the input log keeps them.

Nearly all inputs are ticks, so a chunk keeps its ticks column by column, as deltas between rows, and all else as JSON
beside them. Sorted by instrument and kind a row differs little from the one before; times differ little as they came.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading.exchange.messages import (
    TICK,
    Action,
    Adjusted,
    Body,
    Cancel,
    Closed,
    Event,
    Filled,
    Gap,
    Group,
    Halt,
    Input,
    Margin,
    Modified,
    Modify,
    Pending,
    Refused,
    Run,
    Session,
    Sized,
    Submit,
    Tick,
    Timer,
    Triggered,
    TurnAway,
    Working,
)


def _fields_of(kind: type[Event]) -> Callable[[Event], tuple[Any, ...]]:
    """Reads all fields of an event, much faster than `astuple`, which copies deeply."""
    names = [field.name for field in fields(kind)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda event: (getattr(event, names[0]),)


_VERSION = 2
_HEAD = struct.Struct("<BII")  # version, number of ticks, bytes of their columns; then the JSON of all else
_BODIES: dict[str, type[Body]] = {
    kind.__name__: kind for kind in (Submit, Cancel, Halt, Gap, Timer, Group, Modify, Session, Margin, TurnAway, Action)
}
_SHAPES = {name: [(field.name, field.default) for field in fields(kind)] for name, kind in _BODIES.items()}
_TICK_OF = struct.Struct("<iBbxxqqqqqqqq")
_NUMBERS = ("seq", "bid_ticks", "ask_ticks", "bid_lots", "ask_lots", "trade_ticks", "trade_lots")
_WIDTHS = tuple((np.dtype(f"<i{width}"), 1 << (8 * width - 1)) for width in (1, 2, 4))
_FIELDS: dict[type[Event], Callable[[Event], tuple[Any, ...]]] = {
    kind: _fields_of(kind) for kind in (Working, Filled, Closed, Pending, Triggered, Sized, Modified, Refused, Adjusted)
}
Ints = NDArray[np.int64]


def encode(steps: Iterable[Input | Run]) -> bytes:
    """Bytes of consecutive inputs."""
    runs: list[Run] = []
    rest: list[tuple[int, int, str, dict[str, Any]]] = []
    for step in steps:
        if isinstance(step, Run):
            runs.append(step)
        elif isinstance(step.body, Tick):
            runs.append(Run(step.seq, step.ts_ns, np.frombuffer(_record(step.body), TICK)))
        else:
            rest.append((step.seq, step.ts_ns, type(step.body).__name__, _plain(step.body)))
    columns = _columns(runs) if runs else b""
    others = json.dumps(rest, separators=(",", ":")).encode() if rest else b""
    head = _HEAD.pack(_VERSION, sum(len(run.ticks) for run in runs), len(columns))
    return zlib.compress(head + columns + others, level=6)


def decode(packed: bytes) -> Iterator[Input | Run]:
    """Inverse of `encode`, ticks in runs. Raises ValueError on damaged or cut bytes, or those of another version."""
    try:
        data = zlib.decompress(packed)
        version, ticks, length = _HEAD.unpack_from(data)
        if version != _VERSION or _HEAD.size + length > len(data):
            raise ValueError(f"inputs of version {version}, this reads {_VERSION}, or cut")
        columns, others = data[_HEAD.size : _HEAD.size + length], data[_HEAD.size + length :]
        runs = list(_runs(columns, ticks)) if ticks else []
        rest = [Input(seq, ts_ns, _body(kind, value)) for seq, ts_ns, kind, value in json.loads(others or b"[]")]
    except (zlib.error, struct.error, KeyError, TypeError) as error:
        raise ValueError(f"damaged inputs: {error}") from error
    steps: list[Input | Run] = sorted(chain(runs, rest), key=lambda step: step.seq)
    yield from steps


def events_hash(steps: Iterable[tuple[int, Sequence[Event]]]) -> bytes:
    """Hash of what inputs caused: input number and events, in order."""
    told = [(seq, [(type(event).__name__, *_FIELDS[type(event)](event)) for event in events]) for seq, events in steps]
    return hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).digest()


def chain_hash(before: bytes, out_hash: bytes, inputs: bytes) -> bytes:
    """Hash of all inputs and outputs up to a chunk: of the chain before it, its outputs and its inputs as logged."""
    return hashlib.sha256(before + out_hash + inputs).digest()


def _record(tick: Tick) -> bytes:
    return _TICK_OF.pack(*astuple(tick))


def _plain(body: Body) -> dict[str, Any]:
    """A body as JSON knows it, without what is as by default: old records stay readable when a field joins."""
    if isinstance(body, Group):
        return {"orders": [_plain(order) for order in body.orders]}
    pairs = _SHAPES[type(body).__name__]
    return {name: value for name, default in pairs if (value := getattr(body, name)) != default}


def _body(kind: str, value: dict[str, Any]) -> Body:
    if kind == Group.__name__:
        return Group(tuple(Submit(**order) for order in value["orders"]))
    if kind == Halt.__name__:
        return Halt(value["scope"], value["mode"], tuple(value.get("order_ids", ())))
    if kind == Action.__name__:
        lists = {name: tuple(value.pop(name, ())) for name in ("cancels", "changes")}
        return Action(**value, cancels=lists["cancels"], changes=tuple(tuple(each) for each in lists["changes"]))
    return _BODIES[kind](**value)


# Columns of ticks -----------------------------------------------------------------------------------------------------


def _columns(runs: Sequence[Run]) -> bytes:
    """The ticks of all runs: what orders them as they came, all other numbers sorted by instrument and kind."""
    ticks = np.concatenate([run.ticks for run in runs]) if len(runs) > 1 else runs[0].ticks
    places = np.concatenate([np.arange(run.seq, run.seq + len(run.ticks)) for run in runs])
    times = np.repeat([run.ts_ns for run in runs], [len(run.ticks) for run in runs])
    order = np.lexsort((ticks["kind"], ticks["instrument_id"]))
    instruments = ticks["instrument_id"].astype(np.int64)
    out = [_packed(places), _packed(times), _packed(ticks["ts_ns"]), _packed(instruments)]
    out += [ticks[name].tobytes() for name in ("kind", "aggressor")]
    out += [_packed(ticks[name][order]) for name in _NUMBERS]
    return b"".join(out)


def _runs(columns: bytes, count: int) -> Iterator[Run]:
    """Inverse of `_columns`."""
    ticks = np.zeros(count, TICK)
    reader = _Reader(columns, count)
    places, times = reader.numbers(), reader.numbers()
    ticks["ts_ns"], ticks["instrument_id"] = reader.numbers(), reader.numbers()
    ticks["kind"], ticks["aggressor"] = reader.small("u1"), reader.small("i1")
    order = np.lexsort((ticks["kind"], ticks["instrument_id"]))
    for name in _NUMBERS:
        ticks[name][order] = reader.numbers()
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(times) != 0)) + 1
    for first, end in zip([0, *breaks.tolist()], [*breaks.tolist(), count], strict=True):
        yield Run(int(places[first]), int(times[first]), ticks[first:end])


def _packed(values: Ints) -> bytes:
    """Width, first value, then the deltas in the fewest bytes that hold them all: first the lowest byte of each."""
    deltas = np.diff(values, prepend=0)
    deltas[0] = 0
    widest = max(-int(deltas.min()), int(deltas.max()) + 1)
    dtype = next((dtype for dtype, limit in _WIDTHS if widest <= limit), np.dtype("<i8"))
    planes = deltas.astype(dtype).view(np.uint8).reshape(-1, dtype.itemsize).T
    return struct.pack("<Bq", dtype.itemsize, int(values[0])) + planes.tobytes()


class _Reader:
    """Reads column after column of ``count`` numbers."""

    def __init__(self, data: bytes, count: int) -> None:
        self._data, self._count, self._at = data, count, 0

    def small(self, dtype: str) -> NDArray[Any]:
        """A column of bytes."""
        return np.frombuffer(self._take(self._count), dtype)

    def numbers(self) -> Ints:
        """A column as `_packed` wrote it."""
        width, first = struct.unpack("<Bq", self._take(9))
        planes = np.frombuffer(self._take(width * self._count), np.uint8).reshape(width, self._count)
        deltas = np.ascontiguousarray(planes.T).view(f"<i{width}").ravel().astype(np.int64)
        deltas[0] = first
        return np.cumsum(deltas)

    def _take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) != length:
            raise ValueError("the columns of ticks are cut")
        self._at += length
        return taken
