"""Take a connection out of a pool; a server that is away becomes `Unavailable` for the caller."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from trading.domain.errors import Unavailable

Pool = ConnectionPool[Any]


@contextmanager
def cursor(pool: Pool, *, transaction: bool = False) -> Iterator[psycopg.Cursor[DictRow]]:
    """A cursor with rows as dictionaries; with ``transaction`` all of its statements commit or none does."""
    try:
        with pool.connection() as connection:
            if transaction:
                with connection.transaction(), connection.cursor(row_factory=dict_row) as rows:
                    yield rows
            else:
                with connection.cursor(row_factory=dict_row) as rows:
                    yield rows
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed) as error:
        raise Unavailable("the floor's database cannot be reached now; try again in a moment") from error
