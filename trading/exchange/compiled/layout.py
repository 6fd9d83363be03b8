"""What goes in, what comes out, and how the core lies in memory. Prices in ticks, quantities in lots, time in ns UTC.

Records are packed so that an order or an event is one cache line. Slot 0 of every pool means "none".
"""

from enum import IntEnum
from typing import Final

import numpy as np

CORE_REV: Final = 2
WINDOW: Final = 8192  # ticks of one side that have a level of their own; prices beyond are legal and slow
HALF: Final = WINDOW // 2
EDGE: Final = WINDOW // 8  # the window moves when the best price comes this near to its far end
WORDS: Final = WINDOW // 64
BITS_STRIDE: Final = 8 * (WORDS + 8)  # bytes of one side's bitmap: a bit a level, then a bit a word
PRICE_MAX: Final = 1 << 46
QTY_MAX: Final = 1 << 46
NO_LIMIT: Final = 1 << 50  # the protection price of a market order that has none
UNSET: Final = 1 << 62  # the mark and the stop of a trailing order that has none yet; negative for a sell
PPM: Final = 1_000_000
QUOTE_MAX_AGE_NS: Final = 5_000_000_000

BUY: Final = 0
SELL: Final = 1


class Op(IntEnum):
    """What an input asks for."""

    ADD = 1
    CANCEL = 2
    MODIFY = 3
    QUOTE = 4
    TRADE = 5
    GAP = 6
    TIME = 7
    DEPTH = 8
    SESSION = 9
    HALT = 10


class Flag(IntEnum):
    """Bits of an input's ``flags``."""

    MORE = 1
    RESET = 2


class Trigger(IntEnum):
    """What an order waits for before it meets the market."""

    NONE = 0
    STOP = 1
    TRAIL_TICKS = 2
    TRAIL_PPM = 3


class Link(IntEnum):
    """How a new order hangs together with the one that its ``link`` names."""

    NONE = 0
    OCO = 1
    HELD = 2
    HELD_OCO = 3
    ENTRY = 4


class Where(IntEnum):
    """Where an open order is."""

    BOOK = 0
    WAITS = 1
    PENDING = 2
    HELD = 3
    DUE = 4  # about to meet the market, within one input


class Kind(IntEnum):
    """Types of orders."""

    LIMIT = 1
    MARKET = 2
    IOC = 3
    FOK = 4
    POST_ONLY = 5


class Event(IntEnum):
    """What happened to an order."""

    ACCEPTED = 1
    REJECTED = 2
    FILL = 3
    CANCELLED = 4
    MODIFIED = 5
    EXPIRED = 6
    RESTED = 7
    TRIGGERED = 8
    SIZED = 9


class Accepted(IntEnum):
    """Codes of `Event.ACCEPTED`."""

    NOW = 0
    WAITS = 1
    PENDING = 2
    HELD = 3


class Rejected(IntEnum):
    """Codes of `Event.REJECTED`."""

    UNKNOWN_OP = 1
    UNKNOWN_SYMBOL = 2
    DUPLICATE_ORDER = 3
    UNKNOWN_ORDER = 4
    BAD_SIDE = 5
    BAD_TYPE = 6
    BAD_PRICE = 7
    BAD_QUANTITY = 8
    WOULD_TAKE = 9
    ALREADY_EXPIRED = 10
    BAD_ORDER_ID = 11
    BAD_STOP = 12
    BAD_LINK = 13
    HALTED = 14
    CLOSED = 15
    LINKED_QUANTITY = 16


class Fill(IntEnum):
    """Codes of `Event.FILL`: the rule by which it came about."""

    CROSS = 1
    QUOTE = 2
    QUOTE_REACHED = 3
    TRADE = 4


class Cancelled(IntEnum):
    """Codes of `Event.CANCELLED`."""

    REQUESTED = 1
    IOC = 2
    FOK = 3
    SELF_TRADE = 4
    PRICE_PROTECTION = 5
    NO_LIQUIDITY = 6
    POST_ONLY = 7
    HALTED = 8
    OCO = 9
    ENTRY_OVER = 10


