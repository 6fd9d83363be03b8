"""From messages to rows of the core: one packed `INPUT` record each. Pure; the caller numbers rows and symbols."""

import struct
from collections.abc import Sequence
from typing import Final

from trading.exchange.compiled.layout import BUY, SELL, Flag, Kind, Link, Op, Trigger
from trading.exchange.messages import Modify, Submit

INPUT_ROW: Final = struct.Struct("<12qi6B6x")
"""seq, ts, order, owner, price, qty, ask price, ask qty, expires, stop, trail, link, symbol, then op, side, kind,
trigger, flags, link kind: an `INPUT` record."""

QUOTE, TRADE, GAP, DEPTH, RESET, MORE, CLOSED, OPENED = 1, 2, 4, 8, 16, 32, 64, 128
"""Bits of a tick's ``kind``; `trading.market.ticks` says what they mean."""
ALL_SYMBOLS: Final = -1
"""In place of a symbol: all of them."""

_ADD, _CANCEL, _MODIFY, _QUOTE, _TRADE, _GAP, _TIME, _DEPTH, _SESSION, _HALT = (
    int(op)
    for op in (
        Op.ADD,
        Op.CANCEL,
        Op.MODIFY,
        Op.QUOTE,
        Op.TRADE,
        Op.GAP,
        Op.TIME,
        Op.DEPTH,
        Op.SESSION,
        Op.HALT,
    )
)
_LIMIT, _MARKET = int(Kind.LIMIT), int(Kind.MARKET)
_TIF_KINDS: Final = {"ioc": int(Kind.IOC), "fok": int(Kind.FOK)}
_TRIGGERS: Final = {
    "": int(Trigger.NONE),
    "stop": int(Trigger.STOP),
    "trail": int(Trigger.TRAIL_TICKS),
    "trail_ppm": int(Trigger.TRAIL_PPM),
}
_LINKS: Final = {
    "": int(Link.NONE),
    "oco": int(Link.OCO),
    "held": int(Link.HELD),
    "held_oco": int(Link.HELD_OCO),
    "entry": int(Link.ENTRY),
}
_MORE, _RESET = int(Flag.MORE), int(Flag.RESET)
_pack = INPUT_ROW.pack

LevelChange = tuple[int, int, int]
"""Side of the core, price, lots displayed now."""

Record = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""A tick: instrument, kind, aggressor, then seq to trade_lots, as in `messages.Tick`."""


def submit_row(seq: int, ts_ns: int, symbol: int, order: Submit, more: bool) -> bytes:
    """A new order; ``more`` where others of its group follow. The core's owner is the user."""
    kind = _TIF_KINDS.get(order.tif) or (_MARKET if order.market else _LIMIT)
    if order.post_only and kind == _LIMIT:
        kind = int(Kind.POST_ONLY)
    return _pack(
        seq,
        ts_ns,
        order.order_id,
        order.user_id,
        order.limit_ticks,
        order.quantity_lots,
        0,
        0,
        order.expires_ns or 0,
        order.stop_ticks,
        order.trail,
        order.link_order_id,
        symbol,
        _ADD,
        BUY if order.direction > 0 else SELL,
        kind,
        _TRIGGERS[order.trigger],
        _MORE if more else 0,
        _LINKS[order.link],
    )


def modify_row(seq: int, ts_ns: int, change: Modify) -> bytes:
    """New terms of an open order."""
    order_id, price, lots, stop, trail = (
        change.order_id,
        change.limit_ticks,
        change.open_lots,
        change.stop_ticks,
        change.trail,
    )
    return _pack(seq, ts_ns, order_id, 0, price, lots, 0, 0, 0, stop, trail, 0, 0, _MODIFY, 0, 0, 0, 0, 0)


def cancel_row(seq: int, ts_ns: int, order_id: int) -> bytes:
    """Take an order out."""
    return _plain(seq, ts_ns, _CANCEL, order_id=order_id)


def halt_row(seq: int, ts_ns: int, symbol: int, owner: int, on: bool) -> bytes:
    """The kill switch of a symbol, else of an owner, else (`ALL_SYMBOLS` and nobody) of the floor."""
    return _plain(seq, ts_ns, _HALT, symbol=symbol, owner=owner, qty=on)


def session_row(seq: int, ts_ns: int, symbol: int, opens: bool) -> bytes:
    """A symbol's session begins or ends."""
    return _plain(seq, ts_ns, _SESSION, symbol=symbol, qty=opens)


def gap_row(seq: int, ts_ns: int, symbol: int = ALL_SYMBOLS) -> bytes:
    """Ticks were lost."""
    return _plain(seq, ts_ns, _GAP, symbol=symbol)


def time_row(seq: int, ts_ns: int) -> bytes:
    """Time passed."""
    return _plain(seq, ts_ns, _TIME)


def _plain(seq: int, ts_ns: int, op: int, *, order_id: int = 0, owner: int = 0, qty: int = 0, symbol: int = 0) -> bytes:
    return _pack(seq, ts_ns, order_id, owner, 0, qty, 0, 0, 0, 0, 0, 0, symbol, op, 0, 0, 0, 0, 0)


def tick_rows(rows: list[bytes], before: int, ts_ns: int, symbol: int, deep: bool, tick: Record) -> None:
    """Append what a tick means to the core but for its levels: gap, session, quote. Row n gets number ``before`` + n.

    A ``deep`` symbol lives on its levels: its quotes are for screens.
    """
    _, kind, _, _, _, bid, ask, bid_lots, ask_lots, _, _ = tick
    if kind & GAP:
        rows.append(gap_row(before + len(rows) + 1, ts_ns, symbol))
    if kind & (CLOSED | OPENED):
        rows.append(session_row(before + len(rows) + 1, ts_ns, symbol, bool(kind & OPENED)))
    if kind & QUOTE and not deep:
        seq = before + len(rows) + 1
        rows.append(_pack(seq, ts_ns, 0, 0, bid, bid_lots, ask, ask_lots, 0, 0, 0, 0, symbol, _QUOTE, 0, 0, 0, 0, 0))


def trade_row(seq: int, ts_ns: int, symbol: int, tick: Record) -> bytes:
    """The print that a tick carries."""
    return _pack(seq, ts_ns, 0, 0, tick[9], tick[10], 0, 0, 0, 0, 0, 0, symbol, _TRADE, 0, 0, 0, 0, 0)


def level_changes(tick: Record) -> list[LevelChange]:
    """The level of each side that a depth record changes, where it changes one."""
    changes = ((BUY, tick[5], tick[7]), (SELL, tick[6], tick[8]))
    return [change for change in changes if change[2] >= 0]


def depth_rows(
    rows: list[bytes], before: int, ts_ns: int, symbol: int, resets: bool, changes: Sequence[LevelChange]
) -> None:
    """Append one whole update of a book. One without a change still clears the sides, or says that the book lives."""
    changes = changes or [(BUY, 0, 0)]
    flags = _RESET if resets else 0
    for n, (side, price, lots) in enumerate(changes, 1):
        seq = before + len(rows) + 1
        more = _MORE if n < len(changes) else 0
        rows.append(_pack(seq, ts_ns, 0, 0, price, lots, 0, 0, 0, 0, 0, 0, symbol, _DEPTH, side, 0, 0, flags | more, 0))
        flags = 0
