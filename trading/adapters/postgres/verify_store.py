"""Recomputes the invariants in one read-only snapshot of the database: all of them, or what is new since the last time.

Both run the queries of ``sql/verify.sql`` in the server, which spills to disk beyond its ``work_mem``; here only the
first breaks of each are kept, so memory does not grow with the ledger.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import FloorConnection, Pool, connection_of, scalar, take_time
from trading.services.ports.desk import Checked

_SQL = Path(__file__).parent / "sql"
CHECKS = _SQL / "verify.sql"
NARROW = _SQL / "verify_new.sql"
BREAKS_MAX = 100
"""How many breaks of one check are named; the others are counted."""
EVENTS_AGAIN = 1_000
"""Events are found by id, and a transaction may commit after later ids: so many are looked at once more."""

_COLUMNS = ("check", "subject", "expected", "found")
_COUNTED = ("account", "transfer", "hold", "orders", "fill", "lot", "input_log", "ledger_block")
_MARK: LiteralString = """select pg_snapshot_xmin(pg_current_snapshot())::text,
        (select coalesce(max(id), 0) from ledger_block), (select coalesce(max(first_seq), 0) from input_log),
        (select coalesce(max(id), 0) from order_event)"""
_LAST: LiteralString = "select xid::text as xid, block_id, first_seq, event_id from verified where id = 1"
_TOUCHED: LiteralString = """select array_agg(id), array_agg(distinct portfolio_id) from orders where id in (
    select order_id from order_event where id > %(event_id)s union select order_id from fill where xid >= %(xid)s)"""
_NEW_BALANCE: LiteralString = """select 'balance' as "check", 'account:' || a.id,
        (coalesce(v.balance, 0) + coalesce(t.net, 0))::text, a.posted::text
    from account a left join verified_balance v on v.account_id = a.id left join (
        select account_id, sum(amount) as net from (
            select credit_id as account_id, amount from transfer where xid >= %(xid)s
            union all select debit_id, -amount from transfer where xid >= %(xid)s) e
        group by account_id) t on t.account_id = a.id
    where a.kind = 'portfolio' and a.posted <> coalesce(v.balance, 0) + coalesce(t.net, 0)"""


class PostgresVerify:
    """Implements `trading.services.ports.desk.VerifyStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def all(self) -> Checked:
        """Every invariant, over all rows."""
        with connection_of(self._pool) as connection, connection.transaction():
            mark = _snapshot(connection)
            found = _Found()
            for _, query in _checks():
                found.take(connection, query, {})
            found.counts |= {table: int(scalar(connection, f"select count(*) from {table}")) for table in _COUNTED}
        return found.checked(mark)

    def new(self) -> Checked | None:
        """What came since the last `keep_mark`, in the same way; None where there has been none."""
        narrow = NARROW.read_text()
        with connection_of(self._pool) as connection, connection.transaction():
            mark = _snapshot(connection)
            row = connection.execute(_LAST).fetchone()
            if row is None:
                return None
            since = dict(zip(("xid", "block_id", "first_seq", "event_id"), row, strict=True))
            since["event_id"] -= EVENTS_AGAIN
            touched = connection.execute(_TOUCHED, since).fetchone() or (None, None)
            since["orders"], since["portfolios"] = (ids or [] for ids in touched)
            found = _Found()
            found.take(connection, _NEW_BALANCE, since)
            for tag, query in _checks():
                if tag == "open":
                    found.take(connection, query, {})
                elif tag == "new":
                    found.take(connection, narrow + query.replace("%", "%%"), since)
            found.counts["transfer"] = scalar(connection, "select count(*) from transfer where xid >= %s", (row[0],))
            found.counts["fill"] = scalar(connection, "select count(*) from fill where xid >= %s", (row[0],))
            found.counts["orders"] = len(since["orders"])
        return found.checked(mark)

    def keep_mark(self, mark: Mapping[str, Any], ts_ns: int) -> None:
        """Check what is new from here on next time: the snapshot of ``mark`` was found sound."""
        with connection_of(self._pool) as connection, connection.transaction():
            take_time(connection)
            connection.execute(
                "select advance_verified(%s, %s, %s, %s, %s)",
                (mark["xid"], mark["block_id"], mark["first_seq"], mark["event_id"], ts_ns),
            )

    def record(
        self,
        scope: str,
        ts_ns: int,
        breaks: Sequence[Mapping[str, Any]],
        counts: Mapping[str, int],
        unless_since_ns: int | None = None,
    ) -> None:
        """Keep a result for the screens."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "insert into reconciliation (ts_ns, scope, ok, breaks, counts) select %(ts_ns)s, %(scope)s, %(ok)s,"
                " %(breaks)s, %(counts)s where not %(ok)s or %(since)s::bigint is null or not exists ("
                "select 1 from reconciliation where scope = %(scope)s and ok and ts_ns > %(since)s)",
                {
                    "ts_ns": ts_ns,
                    "scope": scope,
                    "ok": not breaks,
                    "breaks": Jsonb(list(breaks)),
                    "counts": Jsonb(dict(counts)),
                    "since": unless_since_ns,
                },
            )

    def newest_block(self) -> tuple[int, str] | None:
        """See `VerifyStore`."""
        with connection_of(self._pool) as connection:
            row = connection.execute(
                "select id, encode(hash, 'hex') from ledger_block order by id desc limit 1"
            ).fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def block_hashes(self, ids: Sequence[int]) -> Mapping[int, str]:
        """See `VerifyStore`."""
        with connection_of(self._pool) as connection:
            found = connection.execute(
                "select id, encode(hash, 'hex') from ledger_block where id = any (%s)", (list(ids),)
            ).fetchall()
        return {int(block_id): str(hashed) for block_id, hashed in found}


class _Found:
    def __init__(self) -> None:
        self.breaks: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        self._began_s = time.monotonic()

    def take(self, connection: Connection[TupleRow], query: str, parameters: Mapping[str, Any]) -> None:
        """The first breaks of a query; rows come in small pieces."""
        with connection.cursor() as cursor:
            rows = cursor.stream(query.encode(), parameters or None, size=BREAKS_MAX)
            for n, row in enumerate(rows):
                if n < BREAKS_MAX:
                    self.breaks.append(dict(zip(_COLUMNS, row, strict=True)))
                else:
                    self.counts["more_breaks"] = self.counts.get("more_breaks", 0) + 1

    def checked(self, mark: Mapping[str, Any]) -> Checked:
        self.counts["milliseconds"] = round((time.monotonic() - self._began_s) * 1000)
        return Checked(tuple(self.breaks), self.counts, mark)


def _snapshot(connection: FloorConnection) -> dict[str, Any]:
    """Begin reading as of one moment, for as long as it takes; where that moment stands."""
    connection.execute("set transaction isolation level repeatable read, read only")
    take_time(connection)
    row = connection.execute(_MARK).fetchone()
    return dict(zip(("xid", "block_id", "first_seq", "event_id"), row or (), strict=True))


def _checks() -> Iterator[tuple[str, str]]:
    """Queries of ``verify.sql``, each with the tag at the end of its comment: ``new``, ``open`` or nothing."""
    for text in CHECKS.read_text().split(";\n"):
        if "select" in text:
            comment, _, query = text.partition("select")
            found = re.search(r"\((new|open)\)\n$", comment)
            yield found[1] if found else "", "select" + query
