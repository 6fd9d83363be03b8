"""Trades: an order against users and the outside, and what the outside does to orders that rest.

Users come before the outside at an equal price, then time; nothing trades through a better price, nor beyond an
order's limit; no trade between orders of one owner: the newer is cancelled. Owner 0 is nobody.
"""

from typing import Any

from trading.exchange.compiled.index import erase
from trading.exchange.compiled.layout import QUOTE_MAX_AGE_NS, Cancelled, Event, Fill, Kind
from trading.exchange.compiled.levels import bits_of, find_best, levels_of, next_worse, unmark
from trading.exchange.compiled.pointers import (
    compiled,
    compiled_apart,
    event_at,
    far_at,
    int64,
    level_at,
    order_at,
    side_at,
    symbol_at,
)
from trading.exchange.compiled.timers import stop_timer

FILL, CANCELLED = int(Event.FILL), int(Event.CANCELLED)
CROSS, QUOTE, QUOTE_REACHED = int(Fill.CROSS), int(Fill.QUOTE), int(Fill.QUOTE_REACHED)
SELF_TRADE, PRICE_PROTECTION = int(Cancelled.SELF_TRADE), int(Cancelled.PRICE_PROTECTION)
MARKET = int(Kind.MARKET)


@compiled
def emit(
    core: Any, kind: int, code: int, symbol: int, side: int, order_id: int, maker: int, price: int, qty: int, left: int
) -> None:
    """Write the next event. The caller of the kernel has seen to it that there is room."""
    event = event_at(core.events, core.n_events)
    core.n_events += 1
    core.event_seq += 1
    event.seq = core.event_seq
    event.input_seq = core.seq
    event.order_id = order_id
    event.maker_id = maker
    event.price = price
    event.qty = qty
    event.left = left
    event.symbol = symbol
    event.kind = kind
    event.code = code
    event.side = side
    event.unused = 0


@compiled
def is_live(core: Any, symbol: int) -> bool:
    """Whether the symbol's quote may be traded against now."""
    book = symbol_at(core.symbols, symbol)
    return bool(book.fresh != 0 and core.now_ns - book.received_ns <= QUOTE_MAX_AGE_NS)


@compiled_apart
def release(core: Any, slot: int) -> None:
    """Forget an order that is in no queue any more."""
    order = order_at(core.orders, slot)
    erase(core, order.id, slot)
    if order.timer != 0:
        stop_timer(core, slot)
    order.id = 0
    order.next = core.free_order
    core.free_order = slot
    core.n_live -= 1


@compiled_apart
def _hit(core: Any, number: int, taker: int, owner: int, qty: int) -> int:
    """Take from the best level; returns the lots still open, negative where an order of ``owner`` came first."""
    edge = side_at(core.sides, number)
    at = edge.best
    level, price = level_at(levels_of(core, number), at), edge.base + at
    slot = int64(level.head)
    while slot != 0 and qty > 0:
        maker = order_at(core.orders, slot)
        if owner != 0 and maker.owner == owner:
            qty = -qty
            break
        open_lots = maker.qty
        traded = min(open_lots, qty)
        qty -= traded
        emit(core, FILL, CROSS, number >> 1, 1 - (number & 1), taker, maker.id, price, traded, qty)
        if traded == open_lots:
            behind = int64(maker.next)
            release(core, slot)
            slot = behind
        else:
            maker.qty = open_lots - traded
    level.head = slot
    if slot != 0:
        order_at(core.orders, slot).prev = 0
    else:
        level.tail = 0
        unmark(bits_of(core, number), at)
        find_best(core, number)
    return qty


@compiled_apart
def take(core: Any, symbol: int, side: int, taker: int, owner: int, kind: int, limit: int, qty: int) -> int:
    """Trade as the taker, best price first; returns the lots still open, 0 where the order is over."""
    number = 2 * symbol + 1 - side
    sign = 1 - 2 * side
    edge = side_at(core.sides, number)
    live = is_live(core, symbol)
    while qty > 0:
        inside = edge.best >= 0
        price = edge.base + edge.best
        if live and edge.quote_left > 0 and (not inside or sign * (edge.quote_price - price) < 0):
            inside = False
            price = edge.quote_price
        elif not inside:
            break
        if sign * (price - limit) > 0:
            if kind == MARKET:
                emit(core, CANCELLED, PRICE_PROTECTION, symbol, side, taker, 0, limit, 0, qty)
                return 0
            break
        if inside:
            qty = _hit(core, number, taker, owner, qty)
            if qty < 0:
                emit(core, CANCELLED, SELF_TRADE, symbol, side, taker, 0, limit, 0, -qty)
                return 0
        else:
            traded = min(qty, edge.quote_left)
            edge.quote_left -= traded
            qty -= traded
            emit(core, FILL, QUOTE, symbol, side, taker, 0, price, traded, qty)
    return qty


