"""When a market is open: a calendar's name and a time in, open or closed, closes and ends of trading days out.

Calendars are ``24/7`` (crypto: never closed, days are UTC days), ``FX`` (a week from Sunday 17:00 to Friday 17:00 New
York time, days change at 17:00 there) and every exchange of `exchange_calendars` by its code, such as ``XNYS``, with
its holidays, early closes and breaks. Times are ns UTC. Nothing here reads a clock.

A floor has one of two modes. ``real`` follows the calendars. ``always`` has every market open around the clock, so
that a new floor moves at any hour; its trading days are UTC days.
"""

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

HoursMode = Literal["always", "real"]
CONTINUOUS: Final = "24/7"
FX_WEEK: Final = "FX"
DAY_NS: Final = 86_400_000_000_000
NEW_YORK: Final = ZoneInfo("America/New_York")
FX_HOUR: Final = 17
YEARS_BACK: Final = 5
"""A table of sessions begins this many years before the year it was asked for; the venue's own past is three years."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of some years: stretches that are open, by time, and the trading days that they belong to.

    ``open_ns`` and ``close_ns`` are the stretches (two a day where there is a break), ``day_open_ns`` and
    ``day_close_ns`` the days; a stretch is open from its first nanosecond until the one before its close.
    """

    open_ns: Ints
    close_ns: Ints
    day_open_ns: Ints
    day_close_ns: Ints


def is_around_the_clock(calendar: str, mode: HoursMode) -> bool:
    """Whether a market never closes, so that its days are UTC days."""
    return mode == "always" or calendar == CONTINUOUS


@lru_cache(maxsize=64)
def zone_name(calendar: str) -> str:
    """The IANA name of the zone a market's local times are in; raises ValueError for a calendar that nobody knows."""
    if calendar == CONTINUOUS:
        return "UTC"
    if calendar == FX_WEEK:
        return NEW_YORK.key
    return str(_exchange(calendar, "2020-01-01", "2020-12-31").tz.key)


def sessions(calendar: str, ts_ns: int) -> Sessions:
    """The sessions of the years around a time; raises ValueError for a calendar that nobody knows."""
    return _sessions(calendar, int(np.datetime64(ts_ns, "ns").astype("datetime64[Y]").astype(int)) + 1970)


def is_open(calendar: str, mode: HoursMode, ts_ns: int) -> bool:
    """Whether the market trades at ``ts_ns``."""
    return session_open_ns(calendar, mode, ts_ns) <= ts_ns


def session_open_ns(calendar: str, mode: HoursMode, ts_ns: int) -> int:
    """Start of the stretch of trading that runs at ``ts_ns`` or, where none does, of the next one."""
    if is_around_the_clock(calendar, mode):
        return ts_ns // DAY_NS * DAY_NS
    known = sessions(calendar, ts_ns)
    return int(known.open_ns[np.searchsorted(known.close_ns, ts_ns, side="right")])


def session_close_ns(calendar: str, mode: HoursMode, ts_ns: int) -> int:
    """End of the stretch of trading that runs at ``ts_ns`` or, where none does, of the next one."""
    if is_around_the_clock(calendar, mode):
        return (ts_ns // DAY_NS + 1) * DAY_NS
    known = sessions(calendar, ts_ns)
    return int(known.close_ns[np.searchsorted(known.close_ns, ts_ns, side="right")])


def session_end_ns(calendar: str, mode: HoursMode, ts_ns: int) -> int:
    """When a DAY order sent at ``ts_ns`` expires: the end of the trading day that runs then, or else of the next."""
    if is_around_the_clock(calendar, mode):
        return (ts_ns // DAY_NS + 1) * DAY_NS
    known = sessions(calendar, ts_ns)
    return int(known.day_close_ns[np.searchsorted(known.day_close_ns, ts_ns, side="right")])


def opens_within(calendar: str, mode: HoursMode, starts_ns: Ints, length_ns: int) -> NDArray[np.bool_]:
    """Which of the stretches of ``length_ns`` that begin at ``starts_ns`` (in order) have any trading in them."""
    if len(starts_ns) == 0 or is_around_the_clock(calendar, mode):
        return np.ones(len(starts_ns), dtype=bool)
    known = sessions(calendar, int(starts_ns[-1]))
    following = known.open_ns[np.searchsorted(known.close_ns, starts_ns, side="right")]
    within: NDArray[np.bool_] = following < starts_ns + length_ns
    return within


@lru_cache(maxsize=64)
def zone_of(calendar: str) -> tzinfo:
    """The time zone of a market's days: New York's for the FX week, UTC where the market never closes."""
    if calendar == CONTINUOUS:
        return UTC
    if calendar == FX_WEEK:
        return NEW_YORK
    import exchange_calendars  # late, as below
    from exchange_calendars.errors import InvalidCalendarName

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zone: tzinfo = exchange_calendars.get_calendar(calendar, start="2024-01-02", end="2024-01-31").tz
    except InvalidCalendarName as error:
        raise ValueError(f"no calendar {calendar[:40]!r}") from error
    return zone


@lru_cache(maxsize=64)
def _sessions(calendar: str, year: int) -> Sessions:
    first, last = f"{year - YEARS_BACK}-01-01", f"{year + 1}-12-31"
    return _fx_week(first, last) if calendar == FX_WEEK else _of_exchange(calendar, first, last)


def _fx_week(first: str, last: str) -> Sessions:
    days = np.arange(np.datetime64(first), np.datetime64(last))
    # A day of the FX week opens on the evening before it: Sunday's for Monday. 1970-01-01 was a Thursday.
    weekday = (days.astype(int) + 3) % 7
    evenings = np.unique(np.concatenate([days[weekday < 5] - 1, days[weekday < 5]]))
    at_ns = {evening: _new_york_ns(evening.item()) for evening in evenings}
    opens = np.array([at_ns[day - 1] for day in days[weekday < 5]], dtype=np.int64)
    closes = np.array([at_ns[day] for day in days[weekday < 5]], dtype=np.int64)
    return Sessions(opens, closes, opens, closes)


def _new_york_ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, FX_HOUR, tzinfo=NEW_YORK).timestamp()) * 1_000_000_000


def _exchange(calendar: str, first: str, last: str) -> Any:
    # Late: it brings pandas, which a floor that trades around the clock does not wait for.
    import exchange_calendars
    from exchange_calendars.errors import InvalidCalendarName

    try:
        with warnings.catch_warnings():
            # The library's own use of pandas is announced to change.
            warnings.simplefilter("ignore")
            return exchange_calendars.get_calendar(calendar, start=first, end=last)
    except InvalidCalendarName as error:
        raise ValueError(f"no calendar {calendar[:40]!r}") from error


def _of_exchange(calendar: str, first: str, last: str) -> Sessions:
    known = _exchange(calendar, first, last)
    columns = (known.opens, known.break_starts, known.break_ends, known.closes)
    opens, pauses, resumes, closes = (column.dt.tz_convert(None).to_numpy("datetime64[ns]") for column in columns)
    broken = ~np.isnat(pauses)
    starts = np.sort(np.concatenate([opens, resumes[broken]])).astype(np.int64)
    ends = np.sort(np.concatenate([closes, pauses[broken]])).astype(np.int64)
    return Sessions(starts, ends, opens.astype(np.int64), closes.astype(np.int64))
