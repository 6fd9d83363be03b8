"""The audit trail: refusals and looks go in, searches go through it page by page."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, cursor
from trading.services.ports.audit import AuditFilter, AuditPage

HOUR_NS = 3_600_000_000_000
SCANNED_MAX = 50_000
"""Rows that a search for text reads for one page: a page is never slow, and says where to go on."""
PAGE = 1_000
REMEMBERED_MAX = 10_000
"""Looks that are remembered in this process, so that a page that refreshes does not ask the database each time."""

_CONDITIONS = {
    "user": "user_id = (select id from app_user where username = %(user)s)",
    "action": "action >= %(action)s and action < %(action_end)s and starts_with(action, %(action)s)",
    "subject": "subject = %(subject)s",
    "result": "result = %(result)s",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
}
_WORDS = "concat_ws(' ', u.username, a.action, a.subject, a.result, a.code, a.origin, a.detail::text)"


class PostgresAudit:
    """Implements `trading.services.ports.audit.AuditStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._looks: set[tuple[int, bytes, int, int]] = set()

    def refused(self, user_id: int, action: str, subject: str, code: str, origin: str) -> None:
        """One row, committed at once."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "insert into audit (user_id, action, subject, result, code, origin)"
                " values (nullif(%s, 0), %s, %s, 'refused', %s, %s)",
                (user_id, action, subject, code, origin),
            )

    def did(self, user_id: int, action: str, subject: str, origin: str, detail: Mapping[str, Any]) -> None:
        """One row, committed at once."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "insert into audit (user_id, action, subject, result, origin, detail)"
                " values (nullif(%s, 0), %s, %s, 'ok', %s, %s)",
                (user_id, action, subject, origin, Jsonb({"v": 1, **detail})),
            )

    def looked(
        self, user_id: int, session_token: str, portfolio_id: int, ts_ns: int, operation: str, origin: str
    ) -> None:
        """See `AuditStore`. Other processes' looks are known by the table."""
        session, hour = hashlib.sha256(session_token.encode()).digest(), ts_ns // HOUR_NS
        look = (user_id, session, portfolio_id, hour)
        if look in self._looks:
            return
        with connection_of(self._pool) as connection:
            connection.execute(
                "select note_access(%s, %s, %s, %s, %s, %s)", (user_id, session, portfolio_id, hour, operation, origin)
            )
        if len(self._looks) >= REMEMBERED_MAX:
            self._looks.clear()
        self._looks.add(look)

    def search(self, wanted: AuditFilter, before: int | None, limit: int) -> AuditPage:
        """See `AuditStore`."""
        given = {name: getattr(wanted, name) for name in _CONDITIONS if getattr(wanted, name)}
        conditions = [_CONDITIONS[name] for name in given] + ([] if before is None else ["id < %(before)s"])
        scanned = SCANNED_MAX if wanted.text else limit + 1
        values = {
            **given,
            "action_end": wanted.action + "\U0010ffff",
            "before": before,
            "scanned": scanned,
            "limit": limit + 1,
            "pattern": f"%{_literal(wanted.text)}%",
        }
        look = f"select * from audit where {' and '.join(conditions) or 'true'} order by id desc limit %(scanned)s"
        match = f"{_WORDS} ilike %(pattern)s" if wanted.text else "true"
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("set transaction isolation level repeatable read, read only")
            rows.execute(
                "select a.id, a.at, coalesce(u.username, '') as username, a.action, a.subject, a.result, a.code,"
                f" a.origin, a.detail from ({look}) a left join app_user u on u.id = a.user_id where {match}"
                " order by a.id desc limit %(limit)s",
                values,
            )
            found = rows.fetchall()
            if len(found) > limit:
                return AuditPage(found[:limit], found[limit - 1]["id"])
            rows.execute(f"select count(*) as many, min(id) as last from ({look}) a", values)
            reach = rows.fetchall()[0]
        return AuditPage(found, reach["last"] if wanted.text and reach["many"] == scanned else None)

    def walk(self, wanted: AuditFilter, limit: int) -> Iterator[Mapping[str, Any]]:
        """See `AuditStore`."""
        before: int | None = None
        while limit > 0:
            page = self.search(wanted, before, min(PAGE, limit))
            yield from page.rows
            limit -= len(page.rows)
            if page.next_before is None:
                return
            before = page.next_before


def _literal(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
