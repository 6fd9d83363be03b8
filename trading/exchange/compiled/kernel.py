"""The compiled entry points: run inputs, list the state in canonical order, take it back."""

import hashlib
from pathlib import Path
from typing import Any

from numba import njit

from trading.exchange.compiled.admission import BAD_QUANTITY, UNKNOWN_SYMBOL, reject
from trading.exchange.compiled.halts import chain_orders, halt
from trading.exchange.compiled.index import find, insert
from trading.exchange.compiled.layout import Event, Flag, Model, Op, Rejected, Status, Where
from trading.exchange.compiled.levels import append
from trading.exchange.compiled.news import hear
from trading.exchange.compiled.orders import allot, clear_cold, hold, wait
from trading.exchange.compiled.outside import set_level
from trading.exchange.compiled.pending import add_pending
from trading.exchange.compiled.pointers import (
    cold_at,
    compiled,
    compiled_apart,
    core_at,
    input_at,
    int64,
    open_order_at,
    order_at,
    shown_at,
    shown_row_at,
    side_at,
)
from trading.exchange.compiled.requests import add, cancel, end, modify
from trading.exchange.compiled.settle import has_room, settle
from trading.exchange.compiled.timers import due

DONE, EVENTS_FULL, ORDERS_FULL = int64(Status.DONE), int64(Status.EVENTS_FULL), int64(Status.ORDERS_FULL)
SHOWN_FULL, OWNERS_FULL = int64(Status.SHOWN_FULL), int64(Status.OWNERS_FULL)
ADD, CANCEL, MODIFY, QUOTE, TIME = int64(Op.ADD), int64(Op.CANCEL), int64(Op.MODIFY), int64(Op.QUOTE), int64(Op.TIME)
DEPTH, SESSION, HALT, MORE = int64(Op.DEPTH), int64(Op.SESSION), int64(Op.HALT), int64(Flag.MORE)
EXPIRED, UNKNOWN_OP = int64(Event.EXPIRED), int64(Rejected.UNKNOWN_OP)
BOOK, WAITS, PENDING, HELD = int64(Where.BOOK), int64(Where.WAITS), int64(Where.PENDING), int64(Where.HELD)
QUEUE = int64(Model.QUEUE)


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
def _expire(core: Any) -> None:
    """Orders whose time has come expire, by time and then by id."""
    slot = due(core)
    while slot != 0:
        end(core, slot, EXPIRED, int64(0), True)
        slot = due(core)


@compiled_apart
def _halt(core: Any, row: Any) -> None:
    if row.symbol < -1 or row.symbol >= core.n_symbols:
        reject(core, row, UNKNOWN_SYMBOL)
    elif row.qty < 0 or row.qty > 1:
        reject(core, row, BAD_QUANTITY)
    else:
        halt(core, int64(row.symbol), row.owner, row.qty == 1)


@compiled_apart
def _apply_rare(core: Any, row: Any) -> None:
    """Inputs that are neither new orders nor cancels."""
    if row.op == MODIFY:
        modify(core, row)
    elif row.op == HALT:
        _halt(core, row)
    elif row.op == DEPTH:
        core.more = row.flags & MORE
        hear(core, row)
    elif row.op >= QUOTE and row.op <= SESSION and row.op != TIME:
        hear(core, row)
    elif row.op != TIME:
        reject(core, row, UNKNOWN_OP)


@compiled
def _apply(core: Any, row: Any) -> None:
    """Take one input. The caller has seen to it that there is room for one more order and for all events."""
    core.seq = row.seq
    if row.ts_ns > core.now_ns:
        core.now_ns = row.ts_ns
    if due(core) != 0:
        _expire(core)
    core.more = 0
    if row.op == ADD:
        add(core, row)
    elif row.op == CANCEL:
        cancel(core, row)
    else:
        _apply_rare(core, row)


@compiled
def _full(core: Any, op: int) -> int:
    """What is too full for one more input, `DONE` where nothing is."""
    if not has_room(core):
        return EVENTS_FULL
    if core.free_order == 0:
        return ORDERS_FULL
    if op >= QUOTE:
        if core.n_shown + 2 >= core.shown_cap:
            return SHOWN_FULL
        if core.n_owners == core.owners_cap:
            return OWNERS_FULL
    return DONE


@compiled_apart
def _write(core: Any, row: Any, slot: int) -> None:
    """One open order as a row; what does not belong to it is 0, whatever lies in its slot."""
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    row.order_id = order.id
    row.owner = order.owner
    row.price = order.price
    row.qty = order.qty
    row.expires_ns = order.expires_ns
    row.symbol = order.symbol
    row.side = order.side
    row.kind = order.kind
    row.where = order.where
    row.trigger = order.trigger
    row.latched = order.latched
    if order.trigger != 0:
        row.stop = cold.stop
        row.trail = cold.trail
        row.mark = cold.mark
    if order.where == BOOK and core.model == QUEUE:
        row.ahead = cold.ahead
    if order.links != 0:
        row.planned = cold.planned
        row.sibling_id = order_at(core.orders, cold.sibling).id if cold.sibling != 0 else 0
        row.entry_id = order_at(core.orders, cold.entry).id if cold.entry != 0 else 0
        row.leg_id = order_at(core.orders, cold.legs).id if cold.legs != 0 else 0
    if order.where >= PENDING or row.planned > 0:
        row.arrival = cold.arrival