@compiled_apart
def would_take(core: Any, symbol: int, side: int, limit: int) -> bool:
    """Whether an order would trade at once."""
    edge, sign = side_at(core.sides, 2 * symbol + 1 - side), 1 - 2 * side
    if edge.best >= 0 and sign * (edge.base + edge.best - limit) <= 0:
        return True
    return bool(is_live(core, symbol) and edge.quote_left > 0 and sign * (edge.quote_price - limit) <= 0)


@compiled
def _queue(core: Any, slot: int, owner: int, qty: int) -> int:
    """Lots still missing after the orders from ``slot`` on; negative where an order of ``owner`` stands before."""
    while slot != 0 and qty > 0:
        order = order_at(core.orders, slot)
        if owner != 0 and order.owner == owner:
            return -qty
        qty -= order.qty
        slot = int64(order.next)
    return max(qty, 0)


@compiled_apart
def can_fill(core: Any, symbol: int, side: int, owner: int, limit: int, qty: int) -> bool:
    """Whether all of an order could trade at once."""
    number, sign = 2 * symbol + 1 - side, 1 - 2 * side
    edge, levels, bits = side_at(core.sides, number), levels_of(core, number), bits_of(core, number)
    outside = int64(0)
    if is_live(core, symbol) and edge.quote_left > 0 and sign * (edge.quote_price - limit) <= 0:
        outside = edge.quote_left
    at, far = int64(edge.best), int64(edge.far)
    if at < 0:
        far = int64(0)
    while at >= 0 or far != 0:
        if at >= 0:
            price, slot = edge.base + at, int64(level_at(levels, at).head)
            at = next_worse(bits, number & 1, at)
        else:
            price, slot = far_at(core.far, far).price, int64(far_at(core.far, far).head)
            far = int64(far_at(core.far, far).next)
        if sign * (price - limit) > 0:
            break
        if outside > 0 and sign * (edge.quote_price - price) < 0:
            qty -= outside
            outside = int64(0)
            if qty <= 0:
                return True
        qty = _queue(core, slot, owner, qty)
        if qty <= 0:
            return qty == 0
    return qty <= outside


@compiled_apart
def _fill_front(core: Any, number: int, lots: int, code: int) -> int:
    """The outside takes up to ``lots`` from the first order of a side, at its limit; returns what traded."""
    edge = side_at(core.sides, number)
    at = edge.best
    level = level_at(levels_of(core, number), at)
    slot = int64(level.head)
    order = order_at(core.orders, slot)
    traded = min(lots, order.qty)
    order.qty -= traded
    emit(core, FILL, code, number >> 1, 1 - (number & 1), 0, order.id, order.price, traded, order.qty)
    if order.qty == 0:
        behind = int64(order.next)
        release(core, slot)
        level.head = behind
        if behind != 0:
            order_at(core.orders, behind).prev = 0
        else:
            level.tail = 0
            unmark(bits_of(core, number), at)
            find_best(core, number)
    return int64(traded)


@compiled_apart
def quote_reaches(core: Any, symbol: int, side: int) -> None:
    """Orders of a side that the opposite quote has come to fill at their own limit."""
    number, sign = 2 * symbol + side, 1 - 2 * side
    edge, quote = side_at(core.sides, number), side_at(core.sides, 2 * symbol + 1 - side)
    while edge.best >= 0 and quote.quote_left > 0 and sign * (quote.quote_price - edge.base - edge.best) <= 0:
        quote.quote_left -= _fill_front(core, number, quote.quote_left, QUOTE_REACHED)


@compiled_apart
def trade_passes(core: Any, symbol: int, side: int, price: int, lots: int, code: int) -> int:
    """A printed trade fills the orders of a side that it went beyond; returns the printed lots still unused.

    Under the model "touch" (1) a trade at an order's limit is enough.
    """
    number, sign = 2 * symbol + side, 1 - 2 * side
    edge = side_at(core.sides, number)
    while lots > 0 and edge.best >= 0 and sign * (edge.base + edge.best - price) + core.model > 0:
        lots -= _fill_front(core, number, lots, code)
    return lots
