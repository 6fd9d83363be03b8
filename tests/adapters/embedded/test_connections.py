"""Addresses of the servers and the file of generated passwords."""

import stat
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from shared_servers import Database, Servers

from trading.adapters.embedded import connections, secrets
from trading.config import Settings
from trading.domain.errors import Unavailable


def floor(data_dir: Path, **given: str) -> Settings:
    return Settings(data_dir=data_dir, **given)


def test_secrets_are_generated_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secrets.json"
    first = secrets.read_or_generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secrets.read_or_generate(path) == first
    assert len({*first.postgres.values(), first.valkey_password, first.cookie_key}) == len(secrets.LOGINS) + 2


def test_a_damaged_secrets_file_is_named_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('{"postgres": ')
    with pytest.raises(Unavailable, match="damaged"):
        secrets.read_or_generate(path)
    assert path.read_text() == '{"postgres": '


def test_a_floor_that_never_opened_says_how_to_open_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="make up"):
        connections.dsn(floor(tmp_path), "tf_app")


def test_every_role_logs_in_to_its_database_under_each_dialect(servers: Servers, tmp_path: Path) -> None:
    secrets.write(
        tmp_path / "secrets.json", secrets.FloorSecrets(servers.passwords, servers.socket_dir, "/run/v.sock", "v", "c")
    )
    settings = floor(tmp_path)
    for role in ("tf_app", "tf_broker", "tf_observer"):
        with psycopg.connect(connections.dsn(settings, role)) as connection:
            assert connection.execute("select current_user, current_database()").fetchone() == (role, "tradefloor")
    for url, login in (
        (connections.dagster_dsn(settings), "tf_dagster"),
        (connections.mlflow_dsn(settings), "tf_mlflow"),
    ):
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("select current_user")).scalar() == login
        engine.dispose()
    assert connections.redis_url(settings) == "unix://:v@/run/v.sock?db=0"


def test_database_url_keeps_server_and_options_and_changes_login_and_database(tmp_path: Path) -> None:
    known = secrets.read_or_generate(tmp_path / "secrets.json")
    settings = floor(tmp_path, database_url="postgresql://admin:p%40ss@db.example:6432/postgres?sslmode=require")
    assert (
        connections.dsn(settings, "superuser", "postgres")
        == "postgresql://admin:p%40ss@db.example:6432/postgres?sslmode=require"
    )
    assert connections.dsn(settings, "tf_app") == (
        f"postgresql://tf_app:{known.postgres['tf_app']}@db.example:6432/tradefloor?sslmode=require"
    )
    assert connections.dagster_dsn(settings).startswith("postgresql+psycopg2://tf_dagster:")
    named = floor(tmp_path, database_url="postgresql://admin@db.example/floor2")
    assert connections.dsn(named, "tf_app").endswith("@db.example/floor2")
    assert connections.mlflow_dsn(named).endswith("@db.example/mlflow")


def test_redis_url_is_taken_as_given(tmp_path: Path) -> None:
    assert connections.redis_url(floor(tmp_path, redis_url="rediss://cache.example/1")) == "rediss://cache.example/1"


def test_each_test_has_a_migrated_database_of_its_own(database: Database, settings: Settings) -> None:
    with psycopg.connect(connections.dsn(settings, "tf_app")) as connection:
        assert connection.execute("select current_database()").fetchone() == (database.name,)
        assert connection.execute("select count(*) from orders").fetchone() == (0,)
