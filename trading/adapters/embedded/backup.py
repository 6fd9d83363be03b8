"""Backups of the embedded PostgreSQL: made by its own ``pg_basebackup``, checked, listed and pruned.

A backup is a folder that gets its name when all of it is on the disk; ``backup.json`` in it names every file with its
SHA-256. Beside them lie the write-ahead log (`backup_wal`) and ``lake``, the immutable files that the databases name.
The secrets file is part of a backup: whoever has a backup has the floor.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from trading.adapters.embedded import backup_wal as wal
from trading.adapters.embedded.postgres import EmbeddedPostgres, binary, environment
from trading.adapters.postgres.pool import FloorConnection
from trading.domain.errors import Conflict, Inconsistent, NotFound, Unavailable

MANIFEST = "backup.json"
TIMEOUT_S = 3600.0
_STAGED = ".making"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of a backup: path below the backup (or the lake), hash of its bytes, size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Backup:
    """A whole backup. Times are ISO 8601 in UTC; ``line`` and ``segment`` say where its roll forward begins."""

    name: str
    began_at: str
    ended_at: str
    line: str
    segment: str
    files: tuple[Kept, ...]
    lake: tuple[Kept, ...]

    @property
    def bytes(self) -> int:
        """Size without the lake's files, which backups share."""
        return sum(file.bytes for file in self.files)

    @property
    def ended(self) -> datetime:
        """The earliest time to which it can be restored."""
        return datetime.fromisoformat(self.ended_at)


