"""Bars copied from a later date: the earlier bar then holds data from its future, which a backtest would trade on.

Equal bars also happen by chance, the more often the fewer prices a bar can have. The rule therefore estimates, from the
file itself, how many such pairs chance would give it (an expectation, as sequence searches use it: Karlin and Altschul,
PNAS 1990), and puts a bar aside only where that is small:

    expected = (1 + near) / places × closeness

near       pairs of bars of at least this range that share exactly three of their four prices: what chance does here.
           Where coincidences are common, three-price matches are several times as common as four-price ones.
places     how many places the fourth price could have taken: the bar's range on the coarsest grid that holds all its
           prices. On the finest grid an all-round bar (13.50, 13.80, 13.40, 13.65) would look rarer than it is.
closeness  the share of the file's bars whose volume is as close to this bar's as the twin's is; 1 where no volume is
           reported.
"""

from math import gcd

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trading.market.bar_table import PRICES, BarKind
from trading.market.findings import Finding

# At most this many rows a file are expected to be put aside wrongly. Real copies of daily bars in 240 S&P 500 files
# score 0.047 at most, nearly all of them below 0.004; chance pairs (AMD at 2 to 4 dollars, NWS) 0.13 and more.
EXPECTED_MAX = 0.05
# A bar that only rose or fell (open and close are its extremes, or a hair away: a market pinned between two large
# orders) has two prices, not four. Twins of it say little; only their volumes are evidence then.
DISTINCT_PRICES_MIN = 3
# A file in which more bars than this have a twin repeats itself by nature (a stale or made-up series): no bar of it can
# be called the copy of another.
TWINS_SHARE_MAX = 0.10
TWINS_MIN = 10
HAIR = 0.02
"""Share of a bar's range; prices nearer to each other than this count as one."""
# A copy may hold the last trade where the later bar holds the official close: open, high and low are equal, the close
# nearly (this share of the range), the volume roughly. AAPL 2017-08-01 is one, with the prices of 2017-08-07. Chance
# reaches this now and then, so it is a warning.
CLOSE_SHARE_MAX = 0.10
VOLUME_CHANGE_MAX = 0.25
# Below daily bars chance twins are everyday, so they are not worth a warning each.
REPEATED_WARNING_SPACING_NS = 20 * 3600 * 10**9
# An absurd price has no integer; beyond this many steps floats cannot tell neighbours apart anyway.
STEPS_MAX = 2.0**53


def copied_bars(rows: pd.DataFrame, kind: BarKind, dates: pd.Series, symbol: str) -> list[Finding]:
    """``copied_bar`` for each bar that equals a later one beyond chance, ``repeated_bar`` where chance may do it.

    Quote bars must be equal on both sides. Flat bars (one price) are never judged. Of a set of equal bars the latest is
    kept: whichever is the original, its values were known by then.
    """
    bars = _Bars.of(rows.sort_values("ts", kind="stable"), kind)
    if bars is None:
        return []
    findings = []
    daily = len(rows) < 2 or float(np.median(np.diff(bars.ts_ns))) >= REPEATED_WARNING_SPACING_NS
    twins = bars.twins()
    common = len(twins) > max(TWINS_MIN, TWINS_SHARE_MAX * len(rows))
    for index, twin in twins:
        expected, words = bars.expected_by_chance(index, twin)
        number, date = int(bars.numbers[index]), str(dates.loc[bars.labels[index]])
        later = f"prices equal those of {dates.loc[bars.labels[twin]]}{words}"
        if expected <= EXPECTED_MAX and not common:
            findings.append(Finding("copied_bar", number, date, f"all {later}", symbol))
        elif daily:
            findings.append(Finding("repeated_bar", number, date, f"all {later}; chance may do that", symbol))
    for index, twin in bars.near_twins() if daily and kind is BarKind.TRADE else ():
        date, later_date = (str(dates.loc[bars.labels[i]]) for i in (index, twin))
        reason = f"open, high and low equal those of {later_date}, close and volume nearly"
        findings.append(Finding("partly_copied_bar", int(bars.numbers[index]), date, reason, symbol))
    return findings


