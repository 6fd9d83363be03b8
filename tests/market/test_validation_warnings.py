import numpy as np
import pandas as pd
import pytest
from bar_frames import bars, judged, said

from trading.market.bar_table import BarKind


def days(closes: list[float], dates: pd.DatetimeIndex) -> pd.DataFrame:
    close = pd.Series(closes, dtype=float)
    volume = 1000.0 + np.arange(len(close))
    high = close * (1.01 + 0.0001 * np.arange(len(close)))  # no two bars alike
    prices = {"open": close, "high": high, "low": close * 0.99, "close": close, "volume": volume}
    return pd.DataFrame({"row": range(1, len(close) + 1), "ts": dates.as_unit("ns"), **prices})


def weekdays(count: int) -> pd.DatetimeIndex:
    return pd.bdate_range("2013-01-01", periods=count, tz="UTC")


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        ("VRTX 2013-04-19, trial results", 52.87, 85.60, "+61.9%"),
        ("AMD 2016-04-22, earnings", 2.62, 3.99, "+52.3%"),
        ("STZ 2013-02-14, a merger", 31.88, 43.75, "+37.2%"),
        ("VIX 2018-02-05", 17.31, 37.32, "+115.6%"),
        ("EBAY 2015-07-20, an unadjusted spin-off", 66.29, 28.57, "-56.9%"),
        ("AAPL 2005-02-28, an unadjusted split", 88.99, 44.86, "as a 2-for-1 split would"),
    ],
)
def test_a_large_move_is_kept_with_a_word(name: str, before: float, after: float, words: str) -> None:
    outcome = judged(days([before] * 3 + [after] * 3, weekdays(6)))
    assert said(outcome) == {4: ["large_move"]}, name
    assert words in outcome.findings[0].reason
    assert len(outcome.clean) == 6


def test_a_bad_day_is_no_large_move() -> None:
    assert judged(days([100.0, 80.0, 99.0], weekdays(3))).findings == ()


def test_a_reverse_split_is_named() -> None:
    (finding,) = judged(days([10.0, 10.0, 100.5], weekdays(3))).findings
    assert "1-for-10 reverse split" in finding.reason


def test_weekends_are_usual_and_a_week_without_bars_is_not() -> None:
    dates = weekdays(60)
    closed = dates.delete(slice(20, 25))
    outcome = judged(days([100.0] * len(closed), closed))
    assert [(f.rule, f.row) for f in outcome.findings] == [("long_gap", 21)]
    assert judged(days([100.0] * 60, dates)).findings == ()


def test_on_a_venue_that_never_closes_three_days_are_a_long_gap() -> None:
    dates = pd.date_range("2015-01-01", periods=60, freq="D", tz="UTC").delete([30, 31])
    assert said(judged(days([100.0] * 58, dates))) == {31: ["long_gap"]}


def test_a_single_weekend_in_a_short_file_is_no_gap() -> None:
    outcome = judged(bars("2013-02-08 10 11 9 10 1", "2013-02-11 10 11.5 9 10 2", "2013-02-12 10 12 9 10 3"))
    assert outcome.findings == ()


def test_a_session_break_that_comes_every_night_is_usual_and_a_lost_day_is_not() -> None:
    sessions = [
        pd.date_range(f"2019-07-{day:02}T03:45", periods=375, freq="min", tz="UTC") for day in (8, 9, 10, 15, 16)
    ]
    dates = sessions[0].append(sessions[1:])
    outcome = judged(days([95.0] * len(dates), dates), date_only=False)
    assert [(f.rule, f.date) for f in outcome.findings] == [("long_gap", "2019-07-15T03:45:00Z")]


def test_a_weekend_is_an_hour_longer_or_shorter_when_clocks_change_and_still_usual() -> None:
    weeks = [("2018-03-04T22:00", 120), ("2018-03-11T21:00", 120), ("2018-03-18T21:00", 120)]
    dates = [pd.date_range(start, periods=hours, freq="h", tz="UTC") for start, hours in weeks]
    whole = dates[0].append(dates[1:])
    assert judged(days([1.3] * len(whole), whole), date_only=False).findings == ()


def test_zero_volume_with_a_move_is_told_where_volume_is_reported() -> None:
    frame = days([100.0] * 6, weekdays(6))
    frame.loc[3, "volume"] = 0
    assert said(judged(frame)) == {4: ["zero_volume"]}
    assert judged(frame.assign(volume=0.0)).findings == ()


def test_moves_of_quotes_are_those_of_the_bid() -> None:
    names = [f"{side}_{price}" for side in ("bid", "ask") for price in ("open", "high", "low", "close")]
    levels = pd.Series([1.30, 1.30, 1.90])
    frame = pd.DataFrame({"row": [1, 2, 3], "ts": weekdays(3).as_unit("ns"), **dict.fromkeys(names, levels)})
    assert said(judged(frame, BarKind.QUOTE)) == {3: ["large_move"]}
