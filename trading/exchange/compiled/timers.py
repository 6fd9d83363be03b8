"""Expiries: a binary heap of slots by time, then order id. Orders know their place, so that any can leave."""

from typing import Any

from trading.exchange.compiled.pointers import compiled, compiled_apart, int64, order_at, put_slot, slot_at


@compiled
def _sooner(core: Any, slot: int, other: int) -> bool:
    one, two = order_at(core.orders, slot), order_at(core.orders, other)
    if one.expires_ns != two.expires_ns:
        return bool(one.expires_ns < two.expires_ns)
    return bool(one.id < two.id)


@compiled
def _put(core: Any, place: int, slot: int) -> None:
    put_slot(core.timers, place, slot)
    order_at(core.orders, slot).timer = place


@compiled_apart
def _settle(core: Any, place: int) -> None:
    """Move the slot at ``place`` up or down to where it belongs."""
    slot = slot_at(core.timers, place)
    while place > 1 and _sooner(core, slot, slot_at(core.timers, place >> 1)):
        _put(core, place, slot_at(core.timers, place >> 1))
        place >>= 1
    while 2 * place <= core.n_timers:
        child = 2 * place
        if child < core.n_timers and _sooner(core, slot_at(core.timers, child + 1), slot_at(core.timers, child)):
            child += 1
        if not _sooner(core, slot_at(core.timers, child), slot):
            break
        _put(core, place, slot_at(core.timers, child))
        place = child
    _put(core, place, slot)


@compiled_apart
def start_timer(core: Any, slot: int) -> None:
    """Note when an order expires."""
    core.n_timers += 1
    _put(core, core.n_timers, slot)
    _settle(core, core.n_timers)


@compiled_apart
def stop_timer(core: Any, slot: int) -> None:
    """Forget an order's expiry."""
    place = int64(order_at(core.orders, slot).timer)
    last = slot_at(core.timers, core.n_timers)
    core.n_timers -= 1
    order_at(core.orders, slot).timer = 0
    if last != slot:
        _put(core, place, last)
        _settle(core, place)


@compiled
def due(core: Any) -> int:
    """Slot of the order that expires next, if its time has come, else 0."""
    if core.n_timers == 0:
        return 0
    slot = slot_at(core.timers, 1)
    if order_at(core.orders, slot).expires_ns > core.now_ns:
        return 0
    return int64(slot)
