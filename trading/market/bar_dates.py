"""Dates and times as people write them, read strictly: one format a file, nothing guessed."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trading.market.bar_table import FileRefused

_ZONE = r"(?P<zone>\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_CLOCK = r"(?P<clock>[T ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?"
_SHAPES: tuple[tuple[str, str], ...] = (
    ("iso", rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}{_CLOCK}{_ZONE}"),
    ("ymd", rf"\d{{4}}[/.]\d{{1,2}}[/.]\d{{1,2}}{_CLOCK}{_ZONE}"),
    ("compact", rf"(?:19|20|21)\d{{6}}(?P<clock>[T ]\d{{2}}:?\d{{2}}(?::?\d{{2}})?)?{_ZONE}"),
    ("xxy", rf"\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{4}}{_CLOCK}{_ZONE}"),
    ("month_name", r"(?:\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})" + _CLOCK + _ZONE),
    ("two_digit_year", rf"\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{2}}{_CLOCK}{_ZONE}"),
    ("epoch", r"\d{9,19}(?:\.\d+)?"),
)  # fmt: skip
_NAMES = {
    "iso": "year-month-day", "ymd": "year/month/day", "compact": "yearmonthday", "xxy": "day and month before the year",
    "month_name": "month by name", "two_digit_year": "two-digit year", "epoch": "seconds since 1970",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dates:
    """Times of a column, ``ts`` as ``datetime64[ns, UTC]`` with NaT where the cell is not a date.

    ``date_only``: no cell has a time of day. ``naive``: there are times of day, without a zone.
    """

    ts: pd.Series
    date_only: bool
    naive: bool


def read_dates(cells: pd.Series, zone: str | None) -> Dates:
    """Read a column of dates: text, Parquet timestamps or epoch numbers.

    Dates without a time of day stand for midnight UTC of that date. Times of day without a zone are in ``zone`` where
    one is given (a time that this zone skips or has twice becomes NaT), else UTC and marked ``naive``.
    Raises `FileRefused`: mixed_date_formats, ambiguous_dates, mixed_time_zones, no_dates.
    """
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return _typed(cells.dt.tz_convert("UTC"), naive=False)
    if pd.api.types.is_datetime64_dtype(cells.dtype):
        ts = _to_utc(_bounded(cells), zone)
        only = bool((cells.dropna() == cells.dropna().dt.normalize()).all())
        return Dates(ts, only, naive=not only and zone is None)
    text = cells.astype("str").fillna("").str.strip()
    if pd.api.types.is_float_dtype(cells.dtype):
        text = text.str.removesuffix(".0")
    shapes = _shapes(text)
    shape = _one_shape(text, shapes)
    mine = shapes == shape
    if shape == "epoch":
        return _typed(_epoch(text.where(mine)), naive=False)
    parts = text.where(mine).str.extract(dict(_SHAPES)[shape])
    clock, zones = parts["clock"], parts["zone"]
    _refuse_mixed_clocks(clock[mine], zones[mine])
    stamps = _naive_stamps(text.where(mine), shape, zones)
    if zones[mine].notna().any():
        ts = _shift_to_utc(stamps, zones)
    else:
        ts = _to_utc(stamps, zone)
    only = not clock[mine].notna().any()
    return Dates(ts, only, naive=not only and zone is None and not zones[mine].notna().any())


def _typed(ts: pd.Series, *, naive: bool) -> Dates:
    known = ts.dropna()
    return Dates(_bounded(ts), bool((known == known.dt.normalize()).all()), naive)


def _shapes(text: pd.Series) -> pd.Series:
    found = pd.Series("", index=text.index, dtype=object)
    for name, pattern in _SHAPES:
        rest = text[found == ""]
        if rest.empty:
            break
        found[rest.index[rest.str.fullmatch(re.sub(r"\?P<\w+>", "?:", pattern))]] = name
    return found


def _one_shape(text: pd.Series, shapes: pd.Series) -> str:
    """The one shape the file uses; cells of no shape are single bad rows, two shapes make the file ambiguous."""
    counts = shapes[shapes != ""].value_counts()
    if counts.empty:
        example = next((cell for cell in text if cell), "")
        raise FileRefused("no_dates", f"the date column holds no dates (first cell {example[:40]!r})")
    if len(counts) > 1:
        first, second = (text[shapes == name] for name in counts.index[:2])
        raise FileRefused(
            "mixed_date_formats",
            f"two date formats in one file: {first.iloc[0]!r} in row {first.index[0] + 1} and {second.iloc[0]!r} in row"
            f" {second.index[0] + 1}; a date could be read two ways",
        )
    shape = str(counts.index[0])
    if shape == "two_digit_year":
        cell = text[shapes == shape].iloc[0]
        raise FileRefused("ambiguous_dates", f"{cell!r} has a two-digit year; write it as year-month-day")
    return shape


def _refuse_mixed_clocks(clock: pd.Series, zones: pd.Series) -> None:
    if clock.notna().any() and clock.isna().any():
        with_time, without = clock.first_valid_index(), clock.index[clock.isna()][0]
        raise FileRefused(
            "mixed_date_formats",
            f"row {with_time + 1} has a time of day and row {without + 1} has none",
        )
    if zones.notna().any() and zones.isna().any():
        row = zones.index[zones.isna()][0]
        raise FileRefused("mixed_time_zones", f"some times state their zone and row {row + 1} does not")


def _naive_stamps(text: pd.Series, shape: str, zones: pd.Series) -> pd.Series:
    """Cells of one shape as naive times (ns); what the calendar does not know (2013-02-30) becomes NaT."""
    bare = text.str.replace(_ZONE.replace("?P<zone>", "") + "$", "", regex=True) if zones.notna().any() else text
    bare = bare.str.replace(",", ".", regex=False) if shape != "month_name" else bare.str.replace(",", "", regex=False)
    if shape in ("xxy", "ymd"):
        parts = bare.str.extract(r"^(\d{1,4})[/.-](\d{1,2})[/.-](\d{1,4})(.*)$")
        if shape == "xxy":
            year, (month, day) = parts[2], _month_and_day(parts[0], parts[1], text)
        else:
            year, month, day = parts[0], parts[1], parts[2]
        bare = year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + parts[3]
        shape = "iso"
    if shape == "iso":
        bare = bare.str.replace(r"^(\d{4})-(\d{1,2})-(\d{1,2})", _pad_date, regex=True)
        bare = bare.str.replace(r"[T ](\d):", r"T0\1:", regex=True)
        stamps = pd.to_datetime(bare, format="ISO8601", errors="coerce")
    elif shape == "compact":
        digits = bare.str.replace(r"[T :]", "", regex=True).str.ljust(14, "0")
        stamps = pd.to_datetime(digits.where(bare.notna()), format="%Y%m%d%H%M%S", errors="coerce")
    else:
        stamps = pd.to_datetime(bare, format="mixed", errors="coerce")
    return _bounded(stamps)


def _pad_date(match: "re.Match[str]") -> str:
    return f"{match[1]}-{match[2]:0>2}-{match[3]:0>2}"


def _month_and_day(first: pd.Series, second: pd.Series, text: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Which of two numbers is the month: the one that never exceeds 12 where the other does."""
    day_first = pd.to_numeric(first, errors="coerce") > 12
    day_second = pd.to_numeric(second, errors="coerce") > 12
    if day_first.any() and day_second.any():
        one, two = day_first.idxmax(), day_second.idxmax()
        raise FileRefused(
            "mixed_date_formats",
            f"day and month change places: {text[one]!r} in row {one + 1}, {text[two]!r} in row {two + 1}",
        )
    if not day_first.any() and not day_second.any():
        example = text.dropna().iloc[0]
        raise FileRefused(
            "ambiguous_dates", f"{example!r} can be read with day or month first; write dates as year-month-day"
        )
    return (second, first) if day_first.any() else (first, second)


