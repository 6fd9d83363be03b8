"""Order and market events out of a CSV or Parquet file, as batches of the engine's `INPUT` rows.

Nothing is held but one batch at a time and the names of symbols. The columns are in ``docs/EXCHANGE.md``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from trading.domain.errors import Invalid
from trading.exchange.compiled.layout import INPUT, NO_LIMIT, PRICE_MAX, SELL, Flag, Kind, Link, Op, Trigger

Array = np.ndarray[Any, np.dtype[Any]]

NO_SIDE: Final = 255
_BLOCK_BYTES: Final = 4 << 20
_BATCH_ROWS: Final = 1 << 16
_NUMBERS: Final = (
    "seq", "ts_ns", "order_id", "owner", "price", "qty", "ask_price", "ask_qty", "expires_ns", "stop_price",
    "trail", "trail_ppm", "link", "more", "reset",
)  # fmt: skip
_AS_THEY_ARE: Final = (
    "seq", "ts_ns", "order_id", "owner", "price", "qty", "ask_price", "ask_qty", "expires_ns", "stop_price", "link",
)  # fmt: skip
_WORDS: Final = ("op", "symbol", "side", "type", "tif", "link_kind")
_REQUIRED: Final = ("seq", "ts_ns", "op")
_OPS: Final = {op.name.lower(): op for op in Op}
_SIDES: Final = {"buy": 0, "sell": 1}
# Types of a file and what the engine calls them.
_STOP, _STOP_LIMIT, _TRAILING = 101, 102, 103
_KINDS: Final = {
    **{kind.name.lower(): int(kind) for kind in Kind},
    "stop": _STOP,
    "stop_limit": _STOP_LIMIT,
    "trailing_stop": _TRAILING,
}
_LINKS: Final = {link.name.lower(): link for link in Link if link != Link.NONE}
_TIFS: Final = ("gtc", "day", "gtd", "ioc", "fok")
_NONE: Final = -1


class EventsRefused(Invalid):
    """The file is refused whole. ``code`` says why; ``line`` where, of Parquet the row, None where it is not one."""

    def __init__(self, code: str, message: str, line: int | None = None, place: str = "line") -> None:
        super().__init__(message if line is None else f"{place} {line}: {message}", code)
        self.line = line


class _Row(Exception):
    """A wrong row of the batch at hand."""

    def __init__(self, at: int, code: str, message: str) -> None:
        super().__init__(message)
        self.at, self.code = at, code


class EventFile:
    """A file of events. Read it once with `batches`; ``symbols`` grows as they come, in order of appearance."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.symbols: dict[str, int] = {}
        self.rows = 0
        self._last_seq = 0
        self._last_ts_ns = 0
        self._more: tuple[int, int] | None = None  # op and symbol of an input whose rows go on

    def batches(self) -> Iterator[Array]:
        """Arrays of `INPUT`. Raises `EventsRefused` at the first wrong row."""
        try:
            with self._path.open("rb") as file:
                head = file.read(4)
                file.seek(0)
                if not head:
                    raise EventsRefused("empty", "the file is empty")
                place, first, tables = ("row", 1, _parquet(file)) if head == b"PAR1" else ("line", 2, _csv(file))
                for table in tables:
                    try:
                        yield self._inputs(table)
                    except _Row as wrong:
                        line = first + self.rows + wrong.at
                        raise EventsRefused(wrong.code, str(wrong), line, place) from wrong
                    self.rows += table.num_rows
                if self._more:
                    raise EventsRefused("bad_more", "the file ends within an input", first + self.rows - 1, place)
        except pa.ArrowException as error:
            raise EventsRefused("damaged", f"the file cannot be read: {error}") from error
        except OSError as error:
            raise EventsRefused("unreadable", f"the file cannot be read: {error.strerror or error}") from error

    def _inputs(self, table: Any) -> Array:
        numbers = _Numbers(table)
        if numbers.wrong:
            first = min(numbers.wrong, key=lambda one: one.at)
            self._inputs(table.slice(0, first.at))  # a row before it may be wrong in another way
            raise first
        words = {name: _words(table, name) for name in _WORDS}
        wrong: list[_Row] = []
        inputs = np.zeros(table.num_rows, INPUT)
        inputs["op"] = op = _coded("op", words["op"], _OPS, wrong)
        inputs["side"] = _coded("side", words["side"], _SIDES, wrong) % 256
        kind = _coded("type", words["type"], _KINDS, wrong)
        tif = _coded("tif", words["tif"], {word: at for at, word in enumerate(_TIFS)}, wrong)
        link_kind = _coded("link_kind", words["link_kind"], _LINKS, wrong)
        for name in _AS_THEY_ARE:
            inputs[name] = numbers.values[name]
        inputs["symbol"] = self._symbol_numbers(words["symbol"])
        inputs["flags"] = (numbers.values["more"] == 1) * Flag.MORE + (numbers.values["reset"] == 1) * Flag.RESET
        wrong += _missing(numbers, op, inputs, kind)
        wrong += self._out_of_order(inputs)
        wrong += _at_odds(op, kind, tif, numbers.given["expires_ns"])
        wrong += _stops_at_odds(op, kind, numbers.given)
        wrong += _links_at_odds(op, link_kind, numbers.given["link"])
        wrong += _flags_at_odds(op, numbers.values)
        wrong += self._apart(inputs)
        if wrong:
            raise min(wrong, key=lambda one: one.at)
        _settle(inputs, kind, tif, numbers.given["price"])
        _settle_stops(inputs, kind, numbers)
        inputs["link_kind"] = np.where(link_kind == _NONE, Link.NONE, link_kind)
        if len(inputs):
            last = inputs[-1]
            self._last_seq, self._last_ts_ns = int(last["seq"]), int(last["ts_ns"])
            self._more = (int(last["op"]), int(last["symbol"])) if last["flags"] & Flag.MORE else None
        return inputs

    def _symbol_numbers(self, column: Any) -> Array:
        coded = column.dictionary_encode()
        numbers = [self.symbols.setdefault(name, len(self.symbols)) for name in coded.dictionary.to_pylist()]
        at = coded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
        found: Array = np.array([*numbers, _NONE], dtype=np.int64)[at]
        return found

    def _goes_on(self, inputs: Array) -> Array:
        """Rows of the same input as the row before them."""
        more = (inputs["flags"] & Flag.MORE) != 0
        found: Array = np.concatenate(([self._more is not None], more[:-1]))[: len(inputs)]
        return found

    def _out_of_order(self, inputs: Array) -> Iterator[_Row]:
        seq, ts_ns = inputs["seq"], inputs["ts_ns"]
        before = np.concatenate(([self._last_seq], seq[:-1]))[: len(seq)]
        again = self._goes_on(inputs) & (seq == before)
        yield from _first((seq <= before) & ~again, "bad_seq", "seq does not rise")
        before = np.concatenate(([self._last_ts_ns], ts_ns[:-1]))[: len(ts_ns)]
        yield from _first(ts_ns < before, "bad_ts", "ts_ns goes back")

    def _apart(self, inputs: Array) -> Iterator[_Row]:
        """The rows of one input belong together."""
        goes_on = self._goes_on(inputs)
        op, symbol = self._more or (0, 0)
        for name, first in (("op", op), ("symbol", symbol), ("ts_ns", self._last_ts_ns)):
            before = np.concatenate(([first], inputs[name][:-1]))[: len(inputs)]
            yield from _first(goes_on & (inputs[name] != before), "bad_more", f"another {name} than the row before it")


