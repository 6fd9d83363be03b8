"""The schema's present form: what a start changes, and what it leaves alone."""

import psycopg
import pytest
from shared_servers import Database

from trading.adapters.postgres.migrate import migrate
from trading.domain.orders import TRANSITIONS

KEY = "schema.functions"


def rows(database: Database, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def forget_what_was_applied(database: Database) -> None:
    rows(database, f"update setting set value = '\"older\"' where key = '{KEY}'")


def test_a_start_that_brings_nothing_new_replaces_nothing(database: Database) -> None:
    rows(database, "create or replace function observer_portfolios() returns setof bigint language sql as 'select 1'")
    migrate(database.dsn())
    assert rows(database, "select prosrc from pg_proc where proname = 'observer_portfolios'") == [("select 1",)]


def test_a_new_form_replaces_functions_and_takes_away_rights_that_nobody_means(database: Database) -> None:
    rows(database, "create or replace function observer_portfolios() returns setof bigint language sql as 'select 1'")
    rows(database, "grant update, delete on orders to tf_app; grant execute on function commit_batch to tf_observer")
    forget_what_was_applied(database)
    migrate(database.dsn())
    (source,) = rows(database, "select prosrc from pg_proc where proname = 'observer_portfolios'")[0]
    assert "portfolio_grant" in str(source)
    assert rows(database, "select has_table_privilege('tf_app', 'orders', 'update, delete')") == [(False,)]
    assert rows(
        database,
        "select bool_or(has_function_privilege('tf_observer', oid, 'execute')) from pg_proc"
        " where proname = 'commit_batch'",
    ) == [(False,)]


def test_the_database_has_the_transitions_of_the_code_and_no_other(database: Database) -> None:
    rows(database, "insert into order_transition values ('filled', 'new')")
    forget_what_was_applied(database)
    migrate(database.dsn())
    meant = {(str(source), str(target)) for source, targets in TRANSITIONS.items() for target in targets}
    assert set(rows(database, "select source, target from order_transition")) == meant


def test_a_function_that_fails_leaves_everything_as_it_was(database: Database) -> None:
    rows(database, "alter table transfer rename to transfer_gone")
    forget_what_was_applied(database)
    with pytest.raises(psycopg.errors.UndefinedObject):
        migrate(database.dsn())
    assert rows(database, f"select value #>> '{{}}' from setting where key = '{KEY}'") == [("older",)]
    assert rows(database, "select has_table_privilege('tf_app', 'orders', 'select')") == [(True,)]
