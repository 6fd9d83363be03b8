"""Which resolution a file's bars have, told from their times."""

import numpy as np
import pandas as pd

_SECOND_NS = 10**9
RESOLUTIONS_NS = {
    "S1": _SECOND_NS,
    "S5": 5 * _SECOND_NS,
    "S15": 15 * _SECOND_NS,
    "S30": 30 * _SECOND_NS,
    "M1": 60 * _SECOND_NS,
    "M5": 300 * _SECOND_NS,
    "M15": 900 * _SECOND_NS,
    "M30": 1800 * _SECOND_NS,
    "H1": 3600 * _SECOND_NS,
    "H4": 14_400 * _SECOND_NS,
    "D1": 86_400 * _SECOND_NS,
}
"""Lengths of bars in nanoseconds. Weeks (``W1``) and months (``MN1``) have no fixed length in sessions."""


def resolution_of(ts: pd.Series, *, date_only: bool) -> str:
    """``S1`` ... ``D1``, ``W1``, ``MN1`` from times (UTC) in any order.

    Dates alone are days unless their usual distance says weeks or months. Times of day go by the most common distance
    where it is that of a resolution and holds for most bars, else by the longest unit that all times are multiples of
    (sparse bars: only seconds or minutes with a trade).
    """
    ts_ns = np.unique(ts.dropna().to_numpy(dtype="datetime64[ns]").astype(np.int64))
    spacing = np.diff(ts_ns)
    if date_only:
        usual_days = float(np.median(spacing)) / RESOLUTIONS_NS["D1"] if len(spacing) else 1.0
        return "D1" if usual_days < 5 else "W1" if usual_days < 20 else "MN1"
    if len(spacing):
        lengths, counts = np.unique(spacing, return_counts=True)
        common = int(lengths[counts.argmax()])
        for name, length in RESOLUTIONS_NS.items():
            if length == common and 2 * counts.max() > len(spacing):
                return name
    for name, length in reversed(RESOLUTIONS_NS.items()):
        if (ts_ns % length == 0).all():
            return name
    return "S1"
