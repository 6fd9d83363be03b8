"""Orders accepted and cash posted beside what PostgreSQL itself needs: accept_p50_vs_insert, accept_vs_pgbench,
posting_vs_pgbench.

One client: `desk.submit` as the gateway calls it (rights, quote, idempotency, risk, hold, order, event, audit, command,
wake-up), p50, beside the commit of one inserted row, in turns on the same server.

Eight clients of one service process, as on a floor, each with a portfolio of its own: accepted orders a second beside
as many pgbench clients that call the same server function, prepared; and `ledger.deposit` beside pgbench that calls the
same function.

The broker fills what was accepted between the slices and rounds: a portfolio has no more open orders than one makes.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from bench.clients import SYMBOL, Trader, clients, orders, traders
from bench.feed import bids, feed, quotes
from bench.floor import servers
from bench.measure import Row, at_least, at_most, in_turns, percentile, say, scaled, where_time_goes
from bench.order_path import inserts
from trading.adapters.embedded import connections
from trading.adapters.embedded.postgres import binary, environment
from trading.adapters.postgres import desk_store
from trading.adapters.postgres.broker_store import PostgresBroker
from trading.bootstrap import first_start, open_floor
from trading.config import Settings
from trading.domain.orders import OrderType, Refusal, Side, Ticket
from trading.processes import floor_table
from trading.processes.broker import COMMANDS_MAX
from trading.services.floor import Floor
from trading.services.paper_broker import PaperBroker
from trading.services.tickets import BestQuote, decide

CLIENTS = 8
SLICES, IN_A_SLICE = 10, 100
ROUNDS, SECONDS = 5, 2
CASH = "900000000.00"
P50_WANTED, ORDERS_WANTED, POSTINGS_WANTED = 4, 0.5, 0.7
LEASE_TTL_S = 600.0


def run(folder: Path) -> list[Row]:
    """Measure."""
    with servers(folder) as settings:
        first_start(settings)
        dsn = connections.dsn(settings, "superuser")
        with (
            open_floor(settings) as floor,
            feed(floor, settings),
            psycopg.connect(dsn, autocommit=True) as connection,
            filling(floor, settings) as fill_all,
        ):
            connection.execute("create table bench_row (id bigint generated always as identity primary key, n bigint)")
            connection.execute("update risk_limit set max_open_orders = 100000000, max_order_notional = 1000000000000")
            who = traders(floor, CLIENTS, CASH)
            rows = [one_client(floor, who[0], connection, fill_all)]
            return [*rows, many_orders(settings, connection, who, fill_all), many_postings(settings, who)]


def one_client(floor: Floor, trader: Trader, connection: "Connection[Any]", fill_all: Callable[[], None]) -> Row:
    """An order, beside a row."""
    submit, number = orders(floor, trader), 1_000_000
    submits_us: list[float] = []
    inserts_us: list[float] = []
    for at in range(-1, SLICES):
        found = []
        for _ in range(scaled(IN_A_SLICE, 20)):
            number += 1
            began_ns = time.perf_counter_ns()
            submit(number)
            found.append((time.perf_counter_ns() - began_ns) / 1e3)
        rows = inserts(connection, len(found))
        if at >= 0:  # what comes first makes connections and plans
            submits_us += found
            inserts_us += rows
        fill_all()
    row = at_most("accept_p50_vs_insert", percentile(submits_us, 0.5), percentile(inserts_us, 0.5), P50_WANTED, "us")
    p99s = percentile(submits_us, 0.99), percentile(inserts_us, 0.99)
    say(f"  p99 of an accepted order {p99s[0]:.0f} us, of an insert {p99s[1]:.0f} us")
    if not row.met:
        where_time_goes("desk.submit", lambda: [submit(number + n) for n in range(1, IN_A_SLICE)])
        fill_all()
    return row


def many_orders(
    settings: Settings, connection: "Connection[Any]", who: Sequence[Trader], fill_all: Callable[[], None]
) -> Row:
    """Orders a second of eight clients."""
    seconds = scaled(SECONDS, 1)
    with clients(settings, "orders", who) as ours:
        scripts = [order_script(connection, trader) for trader in who]

        def work() -> float:
            fill_all()
            return ours.per_second(seconds)

        def peer() -> float:
            fill_all()
            return pgbench(settings, scripts, seconds)

        return at_least("accept_vs_pgbench", *in_turns(scaled(ROUNDS), work, peer), ORDERS_WANTED, "orders/s")


def many_postings(settings: Settings, who: Sequence[Trader]) -> Row:
    """Postings a second of eight clients."""
    seconds = scaled(SECONDS, 1)
    with clients(settings, "deposits", who) as ours:
        scripts = [posting_script(trader) for trader in who]
        figures = in_turns(
            scaled(ROUNDS), lambda: ours.per_second(seconds), lambda: pgbench(settings, scripts, seconds)
        )
    return at_least("posting_vs_pgbench", *figures, POSTINGS_WANTED, "postings/s")


@contextmanager
def filling(floor: Floor, settings: Settings) -> Iterator[Callable[[], None]]:
    """A broker that fills all that waits, when it is asked to."""
    bid_ticks = bids(floor)
    store = PostgresBroker(connections.dsn(settings, "tf_broker"))
    try:
        epoch = store.take_lease("bench", LEASE_TTL_S)
        if epoch is None:
            raise RuntimeError("another broker has the lease")
        broker, seq = PaperBroker(store, epoch), 0
        broker.restore(time.time_ns())

        def fill_all() -> None:
            nonlocal seq
            while commands := store.waiting_commands(COMMANDS_MAX, broker.queue.known):
                seq += 1
                ticks, now_ns = quotes(bid_ticks), time.time_ns()
                ticks["seq"], ticks["ts_ns"] = seq, now_ns
                broker.advance(now_ns, ticks, commands)

        yield fill_all
    finally:
        store.close()


def order_script(connection: "Connection[Any]", trader: Trader) -> str:
    """What pgbench sends for an accepted order: what our client sends."""
    found = connection.execute(
        "select desk_context(%s, %s, (select id from instrument where symbol = %s and venue = 'SIM'), 0, false)",
        (*trader, SYMBOL),
    ).fetchone()
    if found is None:
        raise LookupError("no context")
    context, ticket = desk_store.context_of(found[0]), Ticket(SYMBOL, Side.BUY, OrderType.MARKET, "1")
    best = 10_000
    covered = context.if_covered()
    if covered is None:
        raise RuntimeError("an order of the benchmark has to be judged on more than is remembered")
    best = 10_000
    judged = decide(covered, ticket, BestQuote(best - 1, best), time.time_ns())
    if isinstance(judged, Refusal):
        raise RuntimeError(f"refused: {judged.reason}")
    (order,), remembered = judged, desk_store.Remembered(covered, found[0], context.limits)
    values = ", ".join(map(literal, desk_store.taken(order, remembered, trader[1], time.time_ns())))
    return rf"""
