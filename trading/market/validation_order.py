"""Rules about a row's place among the others: order of time, duplicates, conflicts."""

from bisect import bisect_right

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trading.market.bar_table import BarKind, FileRefused
from trading.market.findings import Finding

# A few rows out of place are bad rows (a mistyped year, say). Where they are more than this share of the file, the file
# as a whole has no order, and which dates are right cannot be told from it.
OUT_OF_PLACE_SHARE_MAX = 0.10
OUT_OF_PLACE_ROWS_MIN = 5


def out_of_order(rows: pd.DataFrame, kind: BarKind, dates: pd.Series, symbol: str) -> list[Finding]:  # noqa: ARG001
    """``time_order`` for the fewest rows whose removal leaves the rest in order, ``newest_first`` for a whole file.

    The rest is a longest non-decreasing (or, newest first, non-increasing) subsequence, so a single wrong date costs
    one row and not all that follow it. Raises `FileRefused` with code ``no_time_order``.
    """
    ts_ns = rows["ts"].to_numpy(dtype="datetime64[ns]").astype(np.int64)
    if (np.diff(ts_ns) >= 0).all():
        return []
    forward, backward = _in_order(ts_ns), _in_order(-ts_ns)
    descending = backward.sum() > forward.sum()
    misplaced = np.flatnonzero(~(backward if descending else forward))
    if len(misplaced) > max(OUT_OF_PLACE_ROWS_MIN, OUT_OF_PLACE_SHARE_MAX * len(rows)):
        of = f" of {symbol}" if symbol else ""
        raise FileRefused(
            "no_time_order",
            f"{len(misplaced)} of {len(rows)} rows{of} are out of order of time; sort the file by its dates",
        )
    numbers = rows["row"].to_numpy()
    findings = []
    if descending:
        findings.append(Finding("newest_first", int(numbers[0]), dates.iloc[0], "dates run backwards", symbol))
    for index in misplaced:
        neighbours = [dates.iloc[i] for i in (index - 1, index + 1) if 0 <= i < len(rows)]
        reason = f"{dates.iloc[index]} stands beside {' and '.join(neighbours)}"
        findings.append(Finding("time_order", int(numbers[index]), dates.iloc[index], reason, symbol))
    return findings


def _in_order(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Members of a longest non-decreasing subsequence (patience sorting, Fredman 1975), O(n log n)."""
    tails: list[int] = []
    tail_index: list[int] = []
    before = np.full(len(values), -1, dtype=np.int64)
    for index, value in enumerate(values.tolist()):
        place = bisect_right(tails, value)
        before[index] = tail_index[place - 1] if place else -1
        if place == len(tails):
            tails.append(value)
            tail_index.append(index)
        else:
            tails[place], tail_index[place] = value, index
    member = np.zeros(len(values), dtype=bool)
    at = tail_index[-1] if tail_index else -1
    while at >= 0:
        member[at] = True
        at = int(before[at])
    return member


def conflicts(rows: pd.DataFrame, kind: BarKind, dates: pd.Series, symbol: str) -> list[Finding]:  # noqa: ARG001
    """``duplicate`` for later rows equal to an earlier one, ``conflicting_duplicate`` for all rows of a time that has
    different values: nothing in the file tells which is right.
    """
    shared = rows[rows["ts"].duplicated(keep=False)]
    findings = []
    values = [name for name in rows.columns if name not in ("row", "symbol", "ts")]
    for _, group in shared.groupby("ts", sort=False):
        repeated = group.duplicated(values)
        distinct = group[~repeated]
        first = int(distinct["row"].iloc[0])
        for index, number in group["row"].items():
            date = dates.loc[index]
            if len(distinct) > 1:
                reason = f"{len(group)} rows with {len(distinct)} different contents for {date}"
                findings.append(Finding("conflicting_duplicate", int(number), date, reason, symbol))
            elif repeated.loc[index]:
                findings.append(Finding("duplicate", int(number), date, f"same as row {first}", symbol))
    return findings
