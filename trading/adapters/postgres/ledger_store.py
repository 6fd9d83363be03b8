"""Postings of people and of the floor: each is one call of a server function, once for each key."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, LiteralString

from psycopg import errors

from trading.adapters.postgres.pool import Pool, connection_of, scalar, take_time
from trading.adapters.postgres.short_transaction import ask
from trading.domain.errors import Conflict, Invalid, NotFound, already_told
from trading.domain.money import Asset, minor_to_decimal
from trading.services.ports.desk import Cutoff, Marks, Posting

_REFUSALS = {
    "already_decided": "the request is {state} already",
    "expired": "the request has expired; ask anew",
    "same_person": "another admin must agree than who asked or agreed before",
    "not_yours": "only who asked can take a request back",
    "forbidden": "only an admin decides",
    "only_lower": "the limit is {available} {asset}; an admin may lower it, the operator of the floor may raise it",
    "not_settled": "only {available} {asset} can be withdrawn: {unsettled} {asset} of proceeds have not settled",
    "archived": "the portfolio is an archive already",
    "wrong_name": "type the portfolio's name as it is written",
    "open_orders": "orders are open: cancel them first",
    "open_parents": "worked orders are open: cancel them first",
    "open_schedules": "orders are scheduled: cancel the schedules first",
    "requests_wait": "requests for money wait: take them back or have them decided first",
    "open_positions": "a margin portfolio is reset without positions and without debt",
    "halted": "the kill switch is on: {reason}",
    "insufficient_cash": "only {available} {asset} are available, {needed} are needed",
    "insufficient_position": "only {available} {asset} are available, {needed} are needed",
    "insufficient_margin": "positions and open orders leave {available} {asset} of {equity}; {needed} are needed",
    "no_mark": "what the portfolio is worth is not known: there is no price of {symbols}",
    "corporate_action": "a split or dividend of {symbols} is being booked; try again in a moment",
    "second_admin_needed": "above {available} {asset} a second admin must agree: make it a request",
}


class PostgresLedger:
    """Implements `trading.services.ports.desk.LedgerStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._scales: dict[int, int] = {}

    def post(self, posting: Posting) -> int:
        """See `LedgerStore`."""
        answer = called(self._pool, f"select post_group({_GROUP})", _arguments(posting))
        return int(answer["group_id"])

    def booked(self, posting: Posting) -> int | None:
        """See `LedgerStore`."""
        with connection_of(self._pool) as connection:
            row = connection.execute(
                "select request_hash, answer from idempotency_key where user_id = %s and operation = %s and key = %s",
                (posting.actor_id, posting.operation, posting.key),
            ).fetchone()
        if row is None:
            return None
        if row[0] != _digest(posting):
            raise Conflict("this key was used for another body", "key_reused")
        if "refused" in row[1]:
            raise refusal(row[1])
        return int(row[1]["group_id"])

    def convert(self, posting: Posting, pair_id: int, marks: Marks) -> int:
        """See `LedgerStore`."""
        parameters = (pair_id, marks_json(marks), *_arguments(posting))
        answer = called(self._pool, f"select post_fx(%s, %s, {_GROUP})", parameters)
        return int(answer["group_id"])

    def currencies(self) -> Mapping[str, Asset]:
        """See `LedgerStore`."""
        with connection_of(self._pool) as connection:
            found = connection.execute("select id, code, scale from asset where kind = 'currency'").fetchall()
        return {code: Asset(asset_id, code, scale) for asset_id, code, scale in found}

    def deposit(
        self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        """Outside world to portfolio."""
        return self._post_cash("deposit", admin_id, portfolio_id, amount, key, memo, origin, ts_ns)

    def withdraw(
        self,
        admin_id: int,
        portfolio_id: int,
        amount: int,
        key: str,
        memo: str,
        origin: str,
        ts_ns: int,
        cutoffs: Sequence[Cutoff],
        marks: Marks,
    ) -> int:
        """Portfolio to outside world."""
        judged = (as_json(cutoffs), marks_json(marks))
        return self._post_cash("withdrawal", admin_id, portfolio_id, amount, key, memo, origin, ts_ns, judged)

    def scale(self, portfolio_id: int) -> int | None:
        """Decimal places of the portfolio's base currency, which never changes: asked once."""
        known = self._scales.get(portfolio_id)
        if known is None:
            with connection_of(self._pool) as connection:
                row = connection.execute(
                    "select a.scale from portfolio p join asset a on a.id = p.currency_id where p.id = %s",
                    (portfolio_id,),
                ).fetchone()
            if row is not None:
                known = self._scales[portfolio_id] = int(row[0])
        return known

    def keep_balances(self, ts_ns: int) -> int:
        """See `LedgerStore`."""
        with connection_of(self._pool) as connection, connection.transaction():
            take_time(connection)
            return int(scalar(connection, "select keep_balances(%s)", (ts_ns,)))

    def _post_cash(
        self,
        kind: str,
        admin_id: int,
        portfolio_id: int,
        amount: int,
        key: str,
        memo: str,
        origin: str,
        ts_ns: int,
        judged: tuple[str | None, str | None] = (None, None),
    ) -> int:
        body = hashlib.sha256(f"{kind}|{portfolio_id}|{amount}|{memo}".encode()).digest()
        answer = called(
            self._pool,
            b"select post_cash($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            (admin_id, kind, portfolio_id, amount, key, body, memo, origin, ts_ns, *judged),
        )
        return int(answer["group_id"])


_GROUP: LiteralString = "%s, %s, %s, %s, %s, %s::int[], %s::bigint[], %s::text[], %s::text[], %s, %s, %s"


def _arguments(posting: Posting) -> Sequence[Any]:
    return (
        posting.actor_id,
        posting.portfolio_id,
        posting.operation,
        posting.key,
        _digest(posting),
        [line.asset_id for line in posting.lines],
        [line.amount for line in posting.lines],
        [line.against for line in posting.lines],
        [line.kind for line in posting.lines],
        posting.memo,
        posting.origin,
        posting.ts_ns,
    )


def _digest(posting: Posting) -> bytes:
    body = posting.body or repr((posting.portfolio_id, posting.lines, posting.memo))
    return hashlib.sha256(body.encode()).digest()


def as_json(cutoffs: Sequence[Cutoff]) -> str:
    """Cutoffs as the server functions read them."""
    return json.dumps([asdict(each) for each in cutoffs])


def marks_json(marks: Marks) -> str:
    """Quotes as the server functions read them."""
    return json.dumps(marks)


def called(pool: Pool, statement: LiteralString | bytes, parameters: Sequence[Any]) -> Mapping[str, Any]:
    """The answer of a server function of the ledger or the wallet; a refusal is raised with its numbers.

    A statement of bytes has parameters ``$1`` ... that need no adapting, and takes the shorter way.
    """
    try:
        with connection_of(pool) as connection:
            if isinstance(statement, bytes):
                found = json.loads(ask(connection, statement, *parameters))
            else:
                found = scalar(connection, statement, parameters)
    except errors.NumericValueOutOfRange:
        raise Invalid("the balance would be out of range", "out_of_range") from None
    except errors.DatabaseError as error:
        if error.sqlstate == "TF006":
            raise NotFound("there is no such thing, or it is archived") from None
        raise
    if "conflict" in found:
        raise Conflict("this key was used for another body", "key_reused")
    answer: Mapping[str, Any] = found["answer"]
    if "refused" in answer:
        raise refusal(answer)
    return answer


def refusal(answer: Mapping[str, Any]) -> Invalid:
    """What a server function refused, in words with its numbers."""
    scale = answer.get("scale", 0)
    words = {
        name: f"{minor_to_decimal(answer[name], scale):,f}"
        for name in ("available", "needed", "unsettled", "equity")
        if name in answer
    }
    template = _REFUSALS[answer["refused"]]
    return already_told(Invalid(template.format_map({**answer, **words}), answer["refused"]))
