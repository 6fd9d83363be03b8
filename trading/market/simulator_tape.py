"""From the simulator's books to records of the tape: published depth, its changes, and the sequence of an update.

The records of one update of one instrument lie behind each other and share a time: what happened to the session, the
trades, the depth (changed levels, or a snapshot), and the quote where the top of the book has changed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.exchange.compiled.layout import BUY, Event
from trading.market.simulator_prices import Ints
from trading.market.ticks import CLOSED, DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TICK, TRADE, Ticks

DEPTH_LEVELS = 10
"""Published levels a side."""
NO_CHANGE = -1
"""``lots`` of a side that a DEPTH record says nothing about."""
_FILL = int(Event.FILL)
_PRICE_SPAN = np.int64(1 << 40)
"""More than any price in ticks: makes one number of a side and a price that sorts by both."""

Bools = NDArray[np.bool_]
Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Depth:
    """Best levels of every book, (instruments, 2 sides, levels), best first; ``lots`` 0 where there is none."""

    ticks: Ints
    lots: Ints

    @classmethod
    def empty(cls, n: int) -> "Depth":
        """Books with nothing in them."""
        shape = (n, 2, DEPTH_LEVELS)
        return cls(np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64))


def depth_of(orders: Rows, n: int) -> Depth:
    """The published levels out of an engine's open orders, which come by instrument, side and priority."""
    depth = Depth.empty(n)
    if len(orders) == 0:
        return depth
    book = 2 * orders["symbol"].astype(np.int64) + orders["side"]
    price = orders["price"]
    new_book = np.concatenate(([True], np.diff(book) != 0))
    first = np.flatnonzero(new_book | np.concatenate(([True], np.diff(price) != 0)))
    total = np.add.reduceat(orders["qty"], first)
    ordinal = np.arange(len(first))
    begins = np.flatnonzero(new_book[first])
    rank = ordinal - np.repeat(begins, np.diff(np.append(begins, len(first))))
    shown = rank < DEPTH_LEVELS
    place = (book[first][shown], rank[shown])
    depth.ticks.reshape(2 * n, -1)[place] = price[first][shown]
    depth.lots.reshape(2 * n, -1)[place] = total[shown]
    return depth


@dataclass(frozen=True, slots=True)
class Update:
    """What a step did to the tape of some instruments, by instrument: everything `records` needs.

    ``place`` are the instruments; ``ts_ns`` the time of each one's update; the flags are theirs too. ``trades`` are
    aggregated fills (place, price, lots, aggressor), in order.
    """

    place: NDArray[np.intp]
    ts_ns: Ints
    snapshot: Bools
    lost: Bools
    opened: Bools
    closed: Bools
    trades: tuple[Ints, Ints, Ints, Ints]


def trades_of(events: Rows) -> tuple[Ints, Ints, Ints, Ints]:
    """Fills of one order at one price are one trade: place, price, lots, aggressor (1 buyer, -1 seller)."""
    fills = events[events["kind"] == _FILL]
    none = np.empty(0, dtype=np.int64)
    if len(fills) == 0:
        return none, none, none, none
    changes = (np.diff(fills["order_id"]) != 0) | (np.diff(fills["price"]) != 0)
    first = np.concatenate(([0], np.flatnonzero(changes) + 1))
    aggressor = np.where(fills["side"][first] == BUY, 1, -1)
    return (
        fills["symbol"][first].astype(np.int64),
        fills["price"][first],
        np.add.reduceat(fills["qty"], first),
        aggressor,
    )


