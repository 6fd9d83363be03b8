"""The kill switch's rows."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from trading.adapters.postgres.pool import Pool, connection_of


class PostgresHalt:
    """Implements `trading.services.ports.desk.HaltStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def set(self, actor_id: int, scope: str, mode: str, reason: str, ts_ns: int, origin: str) -> None:
        """Exclusive lock, row, command and trail in one transaction."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "select set_halt(%s, %s, %s, %s, %s, %s)", (actor_id, scope, mode, reason, origin, ts_ns)
            )

    def current(self) -> Sequence[dict[str, Any]]:
        """Scopes that are not running."""
        with connection_of(self._pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                "select h.scope, h.mode, h.reason, coalesce(u.username, 'system') as set_by, h.ts_ns from halt_state h"
                " left join app_user u on u.id = h.set_by where h.mode <> 'running' order by h.scope"
            )
            return cursor.fetchall()
