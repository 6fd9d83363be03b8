"""Corporate actions on the books: a state in, the state with other prices and quantities out. Plain, for it is rare."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from trading.exchange.compiled.layout import BUY, PPM, UNSET, Trigger, Where
from trading.exchange.compiled.state import Array, State, packed, unpacked

Change = tuple[int, int, int, int, int, int]
"""Order id, price, open lots, lots still planned (of a leg), stop and trail."""


def adjusted(state: bytes, symbol: int, ratio: tuple[int, int], lowered: int, changes: Iterable[Change]) -> bytes:
    """The books after a split (new and old lots) or a dividend (ticks off) of one symbol.

    Orders named in ``changes`` have their new terms and keep their places; the changes must keep the order of prices.
    A trailing stop's mark follows the price. What was displayed is gone, and what traded last is at its new price.
    """
    found = unpacked(state)
    new, old = ratio
    symbols, orders = found.symbols.copy(), found.orders.copy()
    at = symbols[symbol]
    if at["traded"]:
        at["last"] = _moved(int(at["last"]), new, old, lowered, True)
    places = {int(order_id): place for place, order_id in enumerate(orders["order_id"])}
    for order_id, price, lots, planned, stop, trail in changes:
        order = orders[places[order_id]]
        held = order["where"] == Where.HELD
        order["price"], order["planned"] = price, planned
        order["qty"] = 0 if held else lots
        if order["ahead"] > 0:  # its place behind what was displayed is not known any more
            order["ahead"] = -1
        if order["trigger"] == Trigger.STOP:
            order["stop"] = stop
        elif order["trigger"]:
            order["trail"] = trail
            _follow(order, new, old, lowered)
    _sort_pending(orders, symbol)
    shown = found.shown[found.shown["number"] >> 1 != symbol]
    head = replace(found.head, n_shown=len(shown))
    return packed(State(head, symbols, shown, found.owners, orders))


def _moved(ticks: int, new: int, old: int, lowered: int, up: bool) -> int:
    """A price after the action, rounded up or down to a tick, one tick at least."""
    exact = ticks * old
    return max(1, (-(-exact // new) if up else exact // new) - lowered)


def _follow(order: Any, new: int, old: int, lowered: int) -> None:
    """The mark and the stop of a trailing order; a dividend lowers those of sales alone."""
    sign = 1 - 2 * int(order["side"])
    mark = int(order["mark"])
    if mark == sign * UNSET:
        return
    buys = order["side"] == BUY
    mark = _moved(mark, new, old, 0 if buys else lowered, not buys)
    trail = int(order["trail"])
    away = trail if order["trigger"] == Trigger.TRAIL_TICKS else max(1, abs(mark) * trail // PPM)
    order["mark"], order["stop"] = mark, mark + sign * away


def _sort_pending(orders: Array, symbol: int) -> None:
    """Pending orders stand by stop price, nearest first, then by arrival: two prices may have become one."""
    for side in (0, 1):
        pending = (orders["symbol"] == symbol) & (orders["where"] == Where.PENDING)
        places = np.flatnonzero(pending & (orders["side"] == side))
        rows = orders[places]
        stops = rows["stop"] if side == BUY else -rows["stop"]
        orders[places] = rows[np.lexsort((rows["arrival"], stops))]