class _Bars:
    """Non-flat bars of a file in order of time: ``values`` as given, ``steps`` rounded to the file's price grid."""

    def __init__(self, rows: pd.DataFrame, values: NDArray[np.float64], volume: NDArray[np.float64]) -> None:
        self.labels = rows.index.to_numpy()
        self.numbers = rows["row"].to_numpy()
        self.ts_ns = rows["ts"].to_numpy(dtype="datetime64[ns]").astype(np.int64)
        self.values = values
        self.volume = volume
        # Of quotes the bid: the two sides move together, so chance is judged on one.
        self.first = values[:, :4]
        step = price_step(self.first)
        self.steps = np.round(np.minimum(self.first, step * STEPS_MAX) / step).astype(np.int64)
        self.ranges = self.steps[:, 1] - self.steps[:, 2]
        self._near = self._near_ranges()
        self._volumes = np.sort(volume)
        self._twins = len(self.twins())

    @classmethod
    def of(cls, rows: pd.DataFrame, kind: BarKind) -> "_Bars | None":
        """Bars to judge, or None where there are none."""
        values = rows[list(kind.prices)].to_numpy(dtype="float64")
        shaped = (values != values[:, :1]).any(axis=1)
        rows, values = rows[shaped], values[shaped]
        if len(rows) < 2:
            return None
        volume = rows["volume"].to_numpy(dtype="float64") if "volume" in rows else np.zeros(len(rows))
        return cls(rows, values, np.nan_to_num(volume))

    def twins(self) -> list[tuple[int, int]]:
        """(bar, next bar with equal prices), by position."""
        _, groups = np.unique(self.values, axis=0, return_inverse=True)
        order = np.argsort(groups.ravel(), kind="stable")
        same = groups.ravel()[order][1:] == groups.ravel()[order][:-1]
        return sorted(zip(order[:-1][same].tolist(), order[1:][same].tolist(), strict=True))

    def near_twins(self) -> list[tuple[int, int]]:
        """(bar, next bar with its open, high and low and nearly its close and volume), by position."""
        _, groups = np.unique(self.first[:, :3], axis=0, return_inverse=True)
        order = np.argsort(groups.ravel(), kind="stable")
        same = groups.ravel()[order][1:] == groups.ravel()[order][:-1]
        one, two = order[:-1][same], order[1:][same]
        moved = np.abs(self.first[one, 3] - self.first[two, 3])
        low, high = np.minimum(self.volume[one], self.volume[two]), np.maximum(self.volume[one], self.volume[two])
        close = (moved > 0) & (moved <= CLOSE_SHARE_MAX * (self.first[one, 1] - self.first[one, 2]))
        near = close & (low > 0) & (high <= low * (1 + VOLUME_CHANGE_MAX))
        return sorted(zip(one[near].tolist(), two[near].tolist(), strict=True))

    def expected_by_chance(self, index: int, twin: int) -> tuple[float, str]:
        """How many twins like this one chance would give the file, and words on what that rests on."""
        near = (len(self._near) - np.searchsorted(self._near, self.ranges[index])) / 2  # two rows make a pair
        grid = gcd(*self.steps[index].tolist())
        places = max(1, int(self.ranges[index]) // max(1, grid))
        volume, other = self.volume[index], self.volume[twin]
        if volume <= 0 or other <= 0:
            closeness, words = 1.0, ""
        else:
            apart = abs(other - volume)
            low, high = (
                np.searchsorted(self._volumes, volume - apart),
                np.searchsorted(self._volumes, volume + apart, "right"),
            )
            closeness = float(high - low - 1) / len(self._volumes)  # without the bar itself
            words = f", volume differs by {apart / volume:.2%}" if apart else ", and so does the volume"
        if self._distinct(index) < DISTINCT_PRICES_MIN:
            return (1 + len(self._near) / 2 + self._twins) * closeness, words
        expected = (1 + near) / places * closeness
        return float(expected), words

    def _distinct(self, index: int) -> int:
        """How many of a bar's four prices differ by more than a hair."""
        prices = np.sort(self.first[index])
        return 1 + int((np.diff(prices) > HAIR * (prices[-1] - prices[0])).sum())

    def _near_ranges(self) -> NDArray[np.int64]:
        """Sorted ranges of bars that share exactly three of four prices with some other bar (once for each three)."""
        _, whole = np.unique(self.first, axis=0, return_inverse=True)
        found = []
        for left_out in range(len(PRICES)):
            _, groups = np.unique(np.delete(self.first, left_out, axis=1), axis=0, return_inverse=True)
            frame = pd.DataFrame({"group": groups.ravel(), "whole": whole.ravel()})
            several = frame.groupby("group")["whole"].transform("nunique").to_numpy() > 1
            found.append(self.ranges[several])
        return np.sort(np.concatenate(found))


def price_step(values: NDArray[np.float64]) -> float:
    """The largest round step (1, 2, 2.5 or 5 times a power of ten) that three quarters of the prices are multiples of.

    Not the smallest difference: a few adjusted or odd-lot prices with more decimals would make every bar look unique.
    """
    sample = values.ravel()[:: max(1, values.size // 20_000)]
    for exponent in range(3, -9, -1):
        for factor in (5.0, 2.5, 2.0, 1.0):
            step = factor * 10.0**exponent
            steps = sample / step
            if (np.abs(steps - np.round(steps)) < 1e-6 * np.maximum(1.0, np.abs(steps))).mean() >= 0.75:
                return step
    return 1e-8
