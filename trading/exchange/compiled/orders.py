"""Orders in memory: events about them, slots for them, and the queues they stand in besides the book's levels."""

from typing import Any

from trading.exchange.compiled.index import erase, insert
from trading.exchange.compiled.layout import QUOTE_MAX_AGE_NS, Model, Trigger, Where
from trading.exchange.compiled.levels import append_here, remove
from trading.exchange.compiled.outside import place_of
from trading.exchange.compiled.pending import drop_pending, lose_mark
from trading.exchange.compiled.pointers import (
    cold_at,
    compiled,
    compiled_apart,
    event_at,
    int64,
    order_at,
    symbol_at,
)
from trading.exchange.compiled.timers import start_timer, stop_timer

BOOK, WAITS, PENDING = int64(Where.BOOK), int64(Where.WAITS), int64(Where.PENDING)
HELD, DUE = int64(Where.HELD), int64(Where.DUE)
QUEUE, STOP = int64(Model.QUEUE), int64(Trigger.STOP)
SHARE_LINKED = 5  # events that one order may cause in one step once there are links or triggers, see `kernel`


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


@compiled_apart
def tell(core: Any, slot: int, kind: int, code: int, qty: int, left: int) -> None:
    """An event about one order that is no fill."""
    order = order_at(core.orders, slot)
    emit(core, kind, code, int64(order.symbol), int64(order.side), order.id, int64(0), order.price, qty, left)


@compiled
def is_live(core: Any, symbol: int) -> bool:
    """Whether the outside of a symbol may be traded against now. It is never fresh in a closed session."""
    book = symbol_at(core.symbols, symbol)
    return bool(book.fresh != 0 and core.now_ns - book.received_ns <= QUOTE_MAX_AGE_NS)


@compiled
def allot_here(
    core: Any, symbol: int, side: int, order_id: int, owner: int, kind: int, price: int, qty: int, expires_ns: int
) -> int:
    """A slot for a new order, which stands in no queue yet; there is one free. Inlined, for where it is hot."""
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
    order.where = DUE
    order.trigger = 0
    order.latched = 0
    order.links = 0
    insert(core, order_id, slot)
    if expires_ns != 0:
        start_timer(core, slot)
    return int64(slot)


@compiled_apart
def allot(
    core: Any, symbol: int, side: int, order_id: int, owner: int, kind: int, price: int, qty: int, expires_ns: int
) -> int:
    """A slot for a new order, which stands in no queue yet; there is one free."""
    return int64(allot_here(core, symbol, side, order_id, owner, kind, price, qty, expires_ns))


@compiled_apart
def clear_cold(core: Any, slot: int) -> None:
    """Clear what an earlier order has left in the cold half of a slot."""
    cold = cold_at(core.cold, slot)
    cold.stop = 0
    cold.trail = 0
    cold.mark = 0
    cold.arrival = 0
    cold.planned = 0
    cold.grown = 0
    cold.sibling = 0
    cold.entry = 0
    cold.legs = 0
    core.share = SHARE_LINKED


@compiled_apart
def mark_linked(core: Any, slot: int) -> None:
    """From now on a fill of this order looks at its links."""
    order = order_at(core.orders, slot)
    if order.links == 0:
        if order.trigger == 0:
            clear_cold(core, slot)
        order.links = 1


@compiled_apart
def forget_growth(core: Any, slot: int) -> None:
    """A leg grows no more by what its entry has filled."""
    cold = cold_at(core.cold, slot)
    if cold.grown == 0:
        return
    book = symbol_at(core.symbols, order_at(core.orders, slot).symbol)
    cold.grown = 0
    if cold.grow_prev != 0:
        cold_at(core.cold, cold.grow_prev).grow_next = cold.grow_next
    else:
        book.grow_head = cold.grow_next
    if cold.grow_next != 0:
        cold_at(core.cold, cold.grow_next).grow_prev = cold.grow_prev
    else:
        book.grow_tail = cold.grow_prev


