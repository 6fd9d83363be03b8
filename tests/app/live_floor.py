"""A real floor without Dagster for the browser: market, broker and app as processes, one for the whole file."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared_servers import Servers

from trading.adapters.embedded import home, secrets
from trading.adapters.embedded.valkey import EmbeddedValkey
from trading.bootstrap import first_start, open_floor
from trading.config import PROJECT_ROOT, Settings
from trading.services.floor import Floor


@dataclass(frozen=True)
class LiveFloor:
    """Where it answers, the demo logins by role, and the same floor opened by the test itself."""

    url: str
    logins: dict[str, tuple[str, str]]
    floor: Floor
    settings: Settings


@contextmanager
def open_live_floor(servers: Servers, settings_of: Callable[[Path, str], Settings]) -> Iterator[LiveFloor]:
    """Start everything in a folder of its own; ``settings_of`` makes settings for a data folder and a bus address."""
    folder = Path(tempfile.mkdtemp(prefix="browser-", dir=servers.folder))
    folder.chmod(0o711)
    valkey = EmbeddedValkey(home.choose(folder), secrets.generate().valkey_password, folder / "valkey.log")
    with ExitStack() as ends:
        valkey.prepare()
        valkey.start()
        ends.callback(valkey.stop)
        valkey.wait_ready()
        settings = settings_of(folder / "data", valkey.url())
        made = first_start(settings)
        for module in ("trading.processes.market", "trading.processes.broker", "app.server"):
            ends.callback(stop, start(module, settings, folder))
        wait_until_it_answers(f"http://127.0.0.1:{settings.app_port}/api/health", folder)
        floor = ends.enter_context(open_floor(settings))
        wait_for_quotes(floor)
        logins = {login.role: (login.username, login.password) for login in made}
        yield LiveFloor(f"http://127.0.0.1:{settings.app_port}", logins, floor, settings)


def start(module: str, settings: Settings, folder: Path) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "TRADEFLOOR_DATA": str(settings.data_dir),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "TRADEFLOOR_APP_PORT": str(settings.app_port),
        "TRADEFLOOR_DAGSTER_PORT": str(settings.dagster_port),
    }
    with (folder / f"{module}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module], env=environment, cwd=PROJECT_ROOT, stdout=log, stderr=log
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_it_answers(url: str, folder: Path) -> None:
    ends_s = time.monotonic() + 40
    while time.monotonic() < ends_s:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError((folder / "app.server.log").read_text())


def wait_for_quotes(floor: Floor) -> None:
    ends_s = time.monotonic() + 30
    while len(floor.bus.last_ticks()) < 8:
        assert time.monotonic() < ends_s, "the market does not quote"
        time.sleep(0.2)
