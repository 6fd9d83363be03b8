"""Logs: one JSON object a line on stderr, in files that do not grow without end."""

import shutil
import sys
from pathlib import Path

import structlog

LOG_BYTES_MAX = 10 * 1024 * 1024
KEPT = 3


def configure() -> None:
    """Write this process's log as JSON lines with level and UTC time; call it once, at the start of a process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def rotate(log_dir: Path, bytes_max: int = LOG_BYTES_MAX, kept: int = KEPT) -> None:
    """Copy every log above the size to ``NAME.log.1`` (older ones move up) and empty it in place.

    The processes hold the file open for appending, so it is emptied and not renamed; lines written between the copy and
    the emptying are lost.
    """
    for path in log_dir.glob("*.log"):
        if path.stat().st_size <= bytes_max:
            continue
        for number in range(kept, 1, -1):
            older = path.with_name(f"{path.name}.{number - 1}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number}"))
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        with path.open("r+b") as file:
            file.truncate(0)