@compiled
def release_here(core: Any, slot: int) -> None:
    """Forget an order that is in no queue any more. Inlined, for where it is hot."""
    order = order_at(core.orders, slot)
    erase(core, order.id, slot)
    if order.timer != 0:
        stop_timer(core, slot)
    if order.links != 0:
        forget_growth(core, slot)
    order.id = 0
    order.next = core.free_order
    core.free_order = slot
    core.n_live -= 1


@compiled_apart
def release(core: Any, slot: int) -> None:
    """Forget an order that is in no queue any more."""
    release_here(core, slot)


@compiled_apart
def wait(core: Any, slot: int) -> None:
    """Put an order behind those that wait for the outside."""
    order = order_at(core.orders, slot)
    book = symbol_at(core.symbols, order.symbol)
    order.where = WAITS
    order.next = 0
    order.prev = book.wait_tail
    if book.wait_tail != 0:
        order_at(core.orders, book.wait_tail).next = slot
    else:
        book.wait_head = slot
    book.wait_tail = slot


@compiled_apart
def hold(core: Any, slot: int) -> None:
    """A leg with nothing open is held until its entry fills. Held ones stand by arrival; most are the newest."""
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    book = symbol_at(core.symbols, order.symbol)
    order.where = HELD
    if order.trigger > STOP and order.latched == 0:
        lose_mark(core, slot)
    before = int64(book.held_tail)
    while before != 0 and cold_at(core.cold, before).arrival > cold.arrival:
        before = int64(order_at(core.orders, before).prev)
    behind = int64(order_at(core.orders, before).next) if before != 0 else int64(book.held_head)
    order.prev = before
    order.next = behind
    if before != 0:
        order_at(core.orders, before).next = slot
    else:
        book.held_head = slot
    if behind != 0:
        order_at(core.orders, behind).prev = slot
    else:
        book.held_tail = slot


@compiled_apart
def line_up(core: Any, slot: int) -> None:
    """Put an order behind those that are about to meet the market."""
    order = order_at(core.orders, slot)
    book = symbol_at(core.symbols, order.symbol)
    order.where = DUE
    order.next = 0
    order.prev = book.due_tail
    if book.due_tail != 0:
        order_at(core.orders, book.due_tail).next = slot
    else:
        book.due_head = slot
    book.due_tail = slot


@compiled
def rest_here(core: Any, slot: int) -> None:
    """Put an order into the book, behind those of its price. Inlined, for where it is hot."""
    order = order_at(core.orders, slot)
    number = 2 * int64(order.symbol) + int64(order.side)
    order.where = BOOK
    append_here(core, number, slot)
    if core.model == QUEUE:
        cold_at(core.cold, slot).ahead = place_of(core, number, order.price)


@compiled_apart
def rest(core: Any, slot: int) -> None:
    """Put an order into the book, behind those of its price."""
    rest_here(core, slot)


@compiled_apart
def _leave_queue(core: Any, slot: int) -> None:
    """Take an order out of the queue of waiting, held or due ones."""
    order = order_at(core.orders, slot)
    book = symbol_at(core.symbols, order.symbol)
    if order.prev != 0:
        order_at(core.orders, order.prev).next = order.next
    elif order.where == WAITS:
        book.wait_head = order.next
    elif order.where == HELD:
        book.held_head = order.next
    else:
        book.due_head = order.next
    if order.next != 0:
        order_at(core.orders, order.next).prev = order.prev
    elif order.where == WAITS:
        book.wait_tail = order.prev
    elif order.where == HELD:
        book.held_tail = order.prev
    else:
        book.due_tail = order.prev


@compiled_apart
def withdraw(core: Any, slot: int) -> None:
    """Take an order out of the queue it is in. A walk that would have come to it next goes on behind it."""
    order = order_at(core.orders, slot)
    if order.where == BOOK:
        if core.cursor == slot:
            core.cursor = order.next
        remove(core, 2 * int64(order.symbol) + int64(order.side), slot)
    elif order.where == PENDING:
        drop_pending(core, slot)
    else:
        if core.cursor == slot:
            core.cursor = order.next
        _leave_queue(core, slot)
