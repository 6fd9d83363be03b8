"""The trail of deeds, refusals and looks at others' data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is looked for; what is empty does not narrow it.

    ``action`` is a whole name or the beginning of one, ``subject`` a whole one, ``text`` a part of any word of the row.
    ``since`` is the first moment, ``until`` the first one after.
    """

    user: str = ""
    action: str = ""
    subject: str = ""
    result: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Rows, newest first, and the id before which the next page starts; None where this was the last."""

    rows: Sequence[Mapping[str, Any]]
    next_before: int | None


class AuditStore(Protocol):
    """Append-only; deeds write their row in their own transaction."""

    def refused(self, user_id: int, action: str, subject: str, code: str, origin: str) -> None:
        """Record a refused call, in a transaction of its own."""
        ...

    def did(self, user_id: int, action: str, subject: str, origin: str, detail: Mapping[str, Any]) -> None:
        """Record a deed that changes nothing in the database, such as handing out an export."""
        ...

    def looked(
        self, user_id: int, session_token: str, portfolio_id: int, ts_ns: int, operation: str, origin: str
    ) -> None:
        """Record a look at another's portfolio, once for each session, portfolio and hour."""
        ...

    def search(self, wanted: AuditFilter, before: int | None, limit: int) -> AuditPage:
        """One page. With a ``text`` a page may be short or empty and still not be the last."""
        ...

    def walk(self, wanted: AuditFilter, limit: int) -> Iterator[Mapping[str, Any]]:
        """At most ``limit`` rows, newest first, page by page."""
        ...
