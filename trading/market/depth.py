"""The levels of a displayed book out of the records that carry it."""

import numpy as np

from trading.market.ticks import DEPTH, MORE, RESET, Ticks

Level = tuple[int, int]
"""Price in ticks, displayed lots."""


def levels(snapshot: Ticks) -> tuple[list[Level], list[Level]]:
    """Bids and asks, best first, out of the records of one snapshot; each record holds a level of either side."""
    bids = [(int(row["bid_ticks"]), int(row["bid_lots"])) for row in snapshot if row["bid_lots"] > 0]
    asks = [(int(row["ask_ticks"]), int(row["ask_lots"])) for row in snapshot if row["ask_lots"] > 0]
    return sorted(bids, reverse=True), sorted(asks)


def snapshots(ticks: Ticks) -> dict[int, Ticks]:
    """The newest complete snapshot of each instrument id in a run of records: from RESET to the record without MORE."""
    begins = np.flatnonzero(ticks["kind"] & RESET)
    found = {}
    for start in begins.tolist():
        instrument_id = ticks["instrument_id"][start]
        own = ticks[start:][(ticks["instrument_id"][start:] == instrument_id) & (ticks["kind"][start:] & DEPTH != 0)]
        last = np.flatnonzero(own["kind"] & MORE == 0)
        if len(last):
            found[int(instrument_id)] = own[: int(last[0]) + 1]
    return found
