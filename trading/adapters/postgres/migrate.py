"""Roles, databases and migrations. Every migration is one transaction: a half-applied one can't be."""

from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine, text

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
    finally:
        engine.dispose()
