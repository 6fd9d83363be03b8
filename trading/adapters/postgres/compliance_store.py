"""Everything about a person out of every table, the erasure of a person, retention."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, cursor, scalar, take_time
from trading.domain.errors import NotFound
from trading.services.ports.compliance import Erasure

RETENTION_KEY = "compliance.retention"
_PORTFOLIOS = "select id from portfolio where owner_id = %(user)s"
_ORDERS = f"select id from orders where portfolio_id in ({_PORTFOLIOS})"
_ACCOUNTS = f"select id from broker_account where portfolio_id in ({_PORTFOLIOS})"
_OF_COLUMN = {
    "user_id": "user_id = %(user)s",
    "owner_id": "owner_id = %(user)s",
    "actor_id": "actor_id = %(user)s",
    "observer_id": "observer_id = %(user)s",
    "portfolio_id": f"portfolio_id in ({_PORTFOLIOS})",
}
_OF_TABLE = {
    "app_user": "id = %(user)s",
    "login_attempt": "username = (select username from app_user where id = %(user)s)",
    "order_event": f"order_id in ({_ORDERS})",
    "hold": f"order_id in ({_ORDERS})",
    "command": f"order_id in ({_ORDERS})",
    "broker_plan": f"account_id in ({_ACCOUNTS})",
    "broker_order": f"account_id in ({_ACCOUNTS})",
    "broker_execution": f"account_id in ({_ACCOUNTS})",
    "broker_book": f"account_id in ({_ACCOUNTS})",
    "broker_write": f"account_id in ({_ACCOUNTS})",
    "monitor_cycle": f"account_id in ({_ACCOUNTS})",
    "monitor_step": f"cycle_id in (select id from monitor_cycle where account_id in ({_ACCOUNTS}))",
}
"""Tables whose rows are a person's by another way than a column of `_OF_COLUMN`."""
_LEFT_OUT = frozenset({"password_hash"})
"""Columns that say nothing about a person and would help a thief; so would hashes, of type bytea."""


class PostgresCompliance:
    """Implements `trading.services.ports.compliance.ComplianceStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def export_person(self, user_id: int, out: IO[bytes], actor_id: int, origin: str) -> Mapping[str, int]:
        """See `ComplianceStore`. Tables that come later are found by their columns."""
        counts: dict[str, int] = {}
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            take_time(connection)  # nothing is locked but the one audit row
            if not scalar(connection, "select count(*) from app_user where id = %s", (user_id,)):
                raise NotFound("no such user", "unknown_user")
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                for table, condition, hidden in _tables(connection):
                    rows = self._rows(connection, table, condition, hidden, user_id)
                    first = next(rows, None)
                    if first is None:
                        continue
                    with archive.open(f"{table}.jsonl", "w", force_zip64=True) as file:
                        file.write(first)
                        counts[table] = 1 + sum(bool(file.write(line)) for line in rows)
                about = {"v": 1, "user_id": user_id, "rows": counts}
                archive.writestr("about.json", json.dumps(about, indent=2))
            connection.execute(
                "insert into audit (user_id, action, subject, result, origin, detail)"
                " values (nullif(%s, 0), 'compliance.export_person', %s, 'ok', %s, %s)",
                (actor_id, f"user:{user_id}", origin, Jsonb({"v": 1, "rows": sum(counts.values())})),
            )
        return counts

    def _rows(
        self, connection: psycopg.Connection[Any], table: str, condition: str, hidden: list[str], user_id: int
    ) -> Iterator[bytes]:
        query = sql.SQL("select (to_jsonb(t) - {}::text[])::text from {} t where " + condition).format(
            sql.Literal(hidden), sql.Identifier(table)
        )
        with connection.cursor(name="person") as rows:
            rows.itersize = 2_000
            rows.execute(query, {"user": user_id})
            for (text,) in rows:
                yield text.encode() + b"\n"

    def erase_person(self, user_id: int, confirmation: str, actor_id: int, origin: str) -> Erasure:
        """See `ComplianceStore`."""
        with connection_of(self._pool) as connection, connection.transaction():
            take_time(connection, "5min")  # a busy person's trail is long
            answer = scalar(
                connection, "select erase_person(%s, %s, %s, %s)", (actor_id, user_id, confirmation, origin)
            )
        return Erasure(**answer)

    def retention(self) -> Mapping[str, int]:
        """See `ComplianceStore`."""
        with cursor(self._pool) as rows:
            rows.execute("select value -> 'days' as days from setting where key = %s", (RETENTION_KEY,))
            row: DictRow | None = rows.fetchone()
        return {} if row is None else dict(row["days"])

    def set_retention(self, days: Mapping[str, int], actor_id: int, origin: str) -> None:
        """See `ComplianceStore`."""
        value = Jsonb({"v": 1, "days": dict(days)})
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "insert into setting (key, value) values (%s, %s)"
                " on conflict (key) do update set value = excluded.value, updated_at = now()",
                (RETENTION_KEY, value),
            )
            rows.execute(
                "insert into audit (user_id, action, subject, result, origin, detail)"
                " values (nullif(%s, 0), 'compliance.set_retention', '', 'ok', %s, %s)",
                (actor_id, origin, value),
            )

    def prune(self, what: str, before: datetime, limit: int, origin: str) -> int:
        """See `ComplianceStore`."""
        with connection_of(self._pool) as connection:
            return int(scalar(connection, "select prune(%s, %s, %s, %s)", (what, before, limit, origin)))


def _tables(connection: psycopg.Connection[Any]) -> list[tuple[str, str, list[str]]]:
    """Every table with rows about people: its name, which rows, and the columns that stay here."""
    found = connection.execute(
        "select c.table_name, array_agg(c.column_name::text), array_agg(c.data_type::text)"
        " from information_schema.columns c join information_schema.tables t using (table_schema, table_name)"
        " where c.table_schema = 'public' and t.table_type = 'BASE TABLE' group by 1 order by 1"
    ).fetchall()
    tables = []
    for table, columns, types in found:
        ways = [_OF_TABLE[table]] if table in _OF_TABLE else []
        ways += [_OF_COLUMN[column] for column in columns if column in _OF_COLUMN]
        if table == "portfolio":
            ways = ["owner_id = %(user)s"]
        hidden = [name for name, kind in zip(columns, types, strict=True) if kind == "bytea" or name in _LEFT_OUT]
        if ways:
            tables.append((table, " or ".join(ways), hidden))
    return tables
