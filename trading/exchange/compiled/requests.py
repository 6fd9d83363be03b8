"""What each input does: orders in, changed and out, and news from the outside."""

from typing import Any

from trading.exchange.compiled.index import find, insert
from trading.exchange.compiled.layout import (
    BUY,
    NO_LIMIT,
    PRICE_MAX,
    QTY_MAX,
    SELL,
    Accepted,
    Cancelled,
    Event,
    Fill,
    Kind,
    Modified,
    Op,
    Rejected,
)
from trading.exchange.compiled.levels import append, remove
from trading.exchange.compiled.matching import (
    can_fill,
    emit,
    is_live,
    quote_reaches,
    release,
    take,
    trade_passes,
    would_take,
)
from trading.exchange.compiled.pointers import compiled, compiled_apart, int64, order_at, side_at, symbol_at
from trading.exchange.compiled.timers import due, start_timer

# Compiled code reads plain numbers; the enumerations are for people.
ACCEPTED, REJECTED, CANCELLED = int(Event.ACCEPTED), int(Event.REJECTED), int(Event.CANCELLED)
MODIFIED, EXPIRED, RESTED = int(Event.MODIFIED), int(Event.EXPIRED), int(Event.RESTED)
KEPT_PLACE, WENT_BACK = int(Modified.KEPT_PLACE), int(Modified.WENT_BACK)
NOW, WAITS = int(Accepted.NOW), int(Accepted.WAITS)
MARKET, IOC, FOK, POST_ONLY = int(Kind.MARKET), int(Kind.IOC), int(Kind.FOK), int(Kind.POST_ONLY)
REQUESTED, BY_IOC, BY_FOK = int(Cancelled.REQUESTED), int(Cancelled.IOC), int(Cancelled.FOK)
NO_LIQUIDITY, BY_POST_ONLY = int(Cancelled.NO_LIQUIDITY), int(Cancelled.POST_ONLY)
UNKNOWN_OP, UNKNOWN_SYMBOL = int(Rejected.UNKNOWN_OP), int(Rejected.UNKNOWN_SYMBOL)
DUPLICATE_ORDER, UNKNOWN_ORDER = int(Rejected.DUPLICATE_ORDER), int(Rejected.UNKNOWN_ORDER)
BAD_SIDE, BAD_TYPE, BAD_PRICE = int(Rejected.BAD_SIDE), int(Rejected.BAD_TYPE), int(Rejected.BAD_PRICE)
BAD_QUANTITY, BAD_ORDER_ID = int(Rejected.BAD_QUANTITY), int(Rejected.BAD_ORDER_ID)
WOULD_TAKE, ALREADY_EXPIRED = int(Rejected.WOULD_TAKE), int(Rejected.ALREADY_EXPIRED)
TRADE_RULE = int(Fill.TRADE)
ADD, CANCEL, MODIFY, QUOTE = int(Op.ADD), int(Op.CANCEL), int(Op.MODIFY), int(Op.QUOTE)
TRADE, GAP, TIME = int(Op.TRADE), int(Op.GAP), int(Op.TIME)


@compiled_apart
def _wait(core: Any, symbol: int, slot: int) -> None:
    """Put an order behind those that wait for a quote."""
    book, order = symbol_at(core.symbols, symbol), order_at(core.orders, slot)
    order.waits = 1
    order.next = 0
    order.prev = book.wait_tail
    if book.wait_tail != 0:
        order_at(core.orders, book.wait_tail).next = slot
    else:
        book.wait_head = slot
    book.wait_tail = slot


@compiled_apart
def _unwait(core: Any, slot: int) -> None:
    order = order_at(core.orders, slot)
    book = symbol_at(core.symbols, order.symbol)
    if order.prev != 0:
        order_at(core.orders, order.prev).next = order.next
    else:
        book.wait_head = order.next
    if order.next != 0:
        order_at(core.orders, order.next).prev = order.prev
    else:
        book.wait_tail = order.prev
    order.waits = 0


@compiled_apart
def _withdraw(core: Any, slot: int) -> None:
    """Take an order out of the queue it is in."""
    order = order_at(core.orders, slot)
    if order.waits != 0:
        _unwait(core, slot)
    else:
        remove(core, 2 * int64(order.symbol) + int64(order.side), slot)


