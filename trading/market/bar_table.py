"""A user's table before it is bars: what its columns mean, or why the file cannot be taken."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath

import pandas as pd

from trading.domain.errors import Invalid

PRICES = ("open", "high", "low", "close")
QUOTE_PRICES = tuple(f"{side}_{price}" for side in ("bid", "ask") for price in PRICES)
MAX_COLUMNS = 256


class BarKind(StrEnum):
    """Bars of trades (or an index), or bars of quotes with a bid and an ask side; the value is the lake's dataset."""

    TRADE = "bars"
    QUOTE = "quote_bars"

    @property
    def prices(self) -> tuple[str, ...]:
        """Price columns every bar of this kind has."""
        return PRICES if self is BarKind.TRADE else QUOTE_PRICES

    @property
    def close(self) -> str:
        """The price that moves are measured on."""
        return "close" if self is BarKind.TRADE else "bid_close"


class FileRefused(Invalid):
    """The whole file cannot be taken. Raised and caught inside ingest: a person sees code and one sentence."""

    code = "refused"

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason, code)


@dataclass(frozen=True, slots=True)
class RawTable:
    """A file as read, nothing interpreted: for CSV every cell is text, for Parquet columns keep their stored type.

    Row ``n`` of ``frame`` (from 0) is row ``n + 1`` for people, the header not counted. ``ragged`` holds rows whose
    number of fields differs from the header's, as their cells.
    """

    name: str
    sha256: str
    frame: pd.DataFrame
    ragged: Mapping[int, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column is what. ``columns`` maps our name to the file's; ``ignored`` are columns that are not kept."""

    kind: BarKind
    date: str
    time: str | None
    symbol: str | None
    columns: Mapping[str, str]
    ignored: tuple[str, ...]

    @property
    def states_utc(self) -> bool:
        """Whether the name of the time column says that its times are UTC."""
        return any(word in _squeeze(self.date) for word in ("utc", "gmt"))

    @property
    def states_local(self) -> bool:
        """Whether the name of the time column says that its times are local."""
        return any(word in _squeeze(self.date) for word in ("local", "naive"))


_DATES = (
    "ts", "timestamp", "datetime", "date", "time", "day", "tradedate", "tradingday", "opentime", "gmttime",
    "dateutc", "tsutc", "timeutc", "timestamputc", "datetimeutc", "utc", "tslocalnaive", "tslocal", "localtime",
    "datetimelocal", "indexlevel0", "unnamed0", "",
)  # fmt: skip
_SYMBOLS = ("symbol", "ticker", "name", "instrument", "sym")
_ALIASES = {
    **{price: (price,) for price in PRICES},
    **{name: (name.replace("_", ""),) for name in QUOTE_PRICES},
    "close": ("close", "last", "closelast"),
    "volume": ("volume", "vol"),
    "adj_close": ("adjclose", "adjustedclose", "closeadj", "closeadjusted"),
    "bid_size": ("bidsize", "bidvolume", "lastbidsize"),
    "ask_size": ("asksize", "askvolume", "lastasksize"),
}
_TRADE_COLUMNS = (*PRICES, "volume", "adj_close")
_QUOTE_COLUMNS = (*QUOTE_PRICES, "bid_size", "ask_size")

# What else the world keeps in tables, told by the columns that give it away; the first that fits names the file.
_NOT_BARS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"orderid", "side", "price"}), "single orders of an order book (L3 events)"),
    (frozenset({"side", "price", "size", "firstid"}), "order-book level updates (L2 depth)"),
    (frozenset({"tradeid", "price"}), "single trades (ticks)"),
    (frozenset({"price", "size", "aggressor"}), "single trades (ticks)"),
    (frozenset({"bid", "ask"}), "best bid and ask quotes (ticks)"),
    (frozenset({"exdate"}), "corporate actions (splits and dividends)"),
)


