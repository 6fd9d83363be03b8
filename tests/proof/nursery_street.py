"""A floor whose brokers are processes that die or freeze where a test wants, over a tape that goes on."""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading_floor import TradingFloor

from trading.adapters.redis_bus import RedisBus
from trading.domain.errors import Unavailable
from trading.domain.orders import Acceptance, Refusal
from trading.market.ticks import QUOTE, TRADE, Ticks

PATIENCE_S = 15.0
CASH = Decimal("5000000.00")


class Nursery:
    """`nursery.py` as a process: a life for the asking, in a moment."""

    def __init__(self, logs: Path) -> None:
        self._log = (logs / "nursery.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, bufsize=1,
        )  # fmt: skip
        self._said: queue.Queue[str] = queue.Queue()
        self._born: list[int] = []
        self.dead: dict[int, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._said.get(timeout=120) == "ready"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words = line.split()
            if len(words) == 3:
                self.dead[int(words[0])] = int(words[2])
            else:
                self._said.put(line.strip())

    def born(self, what: Mapping[str, object]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._born.append(int(self._said.get(timeout=30)))
        return self._born[-1]

    def words(self) -> str:
        """The last ones of its lives."""
        return Path(self._log.name).read_text()[-1500:]

    def said(self, words: str) -> int:
        """How often its lives have said something in their logs."""
        return Path(self._log.name).read_text().count(words)

    def end(self) -> None:
        """End every life that is left."""
        for pid in self._born:
            if pid not in self.dead:
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while any(pid not in self.dead for pid in self._born):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self) -> None:
        self.end()
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Street:
    """A floor, a tape of quotes and prints twenty times a second, and brokers out of the nursery."""

    def __init__(self, floor: TradingFloor, redis_url: str, environment: dict[str, str], nursery: Nursery) -> None:
        self.floor, self.chance = floor, random.Random(11)
        self.orders: dict[str, tuple[tuple[Any, ...], Acceptance | Refusal]] = {}
        self.ids: list[int] = []
        self.lives = self.killed = 0
        self.redis_url = redis_url
        self._bus = RedisBus(redis_url)
        self._over = threading.Event()
        floor.store.close()
        self._nursery = nursery
        self._env = {name: environment[name] for name in ("TRADEFLOOR_DATA", "DATABASE_URL", "REDIS_URL")}
        self._feed = threading.Thread(target=self._tape, daemon=True)
        self._feed.start()
        self.until(lambda: bool(floor.bus.newest), "a quote")

    def _tape(self) -> None:
        middle, chance = 10_000, random.Random(5)
        while not self._over.wait(0.05):
            middle += chance.randint(-3, 3)
            row = self.floor._row(self.floor.aapl, QUOTE)
            row["ts_ns"] = time.time_ns()
            row["bid_ticks"], row["ask_ticks"], row["bid_lots"], row["ask_lots"] = middle - 1, middle, 50, 50
            self.floor.bus.newest[self.floor.aapl.id] = row
            self._publish(row)
            trade = self.floor._row(self.floor.aapl, TRADE)
            trade["ts_ns"], trade["trade_ticks"], trade["trade_lots"] = time.time_ns(), middle - 1, 20
            self._publish(trade)

    def _publish(self, row: Ticks) -> None:
        """While Redis is away, what it would have got is lost."""
        with suppress(Unavailable):
            self._bus.publish_ticks(row)

    def born(self, kind: str, point: str = "-", count: int = 1, **more: object) -> int:
        """A new life, see `nursery`; its pid."""
        return self._nursery.born({"kind": kind, "point": point, "count": count, "env": self._env, **more})

    def broker(self, point: str = "-", count: int = 1, *, wait_for_lease: bool = False) -> int:
        if not wait_for_lease:
            self.floor.query("update broker_lease set expires_at = '-infinity'")
        self.lives += 1
        return self.born("broker", point, count)

    def status(self, pid: int) -> int | None:
        return self._nursery.dead.get(pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: self.status(pid) is not None, "its death")
        self.killed += 1

    def trade(self) -> None:
        """One order of some kind under a key, or a cancel."""
        key, lots = f"crash-{len(self.orders)}", str(self.chance.randint(1, 9))
        middle = int(self.floor.bus.newest[self.floor.aapl.id]["ask_ticks"][0])
        away = Decimal(self.chance.randint(1, 6)) / 100
        price = Decimal(middle) / 100
        arguments: tuple[Any, ...] = self.chance.choice(
            (("buy", lots), ("buy", lots, str(price - away)), ("sell", lots, str(price + away)), ("sell", "1"))
        )
        answer = self.floor.order(*arguments, key=key)
        self.orders[key] = (arguments, answer)
        if isinstance(answer, Acceptance):
            self.ids.append(answer.order_id)
        if self.ids and self.chance.random() < 0.2:
            self.floor.cancel(self.chance.choice(self.ids))

    def until(self, what: Callable[[], bool], words: str, timeout_s: float = PATIENCE_S, busy: bool = False) -> float:
        begun = time.monotonic()
        while not what():
            assert time.monotonic() - begun < timeout_s, f"waited in vain for {words}"
            if busy:
                self.trade()
            time.sleep(0.02)
        return time.monotonic() - begun

    def cursor(self) -> int:
        return int(self.floor.query("select coalesce(max(input_seq), 0) from broker_cursor")[0][0])

    def epoch(self) -> int:
        return int(self.floor.query("select epoch from broker_lease")[0][0])

    def sequenced(self) -> bool:
        return not self.floor.query("select 1 from command where input_seq is null limit 1")

    def close(self) -> None:
        self._over.set()
        self._feed.join()
        self._nursery.end()
        self._bus.close()