@compiled_apart
def _read(core: Any, row: Any) -> None:
    """Put one listed order where it was, as yet without its links."""
    symbol, side = int64(row.symbol), int64(row.side)
    slot = allot(core, symbol, side, row.order_id, row.owner, int64(row.kind), row.price, row.qty, row.expires_ns)
    order, cold = order_at(core.orders, slot), cold_at(core.cold, slot)
    order.trigger = row.trigger
    order.latched = row.latched
    order.where = row.where
    if row.where == HELD or row.planned != 0 or row.sibling_id != 0 or row.entry_id != 0 or row.leg_id != 0:
        order.links = 1
    if order.trigger != 0 or order.links != 0:
        clear_cold(core, slot)
    cold.stop = row.stop
    cold.trail = row.trail
    cold.mark = row.mark
    cold.arrival = row.arrival
    cold.planned = row.planned
    cold.ahead = row.ahead
    if row.where == BOOK:
        append(core, 2 * symbol + side, slot)
    elif row.where == WAITS:
        wait(core, slot)
    elif row.where == PENDING:
        add_pending(core, slot)
    else:
        hold(core, slot)


@compiled_apart
def _write_shown(core: Any, number: int, out: int, n: int) -> int:
    """What a side of the outside displays, as rows from number ``n`` on; returns the number of rows so far."""
    slot = int64(side_at(core.sides, number).shown)
    while slot != 0:
        level, row = shown_at(core.shown, slot), shown_row_at(out, n)
        row.price = level.price
        row.shown = level.shown
        row.left = level.left
        row.number = number
        slot = int64(level.next)
        n += 1
    return n


@compiled_apart
def _tie(core: Any, row: Any) -> None:
    """Bind an order that has been put back to those it hangs with, which have been put back too."""
    slot = find(core, row.order_id)
    if order_at(core.orders, slot).links != 0:
        cold = cold_at(core.cold, slot)
        cold.sibling = find(core, row.sibling_id)
        cold.entry = find(core, row.entry_id)
        cold.legs = find(core, row.leg_id)


def _entry_points(revision: int) -> tuple[Any, Any, Any, Any, Any]:
    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def run(address: int, inputs: int, first: int, count: int) -> int:
        """Apply inputs ``first`` to ``count``; returns the number applied.

        Where the status then says that something is full, there are more to apply, or the last is not settled yet.
        """
        core = core_at(address, revision - revision)
        core.status = DONE
        if core.paused != 0 and not settle(core):
            core.status = EVENTS_FULL
            return first
        for at in range(first, count):
            row = input_at(inputs, at)
            full = _full(core, row.op)
            if full != DONE:
                core.status = full
                return at
            _apply(core, row)
            if core.dirty_head != 0 and core.more == 0 and not settle(core):
                core.status = EVENTS_FULL
                return at + 1
        return count

    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def list_open(address: int, out: int) -> None:
        """Write the open orders of all symbols into rows of zeros, in canonical order."""
        core = core_at(address, revision - revision)
        last = int64(0)
        for symbol in range(core.n_symbols):
            last = chain_orders(core, symbol, int64(0), last)
        cold_at(core.cold, last).chain = 0
        slot, n = int64(cold_at(core.cold, 0).chain), 0
        while slot != 0:
            _write(core, open_order_at(out, n), slot)
            slot = int64(cold_at(core.cold, slot).chain)
            n += 1

    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def list_shown(address: int, out: int) -> None:
        """Write what the outside displays: by symbol, bids then asks, best first."""
        core = core_at(address, revision - revision)
        n = 0
        for number in range(2 * core.n_symbols):
            n = _write_shown(core, number, out, n)

    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def take_back(address: int, orders: int, n_orders: int, shown: int, n_shown: int) -> None:
        """Put listed orders and levels where they were; there is room, and the rows are sound."""
        core = core_at(address, revision - revision)
        for at in range(n_shown):
            level = shown_row_at(shown, at)
            set_level(core, level.number, level.price, level.shown, level.left)
        for at in range(n_orders):
            _read(core, open_order_at(orders, at))
        for at in range(n_orders):
            _tie(core, open_order_at(orders, at))

    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def index_again(address: int, capacity: int) -> None:
        """Fill an empty index with every order of a pool of ``capacity`` slots that is not free."""
        core = core_at(address, revision - revision)
        for slot in range(1, capacity):
            order = order_at(core.orders, slot)
            if order.id != 0:
                insert(core, order.id, slot)

    return run, list_open, list_shown, take_back, index_again


def _door(revision: int, run: Any) -> Any:
    @njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def enter(
        address: int,
        place: int,
        op: int,
        symbol: int,
        side: int,
        kind: int,
        order_id: int,
        owner: int,
        price: int,
        qty: int,
        ts_ns: int,
    ) -> int:
        """Apply one plain input, numbered next; returns how many events it caused, or -1 less what `run` said.

        The input is built at ``place``: numbers as arguments cost a fraction of what packing them in Python does.
        """
        core, row = core_at(address, revision - revision), input_at(place, 0)
        row.seq = core.seq + 1
        row.ts_ns = ts_ns
        row.order_id = order_id
        row.owner = owner
        row.price = price
        row.qty = qty
        row.expires_ns = 0
        row.symbol = symbol
        row.op = op
        row.side = side
        row.kind = kind
        row.trigger = 0
        row.flags = 0
        row.link_kind = 0
        done = run(address, place, 0, 1)
        if core.status != DONE:
            return int64(-1 - done)
        n = int64(core.n_events)
        core.n_events = 0
        return n

    return enter


run, list_open, list_shown, take_back, index_again = _entry_points(_revision())
enter = _door(_revision(), run)