def layout_of(columns: Sequence[str]) -> Layout:
    """What the columns mean. Raises `FileRefused`: duplicate_columns, too_many_columns, not_bars, no_date_column,
    no_price_columns.
    """
    if len(columns) > MAX_COLUMNS:
        raise FileRefused("too_many_columns", f"the file has {len(columns)} columns; bars need no more than 13")
    squeezed: dict[str, list[str]] = {}
    for name in columns:
        squeezed.setdefault(_squeeze(name), []).append(name)
    found = {ours: squeezed[alias] for ours, aliases in _ALIASES.items() for alias in aliases if alias in squeezed}
    dates = [squeezed[alias] for alias in _DATES if alias in squeezed]
    symbols = [squeezed[alias] for alias in _SYMBOLS if alias in squeezed]
    for names in (*found.values(), *dates, *symbols):
        if len(names) > 1:
            raise FileRefused("duplicate_columns", f"the header names {names[0].strip()!r} {len(names)} times")
    trade = all(price in found for price in PRICES)
    quote = all(price in found for price in QUOTE_PRICES)
    if not trade and not quote:
        _refuse_without_prices(frozenset(squeezed), found)
    if not dates:
        raise FileRefused("no_date_column", f"no column holds the date: the header is {_listed(columns)}")
    kind = BarKind.TRADE if trade else BarKind.QUOTE
    wanted = _TRADE_COLUMNS if trade else _QUOTE_COLUMNS
    kept = {ours: found[ours][0] for ours in wanted if ours in found}
    date = dates[0][0]
    time = squeezed["time"][0] if _squeeze(date) == "date" and "time" in squeezed else None
    symbol = symbols[0][0] if symbols else None
    used = {date, time, symbol, *kept.values()}
    ignored = tuple(name for name in columns if name not in used)
    return Layout(kind, date, time, symbol, kept, ignored)


def _refuse_without_prices(squeezed: frozenset[str], found: Mapping[str, Sequence[str]]) -> None:
    for signs, what in _NOT_BARS:
        if signs <= squeezed:
            raise FileRefused("not_bars", f"this file holds {what}, not bars with open, high, low and close")
    sides = [name for name in QUOTE_PRICES if name in found]
    wanted = QUOTE_PRICES if sides else PRICES
    missing = [name for name in wanted if name not in found]
    raise FileRefused("no_price_columns", f"the header lacks {', '.join(missing)}")


def symbol_of_name(file_name: str) -> str:
    """The symbol a file's name speaks of: ``AAPL.csv.gz``, ``EURUSD_oanda_quote.csv`` -> AAPL, EURUSD; else empty."""
    stem = PurePath(file_name).name
    while PurePath(stem).suffix.lower() in _SUFFIXES:
        stem = PurePath(stem).stem
    word = stem.split("_", 1)[0]
    ticker = word.isupper() and len(word) <= 5  # ALL is Allstate, all.csv is not
    if (word.lower() in _GENERIC and not ticker) or not _STEM_SYMBOL.fullmatch(word):
        return ""
    return word.upper()


_SUFFIXES = frozenset({".csv", ".gz", ".parquet", ".pq", ".tsv", ".txt"})
# A name longer than a ticker, or a common word, is not a symbol: better ask than invent a series.
_STEM_SYMBOL = re.compile(r"[A-Za-z^][A-Za-z0-9^.-]{0,15}|[0-9]{1,6}(\.[A-Za-z]{1,3})?")
_GENERIC = frozenset(
    {
        "data", "prices", "price", "ohlc", "ohlcv", "bars", "bar", "history", "historical",
        "download", "export", "table", "test", "file", "sample", "stock", "stocks", "us",
        "daily", "hourly", "minute", "quotes", "quote", "eod", "my", "new", "all",
        "untitled", "output", "out", "input", "market", "crypto", "forex", "fx", "index",
        "null", "nan", "none", "nil",
    }
)  # fmt: skip


def _squeeze(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _listed(columns: Sequence[str]) -> str:
    names = ", ".join(str(name)[:24] for name in columns[:8])
    return names + (", ..." if len(columns) > 8 else "")
