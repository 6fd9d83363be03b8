"""Making a floor's backups: by command and by the clerk, and what of it the floor remembers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from trading.adapters.embedded import backup, backup_wal
from trading.adapters.embedded.backup import Backup
from trading.adapters.embedded.connections import FLOOR_DATABASE
from trading.config import Settings
from trading.domain.errors import Conflict, TradefloorError, Unavailable
from trading.processes.floor_table import embedded_postgres
from trading.services import backups
from trading.services.access import SYSTEM
from trading.services.floor import Floor
from trading.services.ports.backups import BackupTry

NOT_OURS = (
    "DATABASE_URL points to a PostgreSQL of your own: its backups are made and restored where it runs, "
    "with pg_basebackup and a WAL archive. Tradefloor backs up its embedded server only."
)
LOOK_S = 60.0
ASKED_LOOK_S = 2.0
AGAIN_S = 1800.0
"""How long after a failure the clerk tries again."""
TELL_S = 3.0
"""Between two words to the screens that a backup is being made."""


def check_ours(settings: Settings) -> None:
    """`Unavailable` where the database is not the embedded one."""
    if settings.database_url:
        raise Unavailable(NOT_OURS)


def back_up(settings: Settings, floor: Floor) -> Backup:
    """Back up the running embedded server, drop what is older than the settings keep, and remember it.

    Raises `Conflict` while another one is being made, `Unavailable` where it fails; that is remembered too.
    """
    began_ns = floor.clock.now_ns()
    with _told(floor, began_ns):
        try:
            check_ours(settings)
            made = _make(settings, floor)
        except Unavailable as error:
            backups.record(floor, SYSTEM, BackupTry(began_ns, "", False, 0, str(error)[:300]))
            raise
        backups.record(floor, SYSTEM, BackupTry(began_ns, made.name, True, made.bytes, ""))
    return made


def _make(settings: Settings, floor: Floor) -> Backup:
    server, place = embedded_postgres(settings), settings.backups
    files = [settings.secrets_path, settings.logins_path, settings.head_path]
    made = backup.make(server, place, floor.clock.now(), files, settings.lake_dir, FLOOR_DATABASE)
    backup.prune(place, settings.backup_keep, backup_wal.line_of(server))
    return made


@contextmanager
def _told(floor: Floor, began_ns: int) -> Iterator[None]:
    """Tell the screens, for as long as this process lives and it lasts, that a backup is being made."""
    over = threading.Event()

    def tell() -> None:
        while True:
            floor.bus.tell_backup(began_ns)
            if over.wait(TELL_S):
                return

    teller = threading.Thread(target=tell, name="backup-teller", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        floor.bus.tell_backup(None)


def job(settings: Settings) -> Callable[[Floor, int], str]:
    """The clerk's part: a backup when one is due, else the log's whole segments are compressed."""

    def run(floor: Floor, now_ns: int) -> str:
        if not settings.backup_every_h or settings.database_url:
            return ""
        server = embedded_postgres(settings)
        line = backup_wal.line_of(server)
        if _due(settings, line, now_ns) and not _failed_lately(floor, now_ns):
            made = back_up(settings, floor)
            return f"made {made.name}, {made.bytes / 1e6:.1f} MB"
        backup_wal.compress(settings.backups, line)
        return ""

    return run


def asked_job(settings: Settings) -> Callable[[Floor, int], str]:
    """The clerk's part: the backup that an admin asks for, whenever another one is due."""

    def run(floor: Floor, _now_ns: int) -> str:
        if not floor.bus.take_backup():
            return ""
        try:
            made = back_up(settings, floor)
        except Conflict:
            return "one is being made already"
        return f"made {made.name}, {made.bytes / 1e6:.1f} MB"

    return run


def _due(settings: Settings, line: str, now_ns: int) -> bool:
    """Whether the newest backup is too old, or of a history that has ended."""
    try:
        newest = next(iter(backup.listed(settings.backups)), None)
    except TradefloorError:
        return True  # a damaged one must not keep the next from being made
    if newest is None or newest.line != line:
        return True
    age_s = (datetime.fromtimestamp(now_ns / 1e9, UTC) - newest.ended).total_seconds()
    return age_s >= settings.backup_every_h * 3600


def _failed_lately(floor: Floor, now_ns: int) -> bool:
    last = next(iter(backups.newest(floor, SYSTEM)), None)
    return last is not None and not last.ok and now_ns - last.ts_ns < AGAIN_S * 1e9
