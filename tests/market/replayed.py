"""Playing records in tests, and the books that they make."""

import numpy as np

from trading.market import replay
from trading.market.recordings import Target
from trading.market.replay import Playback, Recording
from trading.market.ticks import DEPTH, MORE, RESET, Ticks

SECOND_NS = 10**9
NOW_NS = 1_800_000_000 * SECOND_NS
BTC = Target(12, tick_size=0.01, lot_size=0.0001, spread_ticks=18, size_lots=31_046)
Levels = dict[int, int]


def played(recording: Recording, playback: Playback, *clock_s: float) -> tuple[Playback, Ticks]:
    """What is given at these times of the clock, in seconds after its start."""
    parts = []
    for moment_s in clock_s:
        playback, ticks = replay.advance(recording, playback, NOW_NS + int(moment_s * SECOND_NS))
        parts.append(ticks)
    return playback, np.concatenate(parts)


def books_after(ticks: Ticks) -> list[tuple[Levels, Levels]]:
    """The book after each whole update."""
    bids: Levels = {}
    asks: Levels = {}
    found = []
    own = ticks[(ticks["kind"] & DEPTH) != 0]
    columns = [own[name].tolist() for name in ("kind", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots")]
    for kind, bid, bid_lots, ask, ask_lots in zip(*columns, strict=True):
        if kind & RESET:
            bids, asks = {}, {}
        for levels, price, lots in ((bids, bid, bid_lots), (asks, ask, ask_lots)):
            if lots > 0:
                levels[price] = lots
            elif lots == 0:
                levels.pop(price, None)
        if not kind & MORE:
            found.append((dict(bids), dict(asks)))
    return found
