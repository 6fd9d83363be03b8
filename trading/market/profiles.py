"""Instruments of the simulated venue ``SIM``: units, fees and the statistics that drive their prices.

The numbers were computed from real history by `trading.market.shipped.make_profiles`; each row says from which. They
shape simulated prices and nothing else: no bar of real history is in the table.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from trading.domain.fees import FeeSchedule

VENUE = "SIM"
"""Symbols of this venue are simulated; a series of it never joins a real one."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One simulated instrument.

    ``start_price`` is in units of ``currency``, volatilities are standard deviations of log returns of a day,
    ``jumps_per_day`` a rate, ``spread_ticks`` the mean spread, ``size_lots`` the usual size at the best price.
    ``calendar`` is one of `trading.market.sessions`, ``shape`` names the course of volatility within a day in
    `shipped_shapes`, ``overnight_share`` is the part of the variance that falls between two sessions. ``source`` says
    which history the statistics come from.
    """

    symbol: str
    name: str
    asset_class: str
    currency: str
    tick_size: Decimal
    lot_size: Decimal
    max_order_lots: int
    fee: FeeSchedule
    calendar: str
    shape: str
    start_price: Decimal
    spread_ticks: int
    size_lots: int
    daily_volatility: float
    excess_kurtosis: float
    jumps_per_day: float
    jump_volatility: float
    vol_of_vol: float
    market_correlation: float
    market_beta: float
    overnight_share: float
    source: str

    @property
    def start_ticks(self) -> int:
        """The start price in whole ticks."""
        return int(self.start_price / self.tick_size)

    def to_json(self) -> dict[str, Any]:
        """The statistics as a JSON object, as the database keeps them beside an instrument's version."""
        return {
            "v": 1,
            "calendar": self.calendar,
            "shape": self.shape,
            "start_price": str(self.start_price),
            "spread_ticks": self.spread_ticks,
            "size_lots": self.size_lots,
            "daily_volatility": self.daily_volatility,
            "excess_kurtosis": self.excess_kurtosis,
            "jumps_per_day": self.jumps_per_day,
            "jump_volatility": self.jump_volatility,
            "vol_of_vol": self.vol_of_vol,
            "market_correlation": self.market_correlation,
            "market_beta": self.market_beta,
            "overnight_share": self.overnight_share,
            "source": self.source,
        }


def _profile(row: Mapping[str, str]) -> Profile:
    return Profile(
        symbol=row["symbol"],
        name=row["name"],
        asset_class=row["asset_class"],
        currency=row["currency"],
        tick_size=Decimal(row["tick_size"]),
        lot_size=Decimal(row["lot_size"]),
        max_order_lots=int(row["max_order_lots"]),
        fee=FeeSchedule(1, int(row["fee_per_lot_millis"]), int(row["fee_rate_ppm"]), int(row["fee_minimum"])),
        calendar=row["calendar"],
        shape=row["shape"],
        start_price=Decimal(row["start_price"]),
        spread_ticks=int(row["spread_ticks"]),
        size_lots=int(row["size_lots"]),
        daily_volatility=float(row["daily_volatility"]),
        excess_kurtosis=float(row["excess_kurtosis"]),
        jumps_per_day=float(row["jumps_per_day"]),
        jump_volatility=float(row["jump_volatility"]),
        vol_of_vol=float(row["vol_of_vol"]),
        market_correlation=float(row["market_correlation"]),
        market_beta=float(row["market_beta"]),
        overnight_share=float(row["overnight_share"]),
        source=row["source"],
    )


def _rows(name: str) -> "csv.DictReader[str]":
    return csv.DictReader(files("trading.market.shipped").joinpath(name).read_text(encoding="utf-8").splitlines())


@cache
def shipped_profiles() -> tuple[Profile, ...]:
    """The shipped table, in its own order."""
    return tuple(_profile(row) for row in _rows("profiles.csv"))


@cache
def shipped_shapes() -> Mapping[str, tuple[float, ...]]:
    """Weights of volatility in equal parts of a day or session, by name; their squares have the mean 1."""
    return {row["shape"]: tuple(float(weight) for weight in row["weights"].split()) for row in _rows("shapes.csv")}


if TYPE_CHECKING:
    PROFILES: tuple[Profile, ...]


def __getattr__(name: str) -> Any:
    """``PROFILES`` is the shipped table, read at first use."""
    if name == "PROFILES":
        return shipped_profiles()
    raise AttributeError(name)
