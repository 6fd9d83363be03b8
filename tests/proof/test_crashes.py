"""Killed at every named point and at random, over a tape and orders that go on: nothing is lost, nothing is doubled.

``CRASH_KILLS`` is the number of random kills; ``CRASH_REPORT`` names a file for the figures.
"""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nursery import BROKER_POINTS, DESK_POINTS
from oracle_books import differences
from shared_servers import Database
from trading_floor import TradingFloor

from trading.adapters.redis_bus import RedisBus
from trading.domain.orders import Acceptance, Refusal
from trading.market.ticks import QUOTE, TRADE
from trading.processes.broker import FENCED_STATUS
from trading.services import night
from trading.services.access import SYSTEM

KILLS = int(os.environ.get("CRASH_KILLS", "12"))
CASH = Decimal("5000000.00")
LIFE_S = 15.0


class Street:
    """A floor, a tape of quotes and prints twenty times a second, and brokers out of the nursery."""

    def __init__(self, floor: TradingFloor, redis_url: str, environment: dict[str, str], logs: Path) -> None:
        self.floor, self.chance = floor, random.Random(11)
        self.orders: dict[str, tuple[tuple[Any, ...], Acceptance | Refusal]] = {}
        self.ids: list[int] = []
        self.lives = self.killed = 0
        self._bus = RedisBus(redis_url)
        self._over = threading.Event()
        floor.store.close()
        self._log = (logs / "nursery.log").open("wb")
        self._nursery = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            env={**environment, "PYTHONPATH": os.getcwd()},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, bufsize=1,
        )  # fmt: skip
        self._said: queue.Queue[str] = queue.Queue()
        self._dead: dict[int, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._said.get(timeout=120) == "ready"
        self._feed = threading.Thread(target=self._tape, daemon=True)
        self._feed.start()
        self.until(lambda: bool(floor.bus.newest), "a quote")

    def _listen(self) -> None:
        assert self._nursery.stdout is not None
        for line in self._nursery.stdout:
            words = line.split()
            if len(words) == 3:
                self._dead[int(words[0])] = int(words[2])
            else:
                self._said.put(line.strip())

    def _tape(self) -> None:
        middle, chance = 10_000, random.Random(5)
        while not self._over.wait(0.05):
            middle += chance.randint(-3, 3)
            row = self.floor._row(self.floor.aapl, QUOTE)
            row["ts_ns"] = time.time_ns()
            row["bid_ticks"], row["ask_ticks"], row["bid_lots"], row["ask_lots"] = middle - 1, middle, 50, 50
            self.floor.bus.newest[self.floor.aapl.id] = row
            self._bus.publish_ticks(row)
            trade = self.floor._row(self.floor.aapl, TRADE)
            trade["ts_ns"], trade["trade_ticks"], trade["trade_lots"] = time.time_ns(), middle - 1, 20
            self._bus.publish_ticks(trade)

    def born(self, *words: object) -> int:
        """A new life; its pid."""
        assert self._nursery.stdin is not None
        self._nursery.stdin.write("|".join(map(str, words)) + "\n")
        return int(self._said.get(timeout=30))

    def broker(self, point: str = "-", count: int = 1, *, wait_for_lease: bool = False) -> int:
        if not wait_for_lease:
            self.floor.query("update broker_lease set expires_at = '-infinity'")
        self.lives += 1
        return self.born("broker", point, count)

    def status(self, pid: int) -> int | None:
        return self._dead.get(pid)

    def words(self) -> str:
        """The last ones of a life."""
        return Path(self._log.name).read_text()[-1500:]

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

    def until(self, what: Callable[[], bool], words: str, timeout_s: float = LIFE_S, busy: bool = False) -> float:
        begun = time.monotonic()
        while not what():
            assert time.monotonic() - begun < timeout_s, f"waited in vain for {words}"
            if busy:
                self.trade()
            time.sleep(0.02)
        return time.monotonic() - begun

    def cursor(self) -> int:
        return int(self.floor.query("select coalesce(max(input_seq), 0) from broker_cursor")[0][0])

    def sequenced(self) -> bool:
        return not self.floor.query("select 1 from command where input_seq is null limit 1")

    def close(self) -> None:
        self._over.set()
        self._feed.join()
        self._nursery.stdin.close()  # type: ignore[union-attr]
        self._nursery.kill()
        self._nursery.wait()
        self._nursery.stdout.close()  # type: ignore[union-attr]
        self._log.close()
        self._bus.close()


@pytest.fixture
def street(database: Database, redis_url: str, environment: dict[str, str], tmp_path: Path) -> Iterator[Street]:
    floor = TradingFloor(database, tmp_path / "lake", str(CASH))
    floor.clock.ns = time.time_ns()
    own = Street(floor, redis_url, environment, tmp_path)
    yield own
    own.close()
    floor.close()


def is_whole(street: Street) -> None:
    """The books, the oracle, a clean replay of the log, and each order under its key."""
    street.floor.check()
    assert differences(street.floor.query, {street.floor.portfolio: CASH}) == []
    parity = night.replay(street.floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:5]
    assert parity.first_seq == 1
    assert parity.last_seq == street.cursor()
    for key, (arguments, first) in street.orders.items():
        assert street.floor.order(*arguments, key=key) == first, "the same key is the same order"
    assert set(street.ids) == {order for (order,) in street.floor.query("select id from orders")}


@pytest.mark.timeout(0)
def test_a_broker_killed_at_every_named_point_and_at_random_loses_and_doubles_nothing(street: Street) -> None:
    for point in BROKER_POINTS:
        for count in (1,) if point == "after the lease is taken" else (1, 3):
            doomed = street.broker(point, count)
            street.until(lambda pid=doomed: street.status(pid) is not None, f"death {point}", 30, busy=True)
            assert street.status(doomed) == -signal.SIGKILL
    resumed_s = []
    for n in range(KILLS):
        before, begun = street.cursor(), time.monotonic()
        pid = street.broker(wait_for_lease=n < 2)
        street.until(lambda before=before: street.cursor() > before, "work again", busy=n >= 2)
        resumed_s.append(time.monotonic() - begun)
        street.until(lambda: street.chance.random() < 0.08, "a moment", busy=True)
        street.kill(pid)
    last = street.broker()
    street.until(street.sequenced, "every command to be sequenced", 30)
    os.kill(last, signal.SIGTERM)
    street.until(lambda: street.status(last) is not None, "its end")
    assert street.status(last) in (0, FENCED_STATUS)
    assert len(street.floor.query("select 1 from fill")) > len(BROKER_POINTS)
    is_whole(street)
    assert max(resumed_s[:2]) <= 5, "the lease of the dead included"
    report = os.environ.get("CRASH_REPORT")
    if report is not None:
        figures = {"kills": street.killed + 2 * len(BROKER_POINTS) - 1, "resumed_s": resumed_s[:2],
                   "orders": len(street.orders), "inputs": street.cursor()}  # fmt: skip
        Path(report).write_text(json.dumps(figures, indent=1))


def test_an_order_whose_desk_is_killed_at_a_named_point_is_the_same_order_when_it_is_sent_again(street: Street) -> None:
    floor = street.floor
    committed = {}
    for n, point in enumerate(DESK_POINTS):
        key = f"desk-{n}"
        doomed = street.born("desk", point, key, floor.portfolio, floor.trader.user_id)
        street.until(lambda pid=doomed: street.status(pid) is not None, f"death {point}")
        assert street.status(doomed) == -signal.SIGKILL, (point, street.words())
        rows = floor.query("select answer ->> 'order_id' from idempotency_key where key = %s", key)
        committed[point] = bool(rows)
        arguments = ("buy", "1", "100.00")
        first = floor.order(*arguments, key=key)
        assert isinstance(first, Acceptance)
        if rows:
            assert int(rows[0][0]) == first.order_id
        assert floor.order(*arguments, key=key) == first
    assert list(committed.values()) == [False, False, True, True, True]
    assert floor.query("select count(*) from orders") == [(len(DESK_POINTS),)]
    floor.check()
