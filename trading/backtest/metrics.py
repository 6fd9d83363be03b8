"""What a backtest is judged by. Ratios are floats; money stays in minor units.

Formulas: Sharpe, "The Sharpe Ratio", Journal of Portfolio Management (1994), with a risk-free rate of zero; maximum
drawdown as in Magdon-Ismail and Atiya, "Maximum Drawdown", Risk (2004); compound growth over calendar years of 365.25
days; volatility scaled by the square root of time, as usual for returns that are taken as independent.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

NS_PER_YEAR = 365.25 * 86_400e9


@dataclass(frozen=True, slots=True)
class Metrics:
    """Scores of one equity curve. Shares are of 1 (0.12 = 12 %); ``fees`` in minor units of the base currency.

    ``turnover`` is the traded notional a year, buys and sells halved, over mean equity. ``hit_rate`` is the share of
    closed lots that brought a profit after fees, NaN when none was closed.
    """

    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    max_drawdown: float
    turnover: float
    hit_rate: float
    fees: int
    fills: int
    years: float

    def as_dict(self) -> dict[str, float]:
        """By name, for tables and JSON."""
        return asdict(self)


def measure(
    ts_ns: NDArray[np.int64],
    equity: NDArray[np.int64],
    notionals: Sequence[int],
    fees: Sequence[int],
    closed_profits: Sequence[int],
    *,
    periods_per_year: float,
) -> Metrics:
    """Metrics of an equity curve in minor units at bar closes; needs two points and an equity above zero.

    ``closed_profits`` holds the profit after fees of each closed lot.
    """
    if len(equity) < 2 or equity[0] <= 0:
        raise ValueError("an equity curve needs two points and a positive start")
    curve = equity.astype(np.float64)
    returns = np.diff(curve) / curve[:-1]
    years = float(ts_ns[-1] - ts_ns[0]) / NS_PER_YEAR
    growth = float(curve[-1] / curve[0])
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    mean = float(np.mean(returns))
    closed = np.asarray(closed_profits, dtype=np.int64)
    return Metrics(
        total_return=growth - 1.0,
        cagr=growth ** (1.0 / years) - 1.0 if growth > 0 and years > 0 else float("nan"),
        volatility=deviation * periods_per_year**0.5,
        sharpe=mean / deviation * periods_per_year**0.5 if deviation > 0 else 0.0,
        max_drawdown=max_drawdown(curve),
        turnover=sum(notionals) / 2.0 / float(np.mean(curve)) / years if years > 0 else float("nan"),
        hit_rate=float(np.mean(closed > 0)) if len(closed) else float("nan"),
        fees=sum(fees),
        fills=len(notionals),
        years=years,
    )


def max_drawdown(curve: NDArray[np.float64]) -> float:
    """The deepest fall from a peak, as a share of the peak: 0 (never below) to 1."""
    peaks = np.maximum.accumulate(curve)
    return float(np.max(1.0 - curve / peaks))


def drawdowns(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far below its last peak the curve is at each point, 0 or negative, as a share of the peak."""
    result: NDArray[np.float64] = curve / np.maximum.accumulate(curve) - 1.0
    return result
