"""The compiled entry points: run inputs, list the open orders in canonical order, take them back."""

import hashlib
from pathlib import Path
from typing import Any

from numba import njit

from trading.exchange.compiled.index import insert
from trading.exchange.compiled.layout import SELL, Status
from trading.exchange.compiled.levels import bits_of, levels_of, next_worse
from trading.exchange.compiled.pointers import (
    compiled_apart,
    core_at,
    far_at,
    input_at,
    int64,
    level_at,
    open_order_at,
    order_at,
    side_at,
    symbol_at,
)
from trading.exchange.compiled.requests import apply, keep

DONE, EVENTS_FULL, ORDERS_FULL = int(Status.DONE), int(Status.EVENTS_FULL), int(Status.ORDERS_FULL)
EVENTS_SPARE = 8


def _revision() -> int:
    """A number of this package's sources.

    A cached kernel is tied to this file alone and not to the files of its helpers; the number, which the entry points
    close over, is part of the key of their cache, so that a change of any helper compiles them anew.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


@compiled_apart
def _list_queue(core: Any, out: int, n: int, slot: int) -> int:
    while slot != 0:
        order, row = order_at(core.orders, slot), open_order_at(out, n)
        row.order_id = order.id
        row.owner = order.owner
        row.price = order.price
        row.qty = order.qty
        row.expires_ns = order.expires_ns
        row.symbol = order.symbol
        row.side = order.side
        row.kind = order.kind
        row.where = order.waits
        n += 1
        slot = int64(order.next)
    return n


@compiled_apart
def _list_side(core: Any, out: int, n: int, number: int) -> int:
    edge, levels = side_at(core.sides, number), levels_of(core, number)
    at = int64(edge.best)
    while at >= 0:
        n = _list_queue(core, out, n, int64(level_at(levels, at).head))
        at = next_worse(bits_of(core, number), number & 1, at)
    far = int64(edge.far)
    while far != 0:
        n = _list_queue(core, out, n, int64(far_at(core.far, far).head))
        far = int64(far_at(core.far, far).next)
    return n


def _entry_points(revision: int) -> tuple[Any, Any, Any, Any]:
    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def run(address: int, inputs: int, first: int, count: int) -> int:
        """Apply inputs ``first`` to ``count``; returns the number applied, fewer where the status says what is full."""
        core = core_at(address, revision - revision)
        core.status = DONE
        for at in range(first, count):
            if core.n_events + 2 * core.n_live + EVENTS_SPARE > core.events_cap:
                core.status = EVENTS_FULL
                return at
            if core.free_order == 0:
                core.status = ORDERS_FULL
                return at
            apply(core, input_at(inputs, at))
        return count

    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def list_open(address: int, out: int) -> int:
        """Write the open orders: by symbol, buys then sells best first, then those that wait; returns their number."""
        core = core_at(address, revision - revision)
        n = 0
        for number in range(2 * core.n_symbols):
            n = _list_side(core, out, n, number)
            if number & 1 == SELL:
                n = _list_queue(core, out, n, int64(symbol_at(core.symbols, number >> 1).wait_head))
        return n

    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def take_back(address: int, orders: int, count: int) -> None:
        """Put listed orders where they were; there is room."""
        core = core_at(address, revision - revision)
        for at in range(count):
            row = open_order_at(orders, at)
            keep(
                core,
                int64(row.symbol),
                int64(row.side),
                row.order_id,
                row.owner,
                int64(row.kind),
                row.price,
                row.qty,
                row.expires_ns,
                row.where != 0,
            )

    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def index_again(address: int, capacity: int) -> None:
        """Fill an empty index with every order of a pool of ``capacity`` slots that is not free."""
        core = core_at(address, revision - revision)
        for slot in range(1, capacity):
            order = order_at(core.orders, slot)
            if order.id != 0:
                insert(core, order.id, slot)

    return run, list_open, take_back, index_again


run, list_open, take_back, index_again = _entry_points(_revision())
