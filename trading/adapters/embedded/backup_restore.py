"""Bring a cluster back from a backup and the log behind it, to its end or to a named time.

Everything happens beside the cluster that is there. Only when the server has opened what was restored do the two
change places; the old one is kept under a name of its own.
"""

import shutil
import tarfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psycopg

from trading.adapters.embedded import backup_wal as wal
from trading.adapters.embedded.backup import Backup, fault
from trading.adapters.embedded.postgres import EmbeddedPostgres, last_line
from trading.domain.errors import Inconsistent, Invalid, Unavailable

RECOVERY_TIMEOUT_S = 900.0
_STAGED = "postgres.restoring"
_PASSED = "recovery ended before configured recovery target was reached"


def restore(
    server: EmbeddedPostgres, place: Path, backup: Backup, at: datetime | None, say: Callable[[str], None], now: str
) -> Path | None:
    """Put a backup in the cluster's place; returns where the cluster is that was there, None where there was none.

    ``server`` is stopped, with the password that the backup's cluster has. ``now`` goes into the name of what is kept.
    Raises `Invalid` for a time that cannot be reached, `Inconsistent` for a damaged backup, `Unavailable` where the
    disk or the server fails; the cluster that is there is as it was then.
    """
    if at is not None and at < backup.ended:
        raise Invalid(
            f"Backup {backup.name} ends at {backup.ended_at}; for {at.isoformat()} take an older one.", "too_early"
        )
    say("Checking the backup against its checksums ...")
    wrong = fault(place, backup)
    if wrong:
        raise Inconsistent(f"Backup {backup.name} cannot be used: {wrong}.")
    staged = server.home.root / _STAGED
    shutil.rmtree(staged, ignore_errors=True)
    try:
        say("Unpacking ...")
        _unpack(place / backup.name / "base", staged)
        segments = wal.put_back(place, backup.line, backup.segment, staged / "pg_wal")
        _hand_over(server, staged)
        say(f"Rolling forward along {segments} segments of the log ...")
        _recover(server, staged, at)
        return _swap(server, staged, now)
    except OSError as error:
        raise Unavailable(f"The backup could not be put back in {server.home.root}: {error.strerror}.") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _unpack(base: Path, staged: Path) -> None:
    staged.mkdir(mode=0o700)
    for archive, target in (("base.tar.gz", staged), ("pg_wal.tar.gz", staged / "pg_wal")):
        target.mkdir(exist_ok=True)
        with tarfile.open(base / archive) as content:
            content.extractall(target, filter="data")


def _hand_over(server: EmbeddedPostgres, staged: Path) -> None:
    """Files of the servers' user, closed to others; the server asks for no less."""
    (staged / "recovery.signal").touch()
    for path in (staged, *staged.rglob("*")):
        server.home.own(path)


def _recover(server: EmbeddedPostgres, staged: Path, at: datetime | None) -> None:
    # The log is in pg_wal already: there is nowhere else to ask.
    target = {"restore_command": "exit 1", "recovery_target_action": "promote"}
    if at is not None:
        target["recovery_target_time"] = at.isoformat()
    log = server.log.with_name("restore.log")
    log.unlink(missing_ok=True)
    trial = EmbeddedPostgres(server.home, server.password, log, {**server.extra, **target}, folder=staged.name)
    try:
        trial.start()
        trial.wait_ready(RECOVERY_TIMEOUT_S)
        _wait_promoted(trial)
    except (Unavailable, psycopg.OperationalError) as error:
        words = log.read_text(errors="replace") if log.exists() else ""
        if at is not None and _PASSED in words:
            raise Invalid(f"What was kept of the log ends before {at.isoformat()}{_last(words)}.", "too_late") from None
        raise Unavailable(f"The restored database did not open: {last_line(log)} See {log}.") from error
    finally:
        trial.stop(timeout_s=60.0)


def _wait_promoted(server: EmbeddedPostgres) -> None:
    deadline_s = time.monotonic() + RECOVERY_TIMEOUT_S
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        while connection.execute("select pg_is_in_recovery()").fetchone() != (False,):
            if time.monotonic() > deadline_s:
                raise Unavailable("the log could not be replayed in time")
            time.sleep(0.05)


def _last(words: str) -> str:
    """The time of the last transaction that the server named."""
    found = words.rpartition("last completed transaction was at log time ")[2].splitlines()
    return f"; its last transaction is of {found[0]}" if found and "last completed" in words else ""


def _swap(server: EmbeddedPostgres, staged: Path, now: str) -> Path | None:
    kept = server.home.root / f"postgres.before-{now}"
    there = server.data_dir.exists()
    if there:
        server.data_dir.rename(kept)
    staged.rename(server.data_dir)
    # What is written from here on is another history than the one that was kept.
    wal.new_line(server)
    wal.sync(server.home.root)
    return kept if there else None
