"""Does the simulated market look like a market: stylised facts of its prices, quotes and trades, and bands for them.

The facts are those of Cont, "Empirical properties of asset returns: stylized facts and statistical issues",
Quantitative Finance 1 (2001): fat tails, volatility that clusters, returns that cannot be told from the last one; and
of Lillo and Farmer, "The long memory of the efficient market" (2004): trades go on in their direction.

Two simulations are measured. `closes` is years of whole days in steps of an hour, each of them an update of every
book: prices are the middles of real quotes. `record` is some minutes of the tape at the floor's own rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trading.market.profiles import Profile
from trading.market.sessions import DAY_NS
from trading.market.simulator import Simulator
from trading.market.simulator_prices import Floats
from trading.market.ticks import DEPTH, MORE, QUOTE, RESET, TRADE, Ticks

START_NS: Final = 20_000 * DAY_NS
LAGS: Final = 20
HOURS: Final = 24
STEP_NS: Final = 100_000_000
LEVELS: Final = 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one instrument.

    ``volatility`` is that of a day, from hourly returns; ``returns`` are log returns of days; ``spread`` the median in
    ticks; ``spreads`` all quoted ones; ``depth`` mean lots by level, both sides, best first; ``absolute`` and ``signs``
    autocorrelations at lags 1 to `LAGS` of the returns' sizes and of the directions of trades.
    """

    symbol: str
    returns: Floats
    volatility: float
    kurtosis: float
    serial: float
    absolute: Floats
    spread: float
    spreads: Floats
    depth: Floats
    signs: Floats


@dataclass(frozen=True, slots=True)
class Band:
    """One demand on an instrument: ``value`` must lie within ``low`` and ``high``."""

    name: str
    value: float
    low: float
    high: float

    @property
    def kept(self) -> bool:
        """Whether it does."""
        return bool(self.low <= self.value <= self.high)


def autocorrelation(values: Floats, lags: int = LAGS) -> Floats:
    """Autocorrelations at lags 1 to ``lags``; zeros where there are too few values or they do not vary."""
    centred = values - values.mean() if len(values) else values
    variance = float(np.dot(centred, centred))
    if len(values) <= 2 * lags or variance == 0:
        return np.zeros(lags)
    return np.array([np.dot(centred[:-lag], centred[lag:]) / variance for lag in range(1, lags + 1)])


def excess_kurtosis(values: Floats) -> float:
    """Fourth standardised moment less 3; 0 where the values do not vary."""
    variance = float(values.var()) if len(values) else 0.0
    return float(np.mean((values - values.mean()) ** 4) / variance**2 - 3) if variance > 0 else 0.0


def middles(profiles: Sequence[Profile], seed: int, days: int) -> Floats:
    """Middles of the quotes at the end of each hour, in ticks: (24 * days + 1, instruments)."""
    own = Simulator(range(len(profiles)), profiles, seed=seed, start_ns=START_NS - 1)
    found = np.empty((HOURS * days + 1, len(profiles)))
    last = np.zeros(len(profiles))
    for hour in range(len(found)):
        ticks = own.advance(START_NS + hour * DAY_NS // HOURS)
        quotes = ticks[(ticks["kind"] & QUOTE) != 0]
        last[quotes["instrument_id"]] = (quotes["bid_ticks"] + quotes["ask_ticks"]) / 2
        found[hour] = last
    return found


def record(profiles: Sequence[Profile], seed: int, minutes: float) -> Ticks:
    """The tape of some minutes at the floor's usual rate; an instrument's id is its place."""
    own = Simulator(range(len(profiles)), profiles, seed=seed, start_ns=START_NS)
    steps = round(minutes * 60e9 / STEP_NS)
    return np.concatenate([own.advance(START_NS + (step + 1) * STEP_NS) for step in range(steps)])


def facts(profiles: Sequence[Profile], hourly: Floats, tape: Ticks) -> list[Facts]:
    """What the two simulations show of each instrument."""
    found = []
    moves = np.diff(np.log(hourly), axis=0)
    for place, profile in enumerate(profiles):
        returns = moves[:, place].reshape(-1, HOURS).sum(axis=1)
        own = tape[tape["instrument_id"] == place]
        quotes = own[(own["kind"] & QUOTE) != 0]
        spreads = (quotes["ask_ticks"] - quotes["bid_ticks"]).astype(float)
        trades = own[(own["kind"] & TRADE) != 0]
        found.append(
            Facts(
                symbol=profile.symbol,
                returns=returns,
                volatility=float(np.sqrt(np.square(moves[:, place]).sum() / len(returns))),
                kurtosis=excess_kurtosis(returns),
                serial=float(autocorrelation(returns)[0]),
                absolute=autocorrelation(np.abs(returns)),
                spread=float(np.median(spreads)),
                spreads=spreads,
                depth=mean_depth(own),
                signs=autocorrelation(trades["aggressor"].astype(float)),
            )
        )
    return found


def mean_depth(own: Ticks) -> Floats:
    """Mean lots at each published level, both sides, over the snapshots of one instrument."""
    depth = own[(own["kind"] & DEPTH) != 0]
    number = np.cumsum((depth["kind"] & RESET) != 0)
    total, count = np.zeros(LEVELS), 0
    for begin in np.flatnonzero((depth["kind"] & RESET) != 0):
        end = begin
        while depth["kind"][end] & MORE and end + 1 < len(depth) and number[end + 1] == number[begin]:
            end += 1
        rows = depth[begin : end + 1]
        for name, way in (("bid", -1), ("ask", 1)):
            shown = rows[rows[f"{name}_lots"] > 0]
            lots = shown[f"{name}_lots"][np.argsort(way * shown[f"{name}_ticks"])][:LEVELS]
            total[: len(lots)] += lots
        count += 2
    return total / max(1, count)


def bands(profile: Profile, found: Facts) -> list[Band]:
    """What is asked of an instrument, with what it shows."""
    # Two standard errors of a correlation of so many days, and as much again for tails that are fat.
    uncertain = max(0.1, 4 / np.sqrt(max(1, len(found.returns))))
    return [
        Band("daily volatility / profile", found.volatility / profile.daily_volatility, 0.8, 1.2),
        Band("median spread / profile", found.spread / profile.spread_ticks, 0.5, 2.0),
        Band("excess kurtosis", found.kurtosis, 0.0, np.inf),
        Band("|return| autocorrelation, mean of 20 lags", float(found.absolute.mean()), 0.0, np.inf),
        Band("return autocorrelation", found.serial, -uncertain, uncertain),
        Band("autocorrelation of trade signs", float(found.signs[:5].mean()), 0.0, 1.0),
        Band("best size / profile", float(found.depth[0]) / profile.size_lots, 0.4, 2.5),
    ]
