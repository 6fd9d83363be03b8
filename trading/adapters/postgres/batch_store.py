"""Batches of orders: one transaction, in which each ticket is judged on what those before it left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from trading.adapters.postgres import desk_store
from trading.adapters.postgres.pool import Pool, scalar
from trading.domain.errors import Conflict
from trading.domain.orders import Acceptance, Refusal, Ticket
from trading.services.ports.batches import BatchAnswer, BatchMode, DecideTicket

SUBMIT = "batches.submit"


class PostgresBatches:
    """Implements `trading.services.ports.batches.BatchStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def submit(
        self,
        user_id: int,
        portfolio_id: int,
        key: str,
        tickets: Sequence[Ticket],
        mode: BatchMode,
        decide: DecideTicket,
        ts_ns: int,
        origin: str,
    ) -> BatchAnswer:
        """See the port."""
        digest = desk_store.digest_of([portfolio_id, mode, [asdict(ticket) for ticket in tickets]])
        work = _Work(user_id, portfolio_id, key, origin, ts_ns)
        with self._transaction() as connection:
            found = work.open(connection, digest, tickets)
            if "conflict" in found:
                raise Conflict("this key was used for another batch", "key_reused")
            if "answer" in found:
                return _answer(found["answer"])
            connection.execute("savepoint untouched")
            answers = work.judge_all(connection, tickets, decide)
            if mode is BatchMode.ALL and any(isinstance(answer, Refusal) for answer in answers):
                connection.execute("rollback to savepoint untouched")
                answers = _all_refused(answers)
            work.close(connection, mode, answers)
            connection.execute("commit")
        return BatchAnswer(tuple(answers))

    def preview(
        self, user_id: int, portfolio_id: int, tickets: Sequence[Ticket], decide: DecideTicket, ts_ns: int
    ) -> BatchAnswer:
        """See the port."""
        work = _Work(user_id, portfolio_id, "", "preview", ts_ns)
        with self._transaction() as connection:
            work.open(connection, b"", tickets)
            answers = work.judge_all(connection, tickets, decide)
            connection.execute("rollback")
        return BatchAnswer(tuple(answers))

    @contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        with desk_store.desk_connection(self._pool) as connection:
            connection.execute(desk_store.BEGIN)
            yield connection


class _Work:
    """One batch on its way through the desk's functions."""

    def __init__(self, user_id: int, portfolio_id: int, key: str, origin: str, ts_ns: int) -> None:
        self._user_id, self._portfolio_id, self._key = user_id, portfolio_id, key
        self._origin, self._ts_ns = origin, ts_ns

    def open(self, connection: Connection[Any], digest: bytes, tickets: Sequence[Ticket]) -> dict[str, Any]:
        """Claim the key where there is one; lock all that the tickets touch."""
        found: dict[str, Any] = scalar(
            connection,
            "select batch_open(%s, %s, %s, %s, %s, %s, %s)",
            (
                self._user_id,
                SUBMIT,
                self._key or None,
                digest,
                self._portfolio_id,
                [ticket.symbol for ticket in tickets],
                [ticket.venue for ticket in tickets],
            ),
        )
        return found

    def judge_all(
        self, connection: Connection[Any], tickets: Sequence[Ticket], decide: DecideTicket
    ) -> list[Acceptance | Refusal]:
        """Judge and write one after the other; all are judged, also behind one that is refused."""
        return [self._judge(connection, ticket, decide) for ticket in tickets]

    def _judge(self, connection: Connection[Any], ticket: Ticket, decide: DecideTicket) -> Acceptance | Refusal:
        found = scalar(
            connection,
            "select desk_context(%s, %s, (select id from instrument where venue = %s and symbol = %s), 0, true)",
            (self._user_id, self._portfolio_id, ticket.venue, ticket.symbol),
        )
        if "unknown_instrument" in found:
            return desk_store.unknown_instrument(ticket)
        judged = decide(desk_store.context_of(found), ticket)
        if isinstance(judged, Refusal):
            return judged
        row = desk_store.orders_row(judged, found, self._portfolio_id, self._ts_ns)
        # Without a key: the batch's own answer is kept under it.
        stored = scalar(
            connection,
            "select desk_accept(%s, %s, null, null, %s, %s)",
            (self._user_id, SUBMIT, self._origin, Jsonb(row)),
        )
        return desk_store.acceptance_of(stored)

    def close(self, connection: Connection[Any], mode: BatchMode, answers: Sequence[Acceptance | Refusal]) -> None:
        """Keep the answers under the key, and the refusals in the trail."""
        stored = [asdict(answer) for answer in answers]
        connection.execute(
            "select batch_close(%s, %s, %s, %s, %s, %s)",
            (
                self._user_id,
                SUBMIT,
                self._key,
                self._origin,
                self._portfolio_id,
                Jsonb({"v": 1, "mode": mode, "answers": stored}),
            ),
        )


def _all_refused(answers: Sequence[Acceptance | Refusal]) -> list[Acceptance | Refusal]:
    first = next(place for place, answer in enumerate(answers, 1) if isinstance(answer, Refusal))
    beside = Refusal("batch_refused", f"Not sent, because ticket {first} was refused.", {"place": str(first)})
    return [answer if isinstance(answer, Refusal) else beside for answer in answers]


def _answer(stored: dict[str, Any]) -> BatchAnswer:
    return BatchAnswer(tuple(desk_store.answer_of(each) for each in stored["answers"]))
