"""Log files that do not grow without end."""

import shutil
from pathlib import Path

LOG_BYTES_MAX = 10 * 1024 * 1024
KEPT = 3


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
