"""The audit trail over REST, for admins: searched by the words of the page that shows it, page by page."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from gateway.sessions import reader
from trading.services import audit
from trading.services.floor import Floor
from trading.services.ports.audit import AuditFilter

Words = Annotated[str, Query(max_length=100)]


def audit_routes(floor: Floor) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.get("/audit")
    def search(
        request: Request,
        user: Words = "",
        action: Words = "",
        subject: Words = "",
        result: Words = "",
        since: datetime | None = None,
        until: datetime | None = None,
        text: Words = "",
        before: int | None = None,
        limit: int = 100,
    ) -> JSONResponse:
        """Rows, newest first, and ``next_before``, with which to ask for the next page; null where this was the last.

        ``action`` is a deed's name or how it begins, ``since`` the first moment and ``until`` the first one after, ISO
        8601, UTC where it says no zone. A search for ``text`` may give a page that is short or empty, and not the last.
        """
        wanted = AuditFilter(user, action, subject, result, _aware(since), _aware(until), text)
        page = audit.search(floor, reader(floor, request), wanted, before, limit)
        rows = [{**row, "at": row["at"].isoformat()} for row in page.rows]
        return JSONResponse({"rows": rows, "next_before": page.next_before})

    return router


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
