"""``tradefloor backup``, ``backups`` and ``restore``."""

import json
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from trading.adapters.embedded import backup, backup_restore, backup_wal, connections, home, secrets
from trading.adapters.embedded.backup import Backup
from trading.adapters.embedded.postgres import EmbeddedPostgres
from trading.adapters.embedded.valkey import EmbeddedValkey
from trading.config import Settings
from trading.domain.errors import Inconsistent, Invalid, NotFound, Unavailable
from trading.processes import checks, strays
from trading.processes.backups import back_up, check_ours
from trading.processes.commands import verify_floor
from trading.processes.environment import resolved
from trading.processes.opening import reachable_database

NEWEST = "newest"


def make(given: Settings, to: Path | None) -> int:
    """Make a backup now, of an open floor or a closed one; returns the exit status."""
    given = given if to is None else given.model_copy(update={"backup_dir": str(to)})
    check_ours(given)
    began_s = time.monotonic()
    with reachable_database(given) as settings:
        from trading.bootstrap import open_floor

        with open_floor(settings) as floor:
            made = back_up(settings, floor)
    Console(soft_wrap=True).print(
        f"{settings.backups / made.name}: {made.bytes / 1e6:.1f} MB and {len(made.lake)} files of the lake"
        f" in {time.monotonic() - began_s:.1f} s. It holds the floor's passwords: keep it closed.",
        highlight=False,
    )
    return 0


def show(given: Settings, source: Path | None, verify: bool, as_json: bool) -> int:
    """List backups with age and size; with ``verify`` each file is read again. Returns 1 where one is damaged."""
    place = _place(given, source)
    found = backup.listed(place) if place.is_dir() else []
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "name": each.name,
            "ended_at": each.ended_at,
            "age_s": round((now - each.ended).total_seconds()),
            "bytes": each.bytes,
            "lake_files": len(each.lake),
            "reaches_to": _reaches_to(place, each),
            "fault": backup.fault(place, each) if verify else None,
        }
        for each in found
    ]
    if as_json:
        print(json.dumps({"v": 1, "folder": str(place), "backups": rows}, indent=2))  # noqa: T201 - the answer
    elif rows:
        Console(soft_wrap=True).print(_table(rows))
    else:
        Console(soft_wrap=True).print(f"There is no backup in {place} yet. Make one: tradefloor backup")
    return 1 if any(row["fault"] for row in rows) else 0


def restore(given: Settings, name: str, at: str | None, source: Path | None) -> int:
    """Put a backup in place of the database of a closed floor, then prove it consistent; returns the exit status."""
    settings, place = resolved(given), _place(given, source)
    check_ours(settings)
    console = Console(soft_wrap=True)
    moment = None if at is None else _moment(at)
    if checks.is_locked(settings.run_dir):
        raise Unavailable("The floor is open. Close it first: tradefloor down")
    began_s = time.monotonic()
    checks.make_folders([settings.data_dir, settings.run_dir, settings.log_dir])
    with checks.hold_lock(settings.run_dir, settings.data_dir):
        strays.sweep(*strays.recorded(settings.run_dir))
        chosen = _chosen(place, name, moment)
        console.print(f"Restoring {chosen.name}{'' if at is None else f', as of {at}'}.", highlight=False)
        aside = _put_back(settings, place, chosen, moment, console)
    if aside is not None:
        console.print(f"The database that was there is kept in {aside}; remove it when all is well.", highlight=False)
    missing = _agree(settings)
    for path in missing[:10]:
        console.print(f"  missing in the lake: {path}", style="red", highlight=False, markup=False)
    code = verify_floor(settings, incremental=False, as_json=False)
    console.print(f"Restored in {time.monotonic() - began_s:.1f} s. Open it with: make up", highlight=False)
    return 1 if missing else code


def _put_back(settings: Settings, place: Path, chosen: Backup, at: datetime | None, console: Console) -> Path | None:
    kept = secrets.read(place / chosen.name / settings.secrets_path.name)
    if kept is None:
        raise Inconsistent(f"Backup {chosen.name} has no {settings.secrets_path.name}; it cannot be opened.")
    known = secrets.read(settings.secrets_path) or kept
    found = home.choose(settings.data_dir, known.server_home, known.postgres_socket_dir)
    valkey = EmbeddedValkey(found, known.valkey_password, settings.log_dir / "valkey.log")
    server = EmbeddedPostgres(found, kept.postgres[secrets.SUPERUSER], settings.log_dir / "postgres.log")
    server.clear_predecessor()
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        aside = backup_restore.restore(server, place, chosen, at, lambda line: console.print(line), now)
    finally:
        home.release_socket_dir(found)
    # The restored database has the passwords of its time; where its servers are is today's.
    if settings.secrets_path.exists():
        settings.secrets_path.rename(settings.secrets_path.with_name(f"secrets.before-{now}.json"))
    here = replace(
        kept, server_home=str(found.root), postgres_socket_dir=str(found.socket_dir), valkey_socket=str(valkey.socket)
    )
    secrets.write(settings.secrets_path, here)
    for target in (settings.logins_path, settings.head_path):
        brought = place / chosen.name / target.name
        if brought.exists() and not target.exists():
            shutil.copyfile(brought, target)
            target.chmod(0o600)
    for file in chosen.lake:
        target, source = settings.lake_dir / file.path, place / "lake" / file.path
        if not target.exists() and source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return aside


def _agree(given: Settings) -> list[str]:
    """Let what is beside the database agree with it; returns files of the lake that are named and not to be found."""
    with reachable_database(given) as settings, psycopg.connect(connections.dsn(settings, "tf_app")) as connection:
        rows = connection.execute("select path from lake_file where retired_at is null order by id").fetchall()
        newest = connection.execute("select coalesce(max(id), 0) from ledger_block").fetchone()
    _cut_heads(settings.head_path, newest[0] if newest else 0)
    return [path for (path,) in rows if not (settings.lake_dir / path).exists()]


def _cut_heads(path: Path, newest_block: int) -> None:
    """Heads of blocks that were sealed after the restored moment are set aside: their history has ended."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["block"] <= newest_block]
    if kept != lines:
        path.rename(path.with_name(f"ledger-head.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"))
        path.write_text("".join(f"{line}\n" for line in kept))
        backup_wal.sync(path)


def _chosen(place: Path, name: str, at: datetime | None) -> Backup:
    if name != NEWEST:
        return backup.named(place, name)
    found = next((each for each in backup.listed(place) if at is None or each.ended <= at), None)
    if found is None:
        raise NotFound(f"There is no backup in {place}{'' if at is None else ' that is old enough'}.")
    return found


def _place(given: Settings, source: Path | None) -> Path:
    return resolved(given).backups if source is None else source.expanduser().resolve()


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text[:40]!r} is no time like 2026-12-31T16:00", "bad_time") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _reaches_to(place: Path, each: Backup) -> str:
    """Until when it can be rolled forward: the end of its line's log."""
    newest_s = backup_wal.newest_s(place, each.line)
    ended_s = each.ended.timestamp()
    return datetime.fromtimestamp(max(newest_s or 0.0, ended_s), UTC).isoformat(timespec="seconds")


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("Backup", "Age", "Size", "Lake files", "Can be restored up to", "Files")
    for row in rows:
        words = "not checked" if row["fault"] is None else row["fault"] or "as written"
        age, size = f"{row['age_s'] / 3600:.1f} h", f"{row['bytes'] / 1e6:.1f} MB"
        table.add_row(row["name"], age, size, str(row["lake_files"]), row["reaches_to"], words)
    return table
