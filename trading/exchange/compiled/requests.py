"""Orders in, changed and out."""

from typing import Any

from trading.exchange.compiled.admission import (
    BAD_PRICE,
    BAD_QUANTITY,
    BAD_STOP,
    ENTRY,
    FOK,
    HELD_OCO,
    IOC,
    LIMIT,
    LINK_HELD,
    MARKET,
    OCO,
    POST_ONLY,
    STOP,
    WOULD_TAKE,
    fault_of_order,
    linked_order,
    reject,
    wrong_price,
    wrong_stop,
)
from trading.exchange.compiled.index import find
from trading.exchange.compiled.layout import (
    PRICE_MAX,
    QTY_MAX,
    UNSET,
    Accepted,
    Cancelled,
    Event,
    Flag,
    Modified,
    Rejected,
    Where,
)
from trading.exchange.compiled.levels import remove_here
from trading.exchange.compiled.links import CANCELLED, drop_leg, over, spent
from trading.exchange.compiled.matching import can_fill, crosses, take, take_plain, would_take
from trading.exchange.compiled.orders import (
    allot,
    allot_here,
    clear_cold,
    emit,
    hold,
    is_live,
    mark_linked,
    release_here,
    rest,
    rest_here,
    tell,
    wait,
    withdraw,
)
from trading.exchange.compiled.pending import add_pending, drop_pending, set_stop
from trading.exchange.compiled.pointers import (
    cold_at,
    compiled,
    compiled_apart,
    int64,
    order_at,
    shown_at,
    side_at,
    symbol_at,
)

# Compiled code reads plain numbers; the enumerations are for people.
ACCEPTED, MODIFIED = int64(Event.ACCEPTED), int64(Event.MODIFIED)
KEPT_PLACE, WENT_BACK = int64(Modified.KEPT_PLACE), int64(Modified.WENT_BACK)
NOW, WAITS = int64(Accepted.NOW), int64(Accepted.WAITS)
NOW_PENDING, NOW_HELD = int64(Accepted.PENDING), int64(Accepted.HELD)
REQUESTED, BY_IOC, BY_FOK = int64(Cancelled.REQUESTED), int64(Cancelled.IOC), int64(Cancelled.FOK)
NO_LIQUIDITY = int64(Cancelled.NO_LIQUIDITY)
UNKNOWN_ORDER, LINKED_QUANTITY = int64(Rejected.UNKNOWN_ORDER), int64(Rejected.LINKED_QUANTITY)
BOOK, PENDING, HELD = int64(Where.BOOK), int64(Where.PENDING), int64(Where.HELD)
MORE = int64(Flag.MORE)


@compiled
def must_wait(core: Any, symbol: int) -> bool:
    """Whether an order has to wait for the outside, or for the session to open."""
    book = symbol_at(core.symbols, symbol)
    return bool(book.closed != 0 or (book.outside != 0 and not is_live(core, symbol)))


@compiled_apart
def _enter(
    core: Any,
    symbol: int,
    side: int,
    order_id: int,
    owner: int,
    kind: int,
    price: int,
    qty: int,
    expires_ns: int,
    slot: int,
) -> None:
    """An order meets the market, and what is left of it rests, waits or is cancelled.

    ``slot`` is 0 for a new order without links: it gets one only if something is left. Else it is in no queue.
    """
    linked = slot if slot != 0 and order_at(core.orders, slot).links != 0 else int64(0)
    closed = symbol_at(core.symbols, symbol).closed != 0
    outside = symbol_at(core.symbols, symbol).outside != 0
    left, code = qty, int64(0)
    if not closed:
        if kind == FOK and not can_fill(core, symbol, side, owner, price, qty):
            code = BY_FOK
        else:
            left = take(core, symbol, side, order_id, owner, kind, price, qty, linked)
        if left > 0 and code == 0:
            if kind == IOC:
                code = BY_IOC
            elif kind == MARKET and not outside:
                code = NO_LIQUIDITY
    if left > 0 and code == 0:
        if slot == 0:
            slot = allot(core, symbol, side, order_id, owner, kind, price, left, expires_ns)
        else:
            order_at(core.orders, slot).qty = left
        if closed or (outside and (kind == MARKET or not is_live(core, symbol))):
            wait(core, slot)
        else:
            rest(core, slot)
        return
    if code != 0:
        emit(core, CANCELLED, code, symbol, side, order_id, int64(0), price, int64(0), left)
    if slot != 0:
        if left == 0:
            spent(core, slot)
        else:
            over(core, slot, False)


@compiled_apart
def enter_slot(core: Any, slot: int) -> None:
    """An order that has a slot and is in no queue meets the market."""
    order = order_at(core.orders, slot)
    symbol, side, kind = int64(order.symbol), int64(order.side), int64(order.kind)
    _enter(core, symbol, side, order.id, order.owner, kind, order.price, order.qty, order.expires_ns, slot)


