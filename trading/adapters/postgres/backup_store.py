"""Backups that were made or tried."""

from collections.abc import Sequence

from trading.adapters.postgres.pool import Pool, connection_of
from trading.services.ports.backups import BackupTry


class PostgresBackups:
    """Implements `trading.services.ports.backups.BackupLog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def record(self, made: BackupTry, user_id: int, origin: str) -> None:
        """See the port."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "with kept as (insert into backup_try (ts_ns, name, ok, bytes, trouble) values (%s, %s, %s, %s, %s))"
                " insert into audit (user_id, action, subject, result, code, origin)"
                " values (nullif(%s, 0), 'backup.make', %s, %s, %s, %s)",
                (
                    made.ts_ns,
                    made.name,
                    made.ok,
                    made.bytes,
                    made.trouble,
                    user_id,
                    made.name,
                    "ok" if made.ok else "refused",
                    "" if made.ok else "unavailable",
                    origin,
                ),
            )

    def newest(self) -> Sequence[BackupTry]:
        """See the port."""
        with connection_of(self._pool) as connection:
            rows = connection.execute(
                "(select id, ts_ns, name, ok, bytes, trouble from backup_try order by id desc limit 1) union"
                " (select id, ts_ns, name, ok, bytes, trouble from backup_try where ok order by id desc limit 1)"
                " order by id desc"
            ).fetchall()
        return [BackupTry(*row[1:]) for row in rows]