\set key random(1, 1000000000000000000)
select desk_take({trader[0]}, '{desk_store.SUBMIT}', 'peer-' || :key, '\x00', 'bench', {values});
"""


def literal(value: object) -> str:
    """A value in SQL."""
    return "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def posting_script(trader: Trader) -> str:
    """What pgbench sends for a deposit of a cent."""
    return rf"""
\set key random(1, 1000000000000000000)
select post_cash(0, 'deposit', {trader[1]}, 1, 'peer-' || :key, '\x00', '', 'bench', {time.time_ns()});
"""


def pgbench(settings: Settings, scripts: Sequence[str], seconds: int) -> float:
    """Transactions a second of one pgbench for each script, all at the same time, logged in like the services."""
    home = floor_table.embedded_postgres(settings).home
    base = [str(binary("pgbench", home)), "-n", "-M", "prepared", "-c", "1", "-T", str(seconds), "-f", "/dev/stdin"]
    command = [*base, connections.dsn(settings, "tf_app")]
    running = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        for _ in scripts
    ]
    for child, script in zip(running, scripts, strict=True):
        if child.stdin is not None:
            child.stdin.write(script.encode())
            child.stdin.close()
            child.stdin = None
    said = [child.communicate(timeout=seconds + 30) for child in running]
    rates = [re.search(rb"tps = ([\d.]+)", out) for out, _ in said]
    if any(child.returncode for child in running) or None in rates:
        raise RuntimeError(f"pgbench: {said[0][1].decode()[-500:]}")
    return sum(float(rate[1]) for rate in rates if rate)
