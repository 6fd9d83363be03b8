"""Splits and dividends of a series of daily bars, read out of its raw and adjusted closes.

With f = adj_close / close, the step f[t] / f[t-1] on an ex-date is split × (1 + dividend / close[t]): the arithmetic of
the WIKI price set, whose published dividends it gives back exactly. Vendors that use 1 - dividend / close[t-1] differ
from it in the second order.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pandas as pd

_RATIOS = sorted(
    {Fraction(n, d) for n in range(1, 11) for d in range(1, 11) if n != d and (n == 1 or d <= 4)}
    | {Fraction(n) for n in (12, 15, 20, 25, 50)}
    | {Fraction(1, n) for n in (12, 15, 20, 25, 30, 50)}
)
_SPLIT_FROM = Fraction(6, 5)
"""A smaller step is taken for a dividend: MSFT's special one of 2004 was a step of 1.11."""
_DIVIDEND = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """What happens before the open of the bar at ``ts_ns``: new shares for one old, and cash for each new share."""

    ts_ns: int
    ratio: Fraction
    dividend: Decimal


def corporate_actions(bars: pd.DataFrame) -> list[CorporateAction]:
    """Actions of one symbol ordered by ``ts``; none where the bars have no ``adj_close``."""
    if "adj_close" not in bars.columns or len(bars) < 2:
        return []
    close = bars["close"].to_numpy(dtype=float)
    factor = bars["adj_close"].to_numpy(dtype=float) / close
    times = bars["ts"].astype("int64").to_numpy()
    found: list[CorporateAction] = []
    known = float(factor[0])
    for i in range(1, len(bars)):
        if not factor[i] > 0:  # no adjusted close: the action shows at the next bar that has one
            continue
        step, known = float(factor[i]) / known, float(factor[i])
        if not abs(step - 1.0) > 1e-6:
            continue
        ratio = _split(step)
        cash = Decimal(repr(float((step / float(ratio) - 1.0) * close[i]))).quantize(_DIVIDEND, ROUND_HALF_EVEN)
        cash = max(Decimal(0), cash)
        if ratio != 1 or cash > 0:
            found.append(CorporateAction(int(times[i]), ratio, cash))
    return found


def _split(step: float) -> Fraction:
    """The ratio that leaves the smallest dividend of at most a tenth of the price; 1 where none does."""
    if 1 / _SPLIT_FROM < step < _SPLIT_FROM:
        return Fraction(1)
    rest = [(step / float(ratio) - 1.0, ratio) for ratio in _RATIOS]
    fitting = [(left, ratio) for left, ratio in rest if -1e-4 <= left < 0.1]
    return min(fitting, key=lambda pair: abs(pair[0]))[1] if fitting else Fraction(1)
