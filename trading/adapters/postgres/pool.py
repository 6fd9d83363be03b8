"""Connection pools with the settings every writer needs."""

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

Pool = ConnectionPool[Connection[TupleRow]]


def open_pool(dsn: str, *, max_size: int = 8, name: str = "tradefloor") -> Pool:
    """A pool of autocommit connections; the first is opened in the background, a call waits at most 3 s for one.

    READ COMMITTED is set explicitly: the kill switch's trigger relies on a fresh snapshot for each statement.
    """
    pool: Pool = ConnectionPool(
        dsn,
        min_size=1,
        max_size=max_size,
        timeout=3.0,
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