def _csv(file: Any) -> Iterator[Any]:
    header = file.readline()
    file.seek(0)
    names = [name.strip().strip('"') for name in header.decode("utf-8-sig", "replace").strip().split(",")]
    _check_columns(names)

    ragged: list[Any] = []

    def wrong(row: Any) -> str:
        ragged.append(row)
        return "error"

    read = pacsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False, column_names=names, skip_rows=1)
    parse = pacsv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=wrong)
    texts = {name: pa.string() for name in names}
    convert = pacsv.ConvertOptions(column_types=texts, strings_can_be_null=True, null_values=[""])
    try:
        yield from pacsv.open_csv(file, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as error:
        if not ragged:
            raise
        row = ragged[0]
        fields = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        raise EventsRefused("ragged", fields, row.number) from error


def _parquet(file: Any) -> Iterator[Any]:
    table = pq.ParquetFile(file)
    names = table.schema_arrow.names
    _check_columns(names)
    yield from table.iter_batches(batch_size=_BATCH_ROWS, columns=names)


def _check_columns(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in (*_NUMBERS, *_WORDS)]
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise EventsRefused("missing_column", f"there is no column {', '.join(missing)}")
    if unknown:
        raise EventsRefused("unknown_column", f"unknown column {', '.join(repr(name) for name in unknown[:5])}")
    if len(set(names)) != len(names):
        raise EventsRefused("double_column", "a column is there twice")


def _first(mask: Array, code: str, message: str) -> Iterator[_Row]:
    if bool(mask.any()):
        yield _Row(int(mask.argmax()), code, message)


_INTEGERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)


