"""Returns and drawdown of an equity curve. Ratios are floats; money stays what it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity at a moment (``ts_ns`` UTC). ``flow`` is deposits less withdrawals since the point before."""

    ts_ns: int
    equity: Decimal
    cash: Decimal
    positions: Decimal
    flow: Decimal


@dataclass(frozen=True, slots=True)
class MonthlyReturn:
    """Time-weighted return of one calendar month (UTC), 0.01 is one percent."""

    year: int
    month: int
    value: float


def growth(points: Sequence[EquityPoint]) -> list[float]:
    """Value of 1 unit invested at the first point, at each point; deposits and withdrawals do not count as gain.

    Time-weighted: each interval grows by equity / (equity before + flow), the flow counted at the interval's start;
    an interval that starts with nothing grows by 1.
    """
    index = [1.0] if points else []
    for before, point in pairwise(points):
        base = before.equity + point.flow
        index.append(index[-1] * float(point.equity / base) if base > 0 else index[-1])
    return index


def monthly_returns(points: Sequence[EquityPoint]) -> list[MonthlyReturn]:
    """One return for each month that has a point, oldest first; a month starts where the one before ended."""
    last: dict[tuple[int, int], float] = {}
    for point, value in zip(points, growth(points), strict=True):
        moment = datetime.fromtimestamp(point.ts_ns / 1e9, UTC)
        last[moment.year, moment.month] = value
    returns, start = [], 1.0
    for (year, month), end in last.items():
        returns.append(MonthlyReturn(year, month, end / start - 1 if start > 0 else 0.0))
        start = end
    return returns


def drawdowns(points: Sequence[EquityPoint]) -> list[float]:
    """How far below its highest value so far the time-weighted curve stands at each point; 0 or negative."""
    peak, result = 0.0, []
    for value in growth(points):
        peak = max(peak, value)
        result.append(value / peak - 1 if peak > 0 else 0.0)
    return result
