"""Trades: an order against users and the outside, and what the outside does to orders that rest.

Users come before the outside at an equal price, then time; nothing trades through a better price, nor beyond an
order's limit; no trade between orders of one owner: the newer is cancelled. Owner 0 is nobody.
"""

from typing import Any

from trading.exchange.compiled.layout import Cancelled, Event, Fill, Kind, Model
from trading.exchange.compiled.levels import bits_of, find_best, head_at, levels_of, next_worse, remove, unmark
from trading.exchange.compiled.links import filled, make_dirty, spent
from trading.exchange.compiled.orders import emit, is_live, release, release_here
from trading.exchange.compiled.pointers import (
    cold_at,
    compiled,
    compiled_apart,
    far_at,
    int64,
    level_at,
    order_at,
    shown_at,
    side_at,
    symbol_at,
)

FILL, CANCELLED = int64(Event.FILL), int64(Event.CANCELLED)
CROSS, QUOTE, QUOTE_REACHED = int64(Fill.CROSS), int64(Fill.QUOTE), int64(Fill.QUOTE_REACHED)
SELF_TRADE, PRICE_PROTECTION = int64(Cancelled.SELF_TRADE), int64(Cancelled.PRICE_PROTECTION)
LIMIT, MARKET = int64(Kind.LIMIT), int64(Kind.MARKET)
TOUCH, QUEUE = int64(Model.TOUCH), int64(Model.QUEUE)


@compiled_apart
def _widen(core: Any, symbol: int, price: int) -> None:
    """Note a reference price for the next round of settling."""
    book = symbol_at(core.symbols, symbol)
    if book.ranged == 0:
        book.ranged = 1
        book.low = price
        book.high = price
        make_dirty(core, symbol)
    else:
        book.low = min(book.low, price)
        book.high = max(book.high, price)


@compiled
def refer(core: Any, symbol: int, price: int) -> None:
    """A trade gave a reference price. Nobody will ask for its range where nothing is pending or can become so."""
    book = symbol_at(core.symbols, symbol)
    book.last = price
    book.traded = 1
    if book.n_pending != 0 or core.more != 0:
        _widen(core, symbol, price)


@compiled
def _hit(core: Any, number: int, taker: int, owner: int, qty: int, linked: int) -> int:
    """Take from the best level; returns the lots still open, negative where an order of ``owner`` came first.

    Stops after a fill that others hang on, with the level as it then is, and tells them.
    """
    edge = side_at(core.sides, number)
    at = edge.best
    level, price = level_at(levels_of(core, number), at), edge.base + at
    slot = int64(level.head)
    traded, maker_slot, rests = int64(0), int64(0), True
    while slot != 0 and qty > 0:
        maker = order_at(core.orders, slot)
        if owner != 0 and maker.owner == owner:
            qty = -qty
            break
        open_lots = maker.qty
        traded = min(open_lots, qty)
        qty -= traded
        emit(core, FILL, CROSS, number >> 1, 1 - (number & 1), taker, maker.id, price, traded, qty)
        if linked != 0 or maker.links != 0:
            maker_slot, rests = slot, traded < open_lots
            maker.qty = open_lots - traded
            if not rests:
                slot = int64(maker.next)
            break
        if traded == open_lots:
            behind = int64(maker.next)
            release(core, slot)
            slot = behind
        else:
            maker.qty = open_lots - traded
    level.head = slot
    if slot != 0:
        order_at(core.orders, slot).prev = 0
    else:
        level.tail = 0
        unmark(bits_of(core, number), at)
        find_best(core, number)
    if traded != 0:
        refer(core, number >> 1, price)
        if maker_slot != 0:
            _tell_linked(core, linked, maker_slot, traded, rests)
    return qty


@compiled_apart
def _tell_linked(core: Any, taker: int, maker: int, lots: int, rests: bool) -> None:
    """A fill of two orders of which at least one is linked (``taker`` is 0 where it is not)."""
    if taker != 0:
        filled(core, taker, lots)
    if order_at(core.orders, maker).links != 0:
        filled(core, maker, lots)
    if not rests:
        spent(core, maker)


