"""The displayed levels out of a snapshot's records."""

import numpy as np

from trading.market.depth import levels, snapshots
from trading.market.ticks import DEPTH, MORE, QUOTE, RESET, TICK


def test_levels_come_best_first_and_a_side_without_size_is_none() -> None:
    snapshot = np.zeros(3, TICK)
    snapshot["kind"] = [DEPTH | RESET | MORE, DEPTH | MORE, DEPTH]
    snapshot["bid_ticks"], snapshot["bid_lots"] = [99, 100, 0], [5, 7, -1]
    snapshot["ask_ticks"], snapshot["ask_lots"] = [103, 101, 102], [1, 0, 4]
    assert levels(snapshot) == ([(100, 7), (99, 5)], [(102, 4), (103, 1)])


def test_the_newest_whole_snapshot_is_found_among_other_records() -> None:
    whole, rest = DEPTH | RESET | MORE, DEPTH
    ticks = np.zeros(9, TICK)
    ticks["instrument_id"] = [1, 2, 1, 1, 1, 2, 1, 1, 3]
    ticks["kind"] = [whole, whole, QUOTE, rest, rest, rest, whole, rest, whole]
    ticks["seq"] = range(9)
    found = snapshots(ticks)
    assert {key: rows["seq"].tolist() for key, rows in found.items()} == {1: [6, 7], 2: [1, 5]}
    assert snapshots(ticks[2:6]) == {}
