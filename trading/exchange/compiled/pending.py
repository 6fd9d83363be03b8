"""Orders that wait for their trigger: for each side of a symbol a pairing heap by stop price, then arrival.

The heap hangs in the orders themselves (`next` and `prev` are the neighbours under one parent, the first child's
`prev` is the parent). A trailing stop only comes nearer, which costs one step. Source: Fredman, Sedgewick, Sleator,
Tarjan, "The pairing heap", Algorithmica 1 (1986). What comes out does not depend on the shape: keys are unique.
"""

from typing import Any

from trading.exchange.compiled.layout import BUY, PPM, UNSET, Trigger, Where
from trading.exchange.compiled.pointers import cold_at, compiled, compiled_apart, int64, order_at, side_at, symbol_at

PENDING, STOP, TRAIL_TICKS = int64(Where.PENDING), int64(Trigger.STOP), int64(Trigger.TRAIL_TICKS)


@compiled
def _number(core: Any, slot: int) -> int:
    order = order_at(core.orders, slot)
    return 2 * int64(order.symbol) + int64(order.side)


@compiled
def _sooner(core: Any, side: int, slot: int, other: int) -> bool:
    one, two = cold_at(core.cold, slot), cold_at(core.cold, other)
    if one.stop != two.stop:
        return bool((one.stop < two.stop) == (side == BUY))
    return bool(one.arrival < two.arrival)


@compiled_apart
def _meld(core: Any, side: int, one: int, two: int) -> int:
    """The root of two heaps made one."""
    if one == 0 or two == 0:
        return one + two
    if _sooner(core, side, two, one):
        one, two = two, one
    root, below = cold_at(core.cold, one), order_at(core.orders, two)
    below.prev = one
    below.next = root.child
    if root.child != 0:
        order_at(core.orders, root.child).prev = two
    root.child = two
    return one


@compiled_apart
def _without_root(core: Any, side: int, slot: int) -> int:
    """The root of what is below ``slot``, in two passes: pairs from the left, then all from the right."""
    at, done = int64(cold_at(core.cold, slot).child), int64(0)
    while at != 0:
        one, two = at, int64(order_at(core.orders, at).next)
        at = int64(order_at(core.orders, two).next) if two != 0 else int64(0)
        pair = int64(_meld(core, side, one, two))
        order_at(core.orders, pair).next = done
        done = pair
    root = int64(0)
    while done != 0:
        pair, done = done, int64(order_at(core.orders, done).next)
        root = int64(_meld(core, side, root, pair))
    order_at(core.orders, root).prev = 0
    order_at(core.orders, root).next = 0
    cold_at(core.cold, slot).child = 0
    return root


@compiled_apart
def _cut(core: Any, slot: int) -> None:
    """Take what hangs on ``slot``, which is not the root, out of the heap."""
    order = order_at(core.orders, slot)
    if cold_at(core.cold, order.prev).child == slot:
        cold_at(core.cold, order.prev).child = order.next
    else:
        order_at(core.orders, order.prev).next = order.next
    if order.next != 0:
        order_at(core.orders, order.next).prev = order.prev
    order.next = 0
    order.prev = 0


@compiled_apart
def _push(core: Any, number: int, slot: int) -> None:
    order, edge = order_at(core.orders, slot), side_at(core.sides, number)
    order.next = 0
    order.prev = 0
    cold_at(core.cold, slot).child = 0
    edge.pending = _meld(core, number & 1, int64(edge.pending), slot)


@compiled_apart
def add_pending(core: Any, slot: int) -> None:
    """From now on an order waits for its trigger; its stop and its arrival are set."""
    number = _number(core, slot)
    edge, order, cold = side_at(core.sides, number), order_at(core.orders, slot), cold_at(core.cold, slot)
    order.where = PENDING
    symbol_at(core.symbols, number >> 1).n_pending += 1
    _push(core, number, slot)
    if order.trigger > STOP:
        if edge.trailing == 0 or (cold.mark > edge.bound) == (number & 1 == BUY):
            edge.bound = cold.mark
        cold.trail_prev = 0
        cold.trail_next = edge.trailing
        if edge.trailing != 0:
            cold_at(core.cold, edge.trailing).trail_prev = slot
        edge.trailing = slot


@compiled_apart
def drop_pending(core: Any, slot: int) -> None:
    """Take out an order that waits for its trigger."""
    number = _number(core, slot)
    edge, cold = side_at(core.sides, number), cold_at(core.cold, slot)
    symbol_at(core.symbols, number >> 1).n_pending -= 1
    if edge.pending == slot:
        edge.pending = _without_root(core, number & 1, slot)
    else:
        _cut(core, slot)
        below = _without_root(core, number & 1, slot)
        edge.pending = _meld(core, number & 1, int64(edge.pending), below)
    if order_at(core.orders, slot).trigger > STOP:
        if cold.trail_prev != 0:
            cold_at(core.cold, cold.trail_prev).trail_next = cold.trail_next
        else:
            edge.trailing = cold.trail_next
        if cold.trail_next != 0:
            cold_at(core.cold, cold.trail_next).trail_prev = cold.trail_prev


@compiled_apart
def sort_pending(core: Any, number: int) -> int:
    """String the pending orders of a side on `sorted` in their order; returns the first."""
    edge = side_at(core.sides, number)
    first, last = int64(edge.pending), int64(0)
    while edge.pending != 0:
        slot = int64(edge.pending)
        edge.pending = _without_root(core, number & 1, slot)
        cold_at(core.cold, slot).sorted = 0
        cold_at(core.cold, last).sorted = slot  # of slot 0 nobody reads it
        last = slot
    slot = first
    while slot != 0:
        _push(core, number, slot)
        slot = int64(cold_at(core.cold, slot).sorted)
    return first


@compiled_apart
def set_stop(core: Any, slot: int) -> None:
    """The stop of a trailing order from its mark: so many ticks, or parts per million of it, away."""
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    sign = 1 - 2 * int64(order.side)
    if cold.mark == sign * UNSET:
        cold.stop = cold.mark
        return
    away = cold.trail
    if order.trigger != TRAIL_TICKS:
        size = abs(cold.mark)
        away = max(int64(1), size // PPM * cold.trail + size % PPM * cold.trail // PPM)  # in two parts: no overflow
    cold.stop = cold.mark + sign * away


@compiled_apart
def lose_mark(core: Any, slot: int) -> None:
    """A trailing order that is held has no mark."""
    cold = cold_at(core.cold, slot)
    cold.mark = (1 - 2 * int64(order_at(core.orders, slot).side)) * UNSET
    cold.stop = cold.mark


@compiled_apart
def follow(core: Any, number: int, price: int) -> None:
    """Trailing orders of a side follow a reference price where it is better for their stop, which never loosens."""
    edge, sign = side_at(core.sides, number), 1 - 2 * (number & 1)
    if edge.trailing == 0 or sign * (price - edge.bound) >= 0:
        return
    edge.bound = price
    slot = int64(edge.trailing)
    while slot != 0:
        cold = cold_at(core.cold, slot)
        if sign * (price - cold.mark) < 0:
            stop = cold.stop
            cold.mark = price
            set_stop(core, slot)
            if sign * (cold.stop - stop) >= 0:
                cold.stop = stop
            elif edge.pending != slot:
                _cut(core, slot)
                edge.pending = _meld(core, number & 1, int64(edge.pending), slot)
        slot = int64(cold.trail_next)
