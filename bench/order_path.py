"""Submit to notified fill through the real desk and the real broker: order_path_p50_vs_floor, order_path_p99_vs_floor.

A closed loop of market orders of one share, buys and sells in turn: `desk.submit` as the gateway calls it, the broker
as a process of its own, PostgreSQL with durable commits, until the fill's event has come through `RedisBus.listen`.
Another process quotes every instrument twenty times a second.

The floor is F = 2 x INSERT-commit p50 + 3 x stream-hop p50: one row inserted and committed by one connection, and one
entry from XADD in this process to XREAD in another, with the clients that the floor uses. Orders, inserts and hops are
measured in slices, in turns, on the same servers. p50 and p99 are of all orders of the run.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

from bench.bus import wait_for_listener
from bench.feed import feed
from bench.floor import servers
from bench.measure import Row, at_most, percentile, say, scaled, where_time_goes
from trading.adapters.embedded import connections
from trading.adapters.embedded.spawn import spawn, terminate
from trading.adapters.redis_bus import RedisBus
from trading.bootstrap import first_start, open_floor
from trading.config import PROJECT_ROOT, Settings
from trading.domain.orders import Acceptance, OrderType, Side, Ticket
from trading.market.ticks import EVENTS
from trading.processes.environment import floor_variables
from trading.services import desk
from trading.services.access import Actor, Role
from trading.services.floor import Floor

SLICES = 10
IN_A_SLICE = 150
WARM = 100
FILL_TIMEOUT_S = 10
BROKER_TIMEOUT_S = 180
PROFILED = 50
P50_WANTED, P99_WANTED = 3, 5
COMMITS, HOPS = 2, 3
SYMBOL = "AAPL"
STREAM = "bench-hops"


def run(folder: Path) -> list[Row]:
    """Measure."""
    with servers(folder) as settings:
        first_start(settings)
        with open_floor(settings) as floor, feed(floor, settings), broker(settings, folder):
            rows = asyncio.run(measured(floor, settings))
            if not all(row.met for row in rows):
                submit = Trader(floor, "profiled", (Side.BUY,)).order
                where_time_goes("desk.submit", lambda: [submit() for _ in range(PROFILED)])
            return rows


@contextmanager
def broker(settings: Settings, folder: Path) -> Iterator[None]:
    """The paper broker's process, until the end; where something fails, the end of its log is shown."""
    log = folder / "broker.log"
    argv, variables = [sys.executable, "-m", "trading.processes.broker"], {**os.environ, **floor_variables(settings)}
    child = spawn(argv, log=log, env=variables, cwd=PROJECT_ROOT)
    try:
        wait_for_broker(settings)
        yield
    except Exception:
        say("".join(log.read_text().splitlines(keepends=True)[-5:]))
        raise
    finally:
        terminate(child, signal.SIGTERM, 5, signal.SIGKILL)


def wait_for_broker(settings: Settings) -> None:
    """Return when it has committed inputs; where the core was never compiled, that takes its time."""
    with psycopg.connect(connections.dsn(settings, "superuser"), autocommit=True) as connection:
        deadline = time.monotonic() + BROKER_TIMEOUT_S
        while not connection.execute("select 1 from broker_cursor where input_seq > 0").fetchone():
            if time.monotonic() > deadline:
                raise RuntimeError("the broker did not begin to work")
            time.sleep(0.1)


