"""The compiled part of `trading.market.bars.BarBuilder`: records of the tape and bars as rows of int64 words.

A trade touches the open minute of its instrument alone; a minute that closes is put into the six longer bars. Nothing
is allocated here: the caller gives room for closed bars, and for instruments, and comes again where it was too small.

Layout of a row of ``book``, one an instrument: `ID`, `SEQ` (of the last trade), `UNTIL` (end of what is closed, ns),
then start, open, high, low, close, volume of the open bar of each frame; a start of `NONE` says that there is none.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import int64, njit, types, void

from trading.market.bars import FRAMES, MINUTE_NS
from trading.market.ticks import DEPTH, TRADE

F = TypeVar("F", bound=Callable[..., Any])

NONE = -(2**63)
FRAME_MINUTES = tuple(FRAMES.values())
FRAME_COUNT = len(FRAME_MINUTES)
ID, SEQ, UNTIL, OPEN = 0, 1, 2, 3
START, HIGH, LOW, CLOSE, VOLUME = 0, 2, 3, 4, 5
BAR_WORDS = 6
BOOK_WORDS = OPEN + FRAME_COUNT * BAR_WORDS
TICK_WORDS, OUT_WORDS = 9, 7
CLOSED_MAX = 2 * FRAME_COUNT
"""Bars that one trade can close, at most."""
INSTRUMENTS, LATE, CLOSED, COUNTERS = 0, 1, 2, 3
"""Counters: instruments in the book, late trades so far, bars written by this call."""

_KIND_WANTED, _KIND_MASK = TRADE, TRADE | DEPTH
_HASH = -7046029254386353131  # 2^64 over the golden ratio, as a signed word
_WORDS = types.Array(int64, 2, "C")
_READ_ONLY = types.Array(int64, 2, "C", readonly=True)
_LIST = types.Array(int64, 1, "C")


def _compiled(*signature: Any) -> Callable[[F], F]:
    """Compiled (or read from the cache) at import, for one signature: both kinds of arrays then share it."""
    done: Callable[[F], F] = njit(list(signature), cache=True)
    return done


def _inlined(function: F) -> F:
    """A helper that becomes part of its callers: handing arrays to one that is called counts references."""
    done: F = njit(forceinline=True)(function)
    return done


@_inlined
def _close_bar(book: Any, slot: int, frame: int, out: Any, counters: Any) -> None:
    at = OPEN + frame * BAR_WORDS
    row = counters[CLOSED]
    counters[CLOSED] = row + 1
    out[row, 0] = (book[slot, ID] & 0xFFFFFFFF) | (frame << 32)
    for word in range(BAR_WORDS):
        out[row, 1 + word] = book[slot, at + word]
    book[slot, at] = NONE


@_inlined
def _close_longer(book: Any, slot: int, until_ns: int, out: Any, counters: Any) -> None:
    for frame in range(1, FRAME_COUNT):
        start = book[slot, OPEN + frame * BAR_WORDS]
        if start != NONE and start + FRAME_MINUTES[frame] * MINUTE_NS <= until_ns:
            _close_bar(book, slot, frame, out, counters)


@_inlined
def _close_minute(book: Any, slot: int, until_ns: int, out: Any, counters: Any) -> None:
    """Close the open minute if it ends by ``until_ns`` (a whole minute), put it into the longer bars, close those."""
    book[slot, UNTIL] = max(until_ns, book[slot, UNTIL])
    start = book[slot, OPEN]
    if start != NONE and start < until_ns:
        for frame in range(1, FRAME_COUNT):
            at, length_ns = OPEN + frame * BAR_WORDS, FRAME_MINUTES[frame] * MINUTE_NS
            # A bar that is open began before this minute, and divisions are slow.
            if book[slot, at] != NONE and start < book[slot, at] + length_ns:
                book[slot, at + HIGH] = max(book[slot, at + HIGH], book[slot, OPEN + HIGH])
                book[slot, at + LOW] = min(book[slot, at + LOW], book[slot, OPEN + LOW])
                book[slot, at + CLOSE] = book[slot, OPEN + CLOSE]
                book[slot, at + VOLUME] += book[slot, OPEN + VOLUME]
            else:
                # The bar before it was closed when this minute began.
                book[slot, at] = start - start % length_ns
                for word in range(1, BAR_WORDS):
                    book[slot, at + word] = book[slot, OPEN + word]
        _close_bar(book, slot, 0, out, counters)
    _close_longer(book, slot, until_ns, out, counters)


@_inlined
def _slot_of(book: Any, index: Any, counters: Any, instrument_id: int) -> int:
    """Row of an instrument, -1 where it is new and the book is full. ``index`` is an open-addressing table of rows."""
    mask = len(index) - 1
    at = ((instrument_id * _HASH) >> 40) & mask
    while index[at] >= 0:
        if book[index[at], ID] == instrument_id:
            return int(index[at])
        at = (at + 1) & mask
    slot = counters[INSTRUMENTS]
    if slot == len(book):
        return -1
    counters[INSTRUMENTS] = slot + 1
    index[at] = slot
    book[slot, ID] = instrument_id
    book[slot, SEQ] = NONE
    book[slot, UNTIL] = NONE
    for frame in range(FRAME_COUNT):
        book[slot, OPEN + frame * BAR_WORDS] = NONE
    return int(slot)


@_compiled(void(_LIST, _WORDS, int64))
def index_book(index: Any, book: Any, count: int) -> None:
    """Fill the table with the first ``count`` rows of the book."""
    index[:] = -1
    mask = len(index) - 1
    for slot in range(count):
        at = ((book[slot, ID] * _HASH) >> 40) & mask
        while index[at] >= 0:
            at = (at + 1) & mask
        index[at] = slot


@_compiled(int64(_READ_ONLY, int64, _LIST, _WORDS, _LIST, _WORDS))
def add(ticks: Any, begin: int, index: Any, book: Any, counters: Any, out: Any) -> int:
    """Take ticks from ``begin`` on; returns where it stopped: the end, or where there was no room left."""
    mask = len(index) - 1
    for i in range(begin, len(ticks)):
        head = ticks[i, 0]
        if (head >> 32) & _KIND_MASK != _KIND_WANTED:
            continue
        if counters[CLOSED] + CLOSED_MAX > len(out):
            return i
        # The low half of the word, with its sign. What follows is `_slot_of`, here because handing arrays to a helper
        # for every tick counts their references, which costs more than the rest of the work.
        instrument_id = (head << 32) >> 32
        at = ((instrument_id * _HASH) >> 40) & mask
        slot = index[at]
        while slot >= 0 and book[slot, ID] != instrument_id:
            at = (at + 1) & mask
            slot = index[at]
        if slot < 0:
            slot = _slot_of(book, index, counters, instrument_id)
            if slot < 0:
                return i
        if ticks[i, 1] <= book[slot, SEQ]:
            continue
        book[slot, SEQ] = ticks[i, 1]
        ts_ns, price = ticks[i, 2], ticks[i, 7]
        start = book[slot, OPEN]
        if start == NONE or ts_ns < start or ts_ns >= start + MINUTE_NS:
            start = ts_ns - ts_ns % MINUTE_NS
            if start < book[slot, UNTIL]:
                counters[LATE] += 1
                continue
            _close_minute(book, slot, start, out, counters)
            book[slot, OPEN] = start
            for word in range(1, VOLUME):
                book[slot, OPEN + word] = price
            book[slot, OPEN + VOLUME] = ticks[i, 8]
        else:
            book[slot, OPEN + HIGH] = max(book[slot, OPEN + HIGH], price)
            book[slot, OPEN + LOW] = min(book[slot, OPEN + LOW], price)
            book[slot, OPEN + CLOSE] = price
            book[slot, OPEN + VOLUME] += ticks[i, 8]
    return len(ticks)


@_compiled(int64(_READ_ONLY, int64, _LIST, _WORDS, _LIST, _WORDS))
def merge(minutes: Any, begin: int, index: Any, book: Any, counters: Any, out: Any) -> int:
    """Take M1 bars from ``begin`` on, as if their trades had arrived; returns where it stopped, as `add` does."""
    for i in range(begin, len(minutes)):
        if counters[CLOSED] + CLOSED_MAX > len(out):
            return i
        slot = _slot_of(book, index, counters, (minutes[i, 0] << 32) >> 32)
        if slot < 0:
            return i
        start = minutes[i, 1]
        if start < book[slot, UNTIL]:
            continue
        if start == book[slot, OPEN]:
            book[slot, OPEN + HIGH] = max(book[slot, OPEN + HIGH], minutes[i, 1 + HIGH])
            book[slot, OPEN + LOW] = min(book[slot, OPEN + LOW], minutes[i, 1 + LOW])
            book[slot, OPEN + CLOSE] = minutes[i, 1 + CLOSE]
            book[slot, OPEN + VOLUME] += minutes[i, 1 + VOLUME]
        else:
            _close_minute(book, slot, start, out, counters)
            for word in range(BAR_WORDS):
                book[slot, OPEN + word] = minutes[i, 1 + word]
    return len(minutes)


@_compiled(void(int64, _WORDS, _LIST, _WORDS))
def close_until(until_ns: int, book: Any, counters: Any, out: Any) -> None:
    """Close what ends by ``until_ns``, a whole minute, of every instrument with an open bar; there is room."""
    for slot in range(counters[INSTRUMENTS]):
        has_open = False
        for frame in range(FRAME_COUNT):
            has_open |= book[slot, OPEN + frame * BAR_WORDS] != NONE
        if has_open:
            _close_minute(book, slot, until_ns, out, counters)


@_compiled(void(_LIST, _WORDS, _LIST, _WORDS))
def forming(order: Any, book: Any, counters: Any, out: Any) -> None:
    """Write the bars of the rows in ``order`` as they stand, the open minute in all of them; there is room."""
    for slot in order:
        minute = book[slot, OPEN]
        for frame in range(FRAME_COUNT):
            at = OPEN + frame * BAR_WORDS
            start = book[slot, at]
            if minute != NONE and frame > 0:
                bucket = minute - minute % (FRAME_MINUTES[frame] * MINUTE_NS)
            else:
                bucket = NONE
            if start == NONE and bucket == NONE:
                continue
            row = counters[CLOSED]
            counters[CLOSED] = row + 1
            out[row, 0] = (book[slot, ID] & 0xFFFFFFFF) | (frame << 32)
            source = OPEN if bucket != NONE and bucket != start else at
            for word in range(BAR_WORDS):
                out[row, 1 + word] = book[slot, source + word]
            if bucket != NONE:
                out[row, 1] = bucket
                if source == at:
                    out[row, 1 + HIGH] = max(book[slot, at + HIGH], book[slot, OPEN + HIGH])
                    out[row, 1 + LOW] = min(book[slot, at + LOW], book[slot, OPEN + LOW])
                    out[row, 1 + CLOSE] = book[slot, OPEN + CLOSE]
                    out[row, 1 + VOLUME] += book[slot, OPEN + VOLUME]


def empty_counters() -> "np.ndarray[Any, np.dtype[np.int64]]":
    """All counters at zero."""
    return np.zeros(COUNTERS, dtype=np.int64)
