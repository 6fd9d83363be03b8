"""Walk-forward folds in time, purged and with an embargo.

After López de Prado, Advances in Financial Machine Learning (2018), chapter 7: a training row whose label overlaps the
test period is purged, and bars next to the test period are left out (embargo), because features of neighbouring bars
share most of their windows. Here training always lies before testing, so the embargo lies before the test block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Plan:
    """How to walk. ``train_bars`` None is an expanding window, else a rolling one of that many bars."""

    first_train_bars: int = 500
    test_bars: int = 250
    embargo_bars: int = 5
    train_bars: int | None = None

    def __post_init__(self) -> None:
        if min(self.first_train_bars, self.test_bars) < 1 or self.embargo_bars < 0:
            raise ValueError("windows count at least one bar, the embargo none or more")


@dataclass(frozen=True, slots=True)
class Fold:
    """Row positions of one fold, and the time its test block begins."""

    number: int
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    test_start: pd.Timestamp


def folds(ts: pd.Series, label_end: pd.Series, plan: Plan) -> Iterator[Fold]:
    """Folds over rows of any number of symbols; ``ts`` and ``label_end`` are given row by row.

    The test blocks follow each other without overlap, the last one may be shorter; every row from the first test block
    on is tested once. Training rows lie at least ``embargo_bars`` bars before the test block and their labels end
    before it begins; a row without ``label_end``, whose future has not happened, is tested and never trained on. Folds
    without training rows are left out.
    """
    stamps, row_end = _naive_utc(ts), _naive_utc(label_end)
    times, row_time = np.unique(stamps, return_inverse=True)
    number = 0
    for start in range(plan.first_train_bars, len(times), plan.test_bars):
        stop = min(start + plan.test_bars, len(times))
        last_train = start - plan.embargo_bars
        first_train = 0 if plan.train_bars is None else max(0, last_train - plan.train_bars)
        train = (row_time >= first_train) & (row_time < last_train) & (row_end < times[start])
        test = (row_time >= start) & (row_time < stop)
        if train.any() and test.any():
            yield Fold(number, np.flatnonzero(train), np.flatnonzero(test), pd.Timestamp(times[start], tz="UTC"))
            number += 1


def _naive_utc(times: pd.Series) -> NDArray[np.datetime64]:
    naive: NDArray[np.datetime64] = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    return naive
