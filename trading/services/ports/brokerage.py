"""A broker as its client sees it: the floor's own paper broker, or a real one's adapter by the same words.

An answer to `submit`, `cancel` or `modify` says that the broker has taken it, not that it is done: orders and
executions tell.
"""

from collections.abc import Sequence
from typing import Protocol

from trading.domain.brokerage import Balance, BrokerOrder, Execution, Holding, NewOrder, NewTerms
from trading.domain.orders import Refusal


class Brokerage(Protocol):
    """One account at one broker.

    Every method raises `Unavailable` where the broker does not answer: what was asked may have happened, and is asked
    again under the same key. `NotFound` (``unknown_order``) where this account has no such order.
    """

    def submit(self, order: NewOrder) -> BrokerOrder | Refusal:
        """Send an order once for each ``client_id``; sent again, the answer is that order as it now stands.

        Of a bracket that is the entry, of a pair the stop.

        A refusal has the broker's stable code. `Conflict` (``duplicate_client_id``) where the id belongs to an order
        with other terms.
        """
        ...

    def cancel(self, order_id: str) -> Refusal | None:
        """Ask for a cancel; a fill may overtake it. A refusal (``order_over``) where there is nothing to cancel."""
        ...

    def modify(self, order_id: str, terms: NewTerms, key: str) -> Refusal | None:
        """Ask for new terms, once for each ``key``; a fill may overtake them. A refusal where they cannot be had."""
        ...

    def order(self, order_id: str) -> BrokerOrder:
        """One order, open or over."""
        ...

    def open_orders(self) -> Sequence[BrokerOrder]:
        """Orders that are not over, oldest first."""
        ...

    def executions(self, since: str = "", limit: int = 1000) -> Sequence[Execution]:
        """At most ``limit`` fills behind a cursor (empty: from the first), in the one order they always have.

        Going on from the last one's cursor finds each fill once and leaves none out. `Invalid` (``bad_cursor``).
        """
        ...

    def positions(self) -> Sequence[Holding]:
        """Holdings that are not zero, by instrument."""
        ...

    def account(self) -> Sequence[Balance]:
        """Cash by currency."""
        ...
