"""Connection pools with the settings every writer needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import Connection, OperationalError
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, TupleRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from trading.domain.errors import Unavailable

ANSWER_S = 2.5
"""How long an answer is waited for: logins have 2 s for a transaction, so a server that says nothing stands still."""
RV = TypeVar("RV")


class FloorConnection(Connection[TupleRow]):
    """A connection that hangs up on a server that says nothing for ``patience_s``; None waits for ever."""

    patience_s: float | None = ANSWER_S

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """As psycopg's, but for the patience. A late answer must not be the next one's: the connection is closed."""
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except OperationalError as error:
            if error.sqlstate is None:
                self.pgconn.finish()
            raise


Pool = ConnectionPool[FloorConnection]


def open_pool(dsn: str, *, max_size: int = 8, name: str = "tradefloor") -> Pool:
    """A pool of autocommit connections; the first is opened in the background, a call waits at most 3 s for one.

    READ COMMITTED is set explicitly: the kill switch's trigger relies on a fresh snapshot for each statement.
    """
    pool: Pool = ConnectionPool(
        dsn,
        connection_class=FloorConnection,
        min_size=1,
        max_size=max_size,
        timeout=3.0,
        # Given up early, for the next call tries at once: attempts that go on wait twice as long after each failure.
        reconnect_timeout=1.0,
        kwargs={
            "autocommit": True,
            "application_name": name,
            "connect_timeout": 3,
            "options": "-c default_transaction_isolation=read\\ committed -c timezone=UTC",
        },
        name=name,
        open=False,
    )
    pool.open()
    return pool


def is_lost(error: BaseException) -> bool:
    """Whether the server went away or hung up, as against having refused a statement.

    It hangs up on a transaction that takes too long, as one does in which it stood still.
    """
    if isinstance(error, PoolTimeout | PoolClosed | psycopg.InterfaceError | psycopg.errors.TransactionTimeout):
        return True
    state = getattr(error, "sqlstate", None)
    return isinstance(error, psycopg.OperationalError) and (state is None or state[:2] in ("08", "57"))


@contextmanager
def connection_of(pool: Pool) -> Iterator[FloorConnection]:
    """A pooled connection; a server that is away becomes `Unavailable`, a refused statement stays what it is."""
    try:
        connection = pool.getconn()
        try:
            connection.patience_s = ANSWER_S
            yield connection
            if connection.pgconn.transaction_status != TransactionStatus.IDLE:
                connection.commit()
        except BaseException:
            if connection.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                with suppress(psycopg.Error):
                    connection.rollback()
            raise
        finally:
            pool.putconn(connection)
    except (psycopg.Error, PoolTimeout, PoolClosed) as error:
        if is_lost(error):
            raise Unavailable("the floor's database cannot be reached now; try again in a moment") from error
        raise


def take_time(connection: FloorConnection, limit: LiteralString = "0") -> None:
    """Let the transaction last longer than the login's may, ``limit`` from now on; its answers are waited for."""
    connection.patience_s = None
    for each in ("0", limit):  # the server's clock is set by a limit where there was none, and by no other
        connection.execute("select set_config('transaction_timeout', %s, true)", (each,))


@contextmanager
def cursor(pool: Pool, *, transaction: bool = False) -> Iterator[psycopg.Cursor[DictRow]]:
    """A cursor with rows as dictionaries; with ``transaction`` all of its statements commit or none does."""
    with connection_of(pool) as connection:
        if transaction:
            with connection.transaction(), connection.cursor(row_factory=dict_row) as rows:
                yield rows
        else:
            with connection.cursor(row_factory=dict_row) as rows:
                yield rows


def scalar(connection: Connection[Any], statement: LiteralString, parameters: Sequence[Any] = ()) -> Any:
    """The first column of the one row that ``statement`` returns."""
    row = connection.execute(statement, parameters).fetchone()
    if row is None:
        raise LookupError("the statement returned no row")
    return row[0]
