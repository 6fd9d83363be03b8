"""Stores behind deposits and withdrawals that wait for an admin, settlement, conversion and archives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trading.services.ports.desk import Cutoff


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


class WalletStore(Protocol):
    """Each deed is one transaction with its audit row; a refusal is raised as `Invalid` with its code and numbers."""

    def request(self, ask: Ask, cutoffs: Sequence[Cutoff]) -> int:
        """Keep a request and hold a withdrawal's cash; its id. ``insufficient_cash``, ``not_settled``."""
        ...

    def decide(self, actor_id: int, request_id: int, verb: str, reason: str, origin: str, ts_ns: int) -> str:
        """approve, decline or withdraw; the state it has then.

        ``already_decided``, ``expired``, ``same_person``, ``not_yours``, ``insufficient_cash``.
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

    def limits(self) -> Sequence[dict[str, Any]]:
        """currency, scale, above, version of each currency."""
        ...

    def set_limit(self, actor_id: int, currency: str, above: int, origin: str, ts_ns: int) -> None:
        """A new version of a currency's limit; ``only_lower`` where a person would raise it."""
        ...