def make(
    server: EmbeddedPostgres, place: Path, now: datetime, files: Sequence[Path], lake: Path, database: str
) -> Backup:
    """Back up a running server, ``files`` beside it, and the lake's files that ``database`` names.

    Raises `Conflict` while another backup is being made, `Unavailable` where it fails; nothing is listed then.
    """
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _one_at_a_time(place):
        _clear(place)
        staged = place / f"{_STAGED}-{os.getpid()}"
        try:
            staged.mkdir(mode=0o700)
            return _fill(server, place, staged, now, files, lake, database)
        except OSError as error:
            raise Unavailable(f"The backup could not be written to {place}: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def listed(place: Path) -> list[Backup]:
    """Whole backups, newest first."""
    found = [read(path.parent) for path in place.glob(f"[0-9]*/{MANIFEST}")]
    return sorted(found, key=lambda backup: backup.ended_at, reverse=True)


def read(folder: Path) -> Backup:
    """What a backup says of itself. Raises `Inconsistent` where that cannot be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
        files, lake = (tuple(Kept(**file) for file in found.pop(part)) for part in ("files", "lake"))
        del found["v"]
        return Backup(**found, files=files, lake=lake)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Inconsistent(f"{folder / MANIFEST} is damaged; this backup cannot be used.") from error


def named(place: Path, name: str) -> Backup:
    """A backup by its name. Raises `NotFound`."""
    if not any(path.parent.name == name for path in place.glob(f"[0-9]*/{MANIFEST}")):
        raise NotFound(f"There is no backup called {name[:40]!r} in {place}; see: tradefloor backups")
    return read(place / name)


def fault(place: Path, backup: Backup) -> str:
    """What is wrong with a backup's own files, empty where each is as it was written."""
    for file in backup.files:
        path = place / backup.name / file.path
        if not path.is_file():
            return f"{file.path} is missing"
        if path.stat().st_size != file.bytes or _digest(path) != file.sha256:
            return f"{file.path} is not as it was written"
    return ""


def prune(place: Path, keep: int, line: str) -> list[str]:
    """Remove all but the newest ``keep`` backups, and what none of those needs; ``line`` is being written now."""
    backups = listed(place)
    for old in backups[keep:]:
        # Without its manifest it is no backup any more, however the removal ends.
        (place / old.name / MANIFEST).unlink()
        shutil.rmtree(place / old.name)
    kept = backups[:keep]
    for folder in [path for path in (place / "wal").glob("*") if not path.is_symlink()]:
        needed = [backup.segment for backup in kept if backup.line == folder.name]
        if needed:
            wal.drop_before(place, folder.name, min(needed, key=lambda segment: segment[8:]))
        elif folder.name != line:
            shutil.rmtree(folder)
    used = {file.path for backup in kept for file in backup.lake}
    for path in (place / "lake").rglob("*"):
        if path.is_file() and str(path.relative_to(place / "lake")) not in used:
            path.unlink()
    return [old.name for old in backups[keep:]]


def _fill(
    server: EmbeddedPostgres, place: Path, staged: Path, now: datetime, files: Sequence[Path], lake: Path, database: str
) -> Backup:
    line = wal.line_of(server)
    _check_space(server, place)
    _run(
        server, "pg_basebackup", "--pgdata", str(staged / "base"), "--format", "tar", "--compress", "client-gzip:1",
        "--wal-method", "stream", "--checkpoint", "fast", "--manifest-checksums", "SHA256", "--label", "tradefloor",
        *wal.login(server),
    )  # fmt: skip
    _check_archive(staged / "base")
    for file in files:
        if file.exists():
            shutil.copyfile(file, staged / file.name)
    kept_lake = _keep_lake(server, place, lake, database)
    for path in staged.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    backup = Backup(
        name=_free_name(place, now),
        began_at=now.isoformat(),
        ended_at=datetime.now(UTC).isoformat(),
        line=line,
        segment=_first_segment(staged / "base"),
        files=tuple(
            Kept(str(path.relative_to(staged)), _digest(path), path.stat().st_size)
            for path in sorted(staged.rglob("*"))
            if path.is_file()
        ),
        lake=kept_lake,
    )
    (staged / MANIFEST).write_text(json.dumps({"v": 1, **asdict(backup)}, indent=1))
    for path in [*staged.rglob("*"), staged]:
        wal.sync(path)
    staged.rename(place / backup.name)
    wal.sync(place)
    return backup


def _keep_lake(server: EmbeddedPostgres, place: Path, lake: Path, database: str) -> tuple[Kept, ...]:
    """Keep each file that the manifest names, once for all backups: as a second name where that is possible."""
    with FloorConnection.connect(server.dsn(database), autocommit=True, connect_timeout=5) as connection:
        rows = connection.execute("select path, sha256, bytes from lake_file where retired_at is null").fetchall()
    for path, _, _ in rows:
        kept = place / "lake" / path
        if kept.exists() or not (lake / path).exists():
            continue
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(lake / path, kept)
        except OSError:  # another disk
            shutil.copyfile(lake / path, kept.with_suffix(".new"))
            wal.sync(kept.with_suffix(".new"))
            kept.with_suffix(".new").rename(kept)
    return tuple(Kept(*row) for row in rows)


def _run(server: EmbeddedPostgres, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs to its end; a part of it that outlives its failure is ended too."""
    with tempfile.TemporaryFile("w+") as words:
        child = subprocess.Popen(
            [str(binary(program, server.home)), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=words, env={**environment(), "PGPASSWORD": server.password}, cwd="/", start_new_session=True,
        )  # fmt: skip
        try:
            status = child.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"The backup failed: {program} did not end within {TIMEOUT_S / 60:.0f} minutes") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        words.seek(0)
        lines = words.read().strip().splitlines() or [f"{program} ended with status {status}"]
    if status != 0:
        raise Unavailable(f"The backup failed: {lines[-1]}")


def _check_space(server: EmbeddedPostgres, place: Path) -> None:
    with FloorConnection.connect(server.dsn(), autocommit=True, connect_timeout=5) as connection:
        row = connection.execute("select sum(pg_database_size(oid)) from pg_database").fetchone()
    needed = int(row[0]) if row else 0
    free = shutil.disk_usage(place).free
    if free < needed:
        raise Unavailable(
            f"Only {free // 2**20} MB are free on the disk of {place}; a backup may need {needed // 2**20} MB."
        )


def _check_archive(base: Path) -> None:
    """Every file in the archive against the checksum that the server sent; the log proves itself in a replay."""
    expected = {file["Path"]: file["Checksum"] for file in json.loads((base / "backup_manifest").read_text())["Files"]}
    with tarfile.open(base / "base.tar.gz") as content:
        for member in content:
            file = content.extractfile(member) if member.isfile() else None
            wanted = expected.pop(member.name, None) if file is not None else None
            if file is not None and wanted not in (None, _digest_of(file)):
                raise Unavailable(f"The backup failed: {member.name} arrived damaged.")
    if expected:
        raise Unavailable(f"The backup failed: {next(iter(expected))} did not arrive.")


def _first_segment(base: Path) -> str:
    """The segment of the log at which a restore begins, out of the server's own manifest."""
    span = json.loads((base / "backup_manifest").read_text())["WAL-Ranges"][0]
    high, low = (int(part, 16) for part in span["Start-LSN"].split("/"))
    return f"{span['Timeline']:08X}{high:08X}{low // wal.SEGMENT_BYTES:08X}"


def _free_name(place: Path, now: datetime) -> str:
    name = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    taken = {path.name for path in place.iterdir()}
    return next(each for n in range(1000) if (each := name if n == 0 else f"{name}-{n}") not in taken)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return _digest_of(file)


def _digest_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()


def _clear(place: Path) -> None:
    """Remove what a backup that was cut short, or a removal that was, left behind."""
    for path in place.iterdir():
        cut_short = path.name[:1].isdigit() and not (path / MANIFEST).exists()
        if path.is_dir() and (path.name.startswith(_STAGED) or cut_short):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    with (place / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("Another backup is being made right now.", "in_flight") from None
        yield