@compiled_apart
def start_trigger(core: Any, slot: int) -> None:
    """An order begins to wait for its trigger. A trailing one takes its mark: the last trade, else the outside."""
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    symbol, side = int64(order.symbol), int64(order.side)
    if order.trigger > STOP:
        book, facing = symbol_at(core.symbols, symbol), side_at(core.sides, 2 * symbol + 1 - side)
        if book.traded != 0:
            cold.mark = book.last
        elif facing.shown != 0 and is_live(core, symbol):
            cold.mark = shown_at(core.shown, facing.shown).price
        else:
            cold.mark = (1 - 2 * side) * UNSET
        set_stop(core, slot)
    add_pending(core, slot)


@compiled_apart
def _link(core: Any, row: Any, slot: int) -> None:
    """Bind a new order to the one it names, which fits."""
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    if row.link_kind == LINK_HELD or row.link_kind == HELD_OCO:
        cold.planned = order.qty
        order.qty = 0
    if row.link_kind == LINK_HELD:
        return
    other = linked_order(core, row)
    mark_linked(core, other)
    if row.link_kind == ENTRY:
        cold.legs = other
        cold_at(core.cold, other).entry = slot
        cold_at(core.cold, other).planned = min(cold_at(core.cold, other).planned, row.qty)
        second = int64(cold_at(core.cold, other).sibling)
        if second != 0:
            cold_at(core.cold, second).entry = slot
            cold_at(core.cold, second).planned = min(cold_at(core.cold, second).planned, row.qty)
        return
    cold.sibling = other
    cold_at(core.cold, other).sibling = slot
    if row.link_kind == OCO:
        order.qty = min(order.qty, order_at(core.orders, other).qty)


@compiled_apart
def _add_special(core: Any, row: Any, waits: int) -> None:
    """A new order with a trigger or a link."""
    symbol, side, kind = int64(row.symbol), int64(row.side), int64(row.kind)
    slot = allot(core, symbol, side, row.order_id, row.owner, kind, row.price, row.qty, row.expires_ns)
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    clear_cold(core, slot)
    order.trigger = row.trigger
    if row.trigger == STOP:
        cold.stop = row.stop_price
    elif row.trigger != 0:
        cold.trail = row.trail
    if row.link_kind != 0:
        order.links = 1
        _link(core, row, slot)
    held = row.link_kind == LINK_HELD or row.link_kind == HELD_OCO
    code = NOW_HELD if held else NOW_PENDING if row.trigger != 0 else waits
    emit(core, ACCEPTED, code, symbol, side, row.order_id, int64(0), row.price, row.qty, order.qty)
    cold.arrival = core.event_seq
    if held:
        hold(core, slot)
    elif row.trigger != 0:
        start_trigger(core, slot)
    else:
        enter_slot(core, slot)


@compiled_apart
def _refuse(core: Any, row: Any, code: int) -> None:
    """A new order is refused; if it was the entry of legs that wait for it, they are cancelled."""
    reject(core, row, code)
    if row.link_kind == ENTRY:
        first = linked_order(core, row)
        if first != 0:
            second = int64(cold_at(core.cold, first).sibling)
            drop_leg(core, first)
            if second != 0:
                drop_leg(core, second)


@compiled_apart
def _add_any(core: Any, row: Any) -> None:
    """A new order, whatever it is."""
    core.more = row.flags & MORE
    code = fault_of_order(core, row)
    if code != 0:
        _refuse(core, row, code)
        return
    symbol, side, kind = int64(row.symbol), int64(row.side), int64(row.kind)
    waits = WAITS if kind != IOC and kind != FOK and must_wait(core, symbol) else NOW
    if row.trigger != 0 or row.link_kind != 0:
        _add_special(core, row, waits)
        return
    order_id, owner, price, qty = row.order_id, row.owner, row.price, row.qty
    emit(core, ACCEPTED, waits, symbol, side, order_id, int64(0), price, qty, qty)
    _enter(core, symbol, side, order_id, owner, kind, price, qty, row.expires_ns, int64(0))


@compiled
def _is_plain(core: Any, row: Any) -> bool:
    """Whether a new order is a sound limit or IOC order, of a symbol without an outside, and no halt is on."""
    kind = (row.kind | (LIMIT ^ IOC)) ^ IOC  # 0 for these two: they differ in one bit
    if (kind | row.trigger | row.link_kind | row.flags | (row.side >> 1)) != 0:
        return False
    if row.symbol < 0 or row.symbol >= core.n_symbols:
        return False
    if row.price > PRICE_MAX or row.price < -PRICE_MAX or row.qty <= 0 or row.qty > QTY_MAX or row.order_id <= 0:
        return False
    if core.halts != 0 or (row.expires_ns != 0 and row.expires_ns <= core.now_ns):
        return False
    book = symbol_at(core.symbols, row.symbol)
    return bool((book.fresh | book.outside | book.closed) == 0 and find(core, row.order_id) == 0)


