"""Stores behind desk, ledger, kill switch and verification."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trading.domain.instruments import Instrument
from trading.domain.orders import Acceptance, Effect, OrderType, Refusal, Side, Ticket, TimeInForce


class AuditStore(Protocol):
    """Append-only trail of deeds and refusals."""

    def refused(self, user_id: int, action: str, subject: str, code: str, origin: str) -> None:
        """Record a refused call, in a transaction of its own."""
        ...


@dataclass(frozen=True, slots=True)
class DeskContext:
    """What the desk decides on, read under the portfolio's lock."""

    instrument: Instrument
    portfolio_kind: str
    cash_available: int
    position_lots: int
    position_held: int
    open_orders: int
    limits: "RiskLimits"
    halt_mode: str
    limit_version: int


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Limits of a portfolio, versioned. Money in minor units of its base currency."""

    version: int
    max_order_notional: int
    max_open_orders: int
    price_band_ppm: int


@dataclass(frozen=True, slots=True)
class AcceptedOrder:
    """What `DeskStore.accept` writes: the order, its holds and the protection price they were computed from."""

    portfolio_id: int
    instrument: Instrument
    side: Side
    type: OrderType
    effect: Effect
    time_in_force: TimeInForce
    quantity_lots: int
    limit_ticks: int | None
    protection_ticks: int
    cash_hold: int
    asset_hold: int
    limit_version: int
    ts_ns: int


Decide = Any
"""Callable[[DeskContext], AcceptedOrder | Refusal]; called once, inside the transaction, must not do I/O."""


class DeskStore(Protocol):
    """One transaction for each call; `Conflict` on a reused key; `Unavailable` when the database cannot be reached."""

    def submit(
        self, user_id: int, portfolio_id: int, key: str, ticket: Ticket, decide: Decide, ts_ns: int, origin: str
    ) -> Acceptance | Refusal:
        """Open the key, lock and read, let ``decide`` judge, write order, holds, event, audit, command and answer."""
        ...

    def cancel(self, user_id: int, portfolio_id: int, order_id: int, ts_ns: int, origin: str) -> Refusal | None:
        """Ask the broker to cancel; None when asked, a refusal when the order is already over or unknown."""
        ...

    def instrument(self, symbol: str, venue: str) -> Instrument | None:
        """Current version of an instrument."""
        ...

    def instruments(self) -> Sequence[Instrument]:
        """Current versions of all tradable instruments, by symbol."""
        ...


class LedgerStore(Protocol):
    """Postings that people make."""

    def deposit(self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, ts_ns: int) -> int:
        """Move cash in minor units from the outside world to the portfolio; returns the transfer group's id."""
        ...

    def withdraw(self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, ts_ns: int) -> int:
        """Move cash out; raises `Invalid` with code ``insufficient_cash``."""
        ...

    def scale(self, portfolio_id: int) -> int | None:
        """Decimal places of the portfolio's base currency; None where there is no such portfolio."""
        ...


class HaltStore(Protocol):
    """The kill switch: scopes ``floor``, ``user:ID``, ``instrument:ID``; modes running, reducing, halted."""

    def set(self, actor_id: int, scope: str, mode: str, reason: str, ts_ns: int, origin: str) -> None:
        """Exclusive lock, the row, its command and audit; commit."""
        ...

    def current(self) -> Sequence[dict[str, Any]]:
        """Scopes that are not running: scope, mode, reason, set_by, ts_ns."""
        ...


class VerifyStore(Protocol):
    """Reads for `trading.services.verify`."""

    def breaks(self) -> Sequence[dict[str, Any]]:
        """Every violated invariant as ``{"check": ..., "subject": ..., "expected": ..., "found": ...}``."""
        ...

    def counts(self) -> dict[str, int]:
        """How many accounts, transfers, holds, orders and fills were looked at."""
        ...
