"""Roles, databases and migrations, all in one transaction: a half-applied one can't be.

Tables grow by numbered migrations (``sql/NNNN_*.sql``). Server functions, triggers and rights have one present form,
in ``sql/functions/``, which replaces the one before.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
from alembic import command, op
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, create_engine, text

from trading.domain.orders import TRANSITIONS

HERE = Path(__file__).parent
LOGINS = ("tf_app", "tf_broker", "tf_observer", "tf_dagster", "tf_mlflow")
DATABASES = {"tradefloor": "tf_owner", "dagster": "tf_dagster", "mlflow": "tf_mlflow"}
MIGRATION_LOCK = 7000


def prepare(superuser_dsn_of: Callable[[str], str], passwords: Mapping[str, str]) -> None:
    """Create the roles and databases that are missing; set the logins' passwords.

    ``superuser_dsn_of`` gives a superuser's connection string for a database name.
    """
    with psycopg.connect(superuser_dsn_of("postgres"), autocommit=True) as connection:
        roles = {row[0] for row in connection.execute("select rolname from pg_roles")}
        if "tf_owner" not in roles:
            connection.execute("create role tf_owner nologin")
        for login in LOGINS:
            verb = "alter" if login in roles else "create"
            connection.execute(
                sql.SQL(f"{verb} role {{}} login password {{}}").format(
                    sql.Identifier(login), sql.Literal(passwords[login])
                )
            )
        databases = {row[0] for row in connection.execute("select datname from pg_database")}
        for database, owner in DATABASES.items():
            if database not in databases:
                statement = sql.SQL("create database {} owner {}")
                connection.execute(statement.format(sql.Identifier(database), sql.Identifier(owner)))
            connection.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(database)))
            connection.execute(
                sql.SQL("grant connect, temporary on database {} to {}").format(
                    sql.Identifier(database), sql.Identifier(owner)
                )
            )
        for login in ("tf_app", "tf_broker", "tf_observer"):
            connection.execute(sql.SQL("grant connect on database tradefloor to {}").format(sql.Identifier(login)))
        # A frozen writer may not hold locks for longer than this.
        for login in ("tf_app", "tf_broker"):
            connection.execute(sql.SQL("alter role {} set transaction_timeout = '2s'").format(sql.Identifier(login)))


def migrate(dsn: str) -> None:
    """Bring database ``tradefloor`` to the newest schema, as its owner; ``dsn`` is a superuser's."""
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1))
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            connection.execute(text("set local role tf_owner"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            _apply_functions(connection)
    finally:
        engine.dispose()


def run_sql(name: str) -> None:
    """For migrations: execute a file of ``sql/`` on the connection that migrates."""
    _driver(op.get_bind()).execute((HERE / "sql" / name).read_text().encode())


def _apply_functions(connection: Connection) -> None:
    """Replace functions, triggers, rights and the table of order states where they or the tables changed.

    ``rights.sql`` comes last: it takes everything away and gives what is meant.
    """
    files = sorted((HERE / "sql" / "functions").glob("*.sql"), key=lambda file: (file.stem == "rights", file.name))
    rows = sorted((source, target) for source, targets in TRANSITIONS.items() for target in targets)
    now = connection.execute(text("select version_num from alembic_version")).scalar_one()
    content = "".join(file.read_text() for file in files) + repr(rows) + now
    digest, driver = hashlib.sha256(content.encode()).hexdigest(), _driver(connection)
    key = "schema.functions"
    known = driver.execute("select value #>> '{}' from setting where key = %s", (key,)).fetchone()
    if known is not None and known[0] == digest:
        return
    driver.execute("set local check_function_bodies = off")  # they name each other
    for file in files:
        driver.execute(file.read_text().encode())
    driver.execute("delete from order_transition")
    with driver.cursor() as cursor:
        cursor.executemany("insert into order_transition (source, target) values (%s, %s)", rows)
    driver.execute(
        "insert into setting (key, value) values (%s, to_jsonb(%s::text))"
        " on conflict (key) do update set value = excluded.value, updated_at = now()",
        (key, digest),
    )


def _driver(connection: Connection) -> psycopg.Connection:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("migrations run on psycopg")
    return driver
