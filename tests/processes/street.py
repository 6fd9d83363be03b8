"""A floor with brokers as processes, and a feed that goes on whatever happens to them."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trading_floor import TradingFloor

from trading.adapters.redis_bus import RedisBus
from trading.market.ticks import QUOTE


class Street:
    """A floor whose broker runs as processes, with a feed that quotes AAPL twenty times a second."""

    def __init__(self, floor: TradingFloor, redis_url: str, environment: dict[str, str], logs: Path) -> None:
        self.floor = floor
        self._environment = environment
        self._logs = logs
        self._bus = RedisBus(redis_url)
        self._open = threading.Event()
        self._feed = threading.Thread(target=self._quote_on, daemon=True)
        self.brokers: list[subprocess.Popen[bytes]] = []
        floor.store.close()
        floor.query("update broker_lease set expires_at = '-infinity'")
        self._feed.start()
        self.until(lambda: bool(floor.bus.newest))

    def _quote_on(self) -> None:
        while not self._open.wait(0.05):
            row = self.floor._row(self.floor.aapl, QUOTE)
            row["bid_ticks"], row["ask_ticks"], row["bid_lots"], row["ask_lots"] = 9_999, 10_000, 1_000, 1_000
            self.floor.bus.newest[self.floor.aapl.id] = row
            self._bus.publish_ticks(row)

    def start_broker(self) -> subprocess.Popen[bytes]:
        log = (self._logs / f"broker-{len(self.brokers)}.log").open("wb")
        command = [sys.executable, "-m", "trading.processes.broker"]
        self.brokers.append(subprocess.Popen(command, env=self._environment, stdout=log, stderr=log))
        log.close()
        return self.brokers[-1]

    def close(self) -> None:
        for broker in self.brokers:
            if broker.poll() is None:
                broker.send_signal(signal.SIGCONT)
                broker.kill()
                broker.wait()
        self._open.set()
        self._feed.join()
        self._bus.close()

    def cursor(self) -> int:
        return int(self.floor.query("select coalesce(max(input_seq), 0) from broker_cursor")[0][0])

    def until(self, what: Callable[[], bool], timeout_s: float = 15.0) -> float:
        """Wait for something; returns the seconds it took."""
        begun = time.monotonic()
        while not what():
            assert time.monotonic() - begun < timeout_s, "waited in vain"
            time.sleep(0.02)
        return time.monotonic() - begun

    def until_works(self) -> float:
        before = self.cursor()
        return self.until(lambda: self.cursor() > before)

    def filled(self, order_id: int) -> bool:
        return self.floor.state(order_id)[0] == "filled"
