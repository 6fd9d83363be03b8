"""Parameter sweeps over whole histories, vectorised. The one module that imports vectorbt.

A sweep ranks parameters quickly and roughly: fractional shares, fees as a share of the notional, adjusted prices. What
is worth a second look goes through `trading.backtest.engine`, which trades whole lots under the floor's rules.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from trading.ml.features import adjusted


def sma_sweep(
    bars: Mapping[str, pd.DataFrame], fast: Sequence[int], slow: Sequence[int], *, fee_ppm: int, slippage_ppm: int
) -> pd.DataFrame:
    """Every ``fast`` shorter than ``slow``, on each symbol by itself, trading at the open after the signal.

    Returns a row a combination, best first: fast, slow, total_return, sharpe, max_drawdown (mean over the symbols, as
    shares of 1) and trades (sum). Positions are all or nothing; a year has 252 bars.
    """
    import vectorbt as vbt  # slow to import; a code server that does not sweep should not load it

    pairs = [(f, s) for f in sorted(set(fast)) for s in sorted(set(slow)) if f < s]
    tables = []
    for symbol in sorted(bars):
        frame = adjusted(bars[symbol])
        index = pd.DatetimeIndex(frame["ts"])
        close = pd.Series(frame["close"].to_numpy(dtype=float), index=index)
        above = pd.DataFrame(
            {pair: close.rolling(pair[0]).mean() > close.rolling(pair[1]).mean() for pair in pairs}, index=index
        )
        known = pd.DataFrame({pair: close.rolling(pair[1]).mean().notna() for pair in pairs}, index=index)
        # Known at the close of bar N, traded at the open of N+1: both arrays move down one row.
        entries = (above & known).shift(1, fill_value=False).to_numpy()
        exits = (~above & known).shift(1, fill_value=False).to_numpy()
        opens = np.repeat(frame["open"].to_numpy(dtype=float)[:, None], len(pairs), axis=1)
        closes = np.repeat(close.to_numpy()[:, None], len(pairs), axis=1)
        columns = pd.MultiIndex.from_tuples(pairs, names=["fast", "slow"])
        portfolio = vbt.Portfolio.from_signals(
            pd.DataFrame(closes, index=index, columns=columns),
            entries,
            exits,
            price=opens,
            fees=fee_ppm / 1e6,
            slippage=slippage_ppm / 1e6,
            init_cash=1.0,
            freq="1D",
        )
        tables.append(_scores(portfolio.value().to_numpy(), portfolio.trades.count().to_numpy(), pairs))
    merged = pd.concat(tables).groupby(["fast", "slow"], as_index=False)
    scores = merged[["total_return", "sharpe", "max_drawdown"]].mean()
    scores["trades"] = merged["trades"].sum()["trades"]
    return scores.sort_values(["sharpe", "fast", "slow"], ascending=[False, True, True], ignore_index=True)


def _scores(
    value: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
    trades: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    pairs: Sequence[tuple[int, int]],
) -> pd.DataFrame:
    returns = value[1:] / value[:-1] - 1.0
    deviation = returns.std(axis=0, ddof=1)
    sharpe = np.where(deviation > 0, returns.mean(axis=0) / np.where(deviation > 0, deviation, 1.0) * 252**0.5, 0.0)
    depth = (1.0 - value / np.maximum.accumulate(value, axis=0)).max(axis=0)
    return pd.DataFrame(
        {
            "fast": [pair[0] for pair in pairs],
            "slow": [pair[1] for pair in pairs],
            "total_return": value[-1] / value[0] - 1.0,
            "sharpe": sharpe,
            "max_drawdown": depth,
            "trades": trades,
        }
    )
