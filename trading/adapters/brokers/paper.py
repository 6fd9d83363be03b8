"""The floor's own paper broker as its clients see any broker: through the desk, with the rights of its actor."""

from collections.abc import Sequence

from trading.domain.errors import Conflict, Halted, NotFound
from trading.domain.orders import Refusal, Ticket
from trading.services import brokerage, desk
from trading.services.access import Actor
from trading.services.floor import Floor
from trading.services.ports.brokerage import Balance, BrokerOrder, Execution, Holding, NewOrder


class PaperBrokerage:
    """Implements `trading.services.ports.brokerage.Brokerage` for one portfolio."""

    def __init__(self, floor: Floor, actor: Actor, portfolio_id: int) -> None:
        self._floor, self._actor, self._portfolio_id = floor, actor, portfolio_id

    def submit(self, order: NewOrder) -> BrokerOrder | Refusal:
        """See the port. The client's id is the desk's idempotency key."""
        try:
            answer = desk.submit(self._floor, self._actor, self._portfolio_id, _ticket(order), order.client_id)
        except Conflict as error:
            if error.code != "key_reused":
                raise
            raise Conflict("this client id belongs to another order", "duplicate_client_id") from None
        except Halted as error:
            return Refusal(error.code, str(error))
        return answer if isinstance(answer, Refusal) else self.order(str(answer.order_id))

    def cancel(self, order_id: str) -> Refusal | None:
        """See the port."""
        refusal = desk.cancel(self._floor, self._actor, self._portfolio_id, _number(order_id))
        if refusal is not None and refusal.code == "unknown_order":
            raise NotFound(refusal.reason, refusal.code)
        return refusal

    def order(self, order_id: str) -> BrokerOrder:
        """See the port."""
        return brokerage.order(self._floor, self._actor, self._portfolio_id, _number(order_id))

    def open_orders(self) -> Sequence[BrokerOrder]:
        """See the port."""
        return brokerage.open_orders(self._floor, self._actor, self._portfolio_id)

    def executions(self, since: str = "", limit: int = 1000) -> Sequence[Execution]:
        """See the port."""
        return brokerage.executions(self._floor, self._actor, self._portfolio_id, since, limit)

    def positions(self) -> Sequence[Holding]:
        """See the port."""
        return brokerage.holdings(self._floor, self._actor, self._portfolio_id)

    def account(self) -> Sequence[Balance]:
        """See the port."""
        return brokerage.balances(self._floor, self._actor, self._portfolio_id)


def _ticket(order: NewOrder) -> Ticket:
    instrument = order.instrument
    return Ticket(
        symbol=instrument.symbol,
        side=order.side,
        type=order.type,
        quantity=f"{instrument.quantity(order.quantity_lots):f}",
        limit_price=None if order.limit_ticks is None else f"{instrument.price(order.limit_ticks):f}",
        time_in_force=order.time_in_force,
        venue=instrument.venue,
    )


def _number(order_id: str) -> int:
    if not order_id.isdecimal() or len(order_id) > 18:
        raise NotFound("there is no such order in this account", "unknown_order")
    return int(order_id)
