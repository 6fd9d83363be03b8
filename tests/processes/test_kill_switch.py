"""The kill switch against brokers as processes: frozen, without Redis, with a thousand orders; and from outside."""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from shared_servers import Database
from street import Street
from trading_floor import TradingFloor
from typer.testing import CliRunner, Result

from trading import cli
from trading.adapters.embedded.valkey import EmbeddedValkey
from trading.adapters.redis_bus import RedisBus
from trading.domain.errors import Halted, Invalid
from trading.domain.orders import Acceptance
from trading.services import halt, verify
from trading.services.access import SYSTEM

MANY = 1000
log = logging.getLogger(__name__)
"""Figures; see them with ``--log-cli-level=info``."""


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake", "5000000.00")
    yield own
    own.close()


@pytest.fixture
def street(floor: TradingFloor, redis_url: str, environment: dict[str, str], tmp_path: Path) -> Iterator[Street]:
    own = Street(floor, redis_url, environment, tmp_path)
    yield own
    own.close()


def stop(street: Street, scope: str = "floor") -> float:
    """Halt; returns the seconds it took until it was in force."""
    begun = time.monotonic()
    halt.set_mode(street.floor.floor, SYSTEM, scope, "halted", "a drill")
    return time.monotonic() - begun


class Crowd:
    """Four threads that send orders that fill at once, until told to stop."""

    def __init__(self, floor: TradingFloor) -> None:
        self._floor, self._end = floor, threading.Event()
        self.accepted: list[int] = []
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        while not self._end.is_set():
            try:
                answer = self._floor.order("buy", "1", "100.00")
            except Halted:
                continue
            if isinstance(answer, Acceptance):
                self.accepted.append(answer.order_id)

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def counts(floor: TradingFloor) -> list[tuple[int, ...]]:
    return floor.query("select (select count(*) from orders), (select count(*) from fill)")


@pytest.mark.parametrize("trouble", ["none", "frozen", "no_redis"])
def test_after_the_halt_has_committed_no_order_and_no_fill_does(
    street: Street, valkey: EmbeddedValkey, trouble: str
) -> None:
    floor, broker = street.floor, street.start_broker()
    redis_pid = pid_of(valkey)
    street.until_works()
    bus = RedisBus(valkey.url())
    floor.bus.wake_broker = bus.wake_broker  # type: ignore[method-assign]
    crowd = Crowd(floor)
    try:
        street.until(lambda: counts(floor)[0][1] > 5)
        if trouble == "frozen":
            broker.send_signal(signal.SIGSTOP)
        elif trouble == "no_redis":
            os.kill(redis_pid, signal.SIGSTOP)
        took_s = stop(street)
        before = counts(floor)
        if trouble == "frozen":
            time.sleep(0.3)
            broker.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        assert counts(floor) == before
    finally:
        if trouble == "no_redis":
            os.kill(redis_pid, signal.SIGCONT)
        crowd.close()
        bus.close()
    log.info("halt in force after %.3f s, trouble: %s", took_s, trouble)
    assert took_s <= 2.0
    street.until(lambda: floor.query("select count(*) from command where input_seq is null") == [(0,)])
    assert counts(floor) == before
    assert floor.query("select count(*) from orders where state not in ('filled', 'cancelled', 'rejected')") == [(0,)]
    assert verify.run(floor.floor, SYSTEM).ok


def pid_of(valkey: EmbeddedValkey) -> int:
    with redis.Redis.from_url(valkey.url(), protocol=3) as client:
        return int(client.info("server")["process_id"])


@pytest.mark.parametrize(("broker", "scope"), [("live", "strategy:robot"), ("dead", "floor")])
def test_a_thousand_open_orders_end_within_seconds_of_the_halt_or_of_the_takeover(
    street: Street, broker: str, scope: str
) -> None:
    floor = street.floor
    floor.query("update risk_limit set max_open_orders = 100000")
    first = street.start_broker()
    street.until_works()
    for _ in range(MANY):
        floor.accepted("buy", "1", "96.00", strategy="robot")
    street.until(lambda: floor.query("select count(*) from orders where state = 'working'") == [(MANY,)])
    if broker == "dead":
        first.kill()
        first.wait()
    in_force_s = stop(street, scope)
    begun = time.monotonic()
    if broker == "dead":
        street.start_broker()
        street.until(lambda: floor.query("select epoch from broker_lease") == [(3,)])
        begun = time.monotonic()
    ended = "select count(*) from orders where state = 'cancelled' and reason = 'halted'"
    street.until(lambda: floor.query(ended) == [(MANY,)])
    took_s = time.monotonic() - begun
    log.info("%d orders ended %.2f s after the halt or the takeover, broker %s", MANY, took_s, broker)
    assert in_force_s <= 2.0
    assert took_s <= 5.0
    floor.check()


def test_the_command_line_halts_shows_and_resumes(floor: TradingFloor, environment: dict[str, str]) -> None:
    def tradefloor(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, arguments, env=environment)

    assert tradefloor("halts").stdout == "Nothing is halted.\n"
    done = tradefloor("halt", "--scope", "instrument:AAPL", "--mode", "reducing", "--reason", "news")
    assert (done.exit_code, done.stdout) == (0, f"instrument:{floor.aapl.id} is reducing.\n")
    shown = tradefloor("halts", "--json")
    (told,) = json.loads(shown.stdout)["halts"]
    assert (shown.exit_code, told["name"], told["reason"], told["set_by"]) == (1, "AAPL", "news", "system")
    assert "AAPL" in tradefloor("halts").stdout
    assert tradefloor("halt").stdout == "floor is halted.\n"
    assert tradefloor("resume").stdout == "floor is running.\n"
    assert isinstance(tradefloor("halt", "--scope", "moon").exception, Invalid)
