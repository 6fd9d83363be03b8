"""What the outside does: displayed levels, trades, gaps; and sessions that open and close."""

from typing import Any

from trading.exchange.compiled.admission import BAD_QUANTITY, BAD_SIDE, UNKNOWN_SYMBOL, fault_outside, reject
from trading.exchange.compiled.layout import BUY, SELL, Accepted, Cancelled, Event, Fill, Flag, Kind, Model, Op
from trading.exchange.compiled.links import CANCELLED, make_dirty, over, spent
from trading.exchange.compiled.matching import outside_reaches, refer, take, trade_passes, would_take
from trading.exchange.compiled.orders import rest, tell, withdraw
from trading.exchange.compiled.outside import clear_outside, free_the_better, level_changed, set_level
from trading.exchange.compiled.pointers import compiled_apart, int64, order_at, symbol_at
from trading.exchange.compiled.requests import end

RESTED, NOW = int64(Event.RESTED), int64(Accepted.NOW)
MARKET, POST_ONLY, QUEUE = int64(Kind.MARKET), int64(Kind.POST_ONLY), int64(Model.QUEUE)
NO_LIQUIDITY, BY_POST_ONLY = int64(Cancelled.NO_LIQUIDITY), int64(Cancelled.POST_ONLY)
TRADE_RULE, MORE, RESET = int64(Fill.TRADE), int64(Flag.MORE), int64(Flag.RESET)
QUOTE, TRADE, GAP, SESSION = int64(Op.QUOTE), int64(Op.TRADE), int64(Op.GAP), int64(Op.SESSION)


@compiled_apart
def retry(core: Any, symbol: int) -> None:
    """Orders that waited meet the market, in the order in which they came."""
    outside = symbol_at(core.symbols, symbol).outside != 0
    slot = int64(symbol_at(core.symbols, symbol).wait_head)
    while slot != 0:
        order = order_at(core.orders, slot)
        side, kind = int64(order.side), int64(order.kind)
        core.cursor = order.next
        if kind == POST_ONLY and would_take(core, symbol, side, order.price):
            end(core, slot, CANCELLED, BY_POST_ONLY, False)
        else:
            linked = slot if order.links != 0 else int64(0)
            left = take(core, symbol, side, order.id, order.owner, kind, order.price, order.qty, linked)
            if left > 0 and kind == MARKET and outside:
                order.qty = left
            else:
                withdraw(core, slot)
                if left == 0:
                    spent(core, slot)
                elif left > 0 and kind != MARKET:
                    order.qty = left
                    rest(core, slot)
                    tell(core, slot, RESTED, NOW, left, left)
                else:
                    if left > 0:
                        tell(core, slot, CANCELLED, NO_LIQUIDITY, int64(0), left)
                    over(core, slot, False)
        slot = int64(core.cursor)
    core.cursor = 0


@compiled_apart
def _complete(core: Any, symbol: int) -> None:
    """An update of the outside is complete: orders that waited and orders that rest meet it."""
    book = symbol_at(core.symbols, symbol)
    book.outside = 1
    if core.model == QUEUE:
        free_the_better(core, 2 * symbol)
        free_the_better(core, 2 * symbol + 1)
    if book.closed != 0 or book.gapped != 0:
        return
    book.fresh = 1
    book.received_ns = core.now_ns
    if book.traded == 0 and (book.n_pending != 0 or core.more != 0):
        book.quoted = 1
        make_dirty(core, symbol)
    retry(core, symbol)
    outside_reaches(core, symbol, int64(BUY))
    outside_reaches(core, symbol, int64(SELL))


@compiled_apart
def _level(core: Any, number: int, price: int, qty: int) -> None:
    set_level(core, number, price, qty, qty)
    if core.model == QUEUE:
        level_changed(core, number, price, qty)


@compiled_apart
def quote(core: Any, row: Any, symbol: int) -> None:
    """The outside displays one level a side and nothing else."""
    code = fault_outside(row.price, row.qty)
    if code == 0:
        code = fault_outside(row.ask_price, row.ask_qty)
    if code != 0:
        reject(core, row, code)
        return
    symbol_at(core.symbols, symbol).gapped = 0
    clear_outside(core, 2 * symbol)
    clear_outside(core, 2 * symbol + 1)
    if row.qty != 0:
        _level(core, 2 * symbol, row.price, row.qty)
    if row.ask_qty != 0:
        _level(core, 2 * symbol + 1, row.ask_price, row.ask_qty)
    _complete(core, symbol)


@compiled_apart
def depth(core: Any, row: Any, symbol: int) -> None:
    """The outside displays so much at one price now."""
    code = BAD_SIDE if row.side > SELL else fault_outside(row.price, row.qty)
    if code != 0:
        reject(core, row, code)
        return
    if row.flags & RESET != 0:
        symbol_at(core.symbols, symbol).gapped = 0
        clear_outside(core, 2 * symbol)
        clear_outside(core, 2 * symbol + 1)
    _level(core, 2 * symbol + int64(row.side), row.price, row.qty)
    if row.flags & MORE == 0:
        _complete(core, symbol)


@compiled_apart
def trade(core: Any, row: Any, symbol: int) -> None:
    """A trade outside."""
    code = fault_outside(row.price, row.qty)
    if code != 0:
        reject(core, row, code)
    elif row.qty != 0 and symbol_at(core.symbols, symbol).closed == 0:
        refer(core, symbol, row.price)
        left = trade_passes(core, symbol, int64(BUY), row.price, row.qty, TRADE_RULE)
        trade_passes(core, symbol, int64(SELL), row.price, left, TRADE_RULE)


@compiled_apart
def _each(core: Any, row: Any, symbol: int) -> None:
    """A gap of one symbol, or its session opens (when it is settled, next) or closes."""
    book = symbol_at(core.symbols, symbol)
    if row.op == GAP:
        book.fresh = 0
        book.gapped = 1
    elif row.qty == 0:
        book.fresh = 0
        book.closed = 1
    elif book.closed != 0:
        book.opening = 1
        make_dirty(core, symbol)


@compiled_apart
def hear(core: Any, row: Any) -> None:
    """News of one symbol; a gap or a session of symbol -1 is one of all."""
    many = row.symbol == -1 and (row.op == GAP or row.op == SESSION)
    if not many and (row.symbol < 0 or row.symbol >= core.n_symbols):
        reject(core, row, UNKNOWN_SYMBOL)
    elif row.op == SESSION and (row.qty < 0 or row.qty > 1):
        reject(core, row, BAD_QUANTITY)
    elif many:
        for each in range(core.n_symbols):
            _each(core, row, each)
    elif row.op == QUOTE:
        quote(core, row, int64(row.symbol))
    elif row.op == TRADE:
        trade(core, row, int64(row.symbol))
    elif row.op == GAP or row.op == SESSION:
        _each(core, row, int64(row.symbol))
    else:
        depth(core, row, int64(row.symbol))
