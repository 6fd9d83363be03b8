"""The broker under load on the real database: broker_fills_per_s and broker_fill_p99_ms.

Market orders of one share, buys and sells, of eight portfolios in eight instruments, are accepted by the real desk
beforehand. Then `PaperBroker` works the queue off in turns like those of its process: as many commands as that reads at
once, a quote of each instrument, one `advance` that matches, settles and commits everything a fill needs (fill, order
state, hold, transfers, lots, log) in batches of fifty fills. A fill's time is that of its batch, from the moment when
the broker takes its first command up, or reads it, to the commit. Announcing fills to screens is no part of it.

The peer is one connection that sends the very same statements in a loop, made beforehand to the last byte, on a
database that has been put back to the start: both work on copies of one template, in turns, each round on a new one.
What comes first in a round, while plans and caches are made, counts for neither.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.pq import ExecStatus

from bench.feed import bids, feed, quotes
from bench.floor import servers
from bench.measure import Row, in_turns, percentile, scaled, where_time_goes
from trading.adapters.embedded import connections
from trading.adapters.embedded.connections import FLOOR_DATABASE
from trading.adapters.postgres.broker_connections import COMMIT, SETTINGS
from trading.adapters.postgres.broker_store import COMMIT_FORMATS, PostgresBroker
from trading.bootstrap import first_start, open_floor
from trading.config import Settings
from trading.domain.orders import Acceptance, OrderType, Side, Ticket
from trading.processes.broker import COMMANDS_MAX
from trading.services import desk, ledger
from trading.services.access import SYSTEM, Actor, Role
from trading.services.floor import Floor
from trading.services.paper_broker import PaperBroker
from trading.services.ports.broker import Batch

ORDERS = 5_000
PORTFOLIOS = 8
SYMBOLS = ("AAPL", "MSFT", "IBM", "GOOG", "FB", "AMD", "AMZN", "VRTX")
CASH, OPENING_SHARES = "50000000.00", "2000"
WARM_FILLS = COMMANDS_MAX
ROUNDS = 3
LEASE_TTL_S = 600.0
FILLS_WANTED, P99_WANTED_MS, OF_SQL_WANTED = 10_000, 5, 0.6
COPY = "bench_copy"


def run(folder: Path) -> list[Row]:
    """Measure."""
    with servers(folder) as settings:
        first_start(settings)
        load = Load(settings)
        load.queue(scaled(ORDERS, 2 * WARM_FILLS))
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


class Watched(PostgresBroker):
    """The broker's store, which keeps the statements of its commits and the time of each batch."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.sent: list[Sequence[bytes]] = []
        self.fills: list[int] = []
        self.took_s: list[float] = []
        self.taken_up_s = time.perf_counter()
        self._began_s = 0.0

    def begin_commit(self, batch: Batch) -> None:
        """Send it, and note when its first command was taken up."""
        self._began_s = self.taken_up_s
        super().begin_commit(batch)
        self.fills.append(len(batch.fills))
        self.taken_up_s = time.perf_counter()

    def send_commit(self, parameters: Sequence[bytes]) -> None:
        """Keep it and send it."""
        self.sent.append(parameters)
        super().send_commit(parameters)

    def end_commit(self) -> Sequence[int]:
        """Wait for it, and note how long it took."""
        told = super().end_commit()
        if len(self.took_s) < len(self.fills):
            self.took_s.append(time.perf_counter() - self._began_s)
        return told


@dataclass
class Load:
    """A queue of orders in the template, and what working it off took."""

    settings: Settings
    bid_ticks: dict[str, int] = field(default_factory=dict)
    seq: int = 0
    sent: list[Sequence[bytes]] = field(default_factory=list)
    fills: list[int] = field(default_factory=list)
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
            turns: list[tuple[int, float]] = []
            while sum(fills for fills, _ in turns) < self.orders:
                began_s = time.perf_counter()
                fills = self.turn(broker, store)
                turns.append((fills, time.perf_counter() - began_s))
                if not fills:
                    raise RuntimeError(f"the broker stopped before it had filled {self.orders} orders")
        self.sent, self.fills = store.sent, store.fills
        self.ours_ms += [took_s * 1e3 for _, took_s in behind_warm_up(zip(store.fills, store.took_s, strict=True))]
        return per_second(turns)

    def repeat(self) -> float:
        """Fills a second of the statements alone."""
        dsn, batches = connections.dsn(self.settings, "tf_broker", COPY), []
        with self.copy(), psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("select take_lease('bench', %s)", (LEASE_TTL_S,))
            connection.execute(SETTINGS["commit"])
            for parameters, fills in zip(self.sent, self.fills, strict=True):
                began_s = time.perf_counter()
                connection.pgconn.send_query_prepared(COMMIT, parameters, param_formats=COMMIT_FORMATS)
                while (result := connection.pgconn.get_result()) is not None:
                    if result.status != ExecStatus.TUPLES_OK:
                        raise RuntimeError(f"a batch was refused: {result.error_message!r}")
                batches.append((fills, time.perf_counter() - began_s))
        self.peer_ms += [took_s * 1e3 for _, took_s in behind_warm_up(batches)]
        return per_second(batches)

    def turn(self, broker: PaperBroker, store: Watched) -> int:
        """Read commands, quote, advance; returns the number of fills committed."""
        self.seq += 1
        ticks, now_ns = quotes(self.bid_ticks), time.time_ns()
        ticks["seq"], ticks["ts_ns"] = self.seq, now_ns
        store.taken_up_s = time.perf_counter()
        commands = store.waiting_commands(COMMANDS_MAX, broker.queue.known)
        return broker.advance(now_ns, ticks, commands).fills

    @contextmanager
    def broker(self, database: str) -> Iterator[tuple[PaperBroker, Watched]]:
        """A broker that holds the lease, restored."""
        store = Watched(connections.dsn(self.settings, "tf_broker", database))
        try:
            epoch = store.take_lease("bench", LEASE_TTL_S)
            if epoch is None:
                raise RuntimeError("another broker has the lease")
            broker = PaperBroker(store, epoch)
            broker.restore(time.time_ns())
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


def behind_warm_up(steps: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Fills and seconds of each step but the first ones."""
    kept, fills = [], 0
    for step in steps:
        if fills >= WARM_FILLS:
            kept.append(step)
        fills += step[0]
    return kept


def per_second(steps: Iterable[tuple[int, float]]) -> float:
    """Fills a second behind the warm-up."""
    kept = behind_warm_up(steps)
    return sum(fills for fills, _ in kept) / sum(took_s for _, took_s in kept)


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
