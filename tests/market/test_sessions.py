"""When markets open and close: holidays, early closes, breaks, summer time, and a floor that never closes."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.market.sessions import (
    DAY_NS,
    HoursMode,
    is_open,
    session_close_ns,
    session_end_ns,
    session_open_ns,
)

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str, zone: str = "America/New_York") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("calendar", "moment", "opened"),
    [
        ("XNYS", "2026-11-20T09:29:59", False),
        ("XNYS", "2026-11-20T09:30:00", True),
        ("XNYS", "2026-11-20T15:59:59", True),
        ("XNYS", "2026-11-20T16:00:00", False),
        ("XNYS", "2026-11-26T12:00:00", False),  # Thanksgiving
        ("XNYS", "2026-11-27T12:59:59", True),
        ("XNYS", "2026-11-27T13:00:00", False),  # the early close behind it
        ("XNYS", "2026-07-15T09:30:00", True),  # summer time
        ("XNYS", "2026-11-21T12:00:00", False),
        ("FX", "2026-11-20T16:59:59", True),
        ("FX", "2026-11-20T17:00:00", False),
        ("FX", "2026-11-22T16:59:59", False),
        ("FX", "2026-11-22T17:00:00", True),
        ("FX", "2026-11-24T17:00:00", True),  # the day changes, the market stays open
        ("24/7", "2026-11-21T12:00:00", True),
    ],
)
def test_a_real_market_opens_and_closes_by_its_calendar(calendar: str, moment: str, opened: bool) -> None:
    assert is_open(calendar, "real", at(moment)) is opened
    assert is_open(calendar, "always", at(moment))


@pytest.mark.parametrize(
    ("calendar", "sent", "ends"),
    [
        ("XNYS", "2026-11-20T10:00:00", "2026-11-20T16:00:00"),
        ("XNYS", "2026-11-20T16:00:00", "2026-11-23T16:00:00"),  # queued for Monday
        ("XNYS", "2026-11-26T10:00:00", "2026-11-27T13:00:00"),
        ("FX", "2026-11-18T16:00:00", "2026-11-18T17:00:00"),
        ("FX", "2026-11-18T17:00:00", "2026-11-19T17:00:00"),
        ("FX", "2026-11-20T18:00:00", "2026-11-23T17:00:00"),
    ],
)
def test_a_day_order_ends_with_its_session_or_with_the_next_one(calendar: str, sent: str, ends: str) -> None:
    assert session_end_ns(calendar, "real", at(sent)) == at(ends)
    midnight = (at(sent) // DAY_NS + 1) * DAY_NS
    assert session_end_ns(calendar, "always", at(sent)) == midnight
    assert session_end_ns("24/7", "real", at(sent)) == midnight


def test_a_break_at_noon_closes_the_market_but_not_the_day() -> None:
    noon = at("2026-11-20T12:00:00", "Asia/Tokyo")
    assert not is_open("XTKS", "real", noon)
    assert session_open_ns("XTKS", "real", noon) == at("2026-11-20T12:30:00", "Asia/Tokyo")
    assert session_close_ns("XTKS", "real", noon - 3600 * 10**9) == at("2026-11-20T11:30:00", "Asia/Tokyo")
    assert session_end_ns("XTKS", "real", noon - 3600 * 10**9) == at("2026-11-20T15:30:00", "Asia/Tokyo")


@given(
    st.sampled_from(["XNYS", "FX", "24/7"]),
    st.sampled_from(["always", "real"]),
    st.integers(1_600_000_000, 1_790_000_000),
)
def test_a_market_is_open_from_its_open_until_just_before_its_close(calendar: str, mode: HoursMode, s: int) -> None:
    opens, closes = session_open_ns(calendar, mode, s * 10**9), session_close_ns(calendar, mode, s * 10**9)
    assert opens < closes
    assert closes > s * 10**9
    assert is_open(calendar, mode, opens)
    assert is_open(calendar, mode, closes - 1)
    assert is_open(calendar, mode, s * 10**9) is (opens <= s * 10**9)
    assert session_end_ns(calendar, mode, s * 10**9) >= closes


def test_a_calendar_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no calendar 'XMAS'"):
        is_open("XMAS", "real", at("2026-11-20T10:00:00"))
