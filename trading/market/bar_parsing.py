"""A raw table becomes typed rows: times in UTC, prices as floats, each unreadable cell a finding."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from trading.market.bar_dates import read_dates
from trading.market.bar_table import FileRefused, Layout, RawTable, layout_of, symbol_of_name
from trading.market.findings import Finding
from trading.market.names import name_fault

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "."})
"""How files write a value that is not there; only in number columns, never in symbols."""
_DECIMAL_COMMA = re.compile(r"-?(\d+|\d{1,3}(\.\d{3})+),\d+")
_GROUPED = re.compile(r"[^\d-]*-?\d{1,3}(,\d{3})+(\.\d+)?\D*|[^\d-]+\d[\d.,]*")


@dataclass(frozen=True, slots=True)
class ParsedTable:
    """Rows of a file, typed. ``rows`` has ``row`` (from 1), ``symbol``, ``ts`` (UTC, NaT if unreadable) and the kind's
    columns as float64 (NaN if missing or unreadable); ``findings`` are those of parsing, all of single cells.
    """

    layout: Layout
    rows: pd.DataFrame
    findings: tuple[Finding, ...]
    date_only: bool
    dates_text: pd.Series
    """The date cells as in the file, for reports; indexed like ``rows``."""


def parse(table: RawTable, *, symbol: str | None, zone: str | None) -> ParsedTable:
    """Read dates, symbols and numbers.

    ``symbol`` overrides the file's own word; ``zone`` is the time zone of times that state none. Raises `FileRefused`.
    """
    layout = layout_of([str(name) for name in table.frame.columns])
    frame = table.frame
    if not len(frame):
        raise FileRefused("no_rows", "the file has a header and no rows")
    if layout.states_local and zone is None:
        raise FileRefused(
            "no_time_zone",
            f"column {layout.date!r} says its times are local, and nothing says in which zone; write them in UTC",
        )
    findings: list[Finding] = []
    whole = ~frame.index.isin(list(table.ragged))
    dates = read_dates(_date_cells(frame, layout).where(whole), zone)
    text = _date_cells(frame, layout).astype("str").fillna("").str.strip()
    rows = pd.DataFrame({"row": np.arange(1, len(frame) + 1), "ts": dates.ts})
    if dates.naive and not layout.states_utc:
        findings.append(Finding("naive_time", 1, text.iloc[0], f"column {layout.date!r} states no zone; read as UTC"))
    for at in np.flatnonzero(whole & rows["ts"].isna().to_numpy()).tolist():
        findings.append(Finding("bad_date", at + 1, text.iloc[at][:40], _date_reason(text.iloc[at])))
    for index, cells in table.ragged.items():
        reason = f"{len(cells)} fields where the header has {len(frame.columns)}"
        findings.append(Finding("field_count", index + 1, text.iloc[index][:40], reason))
    rows["symbol"] = _symbols(table, layout, symbol, whole, text, findings)
    for ours, theirs in layout.columns.items():
        rows[ours] = _numbers(frame[theirs], theirs, whole, text, findings)
    return ParsedTable(layout, rows, tuple(findings), dates.date_only, text)


def _date_cells(frame: pd.DataFrame, layout: Layout) -> pd.Series:
    cells = frame[layout.date]
    if layout.time is None:
        return cells
    return cells.astype("str").str.strip() + " " + frame[layout.time].astype("str").str.strip()


def _date_reason(cell: str) -> str:
    return f"{cell[:40]!r} is not a date" if cell else "the date is missing"


def _symbols(
    table: RawTable,
    layout: Layout,
    symbol: str | None,
    whole: NDArray[np.bool_],
    dates: pd.Series,
    findings: list[Finding],
) -> pd.Series:
    """Upper-case symbol of each row, empty where it cannot be one: the caller's word, a column, or the file's name."""
    frame = table.frame
    column = frame[layout.symbol].astype("str").fillna("").str.strip().str.upper() if layout.symbol else None
    if symbol is not None:
        given = symbol.strip().upper()
        fault = name_fault(given)
        if fault:
            raise FileRefused("bad_symbol", f"{symbol[:80]!r} cannot be a symbol: {fault}")
        distinct = sorted(set(column[whole])) if column is not None else []
        if len(distinct) > 1:
            raise FileRefused("symbol_conflict", f"one symbol was given, and the file holds {len(distinct)} symbols")
        return pd.Series(given, index=frame.index, dtype="str")
    if column is None:
        word = symbol_of_name(table.name)
        if not word:
            raise FileRefused(
                "no_symbol", f"neither a column nor the file name {table.name[:60]!r} tells the symbol; give it"
            )
        fault = name_fault(word)
        if fault:
            raise FileRefused("bad_symbol", f"{word[:80]!r} cannot be a symbol: {fault}")
        return pd.Series(word, index=frame.index, dtype="str")
    faults = {word: name_fault(word) for word in set(column)}
    bad = column.map(lambda word: bool(faults[word])).to_numpy() & whole
    if bad.sum() == whole.sum():
        word = column[whole].iloc[0] if whole.any() else ""
        raise FileRefused("bad_symbol", f"{word[:80]!r} cannot be a symbol: {faults.get(word, 'it is empty')}")
    for index in np.flatnonzero(bad):
        word = column.iloc[index]
        reason = f"{word[:40]!r} cannot be a symbol: {faults[word]}"
        findings.append(Finding("bad_symbol", int(index) + 1, dates.iloc[index][:40], reason))
    return column.where(~bad & whole, "")


def _numbers(
    cells: pd.Series, name: str, whole: NDArray[np.bool_], dates: pd.Series, findings: list[Finding]
) -> pd.Series:
    """A column as float64; NaN where the cell is blank, or not a number and then a finding."""
    if pd.api.types.is_bool_dtype(cells.dtype):
        raise FileRefused("number_format", f"column {name!r} holds true and false, not numbers")
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.astype("float64")
    text = cells.astype("str").fillna("").str.strip()
    try:
        # Arrow reads decimal text to the nearest float exactly, and refuses anything else: most columns end here.
        return pd.Series(pa.array(text, pa.large_string()).cast(pa.float64()).to_numpy(), index=cells.index)
    except pa.ArrowInvalid:
        pass
    blank = text.str.lower().isin(MISSING)
    number = pd.to_numeric(text.mask(blank), errors="coerce").astype("float64")
    # `to_numeric` also takes texts such as "1_000"; a price is digits, a point, an exponent.
    plain = text.str.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|Inf|Infinity)")
    strange = (~blank & ~plain).to_numpy() & whole
    usual = text[~blank & whole]
    if strange.any() and 2 * strange.sum() > len(usual):
        _refuse_number_format(name, text[strange].iloc[0])
    for index in np.flatnonzero(strange):
        reason = f"{name} is {text.iloc[index][:40]!r}, not a number"
        findings.append(Finding("not_a_number", int(index) + 1, dates.iloc[index][:40], reason))
    readable = ~blank & plain & pd.Series(whole, index=text.index)
    exact = pa.array(text[readable].str.removeprefix("+").tolist(), pa.string()).cast(pa.float64()).to_numpy()
    number[:] = np.nan
    number[readable] = exact
    return number


def _refuse_number_format(name: str, cell: str) -> None:
    if _DECIMAL_COMMA.fullmatch(cell) and not re.fullmatch(r"\d{1,3}(,\d{3})+", cell):
        fixed = cell.replace(".", "").replace(",", ".")
        raise FileRefused("decimal_comma", f"column {name!r} has decimal commas ({cell[:24]}); write {fixed[:24]}")
    if _GROUPED.fullmatch(cell):
        raise FileRefused("number_format", f"column {name!r} has {cell[:24]!r}; write digits and a point only")
    raise FileRefused("number_format", f"column {name!r} holds {cell[:24]!r}, not numbers")
