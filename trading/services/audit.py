"""The audit trail for those who may read it: searched by user, deed, subject, result, time and text; exported."""

import csv
import io
import json
from dataclasses import asdict, replace

from trading.domain.errors import Invalid
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.audit import AuditFilter, AuditPage

PAGE_MAX = 500
EXPORT_ROWS_MAX = 200_000
COLUMNS = ("id", "at", "username", "action", "subject", "result", "code", "origin", "detail")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@operation(_ADMIN)
def search(floor: Floor, actor: Actor, wanted: AuditFilter, before: int | None = None, limit: int = 100) -> AuditPage:
    """One page of the trail, newest first; the next one starts before ``next_before``."""
    return floor.audit.search(_tidy(wanted), before, max(1, min(limit, PAGE_MAX)))


@operation(_ADMIN)
def export(floor: Floor, actor: Actor, wanted: AuditFilter, form: str) -> bytes:
    """The newest rows, at most `EXPORT_ROWS_MAX`, as ``csv`` or ``jsonl``; leaves its own row with what was asked for.

    A cell that a spreadsheet would take for a formula begins with an apostrophe. `Invalid` with code ``bad_form``.
    """
    if form not in ("csv", "jsonl"):
        raise Invalid("an export is csv or jsonl", "bad_form")
    tidy, many, out = _tidy(wanted), 0, io.StringIO(newline="")
    table = csv.writer(out)
    if form == "csv":
        table.writerow(COLUMNS)
    for row in floor.audit.walk(tidy, EXPORT_ROWS_MAX):
        plain = {**row, "at": row["at"].isoformat()}
        if form == "csv":
            detail = json.dumps(row["detail"], sort_keys=True)
            table.writerow([safe_cell(str({**plain, "detail": detail}[name])) for name in COLUMNS])
        else:
            out.write(json.dumps(plain, sort_keys=True) + "\n")
        many += 1
    asked = {name: str(value) for name, value in asdict(tidy).items() if value}
    floor.audit.did(actor.user_id, "audit.export", form, actor.origin, {"rows": many, "filter": asked})
    return out.getvalue().encode()


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet computes (OWASP, CSV injection)."""
    return "'" + text if text.startswith(_FORMULA) else text


def _tidy(wanted: AuditFilter) -> AuditFilter:
    def word(text: str) -> str:
        return text.strip()[:100].replace("\x00", "")

    return replace(
        wanted,
        user=word(wanted.user).lower(),
        action=word(wanted.action),
        subject=word(wanted.subject),
        result=word(wanted.result),
        text=word(wanted.text),
    )
