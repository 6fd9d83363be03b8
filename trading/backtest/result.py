"""What a backtest leaves behind, and its inputs that are not data."""

from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from trading.backtest.metrics import Metrics
from trading.domain.fees import FeeSchedule
from trading.domain.instruments import Instrument
from trading.domain.money import Asset
from trading.domain.orders import Side

USD = Asset(1, "USD", 2)
"""The currency of research on bars; its id is of no ledger."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs besides the instrument's fees, and how much of a bar may be traded.

    ``half_spread_ppm`` of the open, at least one tick, is paid on each side. ``volume_share_ppm`` of a bar's volume is
    all that it gives (2.5 % as zipline's VolumeShareSlippage). ``band_ppm`` sets the protection price around the close
    the order was decided at. A difference to the target below ``rebalance_ppm`` of it is left alone.
    """

    half_spread_ppm: int = 200
    volume_share_ppm: int = 25_000
    band_ppm: int = 50_000
    rebalance_ppm: int = 200_000


@dataclass(frozen=True, slots=True)
class BarFill:
    """One fill on a bar: ticks, lots, and money in minor units, with the reason the strategy gave."""

    ts_ns: int
    order_id: int
    symbol: str
    side: Side
    price_ticks: int
    quantity_lots: int
    notional: int
    fee: int
    reason: str


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """Frames are ordered by ``ts`` (datetime64[ns, UTC]); money columns are int64 minor units of ``currency``.

    ``equity``: ts, equity, cash, positions, benchmark (the same start held in equal parts of all symbols, dividends
    reinvested, no costs). ``fills``: ts, order_id, symbol, side, price (units, float), price_ticks, quantity_lots,
    notional, fee, reason. ``actions``: ts, symbol, ratio, dividend, cash: what splits and dividends did to positions.
    """

    strategy: str
    currency: Asset
    equity: pd.DataFrame
    fills: pd.DataFrame
    actions: pd.DataFrame
    metrics: Metrics


def us_equity(symbol: str) -> Instrument:
    """A US share for research: tick 0.01, whole shares, 0.005 USD a share and at least 1.00 USD an order.

    The commission is the fixed plan of a US retail broker (Interactive Brokers, "Fixed", US stocks).
    """
    return Instrument(
        id=0,
        version=1,
        symbol=symbol,
        venue="RESEARCH",
        name=symbol,
        asset=Asset(0, symbol, 0),
        currency=USD,
        tick_size=Decimal("0.01"),
        lot_size=Decimal(1),
        max_order_lots=100_000_000,
        fee=FeeSchedule(version=1, per_lot_millis=500, rate_ppm=0, minimum=100),
    )
