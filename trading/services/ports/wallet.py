"""Stores behind deposits and withdrawals that wait for an admin, settlement, conversion and archives."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from trading.services.ports.desk import Cutoff, Marks
from trading.services.ports.people import Portfolio


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it is asked: ``amount`` in minor units of the portfolio's base currency."""

    actor_id: int
    portfolio_id: int
    kind: str
    amount: int
    key: str
    memo: str
    origin: str
    ts_ns: int
    expires_ns: int


@dataclass(frozen=True, slots=True)
class InterestDay:
    """Interest of one day on a balance below zero, in minor units; ``booked`` is what the day is charged.

    ``before`` and ``parts`` are exact, as `trading.domain.interest` has them: of all days before, and of this one.
    """

    portfolio_id: int
    asset_id: int
    day: date
    balance: int
    annual_ppm: int
    before: int
    parts: int
    booked: int


class WalletStore(Protocol):
    """Each deed is one transaction with its audit row; a refusal is raised as `Invalid` with its code and numbers."""

    def request(self, ask: Ask, cutoffs: Sequence[Cutoff], marks: Marks) -> int:
        """Keep a request and hold a withdrawal's cash; its id. A withdrawal is refused as by `LedgerStore.withdraw`."""
        ...

    def decide(
        self, actor_id: int, request_id: int, verb: str, reason: str, origin: str, ts_ns: int, marks: Marks
    ) -> str:
        """approve, decline or withdraw; the state it has then.

        ``already_decided``, ``expired``, ``same_person``, ``not_yours``, and those of `LedgerStore.withdraw` when the
        cash would move.
        """
        ...

    def expire(self, ts_ns: int) -> int:
        """End requests that nobody decided in time; how many."""
        ...

    def waiting(self) -> Sequence[dict[str, Any]]:
        """Requests that wait, oldest first, with portfolio, owner and who asked."""
        ...

    def requests(self, portfolio_id: int, limit: int) -> Sequence[dict[str, Any]]:
        """Requests of a portfolio, newest first."""
        ...

    def reset(self, actor_id: int, portfolio_id: int, name: str, origin: str, ts_ns: int) -> int:
        """Archive a portfolio and open a new one in its place, whose id is returned.

        ``wrong_name``, ``open_orders``, ``open_parents``, ``open_schedules``, ``requests_wait``, ``open_positions``,
        ``archived``.
        """
        ...

    def archives(self, owner_id: int | None, observer_id: int | None) -> Sequence[Portfolio]:
        """Archived portfolios, newest first: of one owner, of those granted to an observer, or all."""
        ...

    def debts(self, day: date, end_ns: int) -> Sequence[dict[str, Any]]:
        """Margin debts at ``end_ns`` not yet charged for ``day``, where their currency has a rate.

        portfolio_id, asset_id, currency, scale, balance (below zero), annual_ppm, before.
        """
        ...

    def charge(self, charged: InterestDay, memo: str, ts_ns: int) -> bool:
        """Book a day's interest; False where it was charged meanwhile."""
        ...

    def rates(self) -> Sequence[dict[str, Any]]:
        """currency, annual_ppm, version, source, set_at: each currency's newest rate, null where it has none."""
        ...

    def set_rate(self, actor_id: int, currency: str, annual_ppm: int, source: str, origin: str) -> None:
        """A new version of a currency's rate on debt."""
        ...

    def limits(self) -> Sequence[dict[str, Any]]:
        """currency, scale, above, version of each currency."""
        ...

    def set_limit(self, actor_id: int, currency: str, above: int, origin: str, ts_ns: int) -> None:
        """A new version of a currency's limit; ``only_lower`` where a person would raise it."""
        ...
