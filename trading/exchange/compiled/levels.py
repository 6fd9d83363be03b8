"""Price levels of one side: a window of ticks with a bitmap that finds the best, and a list of far levels.

Every level in the window is better than every far level, and a side that is not empty has its best price in the
window: it moves when a better price comes from beyond it, when it empties, and when the best nears its far end.
"""

from typing import Any

from trading.exchange.compiled.layout import BITS_STRIDE, BUY, EDGE, HALF, WINDOW, WORDS
from trading.exchange.compiled.pointers import (
    compiled,
    compiled_apart,
    far_at,
    highest_bit,
    int64,
    level_at,
    lowest_bit,
    order_at,
    put_word,
    side_at,
    uint64,
    word_at,
)

_ONE, _ZERO, _LOW = uint64(1), uint64(0), int64(63)


@compiled
def bits_of(core: Any, number: int) -> int:
    """Address of the bitmap of a side (``number`` is twice the symbol, plus the side)."""
    return int64(core.bits + number * BITS_STRIDE)


@compiled
def levels_of(core: Any, number: int) -> int:
    """Address of the window's levels of a side."""
    return int64(core.levels + number * (WINDOW * 8))


@compiled
def mark(bits: int, at: int) -> None:
    """Level ``at`` has orders."""
    word = at >> 6
    top = WORDS + (word >> 6)
    put_word(bits, word, word_at(bits, word) | (_ONE << uint64(at & _LOW)))
    put_word(bits, top, word_at(bits, top) | (_ONE << uint64(word & _LOW)))


@compiled
def unmark(bits: int, at: int) -> None:
    """Level ``at`` has no orders any more."""
    word = at >> 6
    left = word_at(bits, word) & ~(_ONE << uint64(at & _LOW))
    put_word(bits, word, left)
    if left == _ZERO:
        top = WORDS + (word >> 6)
        put_word(bits, top, word_at(bits, top) & ~(_ONE << uint64(word & _LOW)))


@compiled
def lowest(bits: int) -> int:
    """Lowest level with orders, -1 where none has."""
    word = word_at(bits, WORDS)
    if word != _ZERO:
        at = lowest_bit(word)
    else:
        word = word_at(bits, WORDS + 1)
        if word == _ZERO:
            return -1
        at = 64 + lowest_bit(word)
    return int64((at << 6) + lowest_bit(word_at(bits, at)))


@compiled
def highest(bits: int) -> int:
    """Highest level with orders, -1 where none has."""
    word = word_at(bits, WORDS + 1)
    if word != _ZERO:
        at = 64 + highest_bit(word)
    else:
        word = word_at(bits, WORDS)
        if word == _ZERO:
            return -1
        at = highest_bit(word)
    return int64((at << 6) + highest_bit(word_at(bits, at)))


@compiled
def best_level(bits: int, side: int) -> int:
    """Level of the best price, -1 where there is none."""
    return highest(bits) if side == BUY else lowest(bits)


@compiled
def worst_level(bits: int, side: int) -> int:
    """Level of the worst price in the window, -1 where there is none."""
    return lowest(bits) if side == BUY else highest(bits)


@compiled_apart
def next_worse(bits: int, side: int, at: int) -> int:
    """Next level with orders behind level ``at``, -1 where there is none."""
    step = -1 if side == BUY else 1
    at += step
    while 0 <= at < WINDOW:
        word = word_at(bits, at >> 6)
        if word == _ZERO:  # on to the near end of the next word
            at = ((at >> 6) << 6) - 1 if side == BUY else ((at >> 6) + 1) << 6
        elif (word >> uint64(at & _LOW)) & _ONE != _ZERO:
            return at
        else:
            at += step
    return -1


@compiled_apart
def head_at(core: Any, number: int, price: int) -> int:
    """First order of a side at a price, 0 where there is none."""
    edge = side_at(core.sides, number)
    at = price - edge.base
    if 0 <= at < WINDOW:
        return int64(level_at(levels_of(core, number), at).head)
    far = int64(edge.far)
    while far != 0:
        if far_at(core.far, far).price == price:
            return int64(far_at(core.far, far).head)
        far = int64(far_at(core.far, far).next)
    return int64(0)


