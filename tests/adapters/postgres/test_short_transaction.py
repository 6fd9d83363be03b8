"""Transactions through libpq's pipeline: all or nothing, and a connection that is good for the next one."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.pq import PipelineStatus, TransactionStatus
from shared_servers import Database

from trading.adapters.postgres.short_transaction import short_transaction

WRITE = b"insert into setting (key, value) values ($1, 'true') returning key"


@pytest.fixture
def connection(database: Database) -> Iterator[Connection[Any]]:
    with psycopg.connect(database.dsn(), autocommit=True) as own:
        yield own


def kept(database: Database) -> list[str]:
    with psycopg.connect(database.dsn()) as other:
        return [row[0] for row in other.execute("select key from setting where key like 'short.%' order by key")]


def test_what_is_asked_can_be_used_before_the_end_and_the_end_commits(
    database: Database, connection: Connection[Any]
) -> None:
    for name in (b"a", b"b"):  # the second time the statements are prepared
        with short_transaction(connection) as transaction:
            first = transaction.ask(WRITE, "short." + name.decode())
            assert kept(database) == [] or first == b"short.b"
            assert transaction.end(WRITE, first.decode() + "2") == first + b"2"
        assert connection.info.transaction_status == TransactionStatus.IDLE
    assert kept(database) == ["short.a", "short.a2", "short.b", "short.b2"]


def test_what_the_block_leaves_open_is_committed(database: Database, connection: Connection[Any]) -> None:
    with short_transaction(connection) as transaction:
        transaction.ask(WRITE, "short.open")
    assert kept(database) == ["short.open"]


def test_what_the_block_raises_undoes_all(database: Database, connection: Connection[Any]) -> None:
    with pytest.raises(RuntimeError), connection:
        raised(connection)
    assert kept(database) == []


def raised(connection: Connection[Any]) -> None:
    with short_transaction(connection) as transaction:
        transaction.ask(WRITE, "short.gone")
        raise RuntimeError("no")


def test_a_refused_statement_raises_and_the_connection_goes_on(database: Database, connection: Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        refused(connection)
    connection.rollback()
    assert connection.pgconn.pipeline_status == PipelineStatus.OFF
    with short_transaction(connection) as transaction:
        assert transaction.end(WRITE, "short.next") == b"short.next"
    assert kept(database) == ["short.next"]


def refused(connection: Connection[Any]) -> None:
    with short_transaction(connection) as transaction:
        transaction.ask(WRITE, "short.before")
        transaction.ask(b"select 1 / $1::int", 0)


def test_statements_that_were_dropped_are_prepared_again(database: Database, connection: Connection[Any]) -> None:
    for name in ("short.a", "short.b"):
        with short_transaction(connection) as transaction:
            assert transaction.ask(b"select $1::text", name) == name.encode()
            transaction.end(WRITE, name)
        connection.execute("deallocate all")  # psycopg does it after a rollback
    assert kept(database) == ["short.a", "short.b"]


def test_a_commit_that_the_server_refuses_is_no_answer(database: Database, connection: Connection[Any]) -> None:
    connection.execute(
        "create function no() returns trigger language plpgsql as $$ begin raise 'not today'; end $$;"
        "create constraint trigger late after insert on setting deferrable initially deferred"
        " for each row execute function no()"
    )
    with pytest.raises(psycopg.errors.RaiseException, match="not today"), connection:
        answered(connection)
    assert kept(database) == []


def answered(connection: Connection[Any]) -> None:
    with short_transaction(connection) as transaction:
        transaction.end(WRITE, "short.late")
        pytest.fail("there was an answer")


def test_a_server_that_goes_away_is_an_operational_error(database: Database, connection: Connection[Any]) -> None:
    with pytest.raises(psycopg.OperationalError):
        cut_off(database, connection)
    assert kept(database) == []


def cut_off(database: Database, connection: Connection[Any]) -> None:
    with short_transaction(connection) as transaction:
        transaction.ask(WRITE, "short.lost")
        with psycopg.connect(database.dsn(), autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        transaction.end(WRITE, "short.after")
