"""A floor on an embedded PostgreSQL of its own, which a test may stop, kill and destroy."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared_servers import Database, Servers
from trading_floor import TradingFloor

from trading.adapters.embedded import backup_wal, secrets
from trading.adapters.embedded.postgres import EmbeddedPostgres
from trading.adapters.head_file import HeadFile
from trading.adapters.postgres.migrate import migrate, prepare
from trading.config import Settings
from trading.processes import checks, floor_table
from trading.services import verify
from trading.services.access import SYSTEM


@dataclass
class House:
    """A floor's own embedded PostgreSQL, its log taken for backups, and a trading floor on it."""

    settings: Settings
    server: EmbeddedPostgres
    stream: "subprocess.Popen[bytes] | None" = None
    lock: list[object] = field(default_factory=list)
    floor: TradingFloor | None = None

    def open(self) -> None:
        checks.make_folders([self.settings.data_dir, self.settings.run_dir, self.settings.log_dir])
        self.lock.append(checks.hold_lock(self.settings.run_dir, self.settings.data_dir))
        self.server.start()
        self.server.wait_ready()
        backup_wal.prepare_stream(self.server, self.settings.backups)
        argv, env = backup_wal.stream_command(self.server, self.settings.backups)
        with (self.settings.backups / "stream.log").open("ab") as log:
            self.stream = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        if self.floor is not None:
            self.floor.pool.check()
            self.floor.restart_broker()

    def restart(self) -> None:
        """Start the server again that was killed, and the stream of its log."""
        self._ended()
        self.open()

    def destroy(self) -> None:
        """SIGKILL, and everything in the data folder is gone."""
        os.kill(int((self.server.data_dir / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        self._ended()
        shutil.rmtree(self.settings.data_dir)

    def close(self) -> None:
        self.server.stop()
        self._ended()

    def _ended(self) -> None:
        assert self.stream is not None
        self.stream.wait(20)
        self.server.stop()
        self.lock.pop().close()  # type: ignore[attr-defined]

    def trade(self, seconds: float) -> float:
        """Orders and fills for a while; when the last one was committed."""
        assert self.floor is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.floor.quote("99.99", "100.00")
            self.floor.accepted("buy", "1")
            self.floor.run_broker()
            self.floor.cancel(self.floor.accepted("sell", "1", "100.50").order_id)
            self.floor.run_broker()
        self.floor.query("select seal_block(now())")
        verify.keep_head(self.floor.floor, SYSTEM, at_once=True)
        return time.time()

    def counts(self) -> tuple[int, ...]:
        assert self.floor is not None
        return self.floor.query(  # type: ignore[return-value]
            "select (select count(*) from orders), (select count(*) from fill), (select count(*) from transfer),"
            " (select max(input_seq) from broker_cursor)"
        )[0]


@contextmanager
def opened(redis_url: str) -> Iterator[House]:
    """Open until the end of the block; its backups are beside its data folder."""
    with tempfile.TemporaryDirectory(prefix="tradefloor-drill-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "data").mkdir()
        settings = Settings(data_dir=folder / "data", redis_url=redis_url, backup_dir=str(folder / "other-disk"))
        floor_table.prepare_servers(settings)
        own = House(settings, floor_table.embedded_postgres(settings))
        known = secrets.read(settings.secrets_path)
        assert known is not None
        own.open()
        servers = Servers(folder, str(own.server.home.socket_dir), dict(known.postgres))
        prepare(lambda database: servers.dsn("superuser", database), servers.passwords)
        migrate(servers.dsn("superuser", "tradefloor"))
        own.floor = TradingFloor(Database(servers, "tradefloor"), settings.lake_dir)
        own.floor.floor = replace(own.floor.floor, heads=HeadFile(settings.head_path))
        own.floor.query(
            "insert into risk_limit (tier, version, max_order_notional, max_open_orders, price_band_ppm)"
            " values ('standard', 2, 100000000000, 100000, 200000)"
        )
        own.floor.quote("99.99", "100.00")
        yield own
        own.floor.close()
        if own.lock:
            own.close()
