"""The write-ahead log as it is kept for backups: one folder for each line of history.

``pg_receivewal`` streams the log as it is written; what the server has committed is in the folder within moments. A
line begins with a cluster, and anew where a restore or a lost slot breaks it: a backup can only be rolled forward
along its own line. The newest segment is still growing and ends in ``.partial``.
"""

import gzip
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

from trading.adapters.embedded.postgres import EmbeddedPostgres, binary, environment
from trading.adapters.postgres.pool import FloorConnection
from trading.domain.errors import Unavailable

SLOT = "tradefloor_backup"
LINE_FILE = "wal-line"
_NOW = "now"
SEGMENT_BYTES = 16 * 1024 * 1024
_SEGMENT = re.compile(r"^([0-9A-F]{24})(\.gz|\.partial)?$")
_HISTORY = re.compile(r"^[0-9A-F]{8}\.history$")


def line_of(server: EmbeddedPostgres) -> str:
    """The line that the cluster writes now; begins one where there is none."""
    try:
        return (server.home.root / LINE_FILE).read_text().strip()
    except FileNotFoundError:
        return new_line(server)


def new_line(server: EmbeddedPostgres) -> str:
    """Begin a line: what follows does not continue what was kept so far."""
    line, path = uuid.uuid4().hex[:12], server.home.root / LINE_FILE
    staged = path.with_suffix(".new")
    staged.write_text(line)
    sync(staged)
    staged.replace(path)
    return line


def folder_of(place: Path, line: str) -> Path:
    """Where a line's segments are, below the folder of all backups."""
    return place / "wal" / line


def prepare_stream(server: EmbeddedPostgres, place: Path) -> None:
    """Before each start of the stream: its folder, and the slot that makes the server keep what was not yet taken.

    A slot that fell too far behind has lost its place: then a new line begins, and the next backup with it. Raises
    `Unavailable` where the server is away.
    """
    try:
        with FloorConnection.connect(server.dsn(), autocommit=True, connect_timeout=5) as connection:
            found = connection.execute(
                "select wal_status from pg_replication_slots where slot_name = %s", (SLOT,)
            ).fetchone()
            lost = found is not None and found[0] == "lost"
            if lost:
                connection.execute("select pg_drop_replication_slot(%s)", (SLOT,))
            _point_to(place, new_line(server) if lost else line_of(server))
            if found is None or lost:
                connection.execute("select pg_create_physical_replication_slot(%s, true)", (SLOT,))
    except psycopg.Error as error:
        raise Unavailable(f"the log cannot be taken: {str(error).strip()}") from error


def stream_command(server: EmbeddedPostgres, place: Path) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of the process that takes the log; it ends when the server goes away.

    Segments are written as they are, not compressed: nothing waits in the process that its end could lose.
    """
    program = [
        str(binary("pg_receivewal", server.home)), "--directory", str(place / "wal" / _NOW), "--slot", SLOT,
        "--no-loop", "--status-interval", "5", *login(server),
    ]  # fmt: skip
    return program, {**environment(), "PGPASSWORD": server.password}


def _point_to(place: Path, line: str) -> None:
    """Let the stream's command, which is the same for each line, write to this one."""
    folder_of(place, line).mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = place / "wal" / f"{_NOW}.new"
    staged.unlink(missing_ok=True)
    staged.symlink_to(line)
    staged.replace(place / "wal" / _NOW)


def login(server: EmbeddedPostgres) -> list[str]:
    """Options of PostgreSQL's programs that reach the server; the password goes by the environment."""
    return ["--host", str(server.home.socket_dir), "--username", "postgres", "--no-password"]


def compress(place: Path, line: str) -> int:
    """Compress segments that are whole, but for the newest; returns how many."""
    whole = [path for path in _files(place, line) if re.fullmatch("[0-9A-F]{24}", path.name)]
    for path in whole[:-1]:
        staged = path.with_suffix(".gz.new")
        with path.open("rb") as source, gzip.open(staged, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target, SEGMENT_BYTES)
        sync(staged)
        staged.rename(path.with_suffix(".gz"))
        path.unlink()
    return len(whole[:-1])


def drop_before(place: Path, line: str, segment: str) -> None:
    """Remove segments that no backup needs any more: those before ``segment``."""
    for path in _files(place, line):
        found = _SEGMENT.match(path.name)
        if found is not None and found[1][8:] < segment[8:]:
            path.unlink()


def put_back(place: Path, line: str, segment: str, target: Path) -> int:
    """Copy the line from ``segment`` on into a cluster's ``pg_wal``; returns the number of segments.

    A segment may be there in two forms, the one that a backup brought and a partial one: what reaches further counts.
    """
    count = 0
    for path in _files(place, line):
        found = _SEGMENT.match(path.name)
        if found is None:
            shutil.copyfile(path, target / path.name)
            continue
        if found[1][8:] < segment[8:]:
            continue
        content = gzip.decompress(path.read_bytes()) if found[2] == ".gz" else path.read_bytes()
        here = target / found[1]
        if not here.exists() or len(content.rstrip(b"\0")) > len(here.read_bytes().rstrip(b"\0")):
            here.write_bytes(content)
        count += 1
    return count


def newest_s(place: Path, line: str) -> float | None:
    """When the line was last written to, seconds since the epoch; None where nothing was kept yet."""
    return max((path.stat().st_mtime for path in _files(place, line)), default=None)


def sync(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(place: Path, line: str) -> Iterator[Path]:
    """Segments and histories of a line, oldest first; a segment's partial form after its whole one."""
    folder = folder_of(place, line)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return iter([path for path in found if _SEGMENT.match(path.name) or _HISTORY.match(path.name)])