@compiled_apart
def keep(
    core: Any,
    symbol: int,
    side: int,
    order_id: int,
    owner: int,
    kind: int,
    price: int,
    qty: int,
    expires_ns: int,
    waits: bool,
) -> None:
    """Let an order rest in the book, or wait for a quote."""
    slot = core.free_order
    order = order_at(core.orders, slot)
    core.free_order = order.next
    core.n_live += 1
    order.price = price
    order.qty = qty
    order.id = order_id
    order.owner = owner
    order.expires_ns = expires_ns
    order.timer = 0
    order.symbol = symbol
    order.side = side
    order.kind = kind
    order.waits = 0
    insert(core, order_id, slot)
    if expires_ns != 0:
        start_timer(core, slot)
    if waits:
        _wait(core, symbol, slot)
    else:
        append(core, 2 * symbol + side, slot)


@compiled_apart
def _enter(
    core: Any, symbol: int, side: int, order_id: int, owner: int, kind: int, price: int, qty: int, expires_ns: int
) -> None:
    """An order meets the market, and what is left of it rests, waits or is cancelled."""
    if kind == FOK and not can_fill(core, symbol, side, owner, price, qty):
        emit(core, CANCELLED, BY_FOK, symbol, side, order_id, 0, price, 0, qty)
        return
    left = qty
    if kind == MARKET or would_take(core, symbol, side, price):
        left = take(core, symbol, side, order_id, owner, kind, price, qty)
    if left == 0:
        return
    outside = symbol_at(core.symbols, symbol).outside != 0
    if kind == IOC:
        emit(core, CANCELLED, BY_IOC, symbol, side, order_id, 0, price, 0, left)
    elif kind == MARKET and not outside:
        emit(core, CANCELLED, NO_LIQUIDITY, symbol, side, order_id, 0, price, 0, left)
    else:
        waits = outside and (kind == MARKET or not is_live(core, symbol))
        keep(core, symbol, side, order_id, owner, kind, price, left, expires_ns, waits)


@compiled
def _wrong_price(kind: int, price: int) -> bool:
    limit = NO_LIMIT if kind in (MARKET, IOC, FOK) else PRICE_MAX
    return price > limit or price < -limit


@compiled_apart
def _fault(core: Any, row: Any) -> int:
    """Why a new order is refused, 0 where it is not."""
    if row.symbol < 0 or row.symbol >= core.n_symbols:
        return UNKNOWN_SYMBOL
    if row.order_id <= 0:
        return BAD_ORDER_ID
    if row.side > SELL:
        return BAD_SIDE
    if row.kind < 1 or row.kind > POST_ONLY or row.trigger != 0 or row.link_kind != 0:
        return BAD_TYPE
    if _wrong_price(row.kind, row.price):
        return BAD_PRICE
    if row.qty <= 0 or row.qty > QTY_MAX:
        return BAD_QUANTITY
    if row.expires_ns != 0 and row.expires_ns <= core.now_ns:
        return ALREADY_EXPIRED
    if find(core, row.order_id) != 0:
        return DUPLICATE_ORDER
    if row.kind == POST_ONLY and would_take(core, int64(row.symbol), int64(row.side), row.price):
        return WOULD_TAKE
    return 0


@compiled_apart
def _reject(core: Any, row: Any, code: int) -> None:
    emit(core, REJECTED, code, int64(row.symbol), int64(row.side), row.order_id, 0, row.price, row.qty, int64(0))


@compiled_apart
def _add(core: Any, row: Any) -> None:
    code = _fault(core, row)
    if code != 0:
        _reject(core, row, code)
        return
    symbol, side, kind = int64(row.symbol), int64(row.side), int64(row.kind)
    waits = NOW
    if symbol_at(core.symbols, symbol).outside != 0 and kind != IOC and kind != FOK and not is_live(core, symbol):
        waits = WAITS
    emit(core, ACCEPTED, waits, symbol, side, row.order_id, 0, row.price, row.qty, row.qty)
    _enter(core, symbol, side, row.order_id, row.owner, kind, row.price, row.qty, row.expires_ns)


@compiled_apart
def _end(core: Any, slot: int, kind: int, code: int) -> None:
    """An order leaves without a fill."""
    order = order_at(core.orders, slot)
    emit(core, kind, code, int64(order.symbol), int64(order.side), order.id, 0, order.price, int64(0), order.qty)
    _withdraw(core, slot)
    release(core, slot)


@compiled_apart
def _cancel(core: Any, row: Any) -> None:
    slot = find(core, row.order_id)
    if slot == 0:
        _reject(core, row, UNKNOWN_ORDER)
    else:
        _end(core, slot, CANCELLED, REQUESTED)