def records(update: Update, before: Depth, now: Depth, instrument_ids: NDArray[np.int32]) -> Ticks:
    """The records of an update, by instrument as ``update.place`` is; ``seq`` is left to whoever publishes them."""
    place = update.place
    n, k = len(instrument_ids), len(place)
    level_row, level_side, level_ticks, level_lots = _changes(update, before, now)
    per_side = np.bincount(2 * level_row + level_side, minlength=2 * k).reshape(k, 2)
    depth_count = per_side.max(axis=1) if k else np.zeros(0, dtype=np.int64)
    # An empty book is a snapshot too: one record that clears what was known.
    depth_count = np.where(update.snapshot, np.maximum(1, depth_count), depth_count)
    at = np.full(n, -1)
    at[place] = np.arange(k)
    trade_place, trade_ticks, trade_lots, aggressor = update.trades
    trade_row = at[trade_place]
    trade_count = np.bincount(trade_row, minlength=k)
    top_moved = (before.ticks[place, :, 0] != now.ticks[place, :, 0]) | (
        before.lots[place, :, 0] != now.lots[place, :, 0]
    )
    quotes = (top_moved.any(axis=1) | update.snapshot) & ~update.closed
    session = (update.opened | update.closed).astype(np.int64)
    count = session + trade_count + depth_count + quotes
    begin = np.concatenate(([0], np.cumsum(count)))
    ticks = np.zeros(begin[-1], dtype=TICK)
    owner = np.repeat(np.arange(k), count)
    within = np.arange(len(ticks)) - begin[owner]
    ticks["instrument_id"] = instrument_ids[place][owner]
    ticks["ts_ns"] = update.ts_ns[owner]

    at_session = begin[:-1][session > 0]
    ticks["kind"][at_session] = np.where(update.opened[session > 0], OPENED, CLOSED)

    nth = np.arange(len(trade_row)) - np.searchsorted(trade_row, trade_row)
    at_trade = (begin[:-1] + session)[trade_row] + nth
    ticks["kind"][at_trade] = TRADE
    ticks["aggressor"][at_trade] = aggressor
    ticks["trade_ticks"][at_trade], ticks["trade_lots"][at_trade] = trade_ticks, trade_lots

    first_depth = begin[:-1] + session + trade_count
    in_depth = (within >= (session + trade_count)[owner]) & (within < (session + trade_count + depth_count)[owner])
    last = within == (session + trade_count + depth_count - 1)[owner]
    ticks["kind"][in_depth] = np.where(last[in_depth], DEPTH, DEPTH | MORE)
    ticks["bid_lots"][in_depth] = ticks["ask_lots"][in_depth] = NO_CHANGE
    ticks["kind"][first_depth[update.snapshot]] |= RESET
    group = 2 * level_row + level_side
    nth_level = np.arange(len(group)) - np.searchsorted(group, group)
    for side, name in ((0, "bid"), (1, "ask")):
        own = level_side == side
        where = first_depth[level_row[own]] + nth_level[own]
        ticks[f"{name}_ticks"][where], ticks[f"{name}_lots"][where] = level_ticks[own], level_lots[own]

    at_quote = begin[1:][quotes] - 1
    ticks["kind"][at_quote] = QUOTE
    for side, name in ((0, "bid"), (1, "ask")):
        ticks[f"{name}_ticks"][at_quote] = now.ticks[place[quotes], side, 0]
        ticks[f"{name}_lots"][at_quote] = now.lots[place[quotes], side, 0]
    ticks["kind"][begin[:-1][update.lost & (count > 0)]] |= GAP
    return ticks


def _changes(update: Update, before: Depth, now: Depth) -> tuple[Ints, Ints, Ints, Ints]:
    """Levels to publish: row in the update, side, price, lots (0 removes); by row, side and then price.

    Of an instrument that gets a snapshot all levels, of the others those that differ.
    """
    row, side, rank = np.nonzero(now.lots[update.place])
    new_key = (2 * row + side) * _PRICE_SPAN + now.ticks[update.place[row], side, rank]
    new_lots = now.lots[update.place[row], side, rank]
    old_lots_of = np.where(update.snapshot[:, None, None], 0, before.lots[update.place])
    row, side, rank = np.nonzero(old_lots_of)
    old_key = (2 * row + side) * _PRICE_SPAN + before.ticks[update.place[row], side, rank]
    old_lots = old_lots_of[row, side, rank]
    keys = np.concatenate([new_key, old_key])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    lots, is_new = np.concatenate([new_lots, old_lots])[order], order < len(new_key)
    # A level that was there and is there stands twice, the new one first.
    pair = np.append(keys[1:] == keys[:-1], False)
    same = np.zeros(len(keys), dtype=bool)
    same[:-1] = pair[:-1] & (lots[:-1] == lots[1:])
    second = np.concatenate(([False], pair[:-1])) if len(keys) else pair
    keep = ~second & ~same & ~update.closed[keys // (2 * _PRICE_SPAN)]
    keys, lots = keys[keep], np.where(is_new[keep], lots[keep], 0)
    book = keys // _PRICE_SPAN
    return book // 2, book % 2, keys % _PRICE_SPAN, lots