@compiled_apart
def take(
    core: Any, symbol: int, side: int, taker: int, owner: int, kind: int, limit: int, qty: int, linked: int
) -> int:
    """Trade as the taker, best price first; returns the lots still open, 0 where all is filled.

    Where the order is over otherwise, its event is told and the open lots come back negative. ``linked`` is the slot of
    a linked order, else 0.
    """
    number = 2 * symbol + 1 - side
    sign = 1 - 2 * side
    edge = side_at(core.sides, number)
    live = is_live(core, symbol)
    while qty > 0:
        inside = edge.best >= 0
        price = edge.base + edge.best
        if live and edge.front != 0 and (not inside or sign * (shown_at(core.shown, edge.front).price - price) < 0):
            inside = False
            price = shown_at(core.shown, edge.front).price
        elif not inside:
            break
        if sign * (price - limit) > 0:
            if kind == MARKET:
                emit(core, CANCELLED, PRICE_PROTECTION, symbol, side, taker, int64(0), limit, int64(0), qty)
                return -qty
            break
        if inside:
            qty = _hit(core, number, taker, owner, qty, linked)
            if qty < 0:
                emit(core, CANCELLED, SELF_TRADE, symbol, side, taker, int64(0), limit, int64(0), -qty)
        else:
            traded = min(qty, shown_at(core.shown, edge.front).left)
            qty -= traded
            emit(core, FILL, QUOTE, symbol, side, taker, int64(0), price, traded, qty)
            use_front(core, number, traded)
            if linked != 0:
                filled(core, linked, traded)
    return qty


@compiled
def crosses(core: Any, number: int, limit: int) -> bool:
    """Whether an order would trade at once with those that rest on side ``number``."""
    edge = side_at(core.sides, number)
    return bool(edge.best >= 0 and (2 * (number & 1) - 1) * (edge.base + edge.best - limit) <= 0)


@compiled_apart
def take_plain(core: Any, number: int, taker: int, owner: int, limit: int, qty: int) -> int:
    """`take` from side ``number`` for a limit order without links, where there is no outside.

    Straight, as it is hot: at the first maker with links, or of the same owner, it hands over to `take`.
    """
    edge = side_at(core.sides, number)
    plain = True
    while qty > 0 and plain and crosses(core, number, limit):
        at, before = edge.best, qty
        level, price = level_at(levels_of(core, number), at), edge.base + at
        slot = int64(level.head)
        while slot != 0 and qty > 0:
            maker = order_at(core.orders, slot)
            if maker.links != 0 or (owner != 0 and maker.owner == owner):
                plain = False
                break
            open_lots = maker.qty
            traded = min(open_lots, qty)
            qty -= traded
            emit(core, FILL, CROSS, number >> 1, 1 - (number & 1), taker, maker.id, price, traded, qty)
            if traded < open_lots:
                maker.qty = open_lots - traded
                break
            behind = int64(maker.next)
            release_here(core, slot)
            slot = behind
        level.head = slot
        if slot != 0:
            order_at(core.orders, slot).prev = 0
        else:
            level.tail = 0
            unmark(bits_of(core, number), at)
            find_best(core, number)
        if qty != before:
            refer(core, number >> 1, price)
    if plain:
        return qty
    return int64(take(core, number >> 1, 1 - (number & 1), taker, owner, LIMIT, limit, qty, int64(0)))


@compiled_apart
def use_front(core: Any, number: int, lots: int) -> None:
    """So many lots of the outside's best level are used."""
    edge = side_at(core.sides, number)
    shown_at(core.shown, edge.front).left -= lots
    while edge.front != 0 and shown_at(core.shown, edge.front).left == 0:
        edge.front = shown_at(core.shown, edge.front).next


@compiled_apart
def would_take(core: Any, symbol: int, side: int, limit: int) -> bool:
    """Whether an order would trade at once. In a closed session nothing does."""
    edge, sign = side_at(core.sides, 2 * symbol + 1 - side), 1 - 2 * side
    if symbol_at(core.symbols, symbol).closed != 0:
        return False
    if edge.best >= 0 and sign * (edge.base + edge.best - limit) <= 0:
        return True
    if edge.front == 0 or not is_live(core, symbol):
        return False
    return bool(sign * (shown_at(core.shown, edge.front).price - limit) <= 0)


@compiled_apart
def _offered(core: Any, slot: int) -> int:
    """Open lots of a resting order, less what its sibling's fill would take from it where that stands before it."""
    order = order_at(core.orders, slot)
    if order.links == 0:
        return int64(order.qty)
    sibling = int64(cold_at(core.cold, slot).sibling)
    if sibling == 0:
        return int64(order.qty)
    other = order_at(core.orders, sibling)
    if other.where != order.where or other.side != order.side:
        return int64(order.qty)
    before = (1 - 2 * int64(order.side)) * (other.price - order.price) > 0
    at = int64(order.prev) if other.price == order.price else int64(0)
    while at != 0:
        before = before or at == sibling
        at = int64(order_at(core.orders, at).prev)
    return max(int64(0), int64(order.qty - other.qty)) if before else int64(order.qty)


@compiled
def _queue(core: Any, slot: int, owner: int, qty: int) -> int:
    """Lots still missing after the orders from ``slot`` on; negative where an order of ``owner`` stands before."""
    while slot != 0 and qty > 0:
        order = order_at(core.orders, slot)
        if owner != 0 and order.owner == owner:
            return -qty
        qty -= _offered(core, slot)
        slot = int64(order.next)
    return max(qty, 0)


