"""What follows from an input's trades and quotes, in rounds: stops are triggered and legs grow until nothing follows.

Every order that meets the market here is a step of its own, before which there must be room for its events; where there
is none the core pauses, and goes on from there when it is called again. So the buffer is bounded by one step and not
by a cascade.
"""

from typing import Any

from trading.exchange.compiled.layout import Event, Triggered
from trading.exchange.compiled.links import grow_legs
from trading.exchange.compiled.news import retry
from trading.exchange.compiled.orders import emit, line_up, withdraw
from trading.exchange.compiled.pending import drop_pending, follow
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
from trading.exchange.compiled.requests import enter_slot, start_trigger

TRIGGERED, BY_TRADE, BY_QUOTE = int64(Event.TRIGGERED), int64(Triggered.TRADE), int64(Triggered.QUOTE)
EVENTS_SPARE = 24
TRIGGERS, LEGS = 1, 2  # stages of a round


@compiled
def has_room(core: Any) -> bool:
    """Whether the events of one step, or of one input before it is settled, fit into the buffer.

    Such a step fills each order, and uses up each level of the outside, at most once, and every other fill is the last
    of its taker: that is at most one fill for each, and one event for its end, expiry or coming to rest (`share` 2).
    With links each fill may also change two siblings and every order may end besides (`share` 5). The spare ones are
    for the order and the two levels that the input itself brings.
    """
    return bool(core.n_events + core.share * (core.n_live + core.n_shown) + EVENTS_SPARE <= core.events_cap)


@compiled_apart
def _trigger(core: Any, number: int, code: int, price: int) -> None:
    """Orders of a side whose stop price has been met leave the pending ones and line up, nearest first."""
    edge, sign = side_at(core.sides, number), 1 - 2 * (number & 1)
    while edge.pending != 0 and sign * (cold_at(core.cold, edge.pending).stop - price) <= 0:
        slot = int64(edge.pending)
        drop_pending(core, slot)
        line_up(core, slot)
    symbol_at(core.symbols, number >> 1).code = code


@compiled_apart
def _begin_round(core: Any, symbol: int) -> bool:
    """Take the reference prices since the last round; False where there are none and no leg grows either."""
    book = symbol_at(core.symbols, symbol)
    ranged, quoted = book.ranged != 0, book.quoted != 0 and book.traded == 0
    book.ranged = 0
    book.quoted = 0
    buys, sells = 2 * symbol, 2 * symbol + 1
    if ranged:
        _trigger(core, buys, BY_TRADE, book.high)
        _trigger(core, sells, BY_TRADE, book.low)
        follow(core, buys, book.low)
        follow(core, sells, book.high)
    elif quoted:
        ask, bid = int64(side_at(core.sides, sells).front), int64(side_at(core.sides, buys).front)
        if ask != 0:
            _trigger(core, buys, BY_QUOTE, shown_at(core.shown, ask).price)
            follow(core, buys, shown_at(core.shown, ask).price)
        if bid != 0:
            _trigger(core, sells, BY_QUOTE, shown_at(core.shown, bid).price)
            follow(core, sells, shown_at(core.shown, bid).price)
    return bool(ranged or quoted or book.grow_head != 0)


@compiled_apart
def _step(core: Any, slot: int, stage: int, code: int) -> None:
    """An order that lined up meets the market, or begins to wait for its trigger."""
    order = order_at(core.orders, slot)
    withdraw(core, slot)
    if stage == TRIGGERS:
        order.latched = 1
        stop, symbol, side = cold_at(core.cold, slot).stop, int64(order.symbol), int64(order.side)
        emit(core, TRIGGERED, code, symbol, side, order.id, int64(0), stop, order.qty, order.qty)
        enter_slot(core, slot)
    elif order.trigger != 0 and order.latched == 0:
        start_trigger(core, slot)
    else:
        enter_slot(core, slot)


@compiled_apart
def _settle_symbol(core: Any, symbol: int) -> bool:
    """Rounds until nothing follows; False where the buffer of events is full before."""
    book = symbol_at(core.symbols, symbol)
    if book.opening != 0:
        if not has_room(core):
            return False
        book.opening = 0
        book.closed = 0
        if book.outside == 0:
            retry(core, symbol)
    while True:
        while book.due_head != 0:
            if not has_room(core):
                return False
            _step(core, int64(book.due_head), int64(book.stage), int64(book.code))
        if book.stage == TRIGGERS:
            if not has_room(core):
                return False
            grow_legs(core, symbol)
            book.stage = LEGS
        elif _begin_round(core, symbol):
            book.stage = TRIGGERS
        else:
            book.stage = 0
            return True


@compiled_apart
def settle(core: Any) -> bool:
    """Settle every symbol that has something to settle; False where the buffer of events is full before."""
    core.more = 1  # what trades here is a reference for the next round, whatever is pending now
    while core.dirty_head != 0:
        book = symbol_at(core.symbols, core.dirty_head - 1)
        if not _settle_symbol(core, core.dirty_head - 1):
            core.paused = 1
            return False
        book.dirty = 0
        core.dirty_head = book.dirty_next
    core.dirty_tail = 0
    core.more = 0
    core.paused = 0
    return True
