"""The store behind limits, tiers, restricted instruments and the drawdown breaker."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trading.domain.risk import RiskLimits


@dataclass(frozen=True, slots=True)
class Figures:
    """What a tier, user, portfolio or instrument may; None says nothing.

    Money is minor units: of the order's currency for orders and positions, of the portfolio's for the loss of a day.
    ``instruments`` are the only ones in which a position may be opened.
    """

    max_order_lots: int | None = None
    max_order_notional: int | None = None
    max_position_lots: int | None = None
    max_position_notional: int | None = None
    max_open_orders: int | None = None
    max_orders_per_minute: int | None = None
    price_band_ppm: int | None = None
    max_daily_loss: int | None = None
    max_drawdown_ppm: int | None = None
    instruments: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class LimitVersion:
    """One version of the limits of a scope, and who set it. ``name`` is the scope as people know it."""

    id: int
    scope: str
    name: str
    version: int
    figures: Figures
    set_by: str
    set_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Restriction:
    """The compliance list's newest word on an instrument: ``free``, ``no_opening`` or ``no_trading``."""

    instrument_id: int
    symbol: str
    mode: str
    reason: str
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class WorthState:
    """What a portfolio's marks of worth come to, in minor units of its currency.

    ``day_equity`` is the worth when the day ``day_ns`` began, and ``peak_equity`` the highest, both moved by what was
    paid in and out since. ``tripped_ppm`` is the drawdown at which the breaker tripped, None where it has not.
    """

    portfolio_id: int
    name: str
    owner: str
    currency: str
    scale: int
    ts_ns: int
    equity: int
    day_ns: int
    day_equity: int
    peak_equity: int
    tripped_ts_ns: int | None
    tripped_ppm: int | None

    @property
    def drawdown_ppm(self) -> int:
        """How far below the peak, rounded down; 0 at the peak."""
        return max(0, (self.peak_equity - self.equity) * 1_000_000 // self.peak_equity) if self.peak_equity > 0 else 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What limits count of a portfolio now, and of all portfolios of its user. Lots by instrument id, without zeros."""

    tier: str
    limits: RiskLimits
    open_orders: int
    user_open_orders: int
    orders_in_minute: int
    user_orders_in_minute: int
    positions: dict[int, int]
    worth: WorthState | None


class RiskStore(Protocol):
    """Every change is one transaction with its audit row; versions are added, never rewritten."""

    def current(self) -> Sequence[LimitVersion]:
        """The newest version of every scope that has any."""
        ...

    def history(self, scope: str) -> Sequence[LimitVersion]:
        """All versions of a scope, newest first."""
        ...

    def set(self, actor_id: int, scope: str, figures: Figures, reason: str, origin: str) -> LimitVersion:
        """Add a version; a tier that is not there is made. Raises `NotFound` for anything else that is not there."""
        ...

    def tiers(self) -> Sequence[str]:
        """Names of all tiers."""
        ...

    def tier_of(self, user_id: int) -> str:
        """The tier of a user. Raises `NotFound`."""
        ...

    def set_tier(self, actor_id: int, user_id: int, tier: str, reason: str, origin: str) -> None:
        """Give a user a tier. Raises `NotFound`."""
        ...

    def restrict(self, actor_id: int, instrument_id: int, mode: str, reason: str, origin: str) -> None:
        """Put an instrument on the list, or change what it says. Raises `NotFound`."""
        ...

    def restrictions(self) -> Sequence[Restriction]:
        """What is restricted now."""
        ...

    def restriction_history(self, instrument_id: int) -> Sequence[Restriction]:
        """All that was ever said of an instrument, newest first."""
        ...

    def worth(self) -> Sequence[WorthState]:
        """Every portfolio that has been marked."""
        ...

    def reset_drawdown(self, actor_id: int, portfolio_id: int, reason: str, origin: str) -> bool:
        """Take the breaker back; False where it had not tripped."""
        ...

    def counts(self, portfolio_id: int, now_ns: int) -> Counts:
        """What limits count now. Raises `NotFound`."""
        ...
