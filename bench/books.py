"""A ledger of a million transfers: verify_full_s, verify_incremental_s, statement_ms.

A thousand portfolios with one deposit each buy and sell a share in turns: three transfers a fill, with the orders,
holds, events, fills and lots that belong to them, written by statements over sets, sealed into blocks as they come.
Then `verify.run` over all of it, `verify.run_new` after another hundred trades there and back, and
`statements.period` of one portfolio over its whole life; medians, in seconds and milliseconds.
"""

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from bench.floor import servers
from bench.measure import Row, say, scaled
from trading.adapters.embedded import connections
from trading.bootstrap import first_start, open_floor
from trading.services import statements, verify
from trading.services.access import SYSTEM
from trading.services.floor import Floor

TRANSFERS = 1_000_000
PORTFOLIOS = 1_000
A_PAIR = 6
"""Transfers of a purchase and a sale: cash, share and fee of each."""
NEW_PAIRS = 100
FULL_WANTED_S, NEW_WANTED_S, STATEMENT_WANTED_MS = 20, 0.2, 200
RUNS = 5
END_NS = 2**61
HERE = Path(__file__).parent


def run(folder: Path) -> list[Row]:
    """Measure."""
    with servers(folder) as settings:
        first_start(settings)
        dsn = connections.dsn(settings, "superuser")
        with open_floor(settings) as floor, psycopg.connect(dsn, autocommit=True) as connection:
            books = Books(connection)
            began_s = time.monotonic()
            books.fill(scaled(TRANSFERS, NEW_PAIRS * A_PAIR * 10))
            say(f"  {books.transfers:,} transfers written in {time.monotonic() - began_s:.0f} s")
            return measured(floor, books)


def measured(floor: Floor, books: "Books") -> list[Row]:
    """The three figures; what does not verify is no figure."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    full_s, report = timed(lambda: verify.run(floor, SYSTEM))
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    sound(report, books.transfers)
    say(f"  verify of {books.transfers:,} transfers: this program grew by {grown_kb / 1024:.0f} MB")
    news_s, statements_ms = [], []
    for _ in range(RUNS):
        books.trade(NEW_PAIRS)
        new_s, report = timed(lambda: verify.run_new(floor, SYSTEM))
        sound(report, NEW_PAIRS * A_PAIR)
        news_s.append(new_s)
    for portfolio in books.portfolios(2 * RUNS):
        took_s, statement = timed(lambda: statements.period(floor, SYSTEM, portfolio, 0, END_NS))  # noqa: B023
        if not statement.agrees or statement.lines < books.rounds:
            raise RuntimeError("a statement is wrong")
        statements_ms.append(took_s * 1e3)
    return [
        absolute("verify_full_s", full_s, FULL_WANTED_S, "s"),
        absolute("verify_incremental_s", statistics.median(news_s), NEW_WANTED_S, "s"),
        absolute("statement_ms", statistics.median(statements_ms), STATEMENT_WANTED_MS, "ms"),
    ]


class Books:
    """Writes consistent books, past the desk and the broker."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection
        self.transfers = self.rounds = 0
        # The rows are right by their making: nothing is asked of them while they are written.
        connection.execute("set session_replication_role = replica")
        connection.execute("set synchronous_commit = off")

    def fill(self, transfers: int) -> None:
        """Portfolios, deposits, and trades until there are so many transfers; sealed, and as vacuum leaves tables."""
        portfolios = min(PORTFOLIOS, transfers // (A_PAIR * 10))
        self._execute("books_open.sql", portfolios=portfolios)
        self.transfers = portfolios
        while self.transfers < transfers:
            self.trade(portfolios)
        self._connection.execute("vacuum analyze")
        self._connection.execute("checkpoint")

    def trade(self, pairs: int) -> None:
        """A purchase and a sale of each of the first portfolios, in one transaction, sealed."""
        self.rounds += 1
        self._execute("books_trade.sql", round=self.rounds, pairs=pairs)
        self.transfers += pairs * A_PAIR
        self._connection.execute("select seal_block(now())")

    def portfolios(self, count: int) -> list[int]:
        """Some of them by id, from everywhere."""
        rows = self._connection.execute(
            "select portfolio_id from own order by portfolio_id %% 7, portfolio_id limit %s", (count,)
        )
        return [row[0] for row in rows.fetchall()]

    def _execute(self, name: str, **numbers: int) -> None:
        with self._connection.transaction():
            for setting, number in numbers.items():
                self._connection.execute("select set_config(%s, %s, true)", (f"bench.{setting}", str(number)))
            self._connection.execute((HERE / name).read_text().encode())


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began_s = time.perf_counter()
    found = work()
    return time.perf_counter() - began_s, found


def sound(report: verify.Report, transfers: int) -> None:
    """Raises where the books are not, or fewer rows were looked at than there are."""
    if not report.ok or report.counts["transfer"] < transfers:
        raise RuntimeError(f"the books do not verify: {report.breaks[:3]} {report.counts}")


def absolute(name: str, ours: float, wanted: float, unit: str) -> Row:
    """A figure that has no peer."""
    return Row(name, ours, 1, ours, wanted, unit, ours <= wanted, f"ours <= {wanted:g}")
