"""Reads for the screens. Every query names its portfolio."""

from collections.abc import Sequence
from typing import Any, Protocol


class QueryStore(Protocol):
    """Rows as dictionaries, money in minor units, time as ``ts_ns``; the service turns them into what screens show."""

    def cash(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """asset, scale, posted, held of each currency."""
        ...

    def positions(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """instrument_id, symbol, venue, lots, held_lots, cost_minor, realised_minor, with the instrument's units."""
        ...

    def orders(self, portfolio_id: int, open_only: bool, limit: int) -> Sequence[dict[str, Any]]:
        """Orders, newest first."""
        ...

    def order_events(self, portfolio_id: int, order_id: int) -> Sequence[dict[str, Any]]:
        """State changes of one order, oldest first."""
        ...

    def fills(self, portfolio_id: int, limit: int, order_id: int | None = None) -> Sequence[dict[str, Any]]:
        """Fills with why, newest first."""
        ...

    def ledger(self, portfolio_id: int, limit: int, order_id: int | None = None) -> Sequence[dict[str, Any]]:
        """Ledger entries of the portfolio's accounts with running balance, newest first."""
        ...

    def equity_marks(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """ts_ns, equity_minor, cash_minor, positions_minor, flow_minor (deposits less withdrawals since the last)."""
        ...

    def process_status(self) -> Sequence[dict[str, Any]]:
        """name, state, pid, started_at, beat_at, restarts, detail of every process."""
        ...

    def reconciliations(self, limit: int) -> Sequence[dict[str, Any]]:
        """Newest reconciliation results."""
        ...


class ObserverQueries(Protocol):
    """The same reads on the observers' own login, scoped by row level security to the session's portfolios."""

    def of(self, session_token: str) -> QueryStore:
        """A query store that sees what the session's user may see."""
        ...
