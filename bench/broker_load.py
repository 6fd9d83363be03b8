"""The broker under load on the real database: broker_fills_per_s and broker_fill_p99_ms.

Market orders of one share, buys and sells, of eight portfolios in eight instruments, are accepted by the real desk
beforehand. Then `PaperBroker` works the queue off: fifty commands read from the database, a quote of each instrument,
one `advance` that matches, settles and commits everything a fill needs (fill, order state, hold, transfers, lots, log).
A fill's time is that of its turn, from the reading of its command to the commit. Announcing fills to screens is no part
of it.

The peer is one connection that runs the very same statements in a loop, parameters and JSON made beforehand, on a
database that has been put back to the start: both work on copies of one template, in turns, each round on a new one.
The first five turns of a round, in which plans and caches are made, count for neither.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench.feed import bids, feed, quotes
from bench.floor import servers
from bench.measure import Row, in_turns, percentile, scaled, where_time_goes
from trading.adapters.embedded import connections
from trading.adapters.embedded.connections import FLOOR_DATABASE
from trading.adapters.postgres.broker_store import PostgresBroker
from trading.bootstrap import first_start, open_floor
from trading.config import Settings
from trading.domain.orders import Acceptance, OrderType, Side, Ticket
from trading.exchange.codec import tick_of
from trading.services import desk, ledger
from trading.services.access import SYSTEM, Actor, Role
from trading.services.floor import Floor
from trading.services.paper_broker import PaperBroker

ORDERS = 5_000
PORTFOLIOS = 8
SYMBOLS = ("AAPL", "MSFT", "IBM", "GOOG", "FB", "AMD", "AMZN", "VRTX")
CASH, OPENING_SHARES = "50000000.00", "2000"
AT_ONCE = 50
ROUNDS = 3
WARM_TURNS = 5
LEASE_TTL_S = 600.0
FILLS_WANTED, P99_WANTED_MS, OF_SQL_WANTED = 10_000, 5, 0.6
COPY = "bench_copy"
Statement = tuple[Any, Sequence[Any]]


def run(folder: Path) -> list[Row]:
    """Measure."""
    with servers(folder) as settings:
        first_start(settings)
        load = Load(settings)
        load.queue(scaled(ORDERS, 2 * WARM_TURNS * AT_ONCE))
        ours, peer, ratio = in_turns(ROUNDS, load.work_off, load.repeat)
        p99_ms, peer_ms = percentile(load.ours_ms, 0.99), percentile(load.peer_ms, 0.99)
        met = ratio >= OF_SQL_WANTED or (ours >= FILLS_WANTED and p99_ms <= P99_WANTED_MS)
        if not met:
            where_time_goes("the broker's turns", load.work_off)
    unless = f"or {OF_SQL_WANTED:g} x its SQL alone"
    return [
        Row("broker_fills_per_s", ours, peer, ratio, FILLS_WANTED, "fills/s", met, f"ours >= 10,000 {unless}"),
        Row("broker_fill_p99_ms", p99_ms, peer_ms, p99_ms / peer_ms, P99_WANTED_MS, "ms", met, f"ours <= 5 {unless}"),
    ]


class Recording(psycopg.Connection[Any]):
    """A connection that remembers the commits that went through it."""

    commits: list[Statement]

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Run it; where it is a commit of a batch, keep it too."""
        if "commit_batch" in str(query):
            self.commits.append((query, params))
        return super().execute(query, params, **options)


