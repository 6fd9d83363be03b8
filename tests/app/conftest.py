from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_floor import LiveFloor, open_live_floor
from shared_servers import Database, Servers

from trading.adapters.embedded import secrets
from trading.config import Settings


@pytest.fixture(scope="module")
def live(servers: Servers, make_database: Callable[[], Database], free_ports: Callable[[], int]) -> Iterator[LiveFloor]:
    """One real floor for the whole file."""

    def settings_of(data_dir: Path, redis_url: str) -> Settings:
        data_dir.mkdir(parents=True)
        own = secrets.FloorSecrets(servers.passwords, "", "", "", secrets.generate().cookie_key)
        secrets.write(data_dir / "secrets.json", own)
        database = make_database()
        return Settings(
            data_dir=data_dir,
            database_url=database.dsn(),
            redis_url=redis_url,
            app_port=free_ports(),
            dagster_port=free_ports(),
        )

    with open_live_floor(servers, settings_of) as floor:
        yield floor


@pytest.fixture(scope="session")
def free_ports() -> Callable[[], int]:
    import socket

    def free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return free_port
