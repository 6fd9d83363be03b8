"""The displayed levels out of a snapshot's records."""

import numpy as np

from trading.market.depth import levels
from trading.market.ticks import DEPTH, MORE, RESET, TICK


def test_levels_come_best_first_and_a_side_without_size_is_none() -> None:
    snapshot = np.zeros(3, TICK)
    snapshot["kind"] = [DEPTH | RESET | MORE, DEPTH | MORE, DEPTH]
    snapshot["bid_ticks"], snapshot["bid_lots"] = [99, 100, 0], [5, 7, -1]
    snapshot["ask_ticks"], snapshot["ask_lots"] = [103, 101, 102], [1, 0, 4]
    assert levels(snapshot) == ([(100, 7), (99, 5)], [(102, 4), (103, 1)])