@compiled_apart
def _modify(core: Any, row: Any) -> None:
    """New price and new open quantity. Only where nothing but the quantity goes down does an order keep its place."""
    slot = find(core, row.order_id)
    if slot == 0:
        _reject(core, row, UNKNOWN_ORDER)
        return
    order = order_at(core.orders, slot)
    symbol, side, kind = int64(order.symbol), int64(order.side), int64(order.kind)
    if _wrong_price(kind, row.price):
        _reject(core, row, BAD_PRICE)
    elif row.qty <= 0 or row.qty > QTY_MAX:
        _reject(core, row, BAD_QUANTITY)
    elif row.price == order.price and row.qty <= order.qty:
        order.qty = row.qty
        emit(core, MODIFIED, KEPT_PLACE, symbol, side, row.order_id, 0, row.price, row.qty, row.qty)
    elif kind == POST_ONLY and would_take(core, symbol, side, row.price):
        _reject(core, row, WOULD_TAKE)
    else:
        owner, expires_ns = order.owner, order.expires_ns
        emit(core, MODIFIED, WENT_BACK, symbol, side, row.order_id, 0, row.price, row.qty, row.qty)
        _withdraw(core, slot)
        release(core, slot)
        _enter(core, symbol, side, row.order_id, owner, kind, row.price, row.qty, expires_ns)


@compiled_apart
def _retry(core: Any, symbol: int) -> None:
    """Orders that waited for a quote meet it, in the order in which they came."""
    slot = int64(symbol_at(core.symbols, symbol).wait_head)
    while slot != 0:
        order = order_at(core.orders, slot)
        behind, side, kind = int64(order.next), int64(order.side), int64(order.kind)
        if kind == POST_ONLY and would_take(core, symbol, side, order.price):
            _end(core, slot, CANCELLED, BY_POST_ONLY)
        else:
            left = take(core, symbol, side, order.id, order.owner, kind, order.price, order.qty)
            if left == 0:
                _unwait(core, slot)
                release(core, slot)
            else:
                order.qty = left
                if kind != MARKET:
                    _unwait(core, slot)
                    append(core, 2 * symbol + side, slot)
                    emit(core, RESTED, NOW, symbol, side, order.id, 0, order.price, left, left)
        slot = behind


@compiled
def _fault_outside(price: int, qty: int) -> int:
    if price > PRICE_MAX or price < -PRICE_MAX:
        return BAD_PRICE
    return BAD_QUANTITY if qty < 0 or qty > QTY_MAX else 0


@compiled_apart
def _outside(core: Any, row: Any) -> None:
    """A quote, a trade or a gap of one symbol; a gap of symbol -1 is one of all."""
    if row.op == GAP and row.symbol == -1:
        for each in range(core.n_symbols):
            symbol_at(core.symbols, each).fresh = 0
        return
    if row.symbol < 0 or row.symbol >= core.n_symbols:
        _reject(core, row, UNKNOWN_SYMBOL)
        return
    symbol = int64(row.symbol)
    book = symbol_at(core.symbols, symbol)
    if row.op == GAP:
        book.fresh = 0
        return
    code = _fault_outside(row.price, row.qty)
    if code == 0 and row.op == QUOTE:
        code = _fault_outside(row.ask_price, row.ask_qty)
    if code != 0:
        _reject(core, row, code)
    elif row.op == QUOTE:
        book.fresh = 1
        book.outside = 1
        book.received_ns = core.now_ns
        bid, ask = side_at(core.sides, 2 * symbol), side_at(core.sides, 2 * symbol + 1)
        bid.quote_price = row.price
        bid.quote_left = row.qty
        ask.quote_price = row.ask_price
        ask.quote_left = row.ask_qty
        _retry(core, symbol)
        quote_reaches(core, symbol, BUY)
        quote_reaches(core, symbol, SELL)
    else:
        left = trade_passes(core, symbol, BUY, row.price, row.qty, TRADE_RULE)
        trade_passes(core, symbol, SELL, row.price, left, TRADE_RULE)


@compiled
def apply(core: Any, row: Any) -> None:
    """Take one input. The caller has seen to it that there is room for one more order and for all events."""
    core.seq = row.seq
    if row.ts_ns > core.now_ns:
        core.now_ns = row.ts_ns
    slot = due(core)
    while slot != 0:
        _end(core, slot, EXPIRED, NOW)
        slot = due(core)
    if row.op == ADD:
        _add(core, row)
    elif row.op == CANCEL:
        _cancel(core, row)
    elif row.op == MODIFY:
        _modify(core, row)
    elif row.op == QUOTE or row.op == TRADE or row.op == GAP:
        _outside(core, row)
    elif row.op != TIME:
        _reject(core, row, UNKNOWN_OP)
