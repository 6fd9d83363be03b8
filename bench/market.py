"""What the busiest simulated market costs: market_cores_at_10k_ticks.

50 instruments with 200 updates a second each, simulated by the participants' own engine, numbered, published to a real
Valkey and built into bars, as the market process does it. "Ours" is processor time of this process for one second of
the market, the peer one core.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.floor import servers
from bench.measure import Row, at_most, scaled
from trading.adapters.clock import FixedClock
from trading.adapters.embedded import connections
from trading.adapters.redis_bus import RedisBus
from trading.market.profiles import PROFILES
from trading.market.simulator import Simulator
from trading.processes import market_archive as archive
from trading.processes.market_feed import Feed

START_NS = 1_750_000_000 * 10**9
STEP_NS = 5_000_000
INSTRUMENTS, TICKS_PER_S = 50, 200
ROUNDS = 10
WANTED = 0.5


def run(folder: Path) -> list[Row]:
    """Measure seconds of the market; the median counts. Raises RuntimeError where fewer ticks came than asked for."""
    profiles = PROFILES[:INSTRUMENTS]
    market = Simulator(range(1, INSTRUMENTS + 1), profiles, seed=1, start_ns=START_NS, ticks_per_s=TICKS_PER_S)
    units = {i: archive.Units(each.symbol, each.tick_size, each.lot_size) for i, each in enumerate(profiles, 1)}
    shares = []
    with servers(folder) as settings, ThreadPoolExecutor(1) as later:
        bus = RedisBus(connections.redis_url(settings))
        feed = Feed(units, bus, _no_lake, FixedClock(START_NS), later)
        for _ in range(scaled(ROUNDS, least=2)):
            feed.publish(market.advance(market.prices.ts_ns + STEP_NS))
            before, began_s = feed.published, time.process_time()
            for _ in range(10**9 // STEP_NS):
                feed.publish(market.advance(market.prices.ts_ns + STEP_NS))
            shares.append(time.process_time() - began_s)
            if feed.published - before < INSTRUMENTS * TICKS_PER_S or feed.unheard:
                raise RuntimeError(f"{feed.published - before} records in a second, {feed.unheard} not heard")
        bus.close()
    return [at_most("market_cores_at_10k_ticks", sorted(shares)[len(shares) // 2], 1.0, WANTED, "cores")]


def _no_lake() -> Any:
    raise AssertionError("nothing is flushed here")
