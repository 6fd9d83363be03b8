"""The trail of refused calls; deeds write their own row in their own transaction."""

from trading.adapters.postgres.pool import Pool, connection_of


class PostgresAudit:
    """Implements `trading.services.ports.desk.AuditStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def refused(self, user_id: int, action: str, subject: str, code: str, origin: str) -> None:
        """One row, committed at once."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "insert into audit (user_id, action, subject, result, code, origin)"
                " values (nullif(%s, 0), %s, %s, 'refused', %s, %s)",
                (user_id, action, subject, code, origin),
            )
