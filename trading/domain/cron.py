"""Times of day in a time zone, and cron expressions over them. Pure: the zone is handed in, times are ns UTC.

Where clocks change: a local time that does not exist (the hour that is left out in spring) means the first moment after
the gap; one that exists twice (the hour that is repeated in autumn) means the first of the two. So every local time is
one moment, and each run happens once.

An expression has five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday). Each is ``*``, a
number, a name (``jan``, ``mon``), a range ``a-b``, a step ``*/n`` or ``a-b/n``, or a list of these. Where both days are
named, a day that meets either counts (POSIX crontab).
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from trading.domain.errors import Invalid

YEARS_MAX = 9
"""How far ahead the next run is looked for: a 29th of February may be eight years away."""
LENGTH_MAX = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: n for n, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """The minutes, hours, days, months and weekdays (0 is Sunday) of an expression, each in order.

    ``either_day`` says that day of month and weekday are both named: one of the two is enough.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool

    def on(self, day: date) -> bool:
        """Whether it has runs on this day."""
        if day.month not in self.months:
            return False
        month_day, weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (month_day or weekday) if self.either_day else (month_day and weekday)


def parse_cron(text: str) -> Cron:
    """The expression; raises `Invalid` with code ``bad_cron``."""
    fields = text.lower().split()
    if len(fields) != 5 or len(text) > LENGTH_MAX:
        raise Invalid("a cron expression has five fields: minute hour day month weekday", "bad_cron")
    minute, hour, day, month, weekday = fields
    return Cron(
        _field(minute, 0, 59, {}),
        _field(hour, 0, 23, {}),
        _field(day, 1, 31, {}),
        _field(month, 1, 12, _MONTHS),
        tuple(sorted({n % 7 for n in _field(weekday, 0, 7, _DAYS)})),
        not day.startswith("*") and not weekday.startswith("*"),
    )


def _field(text: str, low: int, high: int, names: Mapping[str, int]) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and (not step.isdecimal() or int(step) == 0):
            raise Invalid(f"{part[:20]!r} has no step above 0", "bad_cron")
        if span == "*":
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(start, names)
            last = _number(end, names) if dash else (high if slash else first)
        if not low <= first <= last <= high:
            raise Invalid(f"{part[:20]!r} is not within {low} to {high}", "bad_cron")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return tuple(sorted(found))


def _number(text: str, names: Mapping[str, int]) -> int:
    if text in names:
        return names[text]
    if not (text.isascii() and text.isdecimal()) or len(text) > 2:
        raise Invalid(f"{text[:20]!r} is no number or name of this field", "bad_cron")
    return int(text)


def next_run_ns(cron: Cron, zone: tzinfo, after_ns: int) -> int | None:
    """The first run later than ``after_ns``; None where there is none within `YEARS_MAX` years."""
    for local in _locals(cron, _local(zone, after_ns)):
        due_ns = instant_ns(local, zone)
        if due_ns > after_ns:
            return due_ns
    return None


def next_runs_ns(cron: Cron, zone: tzinfo, after_ns: int, count: int) -> list[int]:
    """The first ``count`` runs later than ``after_ns``."""
    found: list[int] = []
    while len(found) < count and (due_ns := next_run_ns(cron, zone, found[-1] if found else after_ns)) is not None:
        found.append(due_ns)
    return found


def instant_ns(local: datetime, zone: tzinfo) -> int:
    """The one moment that a local time (without zone) means, by the rules above."""
    early = local.replace(tzinfo=zone, fold=0)
    moment = early.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) != local:
        # In a gap Python reckons with the offset before it, which lands behind it: walk back to where it ends.
        after = local.replace(tzinfo=zone, fold=1).utcoffset()
        while (moment - _MINUTE).astimezone(zone).utcoffset() == after:
            moment -= _MINUTE
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _local(zone: tzinfo, ts_ns: int) -> datetime:
    """What clocks show at a moment, in whole minutes."""
    shown = (_EPOCH + timedelta(microseconds=ts_ns // 1000)).astimezone(zone)
    return shown.replace(tzinfo=None, fold=0, second=0, microsecond=0)


def _locals(cron: Cron, first: datetime) -> Iterator[datetime]:
    """Local times of the expression from one on. Their moments are in the same order, so none before it is later."""
    for n in range(366 * YEARS_MAX):
        day = first.date() + timedelta(days=n)
        if cron.on(day):
            for hour in cron.hours[bisect_left(cron.hours, first.hour) if n == 0 else 0 :]:
                for minute in cron.minutes:
                    local = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - the zone is apart
                    if local >= first:
                        yield local
