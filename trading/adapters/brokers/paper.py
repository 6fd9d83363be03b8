"""The floor's own paper broker as its clients see any broker: through the desk, with the rights of its actor."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from trading.domain.brokerage import Balance, BrokerOrder, Execution, Holding, NewOrder, NewTerms
from trading.domain.errors import Conflict, Halted, NotFound
from trading.domain.instruments import Instrument
from trading.domain.orders import Change, Refusal, Ticket
from trading.services import brokerage, desk
from trading.services.access import Actor
from trading.services.floor import Floor


class PaperBrokerage:
    """Implements `trading.services.ports.brokerage.Brokerage` for one portfolio."""

    def __init__(self, floor: Floor, actor: Actor, portfolio_id: int) -> None:
        self._floor, self._actor, self._portfolio_id = floor, actor, portfolio_id
        self._instruments = {instrument.id: instrument for instrument in desk.instruments(floor, actor)}

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

    def modify(self, order_id: str, terms: NewTerms, key: str) -> Refusal | None:
        """See the port."""
        instrument = self._instruments[self.order(order_id).instrument_id]
        change = Change(
            quantity=None if terms.quantity_lots is None else f"{instrument.quantity(terms.quantity_lots):f}",
            limit_price=_price(instrument, terms.limit_ticks),
            stop_price=_price(instrument, terms.stop_ticks),
            trail=_price(instrument, terms.trail_ticks),
            trail_percent=_percent(terms.trail_ppm),
        )
        try:
            answer = desk.modify(self._floor, self._actor, self._portfolio_id, _number(order_id), change, key)
        except Halted as error:
            return Refusal(error.code, str(error))
        return answer if isinstance(answer, Refusal) else None

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
        limit_price=_price(instrument, order.limit_ticks),
        time_in_force=order.time_in_force,
        venue=instrument.venue,
        stop_price=_price(instrument, order.stop_ticks),
        trail=_price(instrument, order.trail_ticks),
        trail_percent=_percent(order.trail_ppm),
        post_only=order.post_only,
        expires_at=None if order.expires_ns is None else _moment(order.expires_ns),
        take_profit=_price(instrument, order.take_profit_ticks),
        stop_loss=_price(instrument, order.stop_loss_ticks),
        oco_limit=_price(instrument, order.oco_limit_ticks),
    )


def _price(instrument: Instrument, ticks: int | None) -> str | None:
    return None if ticks is None else f"{instrument.price(ticks):f}"


def _percent(ppm: int | None) -> str | None:
    return None if ppm is None else f"{Decimal(ppm) / 10_000:f}"


def _moment(ts_ns: int) -> str:
    """ISO 8601 in whole microseconds, UTC: a ticket's times are no finer."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_ns // 1000)).isoformat()


def _number(order_id: str) -> int:
    if not order_id.isdecimal() or len(order_id) > 18:
        raise NotFound("there is no such order in this account", "unknown_order")
    return int(order_id)