class Modified(IntEnum):
    """Codes of `Event.MODIFIED`."""

    KEPT_PLACE = 0
    WENT_BACK = 1


class Triggered(IntEnum):
    """Codes of `Event.TRIGGERED`: what met the stop price."""

    TRADE = 1
    QUOTE = 2


class Sized(IntEnum):
    """Codes of `Event.SIZED`."""

    GROWN = 1
    SHRUNK = 2


class Model(IntEnum):
    """When a printed trade fills a resting order: beyond its limit, at it too, or as its place in the queue says."""

    THROUGH = 0
    TOUCH = 1
    QUEUE = 2


class Status(IntEnum):
    """Why the kernel came back."""

    DONE = 0
    EVENTS_FULL = 1
    ORDERS_FULL = 2
    SHOWN_FULL = 3
    OWNERS_FULL = 4


INPUT: Final = np.dtype(
    [
        ("seq", "<i8"),
        ("ts_ns", "<i8"),
        ("order_id", "<i8"),
        ("owner", "<i8"),
        ("price", "<i8"),  # of a quote: the bid
        ("qty", "<i8"),
        ("ask_price", "<i8"),
        ("ask_qty", "<i8"),
        ("expires_ns", "<i8"),  # 0: never
        ("stop_price", "<i8"),
        ("trail", "<i8"),  # ticks or parts per million
        ("link", "<i8"),
        ("symbol", "<i4"),
        ("op", "u1"),
        ("side", "u1"),
        ("kind", "u1"),
        ("trigger", "u1"),
        ("flags", "u1"),
        ("link_kind", "u1"),
        ("unused", "u1", (6,)),
    ]
)
EVENT: Final = np.dtype(
    [
        ("seq", "<i8"),
        ("input_seq", "<i8"),
        ("order_id", "<i8"),  # of a fill: the taker; 0 is the outside
        ("maker_id", "<i8"),  # of a fill: the maker; 0 is the outside
        ("price", "<i8"),
        ("qty", "<i8"),
        ("left", "<i8"),  # open lots after it, of the taker or, where that is the outside, of the maker
        ("symbol", "<i4"),
        ("kind", "u1"),
        ("code", "u1"),
        ("side", "u1"),
        ("unused", "u1"),
    ]
)
OPEN_ORDER: Final = np.dtype(
    [
        ("order_id", "<i8"),
        ("owner", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("expires_ns", "<i8"),
        ("stop", "<i8"),
        ("trail", "<i8"),
        ("mark", "<i8"),
        ("arrival", "<i8"),
        ("ahead", "<i8"),
        ("planned", "<i8"),
        ("sibling_id", "<i8"),
        ("entry_id", "<i8"),  # of an exit leg
        ("leg_id", "<i8"),  # of an entry: its first leg
        ("symbol", "<i4"),
        ("side", "u1"),
        ("kind", "u1"),
        ("where", "u1"),
        ("trigger", "u1"),
        ("latched", "u1"),
        ("unused", "u1", (7,)),
    ]
)

# What every order needs, in one cache line; the rest, which few orders need, lies in COLD under the same slot.
ORDER: Final = np.dtype(
    [
        ("price", "<i8"),
        ("qty", "<i8"),
        ("id", "<i8"),
        ("owner", "<i8"),
        ("expires_ns", "<i8"),
        ("next", "<i4"),
        ("prev", "<i4"),
        ("timer", "<i4"),  # place in the heap of expiries, 0 where it has none
        ("symbol", "<i4"),
        ("side", "u1"),
        ("kind", "u1"),
        ("where", "u1"),
        ("trigger", "u1"),
        ("latched", "u1"),  # its trigger has been met
        ("links", "u1"),  # it has, or had, a sibling, an entry or legs: a fill needs a look at COLD
        ("unused", "u1", (2,)),
    ]
)
COLD: Final = np.dtype(
    [
        ("stop", "<i8"),
        ("trail", "<i8"),
        ("mark", "<i8"),
        ("arrival", "<i8"),
        ("ahead", "<i8"),  # lots of the outside before it, -1 where nobody knows
        ("planned", "<i8"),  # of a leg: lots it may still grow by
        ("grown", "<i8"),  # of a leg: lots its entry has filled that it has not grown by yet
        ("sibling", "<i4"),
        ("entry", "<i4"),
        ("legs", "<i4"),  # of an entry: its first leg
        ("child", "<i4"),  # first child in the heap of pending orders; `next` and `prev` are its neighbours there
        ("grow_next", "<i4"),
        ("grow_prev", "<i4"),
        ("trail_next", "<i4"),
        ("trail_prev", "<i4"),
        ("chain", "<i4"),  # next of those that a halt cancels
        ("sorted", "<i4"),  # next of the pending orders in their order
    ]
)
LEVEL: Final = np.dtype([("head", "<i4"), ("tail", "<i4")])
FAR: Final = np.dtype([("price", "<i8"), ("head", "<i4"), ("tail", "<i4"), ("next", "<i4"), ("unused", "<i4")])
# A level of the outside: what it displays, and what is left of it.
SHOWN: Final = np.dtype([("price", "<i8"), ("shown", "<i8"), ("left", "<i8"), ("next", "<i4"), ("unused", "<i4")])
SIDE: Final = np.dtype(
    [
        ("base", "<i8"),  # price of the window's first level
        ("best", "<i8"),  # level of the best price, -1 where the side is empty
        ("bound", "<i8"),  # no mark of a trailing order of this side is looser than this
        ("far", "<i4"),  # levels beyond the window, best first; all are worse than any price in the window
        ("shown", "<i4"),  # levels of the outside, best first
        ("front", "<i4"),  # the first of them that has lots left
        ("pending", "<i4"),  # root of the heap of orders that wait for their trigger
        ("trailing", "<i4"),  # first of those among them that trail
        ("unused", "<i4"),
    ]
)
SYMBOL: Final = np.dtype(
    [
        ("received_ns", "<i8"),
        ("last", "<i8"),  # price of the last trade, where there was one
        ("low", "<i8"),  # of the trades since the last round of settling
        ("high", "<i8"),
        ("fresh", "<i4"),  # the outside is known: an update came since the last gap or close
        ("outside", "<i4"),  # orders wait for a live outside
        ("n_pending", "<i4"),
        ("wait_head", "<i4"),
        ("wait_tail", "<i4"),
        ("held_head", "<i4"),
        ("held_tail", "<i4"),
        ("due_head", "<i4"),  # orders about to meet the market
        ("due_tail", "<i4"),
        ("grow_head", "<i4"),  # legs whose entries have filled
        ("grow_tail", "<i4"),
        ("dirty_next", "<i4"),  # next symbol that has something to settle, plus 1
        ("dirty", "u1"),
        ("closed", "u1"),
        ("halted", "u1"),
        ("traded", "u1"),
        ("gapped", "u1"),  # since a gap no update began anew
        ("ranged", "u1"),  # low and high hold
        ("quoted", "u1"),  # an update was completed since the last round of settling
        ("stage", "u1"),  # of a round of settling
        ("code", "u1"),  # what met the stop prices of this round
        ("opening", "u1"),  # its session opens when it is settled
        ("unused", "u1", (38,)),
    ]
)
INDEX: Final = np.dtype([("tag", "<u4"), ("slot", "<i4")])
SHOWN_ROW: Final = np.dtype([("price", "<i8"), ("shown", "<i8"), ("left", "<i8"), ("number", "<i8")])
CORE_FIELDS: Final = (
    # addresses
    *("orders", "cold", "levels", "far", "shown", "sides", "symbols", "bits", "index", "timers", "owners", "events"),
    # sizes
    *("n_symbols", "events_cap", "shown_cap", "owners_cap", "index_mask", "index_shift"),
    # counters and marks that are not state
    *("n_events", "free_order", "free_far", "free_shown", "n_live", "n_shown", "n_timers", "status", "share"),
    *("more", "paused", "cursor", "dirty_head", "dirty_tail", "halts"),
    # state
    *("seq", "event_seq", "now_ns", "model", "floor_halted", "n_owners"),
)
CORE: Final = np.dtype([(name, "<i8") for name in CORE_FIELDS])