@dataclass
class Load:
    """A queue of orders in the template, and what working it off took."""

    settings: Settings
    bid_ticks: dict[str, int] = field(default_factory=dict)
    seq: int = 0
    commits: list[Statement] = field(default_factory=list)
    ours_ms: list[float] = field(default_factory=list)
    peer_ms: list[float] = field(default_factory=list)
    orders: int = 0

    def queue(self, count: int) -> None:
        """Traders with cash and shares, and ``count`` orders that wait for the broker."""
        self.orders = count
        with open_floor(self.settings) as floor, feed(floor, self.settings):
            ids = {one.symbol: str(one.id) for one in desk.instruments(floor, SYSTEM)}
            self.bid_ticks = {ids[symbol]: bids(floor)[ids[symbol]] for symbol in SYMBOLS}
            traders = [trader(floor, number) for number in range(PORTFOLIOS)]
            self.administer("update risk_limit set max_open_orders = 1000000", FLOOR_DATABASE)
            self.administer("update risk_limit set max_order_notional = 1000000000000", FLOOR_DATABASE)
            pairs = [(one, symbol) for symbol in SYMBOLS for one in traders]
            for number, (one, symbol) in enumerate(pairs):
                order(floor, one, symbol, Side.BUY, OPENING_SHARES, f"opening-{number}")
            with self.broker(FLOOR_DATABASE) as (broker, store):
                while self.turn(broker, store):
                    pass
            for number in range(count):
                one, symbol = pairs[number % len(pairs)]
                side = Side.SELL if number // len(pairs) % 2 else Side.BUY
                order(floor, one, symbol, side, "1", f"load-{number}")
        self.administer("update broker_lease set expires_at = '-infinity'", FLOOR_DATABASE)

    def work_off(self) -> float:
        """Fills a second, from the queue to the last commit."""
        with self.copy(), self.broker(COPY) as (broker, store):
            store._connection = Recording.connect(connections.dsn(self.settings, "tf_broker", COPY), autocommit=True)
            self.commits = store._connection.commits = []
            took_ms, fills = [], 0
            while fills < self.orders:
                began_s = time.perf_counter()
                done = self.turn(broker, store)
                took_ms.append((time.perf_counter() - began_s) * 1e3)
                fills += done
                if not done:
                    raise RuntimeError(f"{fills} fills of {self.orders} orders")
        return self.kept(self.ours_ms, took_ms)

    def repeat(self) -> float:
        """Fills a second of the statements alone."""
        prepared = [(query, [plain(value) for value in values]) for query, values in self.commits]
        dsn, took_ms = connections.dsn(self.settings, "tf_broker", COPY), []
        with self.copy(), psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("select take_lease('bench', %s)", (LEASE_TTL_S,))
            for query, values in prepared:
                began_s = time.perf_counter()
                connection.execute(query, values, prepare=True)
                took_ms.append((time.perf_counter() - began_s) * 1e3)
        return self.kept(self.peer_ms, took_ms)

    def kept(self, into: list[float], took_ms: list[float]) -> float:
        """Fills a second, without the first turns, in which plans and caches are made."""
        into += took_ms[WARM_TURNS:]
        return (self.orders - WARM_TURNS * AT_ONCE) / (sum(took_ms[WARM_TURNS:]) / 1e3)

    def turn(self, broker: PaperBroker, store: PostgresBroker) -> int:
        """Read commands, quote, advance; returns the number of fills committed."""
        self.seq += 1
        ticks, now_ns = quotes(self.bid_ticks), time.time_ns()
        ticks["seq"], ticks["ts_ns"] = self.seq, now_ns
        commands = store.waiting_commands(AT_ONCE)
        return broker.advance(now_ns, [tick_of(one.tobytes()) for one in ticks], commands).fills

    @contextmanager
    def broker(self, database: str) -> Iterator[tuple[PaperBroker, PostgresBroker]]:
        """A broker that holds the lease, restored."""
        store = PostgresBroker(connections.dsn(self.settings, "tf_broker", database))
        try:
            epoch = store.take_lease("bench", LEASE_TTL_S)
            if epoch is None:
                raise RuntimeError("another broker has the lease")
            broker = PaperBroker(store, epoch)
            broker.restore()
            yield broker, store
        finally:
            store.close()

    @contextmanager
    def copy(self) -> Iterator[None]:
        """A database as the queue left it, dropped in the end."""
        self.administer(f"create database {COPY} template {FLOOR_DATABASE} strategy file_copy")
        try:
            self.administer(f"grant connect on database {COPY} to tf_broker")
            self.administer("checkpoint")
            yield
        finally:
            self.administer(f"drop database {COPY} with (force)")

    def administer(self, statement: str, database: str = "postgres") -> None:
        """One statement as the superuser."""
        with psycopg.connect(connections.dsn(self.settings, "superuser", database), autocommit=True) as connection:
            connection.execute(statement.encode())


def plain(value: Any) -> Any:
    """A parameter that costs the client nothing more: JSON as its text."""
    return json.dumps(value.obj) if isinstance(value, Jsonb) else value


def trader(floor: Floor, number: int) -> tuple[Actor, int]:
    """A trader and a portfolio full of cash."""
    user = floor.people.create_user(f"load{number}", f"Load {number}", "trader", "no-password", 0)
    portfolio = floor.people.create_portfolio(user.id, "Main", "cash", "USD", 0)
    ledger.deposit(floor, SYSTEM, portfolio.id, CASH, f"opening-{number}")
    return Actor(user.id, user.username, Role.TRADER), portfolio.id


def order(floor: Floor, one: tuple[Actor, int], symbol: str, side: Side, quantity: str, key: str) -> None:
    """A market order, which must be accepted."""
    answer = desk.submit(floor, *one, Ticket(symbol, side, OrderType.MARKET, quantity), key)
    if not isinstance(answer, Acceptance):
        raise RuntimeError(f"refused: {answer.reason}")