@compiled_apart
def recentre(core: Any, number: int, price: int) -> None:
    """Move the window so that ``price``, which is the best there is or will be, is in its middle.

    All levels go to the front of the far list, worst first, and those the new window holds come back.
    """
    side = number & 1
    edge, bits, levels = side_at(core.sides, number), bits_of(core, number), levels_of(core, number)
    at = worst_level(bits, side)
    while at >= 0:
        level, slot = level_at(levels, at), core.free_far
        far = far_at(core.far, slot)
        core.free_far = far.next
        far.price = edge.base + at
        far.head = level.head
        far.tail = level.tail
        far.next = edge.far
        edge.far = slot
        level.head = 0
        level.tail = 0
        unmark(bits, at)
        at = worst_level(bits, side)
    edge.base = price - HALF
    while edge.far != 0:
        slot = edge.far
        far = far_at(core.far, slot)
        at = far.price - edge.base
        if at < 0 or at >= WINDOW:
            break
        level = level_at(levels, at)
        level.head = far.head
        level.tail = far.tail
        mark(bits, at)
        edge.far = far.next
        far.next = core.free_far
        core.free_far = slot
    edge.best = best_level(bits, side)


@compiled
def find_best(core: Any, number: int) -> None:
    """The best level has emptied: find the next, and move the window where it must."""
    side = number & 1
    edge = side_at(core.sides, number)
    at = best_level(bits_of(core, number), side)
    edge.best = at
    if at < 0:
        if edge.far != 0:
            recentre(core, number, far_at(core.far, edge.far).price)
    elif (at < EDGE and side == BUY) or (at >= WINDOW - EDGE and side != BUY):
        recentre(core, number, edge.base + at)


@compiled_apart
def _append_far(core: Any, number: int, slot: int) -> None:
    """Rest an order whose price is beyond the far end of the window."""
    sign = 1 - 2 * (number & 1)
    edge, order = side_at(core.sides, number), order_at(core.orders, slot)
    before, at = 0, int64(edge.far)
    while at != 0 and sign * (far_at(core.far, at).price - order.price) > 0:
        before, at = at, int64(far_at(core.far, at).next)
    if at != 0 and far_at(core.far, at).price == order.price:
        far = far_at(core.far, at)
        order.prev = far.tail
        order_at(core.orders, far.tail).next = slot
        far.tail = slot
        return
    fresh = core.free_far
    far = far_at(core.far, fresh)
    core.free_far = far.next
    far.price = order.price
    far.head = slot
    far.tail = slot
    far.next = at
    if before == 0:
        edge.far = fresh
    else:
        far_at(core.far, before).next = fresh


@compiled
def append_here(core: Any, number: int, slot: int) -> None:
    """Rest an order behind those of its price. Inlined, for where it is hot."""
    edge, order = side_at(core.sides, number), order_at(core.orders, slot)
    order.next = 0
    order.prev = 0
    at = order.price - edge.base
    if at < 0 or at >= WINDOW:
        if edge.best >= 0 and (at < 0) == (number & 1 == BUY):
            _append_far(core, number, slot)
            return
        recentre(core, number, order.price)
        at = order.price - edge.base
    level = level_at(levels_of(core, number), at)
    last = level.tail
    level.tail = slot
    if last != 0:
        order.prev = last
        order_at(core.orders, last).next = slot
        return
    level.head = slot
    mark(bits_of(core, number), at)
    if edge.best < 0 or (at > edge.best) == (number & 1 == BUY):
        edge.best = at


@compiled_apart
def append(core: Any, number: int, slot: int) -> None:
    """Rest an order behind those of its price."""
    append_here(core, number, slot)


@compiled_apart
def _remove_far(core: Any, number: int, slot: int) -> None:
    """Take out the first or the last order of a far level."""
    edge, order = side_at(core.sides, number), order_at(core.orders, slot)
    before, at = 0, int64(edge.far)
    while far_at(core.far, at).price != order.price:
        before, at = at, int64(far_at(core.far, at).next)
    far = far_at(core.far, at)
    if order.prev == 0:
        far.head = order.next
    if order.next == 0:
        far.tail = order.prev
    if far.head == 0:
        if before == 0:
            edge.far = far.next
        else:
            far_at(core.far, before).next = far.next
        far.next = core.free_far
        core.free_far = at


@compiled
def remove_here(core: Any, number: int, slot: int) -> None:
    """Take an order out of its level. Inlined, for where it is hot."""
    order = order_at(core.orders, slot)
    behind, before = order.next, order.prev
    if before != 0:
        order_at(core.orders, before).next = behind
    if behind != 0:
        order_at(core.orders, behind).prev = before
    if before != 0 and behind != 0:
        return
    edge = side_at(core.sides, number)
    at = order.price - edge.base
    if at < 0 or at >= WINDOW:
        _remove_far(core, number, slot)
        return
    level = level_at(levels_of(core, number), at)
    if before == 0:
        level.head = behind
    if behind == 0:
        level.tail = before
        if before == 0:
            unmark(bits_of(core, number), at)
            if at == edge.best:
                find_best(core, number)


@compiled_apart
def remove(core: Any, number: int, slot: int) -> None:
    """Take an order out of its level."""
    remove_here(core, number, slot)
