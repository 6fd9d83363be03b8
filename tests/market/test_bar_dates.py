import pandas as pd
import pytest

from trading.market.bar_dates import read_dates
from trading.market.bar_table import FileRefused
from trading.market.resolution import resolution_of


def utc(*cells: str, zone: str | None = None) -> list[str | None]:
    ts = read_dates(pd.Series(cells), zone).ts
    return [None if pd.isna(t) else t.isoformat().replace("+00:00", "Z") for t in ts]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("2013-02-08", "2013-02-11"), ["2013-02-08T00:00:00Z", "2013-02-11T00:00:00Z"]),
        (("2013/2/8",), ["2013-02-08T00:00:00Z"]),
        (("20130208",), ["2013-02-08T00:00:00Z"]),
        (("2/13/2013", "2/8/2013"), ["2013-02-13T00:00:00Z", "2013-02-08T00:00:00Z"]),
        (("13.02.2013 00:00:00.000",), ["2013-02-13T00:00:00Z"]),
        (("Feb 8, 2013",), ["2013-02-08T00:00:00Z"]),
        (("08-Feb-2013",), ["2013-02-08T00:00:00Z"]),
        (("1360281600",), ["2013-02-08T00:00:00Z"]),
        (("1360281600000",), ["2013-02-08T00:00:00Z"]),
        (("2013-02-08T10:00:00Z",), ["2013-02-08T10:00:00Z"]),
        (("2013-02-08 10:00:00+05:30",), ["2013-02-08T04:30:00Z"]),
        (("2013-02-08 10:00:00 UTC",), ["2013-02-08T10:00:00Z"]),
    ],
)
def test_one_format_is_read_to_utc(cells: tuple[str, ...], expected: list[str]) -> None:
    assert utc(*cells) == expected


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (("2013-02-08", "02/13/2013"), "mixed_date_formats"),
        (("13/02/2013", "02/14/2013"), "mixed_date_formats"),
        (("2013-02-08", "2013-02-11 16:00"), "mixed_date_formats"),
        (("01/02/2013", "03/02/2013"), "ambiguous_dates"),
        (("8.2.13",), "ambiguous_dates"),
        (("2013-02-08T10:00Z", "2013-02-08T10:01"), "mixed_time_zones"),
        (("yesterday", "today"), "no_dates"),
    ],
)
def test_what_can_be_read_two_ways_is_refused(cells: tuple[str, ...], code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read_dates(pd.Series(cells), None)
    assert refused.value.code == code


def test_single_bad_cells_are_left_blank() -> None:
    assert utc("2013-02-08", "2013-02-30", "", "9999-01-01") == ["2013-02-08T00:00:00Z", None, None, None]


def test_times_without_a_zone_are_marked() -> None:
    assert read_dates(pd.Series(["2013-02-08 10:00"]), None).naive
    assert not read_dates(pd.Series(["2013-02-08"]), None).naive
    assert not read_dates(pd.Series(["2013-02-08 10:00"]), "Europe/Berlin").naive


def test_a_clock_change_leaves_no_guess() -> None:
    """02:30 does not exist on the day clocks go forward, and 01:30 happens twice when they go back."""
    cells = ("2013-03-10 01:59", "2013-03-10 02:30", "2013-11-03 01:30", "2013-11-03 02:00")
    assert utc(*cells, zone="America/New_York") == [
        "2013-03-10T06:59:00Z", None, None, "2013-11-03T07:00:00Z",
    ]  # fmt: skip


def times(start: str, freq: str, count: int) -> pd.Series:
    return pd.Series(pd.date_range(start, periods=count, freq=freq, tz="UTC").as_unit("ns"))


@pytest.mark.parametrize(
    ("ts", "date_only", "name"),
    [
        (times("2013-01-01", "B", 30), True, "D1"),
        (times("2013-01-01", "7D", 30), True, "W1"),
        (times("2013-01-01", "MS", 30), True, "MN1"),
        (times("2013-01-01T09:15", "h", 30), False, "H1"),
        (times("2013-01-01T09:15", "min", 30), False, "M1"),
        (times("2018-01-10T04:55", "5min", 30), False, "M5"),
        (times("2016-10-07T00:00:04", "s", 60).iloc[[0, 3, 4, 9, 17, 30, 59]], False, "S1"),
        (times("2013-01-01", "D", 1), True, "D1"),
    ],
)
def test_resolution_is_told_from_the_times(ts: pd.Series, date_only: bool, name: str) -> None:
    assert resolution_of(ts, date_only=date_only) == name
