"""From messages to rows of the core: one packed `INPUT` record each. Pure; the caller numbers rows and symbols."""

import struct
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
    """Append what a tick means to the core, in order: gap, session, liquidity, trade. Row n has number ``before`` + n.

    A ``deep`` symbol lives on its levels: its quotes are for screens. One that is not yet deep has no levels to change.
    """
    _, kind, _, _, _, bid, ask, bid_lots, ask_lots, price, lots = tick
    if kind & GAP:
        rows.append(gap_row(before + len(rows) + 1, ts_ns, symbol))
    if kind & (CLOSED | OPENED):
        rows.append(session_row(before + len(rows) + 1, ts_ns, symbol, bool(kind & OPENED)))
    if kind & QUOTE and not deep:
        seq = before + len(rows) + 1
        rows.append(_pack(seq, ts_ns, 0, 0, bid, bid_lots, ask, ask_lots, 0, 0, 0, 0, symbol, _QUOTE, 0, 0, 0, 0, 0))
    if kind & DEPTH and deep:
        first, last = _RESET if kind & RESET else 0, _MORE if kind & MORE else 0
        changes = [change for change in ((bid, bid_lots, BUY), (ask, ask_lots, SELL)) if change[1] >= 0]
        # A record without a change still clears the sides or ends an update.
        changes = changes or [(0, 0, BUY)]
        for n, (level, size, side) in enumerate(changes, 1):
            flags = first | (last if n == len(changes) else _MORE)
            seq, first = before + len(rows) + 1, 0
            rows.append(_pack(seq, ts_ns, 0, 0, level, size, 0, 0, 0, 0, 0, 0, symbol, _DEPTH, side, 0, 0, flags, 0))
    if kind & TRADE:
        seq = before + len(rows) + 1
        rows.append(_pack(seq, ts_ns, 0, 0, price, lots, 0, 0, 0, 0, 0, 0, symbol, _TRADE, 0, 0, 0, 0, 0))
