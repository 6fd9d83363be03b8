"""A floor's real servers for the benchmarks: embedded PostgreSQL and Valkey as `make up` runs them, commits durable."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trading.adapters.embedded import home, secrets
from trading.adapters.embedded.valkey import EmbeddedValkey
from trading.config import Settings
from trading.processes import floor_table


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """A temporary folder that the servers' own user may enter."""
    with tempfile.TemporaryDirectory(prefix="tradefloor-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@contextmanager
def servers(folder: Path) -> Iterator[Settings]:
    """Both servers, running until the end; the floor's settings and secrets are in ``folder``."""
    settings = Settings(data_dir=folder, database_url="", redis_url="", lake_url="")
    settings.log_dir.mkdir(exist_ok=True)
    found = floor_table.prepare_servers(settings)
    known = secrets.read(settings.secrets_path)
    if known is None or found.home is None:
        raise RuntimeError("the servers could not be prepared")
    postgres = floor_table.embedded_postgres(settings)
    valkey = EmbeddedValkey(found.home, known.valkey_password, settings.log_dir / "valkey.log")
    try:
        for server in (postgres, valkey):
            server.start()
            server.wait_ready()
        yield settings
    finally:
        valkey.stop()
        postgres.stop()
        home.release_socket_dir(found.home)
