"""The key of what is planned for a portfolio: schedules and worked orders."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import DictRow

from trading.domain.errors import Conflict, Invalid


def claim(
    rows: psycopg.Cursor[DictRow], user_id: int, operation: str, key: str, digest: bytes, portfolio_id: int
) -> Mapping[str, Any] | None:
    """The answer that the key has already; None where it is ours until the transaction ends.

    Until then nobody else plans for the portfolio or archives it. Raises `Conflict` where the key was used for another
    body, and `Invalid` with ``portfolio_archived``.
    """
    rows.execute("select claim_planned(%s, %s, %s, %s, %s) as known", (user_id, operation, key, digest, portfolio_id))
    known = rows.fetchall()[0]["known"]
    if known is None:
        return None
    if "conflict" in known:
        raise Conflict("this key was used for another order", "key_reused")
    if "archived" in known:
        raise Invalid("this portfolio is archived; choose another", "portfolio_archived")
    answer: Mapping[str, Any] = known["answer"]
    return answer
