"""Files on this machine's disk as `trading.services.ports.lake.Sources`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trading.adapters.sources import files, inbox
from trading.market.bar_table import RawTable


class LocalSources:
    """The disk; nothing is kept between calls."""

    def sha256(self, path: Path) -> str:
        """Hash of the file's bytes."""
        return files.file_sha256(path)

    def read(self, path: Path) -> RawTable:
        """A CSV (gzipped or not) or Parquet file as a table, nothing interpreted."""
        return files.read_table(path)

    def settled_files(self, inbox_dir: Path, now: datetime) -> Sequence[Path]:
        """Files in a folder that nobody has written to for two seconds."""
        return inbox.settled_files(inbox_dir, now)

    def file_away(self, path: Path, *, taken: bool, report: Mapping[str, Any]) -> Path:
        """Move a file beside its report into ``taken/`` or ``refused/``; returns where it went."""
        return inbox.file_away(path, taken=taken, report=report)
