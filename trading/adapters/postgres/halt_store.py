"""The kill switch's rows."""

from collections.abc import Sequence
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row

from trading.adapters.postgres.pool import FloorConnection, Pool, connection_of
from trading.domain.errors import Conflict


class PostgresHalt:
    """Implements `trading.services.ports.desk.HaltStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def set(self, actor_id: int, scope: str, mode: str, reason: str, ts_ns: int, origin: str) -> None:
        """Exclusive lock, row, command and trail in one transaction."""
        try:
            with connection_of(self._pool) as connection:
                connection.execute(
                    "select set_halt(%s, %s, %s, %s, %s, %s)", (actor_id, scope, mode, reason, origin, ts_ns)
                )
        except errors.DatabaseError as error:
            if error.sqlstate == "TF007":
                words = "the file HALT lies in the floor's data folder and keeps the floor halted; remove it first"
                raise Conflict(words, "halt_file") from None
            raise

    def current(self) -> Sequence[dict[str, Any]]:
        """Scopes that are not running."""
        with connection_of(self._pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                "select h.scope, h.mode, h.reason, coalesce(u.username, 'system') as set_by, h.ts_ns, h.by_file,"
                " coalesce(w.username, i.symbol, p.name || ' of ' || o.username,"
                " nullif(substr(h.scope, strpos(h.scope, ':') + 1), h.scope), '') as name from halt_state h"
                " left join app_user u on u.id = h.set_by"
                " left join app_user w on h.scope = 'user:' || w.id"
                " left join instrument i on h.scope = 'instrument:' || i.id"
                " left join portfolio p on h.scope = 'portfolio:' || p.id left join app_user o on o.id = p.owner_id"
                " where h.mode <> 'running' order by h.scope"
            )
            return cursor.fetchall()


def note_halt_file(dsn: str, present: bool, reason: str, ts_ns: int) -> None:
    """Tell the database that the file HALT came or went. Raises `psycopg.Error` where it does not answer."""
    with FloorConnection.connect(dsn, autocommit=True, connect_timeout=2, application_name="halt-file") as connection:
        connection.execute("select halt_by_file(%s, %s, %s)", (present, reason, ts_ns))
