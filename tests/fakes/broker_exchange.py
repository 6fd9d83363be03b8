"""The books of a broker elsewhere: one account with cash, orders, stops and pairs, in a market that a test makes.

Cash account: shares are never short, a sell holds them and a buy its cash. No fees. Everything is in ticks and lots.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from trading.domain.brokerage import BrokerOrder, Execution, Holding
from trading.domain.errors import Conflict, Invalid, NotFound
from trading.domain.instruments import Instrument
from trading.domain.orders import TERMINAL, OrderState, OrderType, Refusal, Side, TimeInForce

AT_ONCE = {TimeInForce.IOC, TimeInForce.FOK}
BAND = 1.05
"""A market buy reserves cash up to this share of the ask."""


class FakeExchange:
    """What a broker knows; `broker_server` puts it on the network."""

    def __init__(self, instruments: Sequence[Instrument], cash: int) -> None:
        self.instruments = {each.id: each for each in instruments}
        self.cash = cash
        self.lots = dict.fromkeys(self.instruments, 0)
        self.orders: dict[str, BrokerOrder] = {}
        self.executions: list[Execution] = []
        self.writes = 0
        """How often a client asked for an order, a change or a cancel that was not asked for before."""
        self._pair: dict[str, str] = {}
        self._by_client: dict[str, tuple[Any, str | Refusal]] = {}
        self._quotes: dict[tuple[int, Side], list[int]] = {}  # what a taker of that side meets: price, lots
        self._changes: dict[str, tuple[Any, Refusal | None]] = {}
        self._ids = count(1)

    # What a test does ---------------------------------------------------------------------------------------------

    def quote(self, instrument_id: int, bid: int, ask: int, lots: int) -> None:
        self._quotes[instrument_id, Side.BUY] = [ask, lots]
        self._quotes[instrument_id, Side.SELL] = [bid, lots]
        for order in [each for each in self.open() if each.instrument_id == instrument_id]:
            self._match(order.order_id, rests=True)

    def trade_elsewhere(self, instrument_id: int, side: Side, lots: int, price: int) -> str:
        """An order that came over the telephone and was filled at once: nobody here has heard of it."""
        order = self._new(instrument_id, side, OrderType.LIMIT, lots, TimeInForce.DAY, price, None, "")
        self._fill(order.order_id, lots, price)
        return order.order_id

    def rest_elsewhere(self, instrument_id: int, side: Side, lots: int, price: int) -> str:
        """An order from elsewhere that waits in the book."""
        return self._new(instrument_id, side, OrderType.LIMIT, lots, TimeInForce.GTC, price, None, "").order_id

    def end(self, order_id: str, state: OrderState, reason: str = "") -> None:
        """The broker ends an order on its own account: rejected late, expired, cancelled."""
        self.orders[order_id] = replace(self.orders[order_id], state=state, reason=reason)

    # What a client asks -------------------------------------------------------------------------------------------

    def open(self) -> list[BrokerOrder]:
        return [order for order in self.orders.values() if order.state not in TERMINAL]

    def submit(self, terms: Mapping[str, Any]) -> BrokerOrder | Refusal:
        """``terms`` are those of the wire, in ticks and lots."""
        known = self._by_client.get(terms["client_id"])
        if known is not None:
            if known[0] != terms:
                raise Conflict("this client id belongs to another order", "duplicate_client_id")
            return known[1] if isinstance(known[1], Refusal) else self.orders[known[1]]
        self.writes += 1
        side, kind, force = Side(terms["side"]), OrderType(terms["type"]), TimeInForce(terms["time_in_force"])
        key, lots, instrument_id = terms["client_id"], terms["lots"], terms["instrument_id"]
        limit, stop = terms.get("limit"), terms.get("stop")
        refusal = self._refusal(instrument_id, side, lots, limit)
        if refusal is not None:
            self._by_client[key] = (terms, refusal)
            return refusal
        order = self._new(instrument_id, side, kind, lots, force, limit, stop, key)
        self._by_client[key] = (terms, order.order_id)
        if terms.get("oco_limit") is not None:
            mate = self._new(instrument_id, side, OrderType.LIMIT, lots, force, terms["oco_limit"], None, key)
            self._pair |= {order.order_id: mate.order_id, mate.order_id: order.order_id}
            self._match(mate.order_id, rests=False)
        if force is not TimeInForce.FOK or self._meets(order) == lots:
            self._match(order.order_id, rests=False)
        if force in AT_ONCE and self.orders[order.order_id].state not in TERMINAL:
            self.end(order.order_id, OrderState.CANCELLED, force.value)
        return self.orders[order.order_id]

    def cancel(self, order_id: str) -> Refusal | None:
        if self.order(order_id).state in TERMINAL:
            return Refusal("order_over", "This order is already over.")
        self.writes += 1
        self.end(order_id, OrderState.CANCELLED, "cancel")
        return None

    def modify(self, order_id: str, terms: Mapping[str, Any], key: str) -> Refusal | None:
        if key in self._changes:
            if self._changes[key][0] != (order_id, terms):
                raise Conflict("this key belongs to another change", "key_reused")
            return self._changes[key][1]
        order = self.order(order_id)
        self.writes += 1
        lots = terms.get("lots") or order.quantity_lots
        limit = terms.get("limit") or order.limit_ticks
        refusal = None
        if order.state in TERMINAL:
            refusal = Refusal("order_over", "This order is already over.")
        elif lots <= order.filled_lots:
            refusal = Refusal("below_filled", "So much has traded already.")
        else:
            self.orders[order_id] = replace(order, quantity_lots=order.filled_lots)  # holds nothing while it is judged
            refusal = self._refusal(order.instrument_id, order.side, lots - order.filled_lots, limit)
            after = replace(order, quantity_lots=lots, limit_ticks=limit)
            self.orders[order_id] = order if refusal is not None else after
            if refusal is None:
                self._match(order_id, rests=False)
        self._changes[key] = ((order_id, terms), refusal)
        return refusal

    def order(self, order_id: str) -> BrokerOrder:
        if order_id not in self.orders:
            raise NotFound("there is no such order", "unknown_order")
        return self.orders[order_id]

    def executions_from(self, since: str) -> int:
        """The place of a cursor."""
        if not (since or "0").isdecimal() or int(since or "0") > len(self.executions):
            raise Invalid("no such cursor", "bad_cursor")
        return int(since or "0")

    def holdings(self) -> list[Holding]:
        return [Holding(key, lots, self.held_lots(key)) for key, lots in self.lots.items() if lots]

    def held_cash(self) -> int:
        return sum(self._reserved(each.instrument_id, each.limit_ticks, _left(each)) for each in self.open()
                   if each.side is Side.BUY)  # fmt: skip

    def held_lots(self, instrument_id: int) -> int:
        """A pair holds what it needs once."""
        sells = [each for each in self.open() if each.side is Side.SELL and each.instrument_id == instrument_id]
        seconds = {self._pair[each.order_id] for each in sells if each.stop_ticks and each.order_id in self._pair}
        return sum(_left(each) for each in sells if each.order_id not in seconds)

    # Inside -------------------------------------------------------------------------------------------------------

    def _new(
        self,
        instrument_id: int,
        side: Side,
        kind: OrderType,
        lots: int,
        force: TimeInForce,
        limit: int | None,
        stop: int | None,
        client_id: str,
    ) -> BrokerOrder:
        state = OrderState.WORKING if stop is None else OrderState.PENDING_TRIGGER
        order_id = str(next(self._ids))
        order = BrokerOrder(
            order_id, client_id or f"else-{order_id}", instrument_id, side, kind, force, lots, 0, limit, stop, state, ""
        )
        self.orders[order_id] = order
        return order

    def _reserved(self, instrument_id: int, limit: int | None, lots: int) -> int:
        worst = limit or int(self._quotes.get((instrument_id, Side.BUY), [0, 0])[0] * BAND)
        return self.instruments[instrument_id].notional(worst * lots)

    def _refusal(self, instrument_id: int, side: Side, lots: int, limit: int | None) -> Refusal | None:
        if side is Side.SELL and self.lots[instrument_id] - self.held_lots(instrument_id) < lots:
            return Refusal("insufficient_position", "Not so many are free to be sold.")
        if side is Side.BUY and self.cash - self.held_cash() < self._reserved(instrument_id, limit, lots):
            return Refusal("insufficient_cash", "Not enough cash.", {"cash": str(self.cash)})
        return None

    def _meets(self, order: BrokerOrder) -> int:
        """Lots that the quote offers it."""
        price, lots = self._quotes.get((order.instrument_id, order.side), [0, 0])
        direction = 1 if order.side is Side.BUY else -1
        if order.state is OrderState.PENDING_TRIGGER and direction * (price - (order.stop_ticks or 0)) < 0:
            return 0
        beyond = order.limit_ticks is not None and direction * (price - order.limit_ticks) > 0
        return 0 if beyond else min(_left(order), lots)

    def _match(self, order_id: str, rests: bool) -> None:
        """Against the quote, whose size is used once; a limit order that rests trades at its own limit."""
        order = self.orders[order_id]
        if order.state in TERMINAL:
            return
        lots = self._meets(order)
        if lots <= 0:
            return
        shown = self._quotes[order.instrument_id, order.side]
        shown[1] -= lots
        self._fill(order_id, lots, order.limit_ticks if rests and order.limit_ticks is not None else shown[0])

    def _fill(self, order_id: str, lots: int, price: int) -> None:
        order = self.orders[order_id]
        direction = 1 if order.side is Side.BUY else -1
        filled = order.filled_lots + lots
        state = OrderState.FILLED if filled == order.quantity_lots else OrderState.PARTIALLY_FILLED
        self.orders[order_id] = replace(order, filled_lots=filled, state=state)
        mate = self.orders.get(self._pair.get(order_id, ""))
        if mate is not None and mate.state not in TERMINAL:
            fewer = replace(mate, quantity_lots=mate.quantity_lots - lots)
            over = fewer.quantity_lots == fewer.filled_lots
            gone = replace(mate, state=OrderState.CANCELLED, reason="oco")
            self.orders[mate.order_id] = gone if over else fewer
        self.lots[order.instrument_id] += direction * lots
        self.cash -= direction * self.instruments[order.instrument_id].notional(price * lots)
        cursor = str(len(self.executions) + 1)
        now_ns = time.time_ns() // 1000 * 1000
        self.executions.append(Execution(cursor, order_id, order.instrument_id, order.side, price, lots, 0, now_ns))


def _left(order: BrokerOrder) -> int:
    return order.quantity_lots - order.filled_lots
