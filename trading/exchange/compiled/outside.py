"""What the outside displays: for each side of a symbol a list of levels, best first; and users' places behind it."""

from typing import Any

from trading.exchange.compiled.levels import bits_of, head_at, levels_of, next_worse
from trading.exchange.compiled.pointers import (
    cold_at,
    compiled_apart,
    far_at,
    int64,
    level_at,
    order_at,
    shown_at,
    side_at,
)


@compiled_apart
def clear_outside(core: Any, number: int) -> None:
    """A side displays nothing."""
    edge = side_at(core.sides, number)
    slot = int64(edge.shown)
    while slot != 0:
        level = shown_at(core.shown, slot)
        behind = int64(level.next)
        level.next = core.free_shown
        core.free_shown = slot
        core.n_shown -= 1
        slot = behind
    edge.shown = 0
    edge.front = 0


@compiled_apart
def find_front(core: Any, number: int) -> None:
    """Note the best level that has lots left."""
    edge = side_at(core.sides, number)
    slot = int64(edge.shown)
    while slot != 0 and shown_at(core.shown, slot).left == 0:
        slot = int64(shown_at(core.shown, slot).next)
    edge.front = slot


@compiled_apart
def set_level(core: Any, number: int, price: int, shown: int, left: int) -> None:
    """A level of a side displays so much now, and nothing of it is used but what is not left. 0 removes it."""
    edge, sign = side_at(core.sides, number), 1 - 2 * (number & 1)
    before, slot = int64(0), int64(edge.shown)
    while slot != 0 and sign * (shown_at(core.shown, slot).price - price) > 0:
        before, slot = slot, int64(shown_at(core.shown, slot).next)
    if slot == 0 or shown_at(core.shown, slot).price != price:
        if shown == 0:
            return
        behind, slot = slot, int64(core.free_shown)
        core.free_shown = shown_at(core.shown, slot).next
        core.n_shown += 1
        shown_at(core.shown, slot).price = price
        shown_at(core.shown, slot).next = behind
        if before != 0:
            shown_at(core.shown, before).next = slot
        else:
            edge.shown = slot
    level = shown_at(core.shown, slot)
    if shown != 0:
        level.shown = shown
        level.left = left
    else:
        if before != 0:
            shown_at(core.shown, before).next = level.next
        else:
            edge.shown = level.next
        level.next = core.free_shown
        core.free_shown = slot
        core.n_shown -= 1
    find_front(core, number)


@compiled_apart
def place_of(core: Any, number: int, price: int) -> int:
    """Lots of the outside before a user's order that comes to a price now; -1 behind all that is displayed."""
    edge, sign = side_at(core.sides, number), 1 - 2 * (number & 1)
    slot = int64(edge.shown)
    if slot == 0:
        return int64(0)
    while slot != 0 and sign * (shown_at(core.shown, slot).price - price) > 0:
        slot = int64(shown_at(core.shown, slot).next)
    if slot == 0:
        return int64(-1)
    level = shown_at(core.shown, slot)
    return int64(level.left) if level.price == price else int64(0)


@compiled_apart
def _limit_ahead(core: Any, slot: int, lots: int) -> None:
    """No order of a level has more of the outside before it than there is."""
    while slot != 0:
        cold = cold_at(core.cold, slot)
        if cold.ahead < 0 or cold.ahead > lots:
            cold.ahead = lots
        slot = int64(order_at(core.orders, slot).next)


@compiled_apart
def level_changed(core: Any, number: int, price: int, shown: int) -> None:
    """Users' orders at a price move up where the outside's level there has become smaller."""
    _limit_ahead(core, head_at(core, number, price), shown)


@compiled_apart
def free_the_better(core: Any, number: int) -> None:
    """Users' orders better than all that their own side displays have nothing before them."""
    edge, sign = side_at(core.sides, number), 1 - 2 * (number & 1)
    levels, bits = levels_of(core, number), bits_of(core, number)
    shown = int64(edge.shown)
    at, far = int64(edge.best), int64(edge.far)
    while at >= 0 or far != 0:
        if at >= 0:
            price, head = edge.base + at, int64(level_at(levels, at).head)
            at = next_worse(bits, number & 1, at)
        else:
            price, head = far_at(core.far, far).price, int64(far_at(core.far, far).head)
            far = int64(far_at(core.far, far).next)
        if shown != 0 and sign * (price - shown_at(core.shown, shown).price) <= 0:
            return
        _limit_ahead(core, head, int64(0))
