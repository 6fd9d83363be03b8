"""A steady feed as a process: every instrument quoted twenty times a second, the same prices, fresh sizes."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from trading.adapters.embedded import connections
from trading.adapters.embedded.spawn import spawn, terminate
from trading.adapters.redis_bus import RedisBus
from trading.config import PROJECT_ROOT, Settings
from trading.market.profiles import shipped_profiles
from trading.market.ticks import QUOTE, TICK, Ticks
from trading.services import desk
from trading.services.access import SYSTEM
from trading.services.floor import Floor

EVERY_S = 0.05
SIZE_LOTS = 100_000


@contextmanager
def feed(floor: Floor, settings: Settings) -> Iterator[None]:
    """Quotes until the end; returns when the first have come."""
    argv = [sys.executable, "-m", "bench.feed", connections.redis_url(settings), json.dumps(bids(floor))]
    child = spawn(argv, log=settings.log_dir / "feed.log", env=os.environ, cwd=PROJECT_ROOT)
    try:
        deadline = time.monotonic() + 30
        while not floor.bus.last_ticks():
            if time.monotonic() > deadline:
                raise RuntimeError("the feed did not quote")
            time.sleep(0.02)
        yield
    finally:
        terminate(child, signal.SIGTERM, 5, signal.SIGKILL)


def bids(floor: Floor) -> dict[str, int]:
    """Bid in ticks by instrument id: the profiles' start prices."""
    starts = {profile.symbol: profile.start_ticks for profile in shipped_profiles()}
    return {str(one.id): starts[one.symbol] for one in desk.instruments(floor, SYSTEM) if one.symbol in starts}


def quotes(bid_ticks: Mapping[str, int]) -> Ticks:
    """One quote of each instrument, a tick wide; without a number and a time."""
    ticks = np.zeros(len(bid_ticks), TICK)
    ticks["instrument_id"], ticks["kind"] = [int(key) for key in bid_ticks], QUOTE
    ticks["bid_ticks"] = list(bid_ticks.values())
    ticks["ask_ticks"] = ticks["bid_ticks"] + 1
    ticks["bid_lots"] = ticks["ask_lots"] = SIZE_LOTS
    return ticks


def main(url: str, bid_ticks: Mapping[str, int]) -> None:
    """Until terminated."""
    bus, ticks = RedisBus(url), quotes(bid_ticks)
    while True:
        ticks["seq"] += 1
        ticks["ts_ns"] = time.time_ns()
        bus.publish_ticks(ticks)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