@compiled_apart
def can_fill(core: Any, symbol: int, side: int, owner: int, limit: int, qty: int) -> bool:
    """Whether all of an order could trade at once."""
    number, sign = 2 * symbol + 1 - side, 1 - 2 * side
    edge, levels, bits = side_at(core.sides, number), levels_of(core, number), bits_of(core, number)
    shown = int64(edge.front) if is_live(core, symbol) else int64(0)
    at, far = int64(edge.best), int64(edge.far)
    if at < 0:
        far = int64(0)
    while qty > 0:
        price, slot = limit, int64(0)
        if at >= 0:
            price, slot = edge.base + at, int64(level_at(levels, at).head)
        elif far != 0:
            price, slot = far_at(core.far, far).price, int64(far_at(core.far, far).head)
        if slot == 0 or sign * (price - limit) > 0:
            break
        if shown != 0 and sign * (shown_at(core.shown, shown).price - price) < 0:
            qty -= shown_at(core.shown, shown).left
            shown = int64(shown_at(core.shown, shown).next)
            continue
        qty = _queue(core, slot, owner, qty)
        if qty < 0:
            return False
        if at >= 0:
            at = next_worse(bits, number & 1, at)
        else:
            far = int64(far_at(core.far, far).next)
    while qty > 0 and shown != 0 and sign * (shown_at(core.shown, shown).price - limit) <= 0:
        qty -= shown_at(core.shown, shown).left
        shown = int64(shown_at(core.shown, shown).next)
    return qty <= 0


@compiled_apart
def _fill_resting(core: Any, number: int, slot: int, lots: int, code: int) -> int:
    """The outside takes up to ``lots`` from an order in the book, at its limit; returns what traded."""
    order = order_at(core.orders, slot)
    traded = min(lots, order.qty)
    order.qty -= traded
    emit(core, FILL, code, number >> 1, 1 - (number & 1), int64(0), order.id, order.price, traded, order.qty)
    rests = order.qty != 0
    if not rests:
        remove(core, number, slot)
    if order.links != 0:
        filled(core, slot, traded)
    if not rests:
        spent(core, slot)
    return int64(traded)


@compiled
def _first(core: Any, number: int) -> int:
    return int64(level_at(levels_of(core, number), side_at(core.sides, number).best).head)


@compiled_apart
def outside_reaches(core: Any, symbol: int, side: int) -> None:
    """Orders of a side that the opposite outside has come to fill at their own limit."""
    number, other, sign = 2 * symbol + side, 2 * symbol + 1 - side, 1 - 2 * side
    edge, facing = side_at(core.sides, number), side_at(core.sides, other)
    while edge.best >= 0 and facing.front != 0:
        level = shown_at(core.shown, facing.front)
        if sign * (level.price - edge.base - edge.best) > 0:
            break
        use_front(core, other, _fill_resting(core, number, _first(core, number), int64(level.left), QUOTE_REACHED))


@compiled_apart
def trade_passes(core: Any, symbol: int, side: int, price: int, lots: int, code: int) -> int:
    """A printed trade fills the orders of a side that it went beyond; returns the printed lots still unused.

    Under the model "touch" a trade at an order's limit is enough; under "queue" it must first use up what was before.
    """
    number, sign = 2 * symbol + side, 1 - 2 * side
    edge, touch = side_at(core.sides, number), int64(core.model == TOUCH)
    while lots > 0 and edge.best >= 0 and sign * (edge.base + edge.best - price) + touch > 0:
        lots -= _fill_resting(core, number, _first(core, number), lots, code)
    if core.model == QUEUE and lots > 0 and edge.best >= 0 and edge.base + edge.best == price:
        lots = _trade_at(core, number, price, lots, code)
    return lots


@compiled_apart
def _trade_at(core: Any, number: int, price: int, lots: int, code: int) -> int:
    """A printed trade goes through the queue at a price: what the outside has before each user, and the users.

    Returns the printed lots still unused. One who does not know what is before him stops it.
    """
    used = int64(0)
    slot = head_at(core, number, price)
    while slot != 0 and lots > 0:
        ahead = cold_at(core.cold, slot).ahead
        if ahead < 0:
            break
        outside = min(max(int64(0), ahead - used), lots)
        used += outside
        lots -= outside
        core.cursor = order_at(core.orders, slot).next
        if lots > 0:
            lots -= _fill_resting(core, number, slot, lots, code)
        slot = int64(core.cursor)
    core.cursor = 0
    slot = head_at(core, number, price)
    while slot != 0:
        cold = cold_at(core.cold, slot)
        if cold.ahead > 0:
            cold.ahead -= min(cold.ahead, used)
        slot = int64(order_at(core.orders, slot).next)
    return lots
