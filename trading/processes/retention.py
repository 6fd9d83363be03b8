"""What need not be kept for ever is deleted: rows by the compliance service, files of logs here."""

from datetime import datetime, timedelta
from pathlib import Path

from trading.services import compliance
from trading.services.access import SYSTEM
from trading.services.floor import Floor


def prune(floor: Floor, log_dir: Path) -> str:
    """Delete what is older than its policy says; a few words of what went."""
    gone = dict(compliance.prune(floor, SYSTEM))
    days = compliance.retention(floor, SYSTEM)["process_logs"].days
    files = delete_old_logs(log_dir, floor.clock.now() - timedelta(days=days))
    if files:
        floor.audit.did(0, "compliance.prune", "process_logs", SYSTEM.origin, {"rows": files})
        gone["process_logs"] = files
    return ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in gone.items())


def delete_old_logs(log_dir: Path, before: datetime) -> int:
    """Delete rotated logs (``NAME.log.N``) last written before a moment; returns how many.

    A log that a process has open is only ever rotated.
    """
    gone = 0
    for path in log_dir.glob("*.log.[0-9]*"):
        if path.stat().st_mtime < before.timestamp():
            path.unlink(missing_ok=True)
            gone += 1
    return gone