class _Numbers:
    """The integer columns of a batch: ``values`` with 0 where there is none, ``given`` where there is one."""

    def __init__(self, table: Any) -> None:
        self.values: dict[str, Array] = {}
        self.given: dict[str, Array] = {}
        self.wrong: list[_Row] = []
        for name in _NUMBERS:
            column = table.column(name) if name in table.schema.names else pa.nulls(table.num_rows, pa.int64())
            column = self._integers(name, column)
            self.given[name] = column.is_valid().to_numpy(zero_copy_only=False)
            self.values[name] = column.fill_null(0).to_numpy(zero_copy_only=False)

    def _integers(self, name: str, column: Any) -> Any:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if _is_text(column.type):
            column = pc.utf8_trim_whitespace(column)
            column = pc.if_else(pc.equal(column, ""), None, column)
        elif not any(is_one(column.type) for is_one in _INTEGERS):
            raise EventsRefused("bad_column", f"{name} is of type {column.type}, not integers")
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            at = next(i for i, value in enumerate(column.to_pylist()) if value is not None and not _is_integer(value))
            self.wrong.append(_Row(at, "bad_number", f"{name} {column[at].as_py()!r} is not a whole number"))
            return pa.nulls(len(column), pa.int64())


def _is_integer(value: Any) -> bool:
    try:
        return bool(pa.scalar(value).cast(pa.int64()).is_valid)
    except pa.ArrowInvalid:
        return False


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _words(table: Any, name: str) -> Any:
    if name not in table.schema.names:
        return pa.nulls(table.num_rows, pa.string())
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not _is_text(column.type) and column.type != pa.null():
        raise EventsRefused("bad_column", f"{name} is of type {column.type}, not text")
    column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    column = pc.if_else(pc.equal(column, ""), None, column)
    return column if name == "symbol" else pc.utf8_lower(column)


def _coded(name: str, column: Any, codes: dict[str, Any], wrong: list[_Row]) -> Array:
    """Codes of words, -1 where there is none."""
    at = pc.index_in(column, value_set=pa.array(list(codes)))
    unknown = pc.and_(column.is_valid(), at.is_null()).to_numpy(zero_copy_only=False)
    if bool(unknown.any()):
        first = int(unknown.argmax())
        wrong.append(_Row(first, f"bad_{name}", f"{name} {column[first].as_py()!r} is none of {', '.join(codes)}"))
    table = np.array([*(int(code) for code in codes.values()), _NONE], dtype=np.int64)
    found: Array = table[at.fill_null(len(codes)).to_numpy(zero_copy_only=False)]
    return found


def _missing(numbers: _Numbers, op: Array, inputs: Array, kind: Array) -> Iterator[_Row]:
    """Rows that lack what their op needs."""
    given = numbers.given
    adds, modifies, tells = op == Op.ADD, op == Op.MODIFY, np.isin(op, (Op.TRADE, Op.DEPTH))
    free = np.isin(kind, (Kind.MARKET, _STOP, _TRAILING))
    needs = {
        "seq": np.ones(len(op), bool),
        "ts_ns": np.ones(len(op), bool),
        "order_id": adds | modifies | (op == Op.CANCEL),
        "price": modifies | tells | (adds & (kind != _NONE) & ~free),
        "qty": adds | modifies | tells | np.isin(op, (Op.SESSION, Op.HALT)),
        "stop_price": adds & np.isin(kind, (_STOP, _STOP_LIMIT)),
    }
    for name, needed in needs.items():
        yield from _first(needed & ~given[name], "missing", f"{name} is empty")
    trails = adds & (kind == _TRAILING)
    yield from _first(trails & ~given["trail"] & ~given["trail_ppm"], "missing", "trail and trail_ppm are empty")
    symbols = adds | tells | (op == Op.QUOTE)
    yield from _first(symbols & (inputs["symbol"] == _NONE), "missing", "symbol is empty")
    yield from _first(op == _NONE, "missing", "op is empty")
    yield from _first((adds | (op == Op.DEPTH)) & (inputs["side"] == NO_SIDE), "missing", "side is empty")
    yield from _first(adds & (kind == _NONE), "missing", "type is empty")
    for side, (price, qty) in {"bid": ("price", "qty"), "ask": ("ask_price", "ask_qty")}.items():
        half = (op == Op.QUOTE) & (given[price] != given[qty])
        yield from _first(half, "missing", f"the {side} has a price without a size, or a size without a price")


