"""Real servers for the tests: one embedded PostgreSQL a run, one Valkey a worker, one cloned database a test."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import psycopg
import pytest
import redis
from shared_servers import Database, Servers, floor_settings

from trading.adapters.embedded import home, secrets
from trading.adapters.embedded.postgres import EmbeddedPostgres
from trading.adapters.embedded.valkey import EmbeddedValkey
from trading.config import PROJECT_ROOT, Settings

# A developer's own floor must not leak into the tests.
for name in [name for name in os.environ if name.startswith("TRADEFLOOR_")] + ["DATABASE_URL", "REDIS_URL"]:
    os.environ.pop(name, None)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DAGSTER_DISABLE_TELEMETRY"] = "true"

# The same examples in every run, so that a red run means a change; HYPOTHESIS_PROFILE=explore looks for new ones.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

TEMPLATE = "tradefloor"
NO_BROWSER = "no Chromium or Chrome on this machine"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Tests die with their data: no need to wait for the disk.
TEST_CLUSTER = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
SERVERS = pytest.StashKey["RunningServers"]()


class RunningServers:
    """Started by the process that owns the test run; stopped when it ends, however it ends."""

    def __init__(self) -> None:
        for left in Path("/tmp").glob("tradefloor-run-*-*"):
            if not psutil.pid_exists(int(left.name.split("-")[2])):
                shutil.rmtree(left, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"tradefloor-run-{os.getpid()}-", dir="/tmp"))
        self.folder.chmod(0o711)
        own = secrets.generate()
        place = home.choose(self.folder)
        self.postgres = EmbeddedPostgres(place, own.postgres["superuser"], self.folder / "postgres.log", TEST_CLUSTER)
        self.postgres.prepare()
        self.postgres.start()
        self.postgres.wait_ready()
        self.servers = Servers(self.folder, str(place.socket_dir), dict(own.postgres))
        migrated_template(self.servers)

    def stop(self) -> None:
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def migrated_template(servers: Servers) -> None:
    from trading.adapters.postgres.migrate import migrate, prepare

    prepare(lambda database: servers.dsn("superuser", database), servers.passwords)
    migrate(servers.dsn("superuser", TEMPLATE))


def running_servers(config: pytest.Config) -> RunningServers:
    if SERVERS not in config.stash:
        config.stash[SERVERS] = RunningServers()
    return config.stash[SERVERS]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    found = running_servers(node.config).servers
    node.workerinput["servers"] = json.dumps([str(found.folder), found.socket_dir, found.passwords])


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVERS in config.stash:
        config.stash[SERVERS].stop()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers:
    workerinput = getattr(request.config, "workerinput", None)
    if workerinput is None:
        return running_servers(request.config).servers
    folder, socket_dir, passwords = json.loads(workerinput["servers"])
    return Servers(Path(folder), socket_dir, passwords)


@pytest.fixture(scope="session")
def make_database(servers: Servers) -> Iterator[Callable[[], Database]]:
    """A function that makes a migrated database; dropped when the session ends, for fixtures of wider scope."""
    made: list[Database] = []

    def make() -> Database:
        name = f"t_{os.getpid()}_{len(made)}"
        with psycopg.connect(servers.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name} template {TEMPLATE} owner tf_owner strategy file_copy")
            connection.execute(f"revoke all on database {name} from public")
            connection.execute(f"grant connect on database {name} to tf_app, tf_broker, tf_observer")
        made.append(Database(servers, name))
        return made[-1]

    yield make
    for database in made:
        drop_database(database)


def drop_database(database: Database) -> None:
    with psycopg.connect(database.servers.dsn(), autocommit=True) as connection:
        connection.execute(f"drop database if exists {database.name} with (force)")


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Iterator[Database]:
    own = make_database()
    yield own
    drop_database(own)


@pytest.fixture(scope="session")
def valkey(servers: Servers, worker_id: str) -> Iterator[EmbeddedValkey]:
    folder = Path(tempfile.mkdtemp(prefix=f"valkey-{worker_id}-", dir=servers.folder))
    folder.chmod(0o711)
    server = EmbeddedValkey(home.choose(folder), secrets.generate().valkey_password, folder / "valkey.log")
    server.prepare()
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """An empty Valkey that no other test uses at the same time."""
    with redis.Redis.from_url(valkey.url(), protocol=3) as client:
        client.flushall()
    return valkey.url()


@pytest.fixture
def settings(tmp_path: Path, database: Database, redis_url: str) -> Settings:
    """A floor's settings with a data folder, a migrated database and a Valkey of this test's own."""
    return floor_settings(tmp_path / "data", database, redis_url)


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a child process the same settings."""
    return {
        **os.environ,
        "TRADEFLOOR_DATA": str(settings.data_dir),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "TRADEFLOOR_APP_PORT": str(settings.app_port),
        "TRADEFLOOR_DAGSTER_PORT": str(settings.dagster_port),
    }


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = PROJECT_ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{NO_BROWSER}; .ci/run installs one")
    if found is None:
        pytest.skip(NO_BROWSER)
    return found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    missed = [
        report.nodeid for report in terminalreporter.stats.get("skipped", []) if NO_BROWSER in str(report.longrepr)
    ]
    if not missed:
        return
    terminalreporter.section("THE BROWSER TESTS WERE NOT RUN", sep="!", red=True, bold=True)
    terminalreporter.line(f"There is {NO_BROWSER}, so these {len(missed)} tests say nothing about the app's screens:")
    for test in missed:
        terminalreporter.line(f"  {test}")
    terminalreporter.line(
        "Get one: `apt-get install chromium` (Debian, Ubuntu), `brew install --cask chromium` (macOS),"
    )
    terminalreporter.line("or install Google Chrome; then run `make test` again.")
