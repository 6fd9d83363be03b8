"""Order ids to slots: an open-addressing table with linear probing and no tombstones.

An entry keeps the upper half of the id's hash, from which its home follows without touching the order.
"""

from typing import Any

from trading.exchange.compiled.pointers import compiled, index_at, int64, order_at, uint64

_MULTIPLIER = uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: 2^64 over the golden ratio
_HALF = uint64(32)


@compiled
def tag_of(order_id: int) -> int:
    """Upper 32 bits of the hash."""
    return int64((uint64(order_id) * _MULTIPLIER) >> _HALF)


@compiled
def find(core: Any, order_id: int) -> int:
    """Slot of a live order, 0 where there is none."""
    tag = tag_of(order_id)
    at = tag >> core.index_shift
    while True:
        entry = index_at(core.index, at)
        if entry.slot == 0:
            return 0
        if entry.tag == tag and order_at(core.orders, entry.slot).id == order_id:
            return int64(entry.slot)
        at = (at + 1) & core.index_mask


@compiled
def insert(core: Any, order_id: int, slot: int) -> None:
    """Remember a live order; its id is not there yet and the table is at most half full."""
    tag = tag_of(order_id)
    at = tag >> core.index_shift
    while index_at(core.index, at).slot != 0:
        at = (at + 1) & core.index_mask
    entry = index_at(core.index, at)
    entry.tag = tag
    entry.slot = slot


@compiled
def erase(core: Any, order_id: int, slot: int) -> None:
    """Forget an order, and move back those behind it that its entry had pushed on."""
    at = tag_of(order_id) >> core.index_shift
    while index_at(core.index, at).slot != slot:
        at = (at + 1) & core.index_mask
    hole = at
    while True:
        at = (at + 1) & core.index_mask
        entry = index_at(core.index, at)
        if entry.slot == 0:
            break
        home = int64(entry.tag) >> core.index_shift
        if ((at - home) & core.index_mask) >= ((at - hole) & core.index_mask):
            empty = index_at(core.index, hole)
            empty.tag = entry.tag
            empty.slot = entry.slot
            hole = at
    index_at(core.index, hole).slot = 0
