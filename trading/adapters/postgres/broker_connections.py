"""The broker's three connections, and what becomes of them when the server stands still or goes away."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from trading.adapters.postgres.pool import FloorConnection, is_lost, scalar
from trading.domain.errors import Fenced, Halted, Stale, TradefloorError, Unavailable

_ERRORS: Mapping[str, type[TradefloorError]] = {"TF001": Halted, "TF002": Fenced, "TF003": Stale}
COMMIT = b"commit_one_batch"
SETTINGS: Mapping[str, LiteralString] = {
    "commit": """
        set plan_cache_mode = force_generic_plan;
        prepare commit_one_batch as select commit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9), set_config(
            'synchronous_commit', case when $10 then current_setting('synchronous_commit') else 'off' end, true)""",
    "read": "set plan_cache_mode = force_generic_plan; set enable_bitmapscan = off",
    "unhurried": "set synchronous_commit = off",
}
"""What nobody is told of need not be on the disk at once: ticks without effects get there with the next batch at the
latest, for the server writes its log in order.

Reading asks the same few questions, each by a key: planning one anew takes longer than answering it, and only a plain
look into an index marks what is over there, to be passed over from then on. Unhurried are marks, a lease that runs on
and numbers for the health page: no order waits until they are on the disk."""
_END_LEFT: LiteralString = """
    select coalesce(bool_and(pg_terminate_backend(pid, 500)), true) from pg_stat_activity
    where pid = any(%s) and usename = current_user and application_name like 'tradefloor-broker-%%'
"""


class BrokerConnections:
    """One connection is for batches alone, one for what a crash of the server may undo, one for all else.

    Each hangs up on a server that says nothing, see `FloorConnection`; a new one is made for the next call.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connections: dict[str, FloorConnection] = {}
        self._committing = False
        self._backends: set[int] = set()
        self._left: set[int] = set()

    def close(self) -> None:
        """Give the connections back."""
        self._committing = False
        for connection in self._connections.values():
            connection.close()
        self._connections, self._backends = {}, set()

    @contextmanager
    def _open(self, use: str = "read") -> Iterator[FloorConnection]:
        """One of the connections; raises `Unavailable`, with all of them closed, where the server is away."""
        try:
            connection = self._connections.get(use)
            if connection is None or connection.closed:
                connection = self._connect(use)
            yield connection
        except psycopg.Error as error:
            known = _ERRORS.get(error.sqlstate or "")
            if known is not None:
                raise known(str(error.diag.message_primary)) from None
            if is_lost(error):
                self._left |= self._backends
                self.close()
                raise Unavailable(f"the broker's database cannot be reached: {str(error).strip()}") from error
            raise

    def _connect(self, use: str) -> FloorConnection:
        """A new connection, once nothing that was lost is at work any more.

        A server that stood still carries out what it was sent, with nobody left to tell. Only when its processes have
        ended does the cursor say what became of a batch.
        """
        connection = self._connections[use] = FloorConnection.connect(
            self._dsn, autocommit=True, application_name=f"tradefloor-broker-{use}", connect_timeout=3
        )
        if self._left:
            if not scalar(connection, _END_LEFT, (list(self._left),)):
                raise psycopg.OperationalError("what was sent to it may still be written")
            self._left = set()
        self._backends.add(connection.info.backend_pid)
        if use in SETTINGS:
            connection.execute(SETTINGS[use])
        return connection

    def _scalar(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> Any:
        with self._open() as connection:
            return scalar(connection, statement, parameters)

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        with self._open() as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement.encode(), parameters)
            return cursor.fetchall()
