"""Recomputes every invariant in one read-only snapshot of the database."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, scalar

CHECKS = Path(__file__).parent / "sql" / "verify.sql"
_COLUMNS = ("check", "subject", "expected", "found")
_COUNTED = ("account", "transfer", "hold", "orders", "fill", "lot", "input_log", "ledger_block")


class PostgresVerify:
    """Implements `trading.services.ports.desk.VerifyStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def breaks(self) -> tuple[Sequence[dict[str, Any]], Mapping[str, int]]:
        """Broken invariants and how many rows were looked at, both of one snapshot (REPEATABLE READ, READ ONLY)."""
        found: list[dict[str, Any]] = []
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local transaction_timeout = 0")
            for query in CHECKS.read_text().split(";\n"):
                if "select" in query:
                    rows = connection.execute(query.encode()).fetchall()
                    found += [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
            counts = {table: int(scalar(connection, f"select count(*) from {table}")) for table in _COUNTED}
        return found, counts

    def record(self, scope: str, ts_ns: int, breaks: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> None:
        """Keep a result for the screens."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "insert into reconciliation (ts_ns, scope, ok, breaks, counts) values (%s, %s, %s, %s, %s)",
                (ts_ns, scope, not breaks, Jsonb(list(breaks)), Jsonb(dict(counts))),
            )
