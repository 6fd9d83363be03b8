"""The broker as a process: killed, frozen, doubled, cut off from its tape."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from shared_servers import Database
from street import Street
from trading_floor import TradingFloor

from trading.processes.broker import FENCED_STATUS
from trading.services import desk, halt, night
from trading.services.access import SYSTEM


@pytest.fixture
def street(database: Database, redis_url: str, environment: dict[str, str], tmp_path: Path) -> Iterator[Street]:
    floor = TradingFloor(database, tmp_path / "lake", "5000000.00")
    own = Street(floor, redis_url, environment, tmp_path)
    yield own
    own.close()
    floor.close()


def test_a_broker_killed_between_order_and_fill_fills_once_when_it_is_back(street: Street) -> None:
    first = street.start_broker()
    street.until_works()
    first.send_signal(signal.SIGSTOP)
    order = street.floor.accepted("buy", "10")
    first.kill()
    first.wait()
    assert not street.filled(order.order_id)
    street.start_broker()
    assert street.until(lambda: street.filled(order.order_id)) <= 8
    street.until_works()
    assert street.floor.query("select count(*), sum(quantity_lots) from fill") == [(1, 10)]
    street.floor.check()


def test_many_kills_lose_no_order_and_double_no_fill(street: Street) -> None:
    chance = random.Random(7)
    orders: list[int] = []
    for _ in range(5):
        broker, before = street.start_broker(), street.cursor()
        end = float("inf")
        while time.monotonic() < end:
            orders.append(street.floor.accepted("buy", str(chance.randint(1, 9))).order_id)
            time.sleep(chance.random() / 5)
            if end == float("inf") and street.cursor() > before:
                end = time.monotonic() + chance.random()
        os.kill(broker.pid, signal.SIGKILL)
        broker.wait()
    street.start_broker()
    street.until(lambda: all(street.filled(order) for order in orders))
    totals = street.floor.query("select sum(quantity_lots) from orders union all select sum(quantity_lots) from fill")
    assert totals[0] == totals[-1]
    street.floor.check()
    parity = night.replay(street.floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:5]
    assert parity.fills >= len(orders)


def test_a_standby_takes_over_and_the_frozen_broker_writes_nothing_when_it_thaws(street: Street) -> None:
    first = street.start_broker()
    street.until_works()
    street.start_broker()
    time.sleep(0.5)
    first.send_signal(signal.SIGSTOP)
    assert street.until(lambda: street.floor.query("select epoch from broker_lease") == [(3,)]) <= 10
    order = street.floor.accepted("buy", "10")
    street.until(lambda: street.filled(order.order_id))
    first.send_signal(signal.SIGCONT)
    assert first.wait(10) == FENCED_STATUS
    assert street.floor.query("select epoch from input_log order by first_seq desc limit 1") == [(3,)]
    epochs = [row[0] for row in street.floor.query("select epoch from input_log order by first_seq")]
    assert epochs == sorted(epochs)
    street.floor.check()


def test_a_lost_tape_is_a_gap_and_trading_goes_on_with_the_next_quote(street: Street, redis_url: str) -> None:
    street.start_broker()
    street.until_works()
    with redis.Redis.from_url(redis_url, protocol=3) as client:
        client.flushall()
    street.until_works()
    order = street.floor.accepted("buy", "10")
    assert street.until(lambda: street.filled(order.order_id)) <= 5
    street.floor.check()


def test_no_fill_commits_after_a_halt_and_open_orders_can_still_be_cancelled(street: Street) -> None:
    street.start_broker()
    street.until_works()
    resting = street.floor.accepted("buy", "10", "99.00").order_id
    street.until(lambda: street.floor.state(resting)[0] == "working")
    halt.set_mode(street.floor.floor, SYSTEM, "floor", "halted", "a drill")
    fills = street.floor.query("select count(*) from fill")
    desk.cancel(street.floor.floor, street.floor.trader, street.floor.portfolio, resting)
    assert street.until(lambda: street.floor.state(resting)[0] == "cancelled") <= 5
    assert street.floor.query("select count(*) from fill") == fills
    street.floor.check()
