"""What the shared fixtures hand out. Import these names from here; the fixtures are in conftest.py."""

import socket
from dataclasses import dataclass
from pathlib import Path

from trading.adapters.embedded import secrets
from trading.config import Settings


@dataclass(frozen=True)
class Servers:
    """The run's PostgreSQL. Every login has its password; ``folder`` can be reached by the servers' OS user."""

    folder: Path
    socket_dir: str
    passwords: dict[str, str]

    def dsn(self, role: str = "superuser", database: str = "postgres") -> str:
        login = "postgres" if role == "superuser" else role
        return f"postgresql://{login}:{self.passwords[role]}@/{database}?host={self.socket_dir}"


@dataclass(frozen=True)
class Database:
    """A migrated database of this test's own."""

    servers: Servers
    name: str

    def dsn(self, role: str = "superuser") -> str:
        return self.servers.dsn(role, self.name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def floor_settings(data_dir: Path, database: Database, redis_url: str) -> Settings:
    """Settings of a floor on these servers, with a data folder and ports of its own."""
    data_dir.mkdir(parents=True)
    own = secrets.generate()
    secrets.write(
        data_dir / "secrets.json", secrets.FloorSecrets(database.servers.passwords, "", "", "", own.cookie_key)
    )
    return Settings(
        data_dir=data_dir,
        database_url=database.dsn(),
        redis_url=redis_url,
        app_port=free_port(),
        dagster_port=free_port(),
    )
