"""Reads for the screens. Every query names its portfolio."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trading.domain.margin import Holding
from trading.services.ports.desk import Cutoff


class QueryStore(Protocol):
    """Rows as dictionaries, money in minor units, time as ``ts_ns``; the service turns them into what screens show.

    Rows about an instrument carry its units: ``symbol, venue, tick_size, lot_size, currency, scale``.
    """

    def cash(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """asset, scale, posted, held of each currency, the base currency first (``is_base``).

        Of the others also pair_id, tick_size and whether selling it sells the pair's first currency (``sells_base``).
        """
        ...

    def positions(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """instrument_id, name, lots, held_lots, cost_minor, realised_minor, with the instrument's units."""
        ...

    def margin_currency(self, portfolio_id: int) -> str | None:
        """The base currency of a margin portfolio; None where it is none."""
        ...

    def margin_positions(self, portfolio_id: int) -> Sequence[Holding]:
        """Positions with the policy of their market, without their basis."""
        ...

    def margin_states(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """currency, kind, ts_ns of the newest margin event of each currency."""
        ...

    def margin_events(self, portfolio_id: int, limit: int) -> Sequence[dict[str, Any]]:
        """ts_ns, input_seq, kind, currency, scale, equity, maintenance, close_out, newest first."""
        ...

    def margin_policies(self) -> Sequence[dict[str, Any]]:
        """The newest policy of each market that has one: the table's columns."""
        ...

    def asset_classes(self) -> Sequence[dict[str, Any]]:
        """asset_class of what is traded."""
        ...

    def orders(self, portfolio_id: int, open_only: bool, limit: int) -> Sequence[dict[str, Any]]:
        """Orders, newest first, with the instrument's units."""
        ...

    def order(self, portfolio_id: int, order_id: int) -> dict[str, Any] | None:
        """One order of the portfolio, else None."""
        ...

    def client_orders(self, portfolio_id: int, order_id: int | None = None) -> Sequence[dict[str, Any]]:
        """One order, or all that are open, oldest first, with the key it was sent under as ``client_id``."""
        ...

    def group(self, portfolio_id: int, group_id: int) -> Sequence[dict[str, Any]]:
        """The orders of a group, in the order in which the exchange took them."""
        ...

    def order_events(self, portfolio_id: int, order_id: int) -> Sequence[dict[str, Any]]:
        """State changes of one order, oldest first: ts_ns, source, target, cause, actor, detail."""
        ...

    def holds(self, portfolio_id: int, order_id: int) -> Sequence[dict[str, Any]]:
        """What one order reserved: leg, asset, scale, amount, used, released, resolved."""
        ...

    def fills(self, portfolio_id: int, limit: int, order_id: int | None = None) -> Sequence[dict[str, Any]]:
        """Fills with why, newest first, with the instrument's units."""
        ...

    def fills_from(self, portfolio_id: int, input_seq: int, n: int, limit: int) -> Sequence[dict[str, Any]]:
        """Fills from count ``n`` of an input on, oldest first."""
        ...

    def ledger(self, portfolio_id: int, limit: int, order_id: int | None = None) -> Sequence[dict[str, Any]]:
        """Ledger entries of the portfolio's accounts, newest first.

        id, group_id, ts_ns, kind, asset, scale, lot_size (of instruments), amount (signed), balance (of that account
        after the entry), order_id.
        """
        ...

    def statement(self, portfolio_id: int, from_ns: int, to_ns: int, limit: int) -> Mapping[str, Any]:
        """A period [from, to) as of one moment, in minor units.

        ``ends``: account_id, asset, asset_kind, scale, lot_size (of instruments), opening, closing of each account;
        ``totals``: account_id, kind, lines, received, paid; ``lines``: the first ``limit`` by time, amounts signed.
        """
        ...

    def first_line_ns(self, portfolio_id: int) -> int | None:
        """When the portfolio's first ledger line was booked."""
        ...

    def markets(self) -> Sequence[tuple[str, str]]:
        """Asset class and calendar of everything that is traded."""
        ...

    def unsettled(self, portfolio_id: int, cutoffs: Sequence[Cutoff]) -> Sequence[dict[str, Any]]:
        """asset, scale, asset_class, calendar, amount and last_ns of proceeds that have not settled, by currency."""
        ...

    def disposals(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """Closed parts of lots: acquired_ts_ns, disposed_ts_ns, quantity_lots, cost, proceeds, short, calendar."""
        ...

    def open_lots(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """What is left of lots, oldest first: acquired_ts_ns, lots, cost, short, splits (how many), calendar."""
        ...

    def action_effects(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """What splits and dividends did, newest first: kind, ex_date, ts_ns, terms of the action, lots_before,
        lots_after, cash, tax, dropped, oldest_ts_ns (when the oldest lot it changed was acquired), calendar."""
        ...

    def equity_marks(self, portfolio_id: int) -> Sequence[dict[str, Any]]:
        """ts_ns, equity_minor, cash_minor, positions_minor, flow_minor (deposits less withdrawals since the last)."""
        ...

    def flow_since(self, portfolio_id: int, ts_ns: int) -> int:
        """Deposits less withdrawals of the base currency after a moment, in minor units."""
        ...

    def process_status(self) -> Sequence[dict[str, Any]]:
        """name, state, pid, started_at, beat_at, restarts, detail of every process."""
        ...

    def reconciliations(self, limit: int) -> Sequence[dict[str, Any]]:
        """Newest reconciliation results: id, ts_ns, scope, ok, breaks, counts."""
        ...


class ObserverQueries(Protocol):
    """The same reads on the observers' own login, scoped by row level security to the session's portfolios."""

    def of(self, session_token: str) -> QueryStore:
        """A query store that sees what the session's user may see."""
        ...
