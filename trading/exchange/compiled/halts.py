"""Halts of everything, of a symbol or of an owner: open orders are cancelled, new ones refused until it is lifted."""

from typing import Any

from trading.exchange.compiled.layout import Cancelled, Event
from trading.exchange.compiled.levels import bits_of, levels_of, next_worse
from trading.exchange.compiled.orders import release, tell, withdraw
from trading.exchange.compiled.pending import sort_pending
from trading.exchange.compiled.pointers import (
    cold_at,
    compiled_apart,
    far_at,
    int64,
    level_at,
    order_at,
    put_word,
    side_at,
    symbol_at,
    uint64,
    word_at,
)

CANCELLED, BY_HALT = int64(Event.CANCELLED), int64(Cancelled.HALTED)


@compiled_apart
def _owner_place(core: Any, owner: int) -> int:
    """Place of an owner among the halted ones, which are sorted, or where it would stand."""
    low, high = int64(0), int64(core.n_owners)
    while low < high:
        middle = (low + high) >> 1
        if int64(word_at(core.owners, middle)) < owner:
            low = middle + 1
        else:
            high = middle
    return low


@compiled_apart
def owner_halted(core: Any, owner: int) -> bool:
    """Whether an owner himself is halted."""
    at = _owner_place(core, owner)
    return bool(at < core.n_owners and int64(word_at(core.owners, at)) == owner)


@compiled_apart
def is_halted(core: Any, symbol: int, owner: int) -> bool:
    """Whether new orders of an owner in a symbol are refused."""
    if core.floor_halted != 0 or symbol_at(core.symbols, symbol).halted != 0:
        return True
    return bool(owner != 0 and owner_halted(core, owner))


@compiled_apart
def set_owner_halt(core: Any, owner: int, on: bool) -> None:
    """Put an owner among the halted ones, or take him out; there is room."""
    at = _owner_place(core, owner)
    if owner_halted(core, owner) == on:
        return
    if on:
        for place in range(core.n_owners, at, -1):
            put_word(core.owners, place, word_at(core.owners, place - 1))
        put_word(core.owners, at, uint64(owner))
        core.n_owners += 1
        core.halts += 1
    else:
        core.n_owners -= 1
        core.halts -= 1
        for place in range(at, core.n_owners):
            put_word(core.owners, place, word_at(core.owners, place + 1))


@compiled_apart
def _chain_queue(core: Any, slot: int, owner: int, last: int) -> int:
    """Append the orders of a queue that belong to ``owner`` (0: all) to the chain; returns its last."""
    while slot != 0:
        order = order_at(core.orders, slot)
        if owner == 0 or order.owner == owner:
            cold_at(core.cold, last).chain = slot
            last = slot
        slot = int64(order.next)
    return last


@compiled_apart
def _chain_side(core: Any, number: int, owner: int, last: int) -> int:
    edge, levels = side_at(core.sides, number), levels_of(core, number)
    at = int64(edge.best)
    while at >= 0:
        last = _chain_queue(core, int64(level_at(levels, at).head), owner, last)
        at = next_worse(bits_of(core, number), number & 1, at)
    far = int64(edge.far)
    while far != 0:
        last = _chain_queue(core, int64(far_at(core.far, far).head), owner, last)
        far = int64(far_at(core.far, far).next)
    return last


@compiled_apart
def _chain_pending(core: Any, number: int, owner: int, last: int) -> int:
    slot = int64(sort_pending(core, number))
    while slot != 0:
        if owner == 0 or order_at(core.orders, slot).owner == owner:
            cold_at(core.cold, last).chain = slot
            last = slot
        slot = int64(cold_at(core.cold, slot).sorted)
    return last


@compiled_apart
def chain_orders(core: Any, symbol: int, owner: int, last: int) -> int:
    """String the open orders of a symbol on `chain` behind ``last``, in canonical order; returns the last.

    Buys then sells in the book, best price then time first; those that wait; those that are pending; those held.
    The first is the `chain` of slot 0 where ``last`` was 0.
    """
    book = symbol_at(core.symbols, symbol)
    last = _chain_side(core, 2 * symbol, owner, last)
    last = _chain_side(core, 2 * symbol + 1, owner, last)
    last = _chain_queue(core, int64(book.wait_head), owner, last)
    last = _chain_pending(core, 2 * symbol, owner, last)
    last = _chain_pending(core, 2 * symbol + 1, owner, last)
    return int64(_chain_queue(core, int64(book.held_head), owner, last))


@compiled_apart
def cancel_all(core: Any, symbol: int, owner: int) -> None:
    """Cancel all open orders, or those of a symbol (else -1) or an owner (else 0), one as if the others were not."""
    last = int64(0)
    for each in range(core.n_symbols):
        if symbol < 0 or each == symbol:
            last = chain_orders(core, each, owner, last)
    cold_at(core.cold, last).chain = 0
    slot = int64(cold_at(core.cold, 0).chain)
    while slot != 0:
        behind = int64(cold_at(core.cold, slot).chain)
        tell(core, slot, CANCELLED, BY_HALT, int64(0), order_at(core.orders, slot).qty)
        withdraw(core, slot)
        release(core, slot)
        slot = behind


@compiled_apart
def halt(core: Any, symbol: int, owner: int, on: bool) -> None:
    """Halt a symbol, else (-1) an owner, else (0) everything; or lift that halt."""
    if symbol >= 0:
        book = symbol_at(core.symbols, symbol)
        core.halts += int64(on) - int64(book.halted)
        book.halted = on
        owner = int64(0)
    elif owner != 0:
        set_owner_halt(core, owner, on)
    else:
        core.halts += int64(on) - core.floor_halted
        core.floor_halted = int64(on)
    if on:
        cancel_all(core, symbol, owner)