def _at_odds(op: Array, kind: Array, tif: Array, expires: Array) -> Iterator[_Row]:
    """Rows whose type and time in force do not go together."""
    at_once = np.isin(tif, (_TIFS.index("ioc"), _TIFS.index("fok")))
    adds = op == Op.ADD
    odd = (
        (adds & at_once & np.isin(kind, (Kind.POST_ONLY, _STOP, _STOP_LIMIT, _TRAILING)))
        | (adds & (kind == Kind.IOC) & (tif == _TIFS.index("fok")))
        | (adds & (kind == Kind.FOK) & (tif == _TIFS.index("ioc")))
    )
    yield from _first(odd, "bad_tif", "type and tif contradict each other")
    yield from _first(adds & (tif == _TIFS.index("gtd")) & ~expires, "missing", "tif gtd needs expires_ns")


def _stops_at_odds(op: Array, kind: Array, given: dict[str, Array]) -> Iterator[_Row]:
    """Rows with a stop price or a trail that nothing would look at, or with two trails."""
    adds = op == Op.ADD
    stops = (op == Op.MODIFY) | (adds & np.isin(kind, (_STOP, _STOP_LIMIT)))
    trails = (op == Op.MODIFY) | (adds & (kind == _TRAILING))
    yield from _first(given["stop_price"] & ~stops, "bad_stop", "stop_price is for stop, stop_limit and modify")
    for name in ("trail", "trail_ppm"):
        yield from _first(given[name] & ~trails, "bad_trail", f"{name} is for trailing_stop and modify")
    yield from _first(given["trail"] & given["trail_ppm"], "bad_trail", "either trail or trail_ppm")


def _links_at_odds(op: Array, link_kind: Array, given: Array) -> Iterator[_Row]:
    """Rows with half a link."""
    linked = link_kind != _NONE
    named = linked & (link_kind != Link.HELD)
    yield from _first(linked & (op != Op.ADD), "bad_link", "link_kind is for add")
    yield from _first(named & ~given, "missing", "link is empty")
    yield from _first(given & ~named, "bad_link", "link without a link_kind that names an order")


def _flags_at_odds(op: Array, values: dict[str, Array]) -> Iterator[_Row]:
    """Flags that are neither 0 nor 1, or that mean nothing here."""
    for name, ops in {"more": (Op.ADD, Op.DEPTH), "reset": (Op.DEPTH,)}.items():
        yield from _first(~np.isin(values[name], (0, 1)), f"bad_{name}", f"{name} is neither 0 nor 1")
        words = " and ".join(one.name.lower() for one in ops)
        yield from _first((values[name] == 1) & ~np.isin(op, ops), f"bad_{name}", f"{name} is for {words}")


def _settle_stops(inputs: Array, kind: Array, numbers: _Numbers) -> None:
    """Say what an order waits for in the engine's words."""
    values, given = numbers.values, numbers.given
    trails = np.where(given["trail_ppm"], Trigger.TRAIL_PPM, Trigger.TRAIL_TICKS)
    stops = np.isin(kind, (_STOP, _STOP_LIMIT))
    inputs["trigger"] = np.where(stops, Trigger.STOP, np.where(kind == _TRAILING, trails, Trigger.NONE))
    inputs["trail"] = np.where(given["trail_ppm"], values["trail_ppm"], values["trail"])
    # A change without a stop price is none for an order that has one: the engine refuses it.
    inputs["stop_price"][(inputs["op"] == Op.MODIFY) & ~given["stop_price"]] = PRICE_MAX + 1


def _settle(inputs: Array, kind: Array, tif: Array, priced: Array) -> None:
    """Say type, time in force and a missing protection price in the engine's words."""
    adds = inputs["op"] == Op.ADD
    kind = np.where(kind == _NONE, 0, kind)
    kind = np.where(np.isin(kind, (_STOP, _TRAILING)), Kind.MARKET, kind)
    kind = np.where(kind == _STOP_LIMIT, Kind.LIMIT, kind)
    plain = np.isin(kind, (Kind.LIMIT, Kind.MARKET))
    free = adds & (kind == Kind.MARKET) & ~priced
    inputs["price"][free] = np.where(inputs["side"][free] == SELL, -NO_LIMIT, NO_LIMIT)
    for word, at_once in (("ioc", Kind.IOC), ("fok", Kind.FOK)):
        kind = np.where(plain & (tif == _TIFS.index(word)), at_once, kind)
    inputs["kind"] = kind
