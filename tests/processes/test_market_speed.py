"""What the busiest market costs: processor time of simulating, publishing and building bars, against a real bus."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trading.adapters.clock import FixedClock
from trading.adapters.redis_bus import RedisBus
from trading.market.profiles import PROFILES
from trading.market.simulator import Simulator
from trading.processes import market_archive as archive
from trading.processes.market_feed import Feed

START_NS = 1_750_000_000 * 10**9


def no_lake() -> Any:
    raise AssertionError("nothing is flushed here")


def test_fifty_instruments_at_two_hundred_updates_a_second_take_less_than_half_a_core(redis_url: str) -> None:
    own = Simulator(range(1, 51), PROFILES[:50], seed=1, start_ns=START_NS, ticks_per_s=200)
    units = {i: archive.Units(each.symbol, each.tick_size, each.lot_size) for i, each in enumerate(PROFILES[:50], 1)}
    bus, clock, later = RedisBus(redis_url), FixedClock(START_NS), ThreadPoolExecutor(1)
    feed = Feed(units, bus, no_lake, clock, later)
    step_ns, shares = 5_000_000, []
    for _ in range(3):
        feed.publish(own.advance(own.prices.ts_ns + step_ns))
        before, began_s = feed.published, time.process_time()
        for _ in range(200):
            feed.publish(own.advance(own.prices.ts_ns + step_ns))
        shares.append(time.process_time() - began_s)
        assert feed.published - before > 20_000, "quotes, trades and depth of ten thousand updates"
    assert feed.unheard == 0
    later.shutdown()
    bus.close()
    assert min(shares) < 0.5, f"{min(shares):.2f} s of processor time for one second of the market"
