"""Why an input is refused: one code, or 0 where it is not."""

from typing import Any

from trading.exchange.compiled.halts import is_halted
from trading.exchange.compiled.index import find
from trading.exchange.compiled.layout import (
    NO_LIMIT,
    PPM,
    PRICE_MAX,
    QTY_MAX,
    SELL,
    Event,
    Kind,
    Link,
    Rejected,
    Trigger,
    Where,
)
from trading.exchange.compiled.matching import would_take
from trading.exchange.compiled.orders import emit
from trading.exchange.compiled.pointers import cold_at, compiled, compiled_apart, int64, order_at, symbol_at

REJECTED = int64(Event.REJECTED)
UNKNOWN_SYMBOL, DUPLICATE_ORDER = int64(Rejected.UNKNOWN_SYMBOL), int64(Rejected.DUPLICATE_ORDER)
BAD_SIDE, BAD_TYPE, BAD_PRICE = int64(Rejected.BAD_SIDE), int64(Rejected.BAD_TYPE), int64(Rejected.BAD_PRICE)
BAD_QUANTITY, BAD_ORDER_ID = int64(Rejected.BAD_QUANTITY), int64(Rejected.BAD_ORDER_ID)
BAD_STOP, BAD_LINK = int64(Rejected.BAD_STOP), int64(Rejected.BAD_LINK)
HALTED, CLOSED = int64(Rejected.HALTED), int64(Rejected.CLOSED)
WOULD_TAKE, ALREADY_EXPIRED = int64(Rejected.WOULD_TAKE), int64(Rejected.ALREADY_EXPIRED)
LIMIT, MARKET, IOC = int64(Kind.LIMIT), int64(Kind.MARKET), int64(Kind.IOC)
FOK, POST_ONLY = int64(Kind.FOK), int64(Kind.POST_ONLY)
STOP, TRAIL_TICKS, TRAIL_PPM = int64(Trigger.STOP), int64(Trigger.TRAIL_TICKS), int64(Trigger.TRAIL_PPM)
OCO, LINK_HELD, HELD_OCO, ENTRY = int64(Link.OCO), int64(Link.HELD), int64(Link.HELD_OCO), int64(Link.ENTRY)
WHERE_HELD = int64(Where.HELD)


@compiled_apart
def reject(core: Any, row: Any, code: int) -> None:
    """Tell that an input is refused."""
    emit(core, REJECTED, code, int64(row.symbol), int64(row.side), row.order_id, int64(0), row.price, row.qty, int64(0))


@compiled
def wrong_price(kind: int, price: int) -> bool:
    """Whether an order may not have this limit or protection price."""
    limit = NO_LIMIT if kind in (MARKET, IOC, FOK) else PRICE_MAX
    return price > limit or price < -limit


@compiled
def wrong_stop(trigger: int, stop: int, trail: int) -> bool:
    """Whether a trigger may not have this stop price or distance."""
    if trigger == STOP:
        return stop > PRICE_MAX or stop < -PRICE_MAX
    return trail < 1 or trail > (PRICE_MAX if trigger == TRAIL_TICKS else PPM - 1)


@compiled_apart
def _wrong_type(row: Any) -> bool:
    """Whether trigger, link and type do not go together."""
    if row.trigger > TRAIL_PPM:
        return True
    if row.trigger != 0:
        return bool(row.kind != MARKET and (row.kind != LIMIT or row.trigger != STOP))
    return bool((row.link_kind == LINK_HELD or row.link_kind == HELD_OCO) and row.kind != LIMIT)


@compiled
def _is_leg_for(core: Any, slot: int, side: int) -> bool:
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    return bool(order.where == WHERE_HELD and cold.entry == 0 and order.side + side == SELL)


@compiled_apart
def linked_order(core: Any, row: Any) -> int:
    """Slot of the open order that a new one may be linked to as it asks, 0 where there is none."""
    slot = find(core, row.link)
    if slot == 0 or row.owner == 0 or row.side > SELL:
        return int64(0)
    order = order_at(core.orders, slot)
    if order.symbol != row.symbol or order.owner != row.owner:
        return int64(0)
    sibling = int64(cold_at(core.cold, slot).sibling) if order.links != 0 else int64(0)
    if row.link_kind == OCO:
        fits = order.where != WHERE_HELD and sibling == 0
    elif row.link_kind == HELD_OCO:
        fits = order.where == WHERE_HELD and sibling == 0 and cold_at(core.cold, slot).entry == 0
    else:
        side = int64(row.side)
        fits = _is_leg_for(core, slot, side) and (sibling == 0 or _is_leg_for(core, sibling, side))
    return int64(slot) if fits else int64(0)


@compiled_apart
def _wrong_link(core: Any, row: Any) -> bool:
    if row.link_kind > ENTRY or row.owner == 0:
        return True
    return bool(row.link_kind != LINK_HELD and linked_order(core, row) == 0)


@compiled
def fault_of_order(core: Any, row: Any) -> int:
    """Why a new order is refused, 0 where it is not."""
    if row.symbol < 0 or row.symbol >= core.n_symbols:
        return UNKNOWN_SYMBOL
    if row.order_id <= 0:
        return BAD_ORDER_ID
    if row.side > SELL:
        return BAD_SIDE
    special = row.trigger != 0 or row.link_kind != 0
    if row.kind < 1 or row.kind > POST_ONLY or (special and _wrong_type(row)):
        return BAD_TYPE
    if wrong_price(row.kind, row.price):
        return BAD_PRICE
    if row.qty <= 0 or row.qty > QTY_MAX:
        return BAD_QUANTITY
    if row.trigger != 0 and wrong_stop(int64(row.trigger), row.stop_price, row.trail):
        return BAD_STOP
    if row.expires_ns != 0 and row.expires_ns <= core.now_ns:
        return ALREADY_EXPIRED
    if find(core, row.order_id) != 0:
        return DUPLICATE_ORDER
    if row.link_kind != 0 and _wrong_link(core, row):
        return BAD_LINK
    if core.halts != 0 and is_halted(core, int64(row.symbol), row.owner):
        return HALTED
    if (row.kind == IOC or row.kind == FOK) and symbol_at(core.symbols, row.symbol).closed != 0:
        return CLOSED
    if row.kind == POST_ONLY and would_take(core, int64(row.symbol), int64(row.side), row.price):
        return WOULD_TAKE
    return 0


@compiled
def fault_outside(price: int, qty: int) -> int:
    """Why a displayed level or a printed trade is refused, 0 where it is not."""
    if price > PRICE_MAX or price < -PRICE_MAX:
        return BAD_PRICE
    return BAD_QUANTITY if qty < 0 or qty > QTY_MAX else 0
