"""Deposits and withdrawals."""

import hashlib

from psycopg import errors

from trading.adapters.postgres.pool import Pool, connection_of, scalar
from trading.domain.errors import Conflict, Invalid, NotFound


class PostgresLedger:
    """Implements `trading.services.ports.desk.LedgerStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def deposit(
        self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        """Outside world to portfolio."""
        return self._post("deposit", admin_id, portfolio_id, amount, key, memo, origin, ts_ns)

    def withdraw(
        self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        """Portfolio to outside world; `Invalid` with code ``insufficient_cash``."""
        return self._post("withdrawal", admin_id, portfolio_id, amount, key, memo, origin, ts_ns)

    def scale(self, portfolio_id: int) -> int | None:
        """Decimal places of the portfolio's base currency."""
        with connection_of(self._pool) as connection:
            row = connection.execute(
                "select a.scale from portfolio p join asset a on a.id = p.currency_id where p.id = %s", (portfolio_id,)
            ).fetchone()
        return None if row is None else int(row[0])

    def _post(
        self, kind: str, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        body = hashlib.sha256(f"{kind}|{portfolio_id}|{amount}|{memo}".encode()).digest()
        try:
            with connection_of(self._pool) as connection:
                found = scalar(
                    connection,
                    "select post_cash(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (admin_id, kind, portfolio_id, amount, key, body, memo, origin, ts_ns),
                )
        except errors.NumericValueOutOfRange:
            raise Invalid("the balance would be out of range", "out_of_range") from None
        except errors.DatabaseError as error:
            if error.sqlstate == "TF006":
                raise NotFound("there is no such portfolio, or it is archived") from None
            raise
        if "conflict" in found:
            raise Conflict("this key was used for another posting", "key_reused")
        answer = found["answer"]
        if "refused" in answer:
            raise Invalid(f"only {answer['available']} minor units are available", "insufficient_cash")
        return int(answer["group_id"])
