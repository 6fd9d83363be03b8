"""Cron expressions and local times, against a plain oracle that walks through every minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.cron import instant_ns, next_run_ns, next_runs_ns, parse_cron
from trading.domain.errors import Invalid

NEW_YORK, LONDON, SYDNEY, UTC_ZONE = (
    ZoneInfo(name) for name in ("America/New_York", "Europe/London", "Australia/Sydney", "UTC")
)


def ns(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc, arg-type]


def text(ts_ns: int | None, zone: ZoneInfo = UTC_ZONE) -> str:
    assert ts_ns is not None
    return datetime.fromtimestamp(ts_ns / 1e9, zone).strftime("%Y-%m-%d %H:%M %Z")


def runs(cron: str, zone: ZoneInfo, after: int, count: int) -> list[str]:
    return [text(each, zone) for each in next_runs_ns(parse_cron(cron), zone, after, count)]


def test_every_trading_morning_in_new_york_stays_at_half_past_nine_over_the_change_of_clocks() -> None:
    assert runs("30 9 * * mon-fri", NEW_YORK, ns(2026, 3, 5, 20), 3) == [
        "2026-03-06 09:30 EST",
        "2026-03-09 09:30 EDT",
        "2026-03-10 09:30 EDT",
    ]


def test_a_time_that_does_not_exist_is_the_first_moment_after_the_gap() -> None:
    assert runs("30 2 * * *", NEW_YORK, ns(2026, 3, 7, 12), 2) == ["2026-03-08 03:00 EDT", "2026-03-09 02:30 EDT"]
    # Several that fall into the gap are one run, and the one at its end is the same moment.
    assert runs("0,30 2,3 8 3 *", NEW_YORK, ns(2026, 3, 7, 12), 3)[:2] == [
        "2026-03-08 03:00 EDT",
        "2026-03-08 03:30 EDT",
    ]


def test_a_time_that_exists_twice_is_the_first_of_the_two() -> None:
    assert runs("30 1 * * *", NEW_YORK, ns(2026, 10, 31, 12), 2) == ["2026-11-01 01:30 EDT", "2026-11-02 01:30 EST"]
    first = next_run_ns(parse_cron("30 1 1 11 *"), NEW_YORK, ns(2026, 10, 31, 12))
    assert first is not None
    assert text(next_run_ns(parse_cron("30 1 1 11 *"), NEW_YORK, first), NEW_YORK).startswith("2027-")


def test_either_day_counts_where_both_are_named() -> None:
    assert [each[:10] for each in runs("0 0 13 * fri", UTC_ZONE, ns(2026, 11, 1), 4)] == [
        "2026-11-06",
        "2026-11-13",
        "2026-11-20",
        "2026-11-27",
    ]
    assert runs("0 0 13 * *", UTC_ZONE, ns(2026, 11, 14), 1) == ["2026-12-13 00:00 UTC"]


def test_a_leap_day_is_found_and_a_day_that_never_comes_is_not() -> None:
    assert runs("0 0 29 2 *", UTC_ZONE, ns(2028, 3, 1), 1) == ["2032-02-29 00:00 UTC"]
    assert next_run_ns(parse_cron("0 0 30 2 *"), UTC_ZONE, ns(2026, 1, 1)) is None


@pytest.mark.parametrize(
    "wrong",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
     "5-1 * * * *", "a * * * *", "1,,2 * * * *", "-1 * * * *", "1.5 * * * *", "@daily", "² * * * *",
     "* * * * " + "1," * 60],
)  # fmt: skip
def test_what_is_no_expression_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid) as error:
        parse_cron(wrong)
    assert error.value.code == "bad_cron"


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    one = st.one_of(number.map(str), span, st.tuples(span, st.integers(1, 20)).map(lambda p: f"{p[0]}/{p[1]}"))
    several = st.lists(one, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), st.integers(2, 20).map(lambda n: f"*/{n}"), several)


def matches(expression: str, local: datetime) -> bool:
    """The oracle's own reading of an expression, value by value."""

    def meets(text: str, value: int, low: int, high: int) -> bool:
        for part in text.split(","):
            span, _, step = part.partition("/")
            ends = (low, high) if span == "*" else tuple(int(end) for end in span.split("-"))
            first, last = ends[0], ends[-1]
            if first <= value <= last and (value - first) % int(step or 1) == 0:
                return True
        return False

    minute, hour, day, month, weekday = expression.split()
    if not (meets(minute, local.minute, 0, 59) and meets(hour, local.hour, 0, 23) and meets(month, local.month, 1, 12)):
        return False
    by_day, by_week = meets(day, local.day, 1, 31), meets(weekday, local.isoweekday() % 7, 0, 6)
    return by_day or by_week if "*" not in day[:1] + weekday[:1] else by_day and by_week


def oracle(expression: str, zone: ZoneInfo, after_ns: int, days: int) -> int | None:
    """Walk through real minutes; a local time counts when it first appears, or, left out, when the gap has passed."""
    moment = datetime.fromtimestamp(after_ns // 10**9, UTC) - timedelta(days=1)
    before = moment.astimezone(zone).replace(tzinfo=None)
    latest = before
    for _ in range((days + 1) * 1440):
        moment += timedelta(minutes=1)
        local = moment.astimezone(zone).replace(tzinfo=None)
        while latest < local:
            latest += timedelta(minutes=1)
            due_ns = int(moment.timestamp()) * 10**9
            if matches(expression, latest) and due_ns > after_ns:
                return due_ns
    return None


@settings(max_examples=150)
@given(
    st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).map(" ".join),
    st.sampled_from([NEW_YORK, LONDON, SYDNEY, UTC_ZONE]),
    st.sampled_from(
        [ns(2026, 3, 7), ns(2026, 3, 28), ns(2026, 4, 4), ns(2026, 10, 3), ns(2026, 10, 24), ns(2026, 10, 31)]
    ),
    st.integers(0, 2 * 1440),
)
def test_the_next_run_is_the_one_that_a_walk_through_all_minutes_finds(
    expression: str, zone: ZoneInfo, day_ns: int, minutes: int
) -> None:
    after_ns = day_ns + minutes * 60 * 10**9
    found, expected = next_run_ns(parse_cron(expression), zone, after_ns), oracle(expression, zone, after_ns, 3)
    if expected is not None:
        assert found == expected
    else:
        assert found is None or found > after_ns + 2 * 86_400 * 10**9


@given(st.integers(0, 2 * 365 * 1440), st.sampled_from([NEW_YORK, LONDON, SYDNEY]))
def test_local_times_in_order_are_moments_in_order(minutes: int, zone: ZoneInfo) -> None:
    local = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)).replace(tzinfo=None)
    assert instant_ns(local, zone) <= instant_ns(local + timedelta(minutes=1), zone)
