"""A table of tickets as text: CSV with a header in, tickets out, or for each row what is wrong with it. Pure."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from trading.domain.errors import Invalid
from trading.domain.orders import OrderType, Refusal, Side, Ticket, TimeInForce
from trading.services.batches import TICKETS_MAX

COLUMNS = (
    "symbol",
    "side",
    "type",
    "quantity",
    "limit_price",
    "time_in_force",
    "venue",
    "stop_price",
    "trail",
    "trail_percent",
    "post_only",
    "expires_at",
    "take_profit",
    "stop_loss",
    "oco_limit",
)
NEEDED = ("symbol", "side", "type", "quantity")
BYTES_MAX = 64 * 1024
CELL_MAX = 60
FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet would run as a formula; no field of a ticket begins so."""
_YES, _NO = ("true", "yes", "1"), ("", "false", "no", "0")


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row by its line in the text, with its cells as typed, and its ticket or what is wrong with it."""

    line: int
    cells: Mapping[str, str]
    ticket: Ticket | Refusal


def read_tickets(content: bytes | str) -> list[FileRow]:
    """The rows of a table with a header; separated by comma, semicolon or tab.

    Raises `Invalid` for what is no such table: ``not_text``, ``too_large``, ``empty``, ``unknown_column``,
    ``double_column``, ``missing_column``, ``ragged``, ``bad_batch`` (too many rows). A row that is no ticket carries a
    refusal: ``formula_cell``, ``cell_too_long``, ``bad_side``, ``bad_type``, ``bad_tif``, ``bad_flag``. Numbers are the
    desk's to judge.
    """
    text = _text(content)
    table = [row for row in _rows(text) if any(cell.strip() for cell in row[1])]
    if not table:
        raise Invalid("there is nothing in it: a header and a row for each order are needed", "empty")
    header = _header(table[0][1])
    if len(table) - 1 > TICKETS_MAX:
        raise Invalid(f"a batch has at most {TICKETS_MAX} orders, this one has {len(table) - 1}", "bad_batch")
    if len(table) == 1:
        raise Invalid("there is a header and no order under it", "empty")
    for line, cells in table[1:]:
        if len(cells) != len(header):
            raise Invalid(f"line {line} has {len(cells)} cells, the header has {len(header)}", "ragged")
    return [_row(line, dict(zip(header, (cell.strip() for cell in cells), strict=True))) for line, cells in table[1:]]


def _text(content: bytes | str) -> str:
    if len(content) > BYTES_MAX:
        raise Invalid(f"it is larger than {BYTES_MAX // 1024} kB", "too_large")
    if isinstance(content, bytes):
        try:
            content = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Invalid("it is no text in UTF-8; save it as CSV (UTF-8)", "not_text") from None
    if "\0" in content:
        raise Invalid("it is no text in UTF-8; save it as CSV (UTF-8)", "not_text")
    return content.removeprefix("\ufeff")


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Cells with the line each row ends on; the separator is what the header has most of."""
    head = text.lstrip().partition("\n")[0]
    reader = csv.reader(StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise Invalid(f"line {reader.line_num} cannot be read ({error})", "ragged") from None


def _header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower().replace(" ", "_") for cell in cells]
    unknown = next((name for name in names if name not in COLUMNS), None)
    if unknown is not None:
        raise Invalid(f"no column {unknown[:40]!r}; known are {', '.join(COLUMNS)}", "unknown_column")
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise Invalid(f"column {double} is there twice", "double_column")
    missing = next((name for name in NEEDED if name not in names), None)
    if missing is not None:
        raise Invalid(f"column {missing} is missing", "missing_column")
    return names


def _row(line: int, cells: Mapping[str, str]) -> FileRow:
    return FileRow(line, cells, _cells_refusal(cells) or _ticket(cells))


def _cells_refusal(cells: Mapping[str, str]) -> Refusal | None:
    for name, cell in cells.items():
        if cell.startswith(FORMULA):
            return Refusal("formula_cell", f"The {_words(name)} begins like a formula.", {"column": name})
        if len(cell) > CELL_MAX:
            return Refusal(
                "cell_too_long", f"The {_words(name)} is longer than {CELL_MAX} characters.", {"column": name}
            )
    return None


def _ticket(cells: Mapping[str, str]) -> Ticket | Refusal:
    def typed(name: str) -> str | None:
        return cells.get(name) or None

    side, kind = cells["side"].lower(), cells["type"].lower().replace(" ", "_").replace("-", "_")
    tif, flag = cells.get("time_in_force", "").lower() or TimeInForce.GTC, cells.get("post_only", "").lower()
    for code, value, known in (
        ("bad_side", side, tuple(Side)),
        ("bad_type", kind, tuple(OrderType)),
        ("bad_tif", tif, tuple(TimeInForce)),
        ("bad_flag", flag, (*_YES, *_NO)),
    ):
        if value not in known:
            return Refusal(code, f"{value[:20]!r} is none of {', '.join(name for name in known if name)}.")
    return Ticket(
        symbol=cells["symbol"],
        side=Side(side),
        type=OrderType(kind),
        quantity=cells["quantity"],
        limit_price=typed("limit_price"),
        time_in_force=TimeInForce(tif),
        venue=cells.get("venue") or "SIM",
        stop_price=typed("stop_price"),
        trail=typed("trail"),
        trail_percent=typed("trail_percent"),
        post_only=flag in _YES,
        expires_at=typed("expires_at"),
        take_profit=typed("take_profit"),
        stop_loss=typed("stop_loss"),
        oco_limit=typed("oco_limit"),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