def _epoch(text: pd.Series) -> pd.Series:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970 UTC, told apart by their size."""
    number = pd.to_numeric(text, errors="coerce")
    median = float(number.median())
    unit, per_s = next((u, f) for u, f in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)) if median < 1e11 * f)
    if "." in "".join(text.dropna().head(100)):
        number = (number * (10**9 // per_s)).round()
        unit = "ns"
    whole = number.astype("Int64") if number.notna().any() else number
    return pd.to_datetime(whole, unit=unit, errors="coerce", utc=True)


def _shift_to_utc(stamps: pd.Series, zones: pd.Series) -> pd.Series:
    text = zones.str.strip().str.replace(":", "", regex=False)
    sign = np.where(text.str.startswith("-", na=False), -1, 1)
    digits = text.str.extract(r"(\d{2})(\d{2})")
    minutes = pd.to_numeric(digits[0]).fillna(0) * 60 + pd.to_numeric(digits[1]).fillna(0)
    return (stamps - pd.to_timedelta(minutes * sign, unit="min")).dt.as_unit("ns").dt.tz_localize("UTC")


def _to_utc(stamps: pd.Series, zone: str | None) -> pd.Series:
    known = stamps.dropna()
    if zone is None or bool((known == known.dt.normalize()).all()):
        return stamps.dt.tz_localize("UTC")
    try:
        local = stamps.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    except (KeyError, ValueError) as error:
        raise FileRefused("bad_time_zone", f"{zone!r} is not a time zone (write Europe/Berlin, say)") from error
    return local.dt.tz_convert("UTC")


# Before 1678 and after 2261 a nanosecond clock has no numbers; no market has bars there.
_FIRST, _LAST = pd.Timestamp("1678-01-01"), pd.Timestamp("2261-12-31")


def _bounded(stamps: pd.Series) -> pd.Series:
    """Nanosecond resolution, NaT outside what it can hold."""
    zone = getattr(stamps.dtype, "tz", None)
    low, high = (bound.tz_localize(zone) if zone else bound for bound in (_FIRST, _LAST))
    return stamps.where((stamps >= low) & (stamps <= high)).dt.as_unit("ns")
