"""From the core's events of one input to messages, and what is remembered of open orders to word them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from trading.exchange.compiled import layout
from trading.exchange.messages import (
    BUY,
    Action,
    Body,
    Closed,
    Event,
    Filled,
    Group,
    Halt,
    Modified,
    Modify,
    Pending,
    Refused,
    Sized,
    Submit,
    Triggered,
    Working,
)

_ACCEPTED, _REJECTED, _FILL, _CANCELLED = (
    int(kind) for kind in (layout.Event.ACCEPTED, layout.Event.REJECTED, layout.Event.FILL, layout.Event.CANCELLED)
)
_MODIFIED, _EXPIRED, _TRIGGERED, _SIZED = (
    int(kind) for kind in (layout.Event.MODIFIED, layout.Event.EXPIRED, layout.Event.TRIGGERED, layout.Event.SIZED)
)
_WAITS, _KEPT_PLACE = int(layout.Accepted.WAITS), int(layout.Modified.KEPT_PLACE)
_BY_TRADE, _GROWN = int(layout.Triggered.TRADE), int(layout.Sized.GROWN)
_CROSS, _PRINT = int(layout.Fill.CROSS), int(layout.Fill.TRADE)
_RULES: Final = {
    _CROSS: "internal_cross",
    int(layout.Fill.QUOTE): "quote",
    int(layout.Fill.QUOTE_REACHED): "quote_reached",
    _PRINT: "trade_through",
}
_REJECTIONS: Final = {int(code): code.name.lower() for code in layout.Rejected}
_REQUESTED = int(layout.Cancelled.REQUESTED)
_CANCELLATIONS: Final = {**{int(code): code.name.lower() for code in layout.Cancelled}, _REQUESTED: "cancel"}
_LEGS: Final = ("held", "held_oco")
_NO_QUOTE: Final = (0, 0, 0, 0, 0, 0)

Quote = tuple[int, int, int, int, int, int]
"""The newest quote of an instrument: seq, ts_ns, bid and ask ticks, bid and ask lots."""


@dataclass(slots=True)
class OpenOrder:
    """What is remembered of an order. ``open_lots`` may fill now.

    Of an exit leg ``grown_lots`` came from its entry and ``planned_lots`` may still come; ``legs`` are an entry's.
    """

    instrument_id: int
    direction: int
    day: bool
    open_lots: int
    filled_lots: int = 0
    planned_lots: int = 0
    grown_lots: int = 0
    legs: tuple[int, ...] = ()


class Telling:
    """The messages of one input; keeps ``orders`` in step with the core."""

    def __init__(
        self, orders: dict[int, OpenOrder], quotes: Mapping[int, Quote], body: Body | None, printed_lots: int = 0
    ) -> None:
        self._orders, self._quotes, self._printed_lots = orders, quotes, printed_lots
        self._submits = body.orders if isinstance(body, Group) else (body,) if isinstance(body, Submit) else ()
        self._change = body if isinstance(body, Modify) else None
        self._ended_by = "halted" if isinstance(body, Halt) else "corporate_action" if isinstance(body, Action) else ""
        self._told: list[Event] = []
        self._fills = 0
        self._quiet: dict[int, int] = {}  # new orders that nothing happened to yet -> place of their message

    def done(self) -> list[Event]:
        """All messages. That a new order works is told only where it neither filled nor ended in the same input."""
        for order_id, place in reversed(self._quiet.items()):
            self._told.insert(place, Working(order_id))
        return self._told

    def take(self, event: tuple[int, ...]) -> None:
        """One `EVENT` of the core, its fields in order."""
        _, _, order_id, maker_id, price, qty, left, _, kind, code, _, _ = event
        if kind == _FILL:
            self._filled(order_id, maker_id, price, qty, code)
        elif kind == _ACCEPTED:
            self._accepted(order_id, left, code)
        elif kind == _CANCELLED:
            reason = self._ended_by if code == _REQUESTED and self._ended_by else _CANCELLATIONS[code]
            self._end(order_id, "cancelled", reason)
        elif kind == _EXPIRED:
            self._end(order_id, "expired", "day_end" if self._orders[order_id].day else "expired")
        elif kind == _REJECTED:
            self._rejected(order_id, _REJECTIONS[code])
        elif kind == _MODIFIED:
            self._modified(order_id, price, left, code == _KEPT_PLACE)
        elif kind == _TRIGGERED:
            self._told.append(Triggered(order_id, price, "trade" if code == _BY_TRADE else "quote"))
        elif kind == _SIZED:
            self._sized(order_id, qty if code == _GROWN else -qty, left)

    # What comes in --------------------------------------------------------------------------------------------------

    def _accepted(self, order_id: int, left: int, code: int) -> None:
        submit = next(order for order in self._submits if order.order_id == order_id)
        order = OpenOrder(submit.instrument_id, submit.direction, submit.tif == "day", left)
        self._orders[order_id] = order
        if submit.link in _LEGS:
            order.planned_lots = submit.quantity_lots
        elif submit.link == "entry":
            order.legs = tuple(leg.order_id for leg in self._submits if leg.link in _LEGS)
            for leg_id in order.legs:
                leg = self._orders[leg_id]
                leg.planned_lots = min(leg.planned_lots, submit.quantity_lots)
        if code <= _WAITS:
            self._quiet[order_id] = len(self._told)
        else:
            self._told.append(Pending(order_id))

    def _rejected(self, order_id: int, reason: str) -> None:
        if self._change is not None:
            self._told.append(Refused(order_id, reason))
        elif self._submits:  # else a cancel of an order that is over, which is nothing
            self._told.append(Closed(order_id, "rejected", reason))

    def _modified(self, order_id: int, price: int, left: int, kept_place: bool) -> None:
        self._orders[order_id].open_lots = left
        if self._change is not None:
            stop_ticks, trail = self._change.stop_ticks, self._change.trail
            self._told.append(Modified(order_id, price, left, stop_ticks, trail, kept_place))

    # What becomes of it ---------------------------------------------------------------------------------------------

    def _filled(self, taker_id: int, maker_id: int, price: int, lots: int, code: int) -> None:
        if code == _CROSS:
            offered, asked = self._orders[maker_id].open_lots, self._orders[taker_id].open_lots
            self._fill(taker_id, price, lots, "taker", code, offered)
            self._fill(maker_id, price, lots, "maker", code, asked)
        elif taker_id:
            self._fill(taker_id, price, lots, "taker", code)
        else:
            self._fill(maker_id, price, lots, "maker", code)

    def _fill(
        self, order_id: int, price: int, lots: int, liquidity: Literal["taker", "maker"], code: int, shown_lots: int = 0
    ) -> None:
        order = self._orders[order_id]
        order.open_lots -= lots
        order.filled_lots += lots
        seq, ts_ns, bid, ask, bid_lots, ask_lots = self._quotes.get(order.instrument_id, _NO_QUOTE)
        if code == _PRINT:
            shown_lots = self._printed_lots
        elif code != _CROSS:
            shown_lots = ask_lots if order.direction == BUY else bid_lots
        self._told.append(
            Filled(order_id, self._fills, price, lots, liquidity, _RULES[code], seq, ts_ns, bid, ask, shown_lots)
        )
        self._fills += 1
        self._quiet.pop(order_id, None)
        if not (order.open_lots or order.planned_lots):
            del self._orders[order_id]
            self._entry_over(order)

    def _end(self, order_id: int, state: Literal["cancelled", "expired"], reason: str) -> None:
        order = self._orders.pop(order_id)
        self._quiet.pop(order_id, None)
        self._told.append(Closed(order_id, state, reason))
        self._entry_over(order)

    def _entry_over(self, order: OpenOrder) -> None:
        """An entry's legs can still get what has filled and not come to them yet, and no more."""
        for leg_id in order.legs:
            leg = self._orders.get(leg_id)
            if leg is not None:
                leg.planned_lots = min(leg.planned_lots, order.filled_lots - leg.grown_lots)

    def _sized(self, order_id: int, change: int, left: int) -> None:
        order = self._orders[order_id]
        order.open_lots = left
        self._told.append(Sized(order_id, left, change))
        if change > 0:
            order.planned_lots -= change
            order.grown_lots += change
