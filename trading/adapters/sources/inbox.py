"""The inbox folder: which files are ready, and where they go when they have been looked at."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from trading.adapters.lake_files import disk_errors

TAKEN, REFUSED = "taken", "refused"
SETTLED_S = 2.0
"""A file that changed less than this ago may still be being written."""


def settled_files(inbox: Path, now: datetime) -> list[Path]:
    """Files in the inbox, by name, that nobody has touched for `SETTLED_S` seconds.

    Hidden files, folders and links are left alone: a link would let a file from elsewhere be moved.
    """
    if not inbox.is_dir():
        return []
    horizon_s = now.timestamp() - SETTLED_S
    return [
        path
        for path in sorted(inbox.iterdir())
        if not path.name.startswith(".") and not path.is_symlink() and path.is_file() and _mtime(path) <= horizon_s
    ]


def file_away(path: Path, *, taken: bool, report: Mapping[str, Any]) -> Path:
    """Move a file beside its report, into ``taken/`` or ``refused/`` of its folder; returns where it went.

    The report is written first: a stop in between leaves the file in the inbox, to be looked at again.
    """
    folder = path.parent / (TAKEN if taken else REFUSED)
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
        target = _free(folder, path.name, str(report.get("sha256", "")))
        note = target.with_name(target.name + ".report.json")
        staged = note.with_name("." + note.name)
        staged.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(staged, note)
        os.replace(path, target)
    return target


def _free(folder: Path, name: str, sha256: str) -> Path:
    """A name not in use: ``AAPL.csv``, then ``AAPL.<hash>.csv``, then numbered."""
    if not (folder / name).exists():
        return folder / name
    stem, dot, rest = name.partition(".")
    count = 0
    while True:
        mark = sha256[:8] + (f"-{count}" if count else "")
        target = folder / f"{stem}.{mark}{dot}{rest}"
        if not target.exists():
            return target
        count += 1


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # taken away while we looked
        return float("inf")
