"""Findings that keep the row: long gaps, moves that may be splits, bars without volume."""

from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trading.market.bar_table import BarKind
from trading.market.findings import Finding

# A gap is long from this many times the file's own wide spacing: the 95th percentile of its spacings, which is a
# weekend for stocks (3 days), the Saturday for currencies (2), and one day for venues that never close.
GAP_FACTOR = 2.0
WIDE_QUANTILE = 0.95
# In a short daily file a weekend is not yet usual; below this length a gap is taken for a weekend with holidays.
USUAL_SAMPLE = 30
USUAL_GAP_NS = 6 * 86_400 * 10**9
# Within the day spacings are regular and small holes common, so only holes of many bars are worth a word, and not the
# session's own break, which comes back: as long, give or take the hour of a clock change, elsewhere in the file.
INTRADAY_GAP_FACTOR = 10.0
BREAK_TOLERANCE_NS = 75 * 60 * 10**9
# A close 1.3 times the one before, or the inverse (-23 %): 4 for 3 (-25 %) is the smallest split that is seen; 5 for 4
# (-20 %) would drown in bad days. Within the day a third of that is news already.
DAILY_MOVE_MIN = 0.30
INTRADAY_MOVE_MIN = 0.10
DAY_NS = 86_400 * 10**9
# Ratios of splits; a move within this of one, or of the inverse of a whole one (a reverse split), says so.
_SPLITS = tuple(Fraction(n, m) for n, m in ((2, 1), (3, 1), (4, 1), (5, 1), (7, 1), (10, 1), (20, 1), (3, 2), (4, 3)))
SPLIT_TOLERANCE = 0.025


def warnings(
    rows: pd.DataFrame, kind: BarKind, dates: pd.Series, symbol: str, date_only: bool, in_file: pd.Series
) -> list[Finding]:
    """All warnings for clean rows in order of time. ``dates`` are their times as text, indexed like ``rows``.

    ``in_file`` are the times of all rows of the file: a hole that putting rows aside has made is no gap of the file.
    """
    if len(rows) < 2:
        return []
    ts_ns = rows["ts"].to_numpy(dtype="datetime64[ns]").astype(np.int64)
    texts = dates.to_numpy()
    numbers = rows["row"].to_numpy()
    spacing = np.diff(ts_ns)
    daily = date_only or float(np.median(spacing)) >= DAY_NS
    all_ns = np.sort(in_file.to_numpy(dtype="datetime64[ns]").astype(np.int64))
    ours = np.searchsorted(all_ns, ts_ns[1:], "left") > np.searchsorted(all_ns, ts_ns[:-1], "right")
    long = long_gaps(spacing, daily=daily) & ~ours
    findings = [
        Finding("long_gap", int(numbers[i + 1]), str(texts[i + 1]), f"{_span(spacing[i])} after {texts[i]}", symbol)
        for i in np.flatnonzero(long)
    ]
    findings += _large_moves(rows[kind.close].to_numpy(dtype="float64"), long, daily, texts, numbers, symbol)
    if kind is BarKind.TRADE and "volume" in rows:
        findings += _zero_volumes(rows, texts, numbers, symbol)
    return findings


def long_gaps(spacing_ns: NDArray[np.int64], *, daily: bool) -> NDArray[np.bool_]:
    """Which spacings between consecutive bars are much longer than this file's usual ones."""
    wide = np.quantile(spacing_ns, WIDE_QUANTILE, method="lower")
    if daily:
        least = USUAL_GAP_NS if len(spacing_ns) < USUAL_SAMPLE else 0
        return np.asarray(spacing_ns >= max(GAP_FACTOR * float(wide), least))
    # The median guards against files of many sessions and few bars, whose breaks reach into the percentile.
    usual = min(float(wide), GAP_FACTOR * float(np.median(spacing_ns)))
    candidates = np.flatnonzero(spacing_ns > INTRADAY_GAP_FACTOR * usual)
    lengths = np.sort(spacing_ns[candidates])
    long = np.zeros(len(spacing_ns), dtype=bool)
    for index in candidates:
        length = spacing_ns[index]
        alike = np.searchsorted(lengths, length + BREAK_TOLERANCE_NS, "right") - np.searchsorted(
            lengths, length - BREAK_TOLERANCE_NS
        )
        # Holes shorter than a session's break cannot be one, however often they come.
        long[index] = alike < 2 or length < 2 * BREAK_TOLERANCE_NS
    return long


def _large_moves(
    close: NDArray[np.float64],
    long: NDArray[np.bool_],
    daily: bool,
    texts: NDArray[np.object_],
    numbers: NDArray[np.int64],
    symbol: str,
) -> list[Finding]:
    least = DAILY_MOVE_MIN if daily else INTRADAY_MOVE_MIN
    ratio = close[1:] / close[:-1]
    findings = []
    for index in np.flatnonzero(np.abs(np.log(ratio)) >= np.log1p(least)):
        reason = f"close {close[index]:.10g} -> {close[index + 1]:.10g} ({ratio[index] - 1:+.1%})"
        reason += _split_words(float(ratio[index]))
        if long[index]:
            reason += ", across the gap before it"
        findings.append(Finding("large_move", int(numbers[index + 1]), str(texts[index + 1]), reason, symbol))
    return findings


def _split_words(ratio: float) -> str:
    for split in _SPLITS:
        if abs(ratio * float(split) - 1) <= SPLIT_TOLERANCE:
            return f", as a {split.numerator}-for-{split.denominator} split would"
        if split.denominator == 1 and abs(ratio / float(split) - 1) <= SPLIT_TOLERANCE:
            return f", as a 1-for-{split.numerator} reverse split would"
    return ""


def _zero_volumes(
    rows: pd.DataFrame, texts: NDArray[np.object_], numbers: NDArray[np.int64], symbol: str
) -> list[Finding]:
    volume = rows["volume"].to_numpy(dtype="float64")
    if np.median(volume) <= 0:  # a source that mostly gives zero does not report volume (NIFTY 50)
        return []
    moved = rows["high"].to_numpy() > rows["low"].to_numpy()
    return [
        Finding("zero_volume", int(numbers[i]), str(texts[i]), "volume 0 although the price moved", symbol)
        for i in np.flatnonzero((volume == 0) & moved)
    ]


def _span(length_ns: np.int64) -> str:
    minutes = int(length_ns) // (60 * 10**9)
    if minutes >= 2 * 1440:
        return f"{minutes / 1440:.4g} days"
    return f"{minutes / 60:.3g} hours" if minutes >= 120 else f"{minutes} minutes"
