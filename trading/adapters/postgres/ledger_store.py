"""Postings of people and of the floor: each is one call of a server function, once for each key."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from psycopg import errors

from trading.adapters.postgres.pool import Pool, connection_of, scalar
from trading.domain.errors import Conflict, Invalid, NotFound
from trading.domain.money import minor_to_decimal
from trading.services.ports.desk import Posting

_REFUSALS = {
    "insufficient_cash": "only {available} {asset} are available, {needed} are needed",
    "insufficient_position": "only {available} {asset} are available, {needed} are needed",
    "second_admin_needed": "above {available} {asset} a second admin must agree: make it a request",
}


class PostgresLedger:
    """Implements `trading.services.ports.desk.LedgerStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def post(self, posting: Posting) -> int:
        """See `LedgerStore`."""
        body = repr((posting.portfolio_id, posting.lines, posting.memo))
        answer = self._call(
            "select post_group(%s, %s, %s, %s, %s, %s::int[], %s::bigint[], %s::text[], %s::text[], %s, %s, %s)",
            (
                posting.actor_id,
                posting.portfolio_id,
                posting.operation,
                posting.key,
                hashlib.sha256(body.encode()).digest(),
                [line.asset_id for line in posting.lines],
                [line.amount for line in posting.lines],
                [line.against for line in posting.lines],
                [line.kind for line in posting.lines],
                posting.memo,
                posting.origin,
                posting.ts_ns,
            ),
        )
        return int(answer["group_id"])

    def deposit(
        self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        """Outside world to portfolio."""
        return self._post_cash("deposit", admin_id, portfolio_id, amount, key, memo, origin, ts_ns)

    def withdraw(
        self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        """Portfolio to outside world."""
        return self._post_cash("withdrawal", admin_id, portfolio_id, amount, key, memo, origin, ts_ns)

    def scale(self, portfolio_id: int) -> int | None:
        """Decimal places of the portfolio's base currency."""
        with connection_of(self._pool) as connection:
            row = connection.execute(
                "select a.scale from portfolio p join asset a on a.id = p.currency_id where p.id = %s", (portfolio_id,)
            ).fetchone()
        return None if row is None else int(row[0])

    def keep_balances(self, ts_ns: int) -> int:
        """See `LedgerStore`."""
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute("set local transaction_timeout = 0")
            return int(scalar(connection, "select keep_balances(%s)", (ts_ns,)))

    def _post_cash(
        self, kind: str, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        body = hashlib.sha256(f"{kind}|{portfolio_id}|{amount}|{memo}".encode()).digest()
        answer = self._call(
            "select post_cash(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (admin_id, kind, portfolio_id, amount, key, body, memo, origin, ts_ns),
        )
        return int(answer["group_id"])

    def _call(self, statement: LiteralString, parameters: Sequence[Any]) -> Mapping[str, Any]:
        """The answer of a server function of the ledger; a refusal is raised with its numbers."""
        try:
            with connection_of(self._pool) as connection:
                found = scalar(connection, statement, parameters)
        except errors.NumericValueOutOfRange:
            raise Invalid("the balance would be out of range", "out_of_range") from None
        except errors.DatabaseError as error:
            if error.sqlstate == "TF006":
                raise NotFound("there is no such portfolio, or it is archived") from None
            raise
        if "conflict" in found:
            raise Conflict("this key was used for another posting", "key_reused")
        answer: Mapping[str, Any] = found["answer"]
        if "refused" in answer:
            raise _refusal(answer)
        return answer


def _refusal(answer: Mapping[str, Any]) -> Invalid:
    words = {name: f"{minor_to_decimal(answer[name], answer['scale']):,f}" for name in ("available", "needed")}
    return Invalid(_REFUSALS[answer["refused"]].format(asset=answer["asset"], **words), answer["refused"])
