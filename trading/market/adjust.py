"""Adjusted bars: what charts, features and signals look at. Fills use the raw ones; the two are never mixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trading.market.bar_table import PRICES
from trading.market.bars import MINUTE_NS

_NAMES = (*PRICES, "volume")
AROUND_NS = 30_000_000_000
"""A venue takes the new price within seconds of the booking; it may be busy."""


@dataclass(frozen=True, slots=True)
class Split:
    """A split that was booked: ``ratio`` new shares for one old, ``price`` of an old share just before it.

    The venue's price follows when the booking is asked for, and the broker books it at ``booked_ns`` (both UTC).
    """

    asked_ns: int
    booked_ns: int
    ratio: Fraction
    price: float


def adjusted(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars with all prices scaled by ``adj_close / close`` of their day, without the column ``adj_close``.

    Splits and dividends then leave no jump in returns (total-return prices; the level of past prices means nothing).
    Volume stays as traded. Bars without ``adj_close`` come back as they are: their source gives no adjustment. Where
    single bars lack it their prices become NaN, not half adjusted.
    """
    if "adj_close" not in bars.columns:
        return bars.copy()
    ratio = bars["adj_close"] / bars["close"]
    scaled = bars.drop(columns="adj_close")
    for name in PRICES:
        scaled[name] = bars[name] * ratio
    return scaled


def across(bars: pd.DataFrame, split: Split, length_ns: int) -> NDArray[np.bool_]:
    """Which bars of a length may hold trades from both sides of a split."""
    start = _starts(bars)
    return (start < split.booked_ns + AROUND_NS) & (start + length_ns > split.asked_ns - AROUND_NS)


def split_adjusted(
    bars: pd.DataFrame, splits: Sequence[Split], length_ns: int, minutes: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Bars in shares as they are after all splits: prices from before one divided by its ratio, volume multiplied.

    ``bars`` has ts (start, UTC), open, high, low, close and volume as traded; so have ``minutes``, M1 bars, of which a
    longer bar with both sides of a split is made anew where they are all there. Otherwise each of its prices counts to
    the side that it is nearer to; its volume stays as traded unless all its prices are old ones.
    """
    if not splits or bars.empty:
        return bars.copy()
    found, whole = bars.reset_index(drop=True), np.zeros(len(bars), dtype=bool)
    crossing = np.any([across(found, split, length_ns) for split in splits], axis=0)
    if minutes is not None:
        for row in np.flatnonzero(crossing):
            whole[row] = _traded_alike(found.iloc[row], _within(minutes, found["ts"].iloc[row], length_ns))
        minutes = split_adjusted(minutes, splits, MINUTE_NS)
    scaled = _scaled(found, sorted(splits, key=lambda split: split.booked_ns), length_ns)
    for row in np.flatnonzero(whole):
        scaled.loc[row, list(_NAMES)] = _rolled(_within(minutes, found["ts"].iloc[row], length_ns))
    return scaled


def _starts(bars: pd.DataFrame) -> NDArray[np.int64]:
    starts: NDArray[np.int64] = bars["ts"].dt.as_unit("ns").astype("int64").to_numpy()
    return starts


def _scaled(bars: pd.DataFrame, splits: Sequence[Split], length_ns: int) -> pd.DataFrame:
    """Splits in order of time: prices that an earlier one made comparable are measured against the next one's."""
    scaled, start = bars.copy(), _starts(bars)
    prices, volume = scaled[list(PRICES)].to_numpy(dtype=float), scaled["volume"].to_numpy(dtype=float)
    for split in splits:
        ratio = float(split.ratio)
        border = split.price / np.sqrt(ratio)
        looks_old = prices > border if ratio > 1 else prices < border
        old = np.where(across(bars, split, length_ns)[:, None], looks_old, (start < split.booked_ns)[:, None])
        prices = np.where(old, prices / ratio, prices)
        volume = np.where(old.all(axis=1), volume * ratio, volume)
    opened, high, low, close = (prices[:, PRICES.index(name)] for name in ("open", "high", "low", "close"))
    scaled["open"], scaled["close"], scaled["volume"] = opened, close, volume
    scaled["high"] = np.maximum.reduce([opened, high, low, close])
    scaled["low"] = np.minimum.reduce([opened, high, low, close])
    return scaled


def _within(minutes: pd.DataFrame, start: pd.Timestamp, length_ns: int) -> pd.DataFrame:
    return minutes[(minutes["ts"] >= start) & (minutes["ts"] < start + pd.Timedelta(length_ns, "ns"))]


def _rolled(minutes: pd.DataFrame) -> tuple[float, ...]:
    """Open, high, low, close and volume of M1 bars in order of time."""
    of = {
        "open": minutes["open"].iloc[0],
        "high": minutes["high"].max(),
        "low": minutes["low"].min(),
        "close": minutes["close"].iloc[-1],
        "volume": minutes["volume"].sum(),
    }
    return tuple([float(of[name]) for name in _NAMES])


def _traded_alike(bar: pd.Series, minutes: pd.DataFrame) -> bool:
    """Whether M1 bars are all that a longer one is made of."""
    return len(minutes) > 0 and np.allclose(_rolled(minutes), bar[list(_NAMES)].to_numpy(dtype=float), rtol=1e-9)
