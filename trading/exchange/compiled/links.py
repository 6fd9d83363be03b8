"""Orders that hang together: siblings of which only one may fill, and exit legs that grow as their entry fills.

A linked order has an owner, so it never trades with its own sibling or leg: it would be a self-trade.
"""

from typing import Any

from trading.exchange.compiled.layout import Cancelled, Event, Sized, Where
from trading.exchange.compiled.orders import hold, line_up, release, tell, withdraw
from trading.exchange.compiled.pointers import cold_at, compiled_apart, int64, order_at, symbol_at

CANCELLED, SIZED = int64(Event.CANCELLED), int64(Event.SIZED)
BY_OCO, ENTRY_OVER = int64(Cancelled.OCO), int64(Cancelled.ENTRY_OVER)
GROWN, SHRUNK = int64(Sized.GROWN), int64(Sized.SHRUNK)
HELD, PENDING = int64(Where.HELD), int64(Where.PENDING)


@compiled_apart
def make_dirty(core: Any, symbol: int) -> None:
    """A symbol has something to settle."""
    book = symbol_at(core.symbols, symbol)
    if book.dirty == 0:
        book.dirty = 1
        book.dirty_next = 0
        if core.dirty_tail != 0:
            symbol_at(core.symbols, core.dirty_tail - 1).dirty_next = symbol + 1
        else:
            core.dirty_head = symbol + 1
        core.dirty_tail = symbol + 1


@compiled_apart
def second_leg(core: Any, entry: int) -> int:
    """The sibling of an entry's first leg, if it is a leg of that entry too, else 0."""
    sibling = int64(cold_at(core.cold, cold_at(core.cold, entry).legs).sibling)
    return sibling if sibling != 0 and cold_at(core.cold, sibling).entry == entry else int64(0)


@compiled_apart
def _note_growth(core: Any, leg: int, lots: int) -> None:
    """The entry of a leg has filled: the leg grows in the next round."""
    cold, symbol = cold_at(core.cold, leg), int64(order_at(core.orders, leg).symbol)
    book = symbol_at(core.symbols, symbol)
    if cold.grown == 0:
        cold.grow_next = 0
        cold.grow_prev = book.grow_tail
        if book.grow_tail != 0:
            cold_at(core.cold, book.grow_tail).grow_next = leg
        else:
            book.grow_head = leg
        book.grow_tail = leg
    cold.grown += lots
    make_dirty(core, symbol)


@compiled_apart
def _leave_entry(core: Any, slot: int) -> None:
    """A leg is over: its entry goes on with the other one or alone. The sibling is still known."""
    cold = cold_at(core.cold, slot)
    if cold.entry != 0 and cold_at(core.cold, cold.entry).legs == slot:
        cold_at(core.cold, cold.entry).legs = second_leg(core, int64(cold.entry))


@compiled_apart
def drop_leg(core: Any, leg: int) -> None:
    """The entry is over: its leg grows by what has been filled, and is cancelled where that leaves it with nothing."""
    order, cold = order_at(core.orders, leg), cold_at(core.cold, leg)
    cold.entry = 0
    cold.planned = min(cold.planned, cold.grown)
    if order.qty == 0 and cold.planned == 0:
        tell(core, leg, CANCELLED, ENTRY_OVER, int64(0), int64(0))
        withdraw(core, leg)
        if cold.sibling != 0:
            cold_at(core.cold, cold.sibling).sibling = 0
        release(core, leg)


@compiled_apart
def end_legs(core: Any, slot: int) -> None:
    """An entry is over."""
    first = int64(cold_at(core.cold, slot).legs)
    if first != 0:
        second = second_leg(core, slot)
        drop_leg(core, first)
        if second != 0:
            drop_leg(core, second)


@compiled_apart
def over(core: Any, slot: int, with_sibling: bool) -> None:
    """An order has ended, its own event is told and it is in no queue: what that does to those it hangs with."""
    if order_at(core.orders, slot).links != 0:
        cold = cold_at(core.cold, slot)
        _leave_entry(core, slot)
        sibling = int64(cold.sibling)
        if sibling != 0:
            cold.sibling = 0
            cold_at(core.cold, sibling).sibling = 0
            if with_sibling:
                tell(core, sibling, CANCELLED, BY_OCO, int64(0), order_at(core.orders, sibling).qty)
                withdraw(core, sibling)
                _leave_entry(core, sibling)
                end_legs(core, sibling)
                release(core, sibling)
        end_legs(core, slot)
    release(core, slot)


@compiled_apart
def spent(core: Any, slot: int) -> None:
    """An order has nothing open any more and is in no queue: it is over, or, if its entry may go on, held."""
    order = order_at(core.orders, slot)
    if order.links != 0 and cold_at(core.cold, slot).planned > 0:
        order.qty = 0
        hold(core, slot)
    else:
        over(core, slot, False)


@compiled_apart
def _shrink(core: Any, slot: int, lots: int) -> None:
    """The sibling has filled."""
    order = order_at(core.orders, slot)
    change = min(lots, order.qty)
    if change == 0:
        return
    if order.qty == change and cold_at(core.cold, slot).planned == 0:
        tell(core, slot, CANCELLED, BY_OCO, int64(0), order.qty)
        withdraw(core, slot)
        over(core, slot, False)
        return
    order.qty -= change
    tell(core, slot, SIZED, SHRUNK, change, order.qty)
    if order.qty == 0:
        withdraw(core, slot)
        hold(core, slot)


@compiled_apart
def filled(core: Any, slot: int, lots: int) -> None:
    """A linked order has filled; the queues are consistent. Its sibling shrinks at once, its legs in the next round."""
    cold = cold_at(core.cold, slot)
    if cold.legs != 0:
        second = second_leg(core, slot)
        _note_growth(core, int64(cold.legs), lots)
        if second != 0:
            _note_growth(core, second, lots)
    if cold.sibling != 0:
        _shrink(core, int64(cold.sibling), lots)


@compiled_apart
def grow_legs(core: Any, symbol: int) -> None:
    """Legs grow by what their entries have filled; those that must enter anew line up for it."""
    book = symbol_at(core.symbols, symbol)
    while book.grow_head != 0:
        leg = int64(book.grow_head)
        order, cold = order_at(core.orders, leg), cold_at(core.cold, leg)
        change = min(cold.grown, cold.planned)
        book.grow_head = cold.grow_next
        if cold.grow_next != 0:
            cold_at(core.cold, cold.grow_next).grow_prev = 0
        else:
            book.grow_tail = 0
        cold.grown = 0
        if change != 0:
            cold.planned -= change
            order.qty += change
            tell(core, leg, SIZED, GROWN, change, order.qty)
            if order.where == HELD:
                cold.arrival = core.event_seq
            if order.where != PENDING:
                withdraw(core, leg)
                line_up(core, leg)
