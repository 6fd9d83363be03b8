"""The tick as it travels: one packed little-endian record, the same on the bus, in the input log and on the screen."""

import numpy as np
from numpy.typing import NDArray

QUOTE, TRADE, GAP = 1, 2, 4
"""Bits of ``kind``: the record carries a quote, a trade, or says that ticks were lost before it."""
DEPTH, RESET, MORE = 8, 16, 32
"""The record carries one level of each side: the new total size displayed at that price, 0 where it is gone, -1 where
that side does not change. RESET clears both sides first (a snapshot begins), MORE says that the update goes on in the
next record."""
CLOSED, OPENED = 64, 128
"""The instrument's session ended, began."""

TICK = np.dtype(
    [
        ("instrument_id", "<i4"),
        ("kind", "u1"),
        ("aggressor", "i1"),  # of the trade: 1 buyer, -1 seller, 0 not known
        ("reserved", "<u2"),
        ("seq", "<i8"),  # of the source, per instrument, gapless
        ("ts_ns", "<i8"),  # event time, UTC
        ("bid_ticks", "<i8"),
        ("ask_ticks", "<i8"),
        ("bid_lots", "<i8"),
        ("ask_lots", "<i8"),
        ("trade_ticks", "<i8"),
        ("trade_lots", "<i8"),
    ]
)
"""72 bytes. A side without liquidity has size 0 and price 0."""

STREAM = "tape"
"""Redis stream of ticks: field ``b`` is `pack` of what is published at once. Trimmed to minutes, not of record."""
CHANNEL = "tape"
"""Redis pub/sub channel with the same payload, for screens."""
WAKE = "wake"
"""Redis stream that wakes the broker when a command has been committed."""
EVENTS = "events"
"""Redis pub/sub channel of screen events: JSON ``{"v": 1, "topic": "order", "portfolio_id": 1, ...}``."""
BARS = "bars"
"""Redis pub/sub channel of closed simulated bars, JSON."""

Ticks = NDArray[np.void]


def pack(ticks: Ticks) -> bytes:
    """Bytes of an array of `TICK`."""
    return ticks.tobytes()


def unpack(payload: bytes) -> Ticks:
    """Array of `TICK` out of bytes; raises ValueError where the length does not fit."""
    return np.frombuffer(payload, dtype=TICK)
