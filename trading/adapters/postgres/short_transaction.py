"""A transaction of prepared statements: one round trip for each question, none of their own for its begin and commit.

libpq's pipeline sends statements without waiting for their answers; the answer of one is waited for when it is needed.
"""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import Connection, Error, OperationalError
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from trading.adapters.postgres.pool import ANSWER_S

_prepared: WeakKeyDictionary[Connection[Any], dict[bytes, bytes]] = WeakKeyDictionary()
"""Statements prepared on a connection, and their names there."""
_numbers = count(1)


@contextmanager
def short_transaction(connection: Connection[Any]) -> Iterator["ShortTransaction"]:
    """A transaction on an idle autocommit connection; what the block leaves open is committed.

    Raises like psycopg. After an error ``connection`` has a transaction to roll back, which psycopg's pool does.
    """
    own = ShortTransaction(connection)
    try:
        yield own
        own.commit()
    finally:
        own.close()


def ask(connection: Connection[Any], statement: bytes, *parameters: object) -> bytes:
    """What one prepared statement answers, as a transaction of its own on an idle autocommit connection.

    The text of one value, empty for null, once it is committed. Raises like psycopg.
    """
    pgconn, names = connection.pgconn, _prepared.setdefault(connection, {})
    until_s = time.monotonic() + ANSWER_S
    name = names.get(statement)
    if name is None:
        name = b"short_%d" % next(_numbers)
        pgconn.send_prepare(name, statement)
        _finished(pgconn, until_s)
        names[statement] = name
    pgconn.send_query_prepared(name, [_text(value) for value in parameters])
    try:
        return _finished(pgconn, until_s)
    except InvalidSqlStatementName:  # psycopg drops what is prepared on a connection after a rollback
        names.clear()
        return ask(connection, statement, *parameters)


def _finished(pgconn: PGconn, until_s: float) -> bytes:
    """The value that a statement answers, once the server is ready for another: what fails at its commit comes last."""
    value, failed = b"", None
    while (result := _wait(pgconn, until_s)) is not None:
        if result.status == ExecStatus.TUPLES_OK:
            value = result.get_value(0, 0) or b""
        elif result.status != ExecStatus.COMMAND_OK:
            failed = failed or _error(result)
    if failed is not None:
        raise failed
    return value


def _wait(pgconn: PGconn, until_s: float) -> PGresult | None:
    """The next result. Other threads run meanwhile: one of them may hold what this waits for.

    Hangs up on a server that has said nothing for longer than a transaction may take there.
    """
    pgconn.flush()
    if pgconn.is_busy():
        ready = select.poll()
        ready.register(pgconn.socket, select.POLLIN)
        while pgconn.is_busy():
            if not ready.poll(max(0.0, until_s - time.monotonic()) * 1000):
                pgconn.finish()
                raise OperationalError("the server does not answer")
            pgconn.consume_input()
    return pgconn.get_result()


class ShortTransaction:
    """See `short_transaction`. Statements answer with the text of one value."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._pgconn = connection.pgconn
        self._until_s = time.monotonic() + ANSWER_S
        self._names = _prepared.setdefault(connection, {})
        self._sent: list[tuple[bytes, bytes] | None] = []
        self._synced = False
        self._pgconn.enter_pipeline_mode()
        self._send(b"begin")

    def ask(self, statement: bytes, *parameters: object) -> bytes:
        """What the statement answers; the transaction goes on."""
        self._send(statement, *parameters)
        self._pgconn.send_flush_request()
        try:
            return self._answers()
        except InvalidSqlStatementName:
            # psycopg drops what is prepared on a connection after a rollback: not even `begin` was known.
            if not self._names:
                raise
            self._names.clear()
            self._pgconn.pipeline_sync()
            self._read_to_sync()
            self._send(b"begin")
            return self.ask(statement, *parameters)

    def end(self, statement: bytes, *parameters: object) -> bytes:
        """What the last statement answers, once all is committed."""
        self._send(statement, *parameters)
        return self.commit()

    def commit(self) -> bytes:
        """Commit; nothing where that is done."""
        if self._synced:
            return b""
        self._send(b"commit")
        self._synced = True
        self._pgconn.pipeline_sync()
        return self._answers()

    def close(self) -> None:
        """Leave the pipeline, whatever state the transaction is in. What a lost connection says was said before."""
        if self._pgconn.status == ConnStatus.OK and not self._synced:
            self._pgconn.pipeline_sync()
        self._read_to_sync()
        if self._pgconn.status == ConnStatus.OK:
            self._pgconn.exit_pipeline_mode()

    def _read_to_sync(self) -> None:
        while self._pgconn.status == ConnStatus.OK:
            result = self._next()
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                return

    def _send(self, statement: bytes, *parameters: object) -> None:
        name = self._names.get(statement)
        if name is None:
            name = b"short_%d" % next(_numbers)
            self._pgconn.send_prepare(name, statement)
            self._sent.append((statement, name))
        self._pgconn.send_query_prepared(name, [_text(value) for value in parameters])
        self._sent.append(None)

    def _answers(self) -> bytes:
        """Read what was sent for; the last value that came."""
        value = b""
        sent, self._sent = self._sent, []
        for prepared in sent:
            while (result := self._next()) is not None:
                if result.status == ExecStatus.TUPLES_OK:
                    value = result.get_value(0, 0) or b""
                elif result.status != ExecStatus.COMMAND_OK:
                    raise _error(result)
            if prepared is not None:
                self._names[prepared[0]] = prepared[1]
        return value

    def _next(self) -> PGresult | None:
        return _wait(self._pgconn, self._until_s)


def _error(result: PGresult) -> Error:
    """What the server refused; without a code of the server's it is the connection that is gone."""
    if result.error_field(DiagnosticField.SQLSTATE):
        return error_from_result(result)
    return OperationalError(result.get_error_message())


def _text(value: object) -> bytes | None:
    if value is None:
        return None
    return b"\\x" + value.hex().encode() if isinstance(value, bytes) else str(value).encode()