@compiled
def add(core: Any, row: Any) -> None:
    """A new order. The way of a plain one is straight and inlined; it does what `_add_any` would do."""
    if not _is_plain(core, row):
        _add_any(core, row)
        return
    symbol, side, kind = int64(row.symbol), int64(row.side), int64(row.kind)
    order_id, owner, price, left = row.order_id, row.owner, row.price, row.qty
    emit(core, ACCEPTED, NOW, symbol, side, order_id, int64(0), price, left, left)
    if crosses(core, 2 * symbol + 1 - side, price):
        left = take_plain(core, 2 * symbol + 1 - side, order_id, owner, price, left)
        if left <= 0:
            return
    if kind == IOC:
        emit(core, CANCELLED, BY_IOC, symbol, side, order_id, int64(0), price, int64(0), left)
    else:
        rest_here(core, allot_here(core, symbol, side, order_id, owner, kind, price, left, row.expires_ns))


@compiled_apart
def end(core: Any, slot: int, kind: int, code: int, with_sibling: bool) -> None:
    """An order leaves without a fill."""
    tell(core, slot, kind, code, int64(0), order_at(core.orders, slot).qty)
    withdraw(core, slot)
    over(core, slot, with_sibling)


@compiled
def cancel(core: Any, row: Any) -> None:
    """Take an order out."""
    slot = find(core, row.order_id)
    if slot == 0:
        reject(core, row, UNKNOWN_ORDER)
        return
    order = order_at(core.orders, slot)
    if order.where != BOOK or order.links != 0:
        end(core, slot, CANCELLED, REQUESTED, True)
    else:
        symbol, side = int64(order.symbol), int64(order.side)
        emit(core, CANCELLED, REQUESTED, symbol, side, order.id, int64(0), order.price, int64(0), order.qty)
        remove_here(core, 2 * symbol + side, slot)
        release_here(core, slot)


@compiled_apart
def _is_linked(core: Any, slot: int) -> bool:
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    return bool(order.where == HELD or cold.sibling != 0 or cold.entry != 0 or cold.legs != 0)


@compiled_apart
def _modify_apart(core: Any, row: Any, slot: int) -> None:
    """A change of an order that is pending or held: a new stop or distance may come with it."""
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    armed = order.trigger != 0 and order.latched == 0
    if armed and wrong_stop(int64(order.trigger), row.stop_price, row.trail):
        reject(core, row, BAD_STOP)
        return
    same = row.price == order.price and row.qty <= order.qty
    if armed:
        same = same and (row.stop_price == cold.stop if order.trigger == STOP else row.trail == cold.trail)
    pending = order.where == PENDING
    if pending and not same:
        drop_pending(core, slot)
    order.price = row.price
    order.qty = row.qty
    if pending and same:
        tell(core, slot, MODIFIED, KEPT_PLACE, row.qty, row.qty)
        return
    if armed and order.trigger == STOP:
        cold.stop = row.stop_price
    elif armed:
        cold.trail = row.trail
    tell(core, slot, MODIFIED, WENT_BACK if pending else KEPT_PLACE, row.qty, row.qty)
    if pending:
        cold.arrival = core.event_seq
        if order.trigger > STOP:
            set_stop(core, slot)
        add_pending(core, slot)


@compiled_apart
def modify(core: Any, row: Any) -> None:
    """New price and new open quantity. Only where nothing but the quantity goes down does an order keep its place."""
    slot = find(core, row.order_id)
    if slot == 0:
        reject(core, row, UNKNOWN_ORDER)
        return
    order = order_at(core.orders, slot)
    symbol, side, kind = int64(order.symbol), int64(order.side), int64(order.kind)
    linked = order.links != 0 and _is_linked(core, slot)
    if wrong_price(kind, row.price):
        reject(core, row, BAD_PRICE)
    elif linked and row.qty != order.qty:
        reject(core, row, LINKED_QUANTITY)
    elif not linked and (row.qty <= 0 or row.qty > QTY_MAX):
        reject(core, row, BAD_QUANTITY)
    elif order.where == PENDING or order.where == HELD:
        _modify_apart(core, row, slot)
    elif row.price == order.price and row.qty <= order.qty:
        order.qty = row.qty
        tell(core, slot, MODIFIED, KEPT_PLACE, row.qty, row.qty)
    elif kind == POST_ONLY and would_take(core, symbol, side, row.price):
        reject(core, row, WOULD_TAKE)
    else:
        withdraw(core, slot)
        order.price = row.price
        order.qty = row.qty
        tell(core, slot, MODIFIED, WENT_BACK, row.qty, row.qty)
        if order.links != 0:
            cold_at(core.cold, slot).arrival = core.event_seq
        enter_slot(core, slot)