async def measured(floor: Floor, settings: Settings) -> list[Row]:
    """Slices in turns, then the percentiles."""
    url, size = connections.redis_url(settings), scaled(IN_A_SLICE, 20)
    trader = Trader(floor)
    bus = RedisBus(url)
    events = bus.listen(EVENTS)
    first = asyncio.ensure_future(anext(events))  # subscribes
    await asyncio.sleep(0)
    inserts_us: list[float] = []
    with (
        psycopg.connect(connections.dsn(settings, "superuser"), autocommit=True) as connection,
        redis.Redis.from_url(url) as client,
        subprocess.Popen([sys.executable, "-m", "bench.order_path", url], stdout=subprocess.PIPE, text=True) as hops,
    ):
        connection.execute("create table bench_row (id bigint generated always as identity primary key, n bigint)")
        await asyncio.to_thread(wait_for_listener, settings, EVENTS)
        bus.publish_events([{"topic": "", "order_id": 0}])
        await asyncio.wait_for(first, FILL_TIMEOUT_S)
        await trader.orders(events, scaled(WARM, 20))
        trader.submits_us.clear()
        trader.totals_us.clear()
        for _ in range(SLICES):
            await trader.orders(events, size)
            inserts_us += inserts(connection, size)
            send_hops(client, size)
        client.xadd(STREAM, {"t": 0})
        said, _ = hops.communicate(timeout=10)
    hop_us, insert_us = float(said), percentile(inserts_us, 0.5)
    floor_us = COMMITS * insert_us + HOPS * hop_us
    say(
        f"  INSERT commit p50 {insert_us:.0f} us, stream hop p50 {hop_us:.0f} us, F {floor_us:.0f} us;"
        f" desk.submit alone p50 {percentile(trader.submits_us, 0.5):.0f} us"
    )
    return [
        at_most(f"order_path_{name}_vs_floor", percentile(trader.totals_us, part), floor_us, wanted, "us")
        for name, part, wanted in (("p50", 0.5, P50_WANTED), ("p99", 0.99, P99_WANTED))
    ]


class Trader:
    """The demo trader at the desk, with a stop watch."""

    def __init__(self, floor: Floor, name: str = "bench", sides: tuple[Side, ...] = (Side.BUY, Side.SELL)) -> None:
        self._floor, self._name, self._sides = floor, name, sides
        user = next(user for user in floor.people.users() if user.username == "tina")
        self._actor = Actor(user.id, "tina", Role.TRADER)
        self._portfolio = floor.people.portfolios_of(user.id)[0].id
        self._number = 0
        self.submits_us: list[float] = []
        self.totals_us: list[float] = []

    def order(self) -> int:
        """Submit the next order; returns its id."""
        ticket = Ticket(SYMBOL, self._sides[self._number % len(self._sides)], OrderType.MARKET, "1")
        self._number += 1
        answer = desk.submit(self._floor, self._actor, self._portfolio, ticket, f"{self._name}-{self._number}")
        if not isinstance(answer, Acceptance):
            raise RuntimeError(f"refused: {answer.reason}")
        return answer.order_id

    async def orders(self, events: AsyncIterator[tuple[str, bytes]], count: int) -> None:
        """One order after the other, each from its submission to its fill's event."""
        for _ in range(count):
            began_ns = time.perf_counter_ns()
            order_id = self.order()
            submitted_ns = time.perf_counter_ns()
            await filled(events, order_id)
            self.totals_us.append((time.perf_counter_ns() - began_ns) / 1e3)
            self.submits_us.append((submitted_ns - began_ns) / 1e3)


async def filled(events: AsyncIterator[tuple[str, bytes]], order_id: int) -> None:
    """Until the event of an order's fill."""
    async with asyncio.timeout(FILL_TIMEOUT_S):
        async for _, payload in events:
            event = json.loads(payload)
            if event["order_id"] == order_id and event["topic"] == "fill":
                return


def inserts(connection: "psycopg.Connection[tuple[object, ...]]", count: int) -> list[float]:
    """Microseconds of single-row commits."""
    found = []
    for number in range(count):
        began_ns = time.perf_counter_ns()
        connection.execute("insert into bench_row (n) values (%s)", (number,), prepare=True)
        found.append((time.perf_counter_ns() - began_ns) / 1e3)
    return found


def send_hops(client: "redis.Redis", count: int) -> None:
    """Entries with the time of their sending, one after the other has been read."""
    for _ in range(count):
        client.xadd(STREAM, {"t": time.time_ns()}, maxlen=1_000)
        time.sleep(0.001)


def read_hops(url: str) -> None:
    """Until an entry without a time; prints the p50 in microseconds."""
    found, last = [], "0-0"
    with redis.Redis.from_url(url) as client:
        while True:
            for _, entries in client.xread({STREAM: last}, block=1000) or ():
                now_ns = time.time_ns()
                last = entries[-1][0]
                sent = [int(fields[b"t"]) for _, fields in entries]
                found += [(now_ns - sent_ns) / 1e3 for sent_ns in sent if sent_ns]
                if 0 in sent:
                    say(str(percentile(found, 0.5)))
                    return


if __name__ == "__main__":
    read_hops(sys.argv[1])
