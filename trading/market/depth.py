"""The levels of a displayed book out of the records that carry it."""

from trading.market.ticks import Ticks

Level = tuple[int, int]
"""Price in ticks, displayed lots."""


def levels(snapshot: Ticks) -> tuple[list[Level], list[Level]]:
    """Bids and asks, best first, out of the records of one snapshot; each record holds a level of either side."""
    bids = [(int(row["bid_ticks"]), int(row["bid_lots"])) for row in snapshot if row["bid_lots"] > 0]
    asks = [(int(row["ask_ticks"]), int(row["ask_lots"])) for row in snapshot if row["ask_lots"] > 0]
    return sorted(bids, reverse=True), sorted(asks)
