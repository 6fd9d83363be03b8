"""Window features of adjusted bars. Row t uses bars up to and including t, never a later one.

Every feature is a ratio or a score: it does not change when all prices of a symbol are multiplied by a constant. So a
back-adjusted series, whose level is known only at its end, gives the same features at every later date.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from trading.market import adjust

WARM_UP_BARS = 60
"""Bars before the first complete row."""


def adjusted(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars of `trading.market.adjust`, with volume divided by the prices' factor, which keeps the traded value.

    A split then leaves no jump in volume either. The input is one symbol ordered by ``ts``.
    """
    scaled = adjust.adjusted(bars)
    scaled["volume"] = bars["volume"] * (bars["close"] / scaled["close"])
    return scaled


def rsi(close: pd.Series, window: int) -> pd.Series:
    """Relative strength index, 0 to 100, with Wilder's smoothing (New Concepts in Technical Trading Systems, 1978).

    The first average is the plain mean of the first ``window`` changes; NaN before it; 50 where nothing moved.
    """
    change = np.diff(close.to_numpy(dtype=float))
    out = np.full(len(close), np.nan)
    if len(change) >= window:
        up = float(np.mean(np.maximum(change[:window], 0.0)))
        down = float(np.mean(np.maximum(-change[:window], 0.0)))
        out[window] = _strength(up, down)
        for i in range(window, len(change)):
            up += (max(change[i], 0.0) - up) / window
            down += (max(-change[i], 0.0) - down) / window
            out[i + 1] = _strength(up, down)
    return pd.Series(out, index=close.index)


def _strength(up: float, down: float) -> float:
    return 50.0 if up + down == 0.0 else 100.0 * up / (up + down)


def _score(values: pd.Series, window: int) -> pd.Series:
    """How many standard deviations the value lies above its window's mean; 0 where the window is flat."""
    rolling = values.rolling(window)
    deviation = rolling.std(ddof=0)
    return (
        ((values - rolling.mean()) / deviation.where(deviation > 1e-12))
        .where(deviation > 1e-12, 0.0)
        .where(deviation.notna())
    )


def _true_range(bars: pd.DataFrame) -> pd.Series:
    """Wilder's true range: the bar's range, stretched to the close before it."""
    before = bars["close"].shift(1)
    return np.maximum(bars["high"], before) - np.minimum(bars["low"], before)


def _range_position(bars: pd.DataFrame, window: int) -> pd.Series:
    """Where the close lies in the window's range, 0 (lowest low) to 1 (highest high); 0.5 in a flat window."""
    low = bars["low"].rolling(window).min()
    height = bars["high"].rolling(window).max() - low
    return ((bars["close"] - low) / height.where(height > 0)).where(height > 0, 0.5).where(height.notna())


def _log_return(bars: pd.DataFrame) -> pd.Series:
    return np.log(bars["close"] / bars["close"].shift(1))


FEATURES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "return_1": lambda b: b["close"] / b["close"].shift(1) - 1.0,
    "return_5": lambda b: b["close"] / b["close"].shift(5) - 1.0,
    "momentum_20": lambda b: b["close"] / b["close"].shift(20) - 1.0,
    "momentum_60": lambda b: b["close"] / b["close"].shift(60) - 1.0,
    "volatility_10": lambda b: _log_return(b).rolling(10).std(ddof=0),
    "volatility_60": lambda b: _log_return(b).rolling(60).std(ddof=0),
    "rsi_14": lambda b: rsi(b["close"], 14),
    "close_to_sma_20": lambda b: b["close"] / b["close"].rolling(20).mean() - 1.0,
    "sma_10_to_sma_50": lambda b: b["close"].rolling(10).mean() / b["close"].rolling(50).mean() - 1.0,
    "range_position_20": lambda b: _range_position(b, 20),
    "true_range_14": lambda b: _true_range(b).rolling(14).mean() / b["close"],
    "gap": lambda b: b["open"] / b["close"].shift(1) - 1.0,
    "body": lambda b: b["close"] / b["open"] - 1.0,
    "volume_score_20": lambda b: _score(np.log1p(b["volume"]), 20),
}
"""Each feature by name: adjusted bars of one symbol, ordered by ts, to a series of the same length (NaN = not yet)."""


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """All `FEATURES` of one symbol: columns ``ts`` and the features, float64, rows before the warm-up dropped.

    ``bars`` are raw bars ordered by ``ts`` (with ``adj_close`` where known); they are adjusted here.
    """
    basis = adjusted(bars)
    table = {"ts": bars["ts"], **{name: build(basis) for name, build in FEATURES.items()}}
    complete = pd.DataFrame(table).iloc[WARM_UP_BARS:]
    return complete.replace([np.inf, -np.inf], np.nan).dropna().reset_index(drop=True)
