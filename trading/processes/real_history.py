"""Real history to set beside the simulated market: daily returns, spreads and directions of trades.

Daily bars of five US stocks are shipped with the program; more comes from a folder laid out like the one that
`trading.market.shipped.make_profiles` reads, where there is one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from trading.market.profiles import Profile
from trading.market.realism import LAGS, autocorrelation
from trading.market.shipped.make_profiles import SOURCES, closes
from trading.market.simulator_prices import Floats

SPREADS: Final = {
    "EURUSD": "ticks/EURUSD_fxcm_quotes.parquet",
    "XAUUSD": "ticks/XAUUSD_oanda_quotes.parquet",
    "BTCUSD": "ticks/BTCUSDT_binance-spot_20240808_bbo.parquet",
}
TRADES: Final = "ticks/BTCUSDT_binance-spot_20240808_trades.parquet"


@dataclass(frozen=True, slots=True)
class RealHistory:
    """What real markets show; each by symbol, and empty where there is no history.

    ``returns`` are log returns of days, ``spreads`` quoted spreads in ticks of the simulated instrument, ``signs`` the
    autocorrelations of the directions of trades in bitcoin at lags 1 to `LAGS`, None where there are none.
    """

    returns: dict[str, Floats]
    spreads: dict[str, Floats]
    signs: Floats | None


def read(profiles: tuple[Profile, ...], folder: Path | None) -> RealHistory:
    """What there is in ``folder``, and the shipped bars."""
    returns = {}
    for symbol, _, _, source in SOURCES:
        if source == "wiki" or (folder is not None and (folder / source).is_file()):
            prices = closes(symbol, source, folder or Path())[0]
            if len(prices) > 2 * LAGS:
                returns[symbol] = np.log(prices.to_numpy(dtype=float)[1:] / prices.to_numpy(dtype=float)[:-1])
    spreads, signs = {}, None
    for profile in profiles:
        path = folder / SPREADS[profile.symbol] if folder is not None and profile.symbol in SPREADS else None
        if path is not None and path.is_file():
            quotes = pd.read_parquet(path, columns=["bid", "ask"])
            wide = (quotes["ask"] - quotes["bid"]).to_numpy(dtype=float) / float(profile.tick_size)
            spreads[profile.symbol] = wide[wide > 0]
    if folder is not None and (folder / TRADES).is_file():
        sides = pd.read_parquet(folder / TRADES, columns=["aggressor"])["aggressor"]
        signs = autocorrelation(np.where(sides == "buy", 1.0, -1.0))
    return RealHistory(returns, spreads, signs)
