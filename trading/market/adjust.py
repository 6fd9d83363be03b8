"""Adjusted bars: what features and signals look at. Fills use the raw ones; the two are never mixed."""

import pandas as pd

from trading.market.bar_table import PRICES


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
