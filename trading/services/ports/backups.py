"""What the floor remembers of its backups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BackupTry:
    """A backup that was made, or could not be: ``trouble`` says why. ``ts_ns`` is when it began, UTC."""

    ts_ns: int
    name: str
    ok: bool
    bytes: int
    trouble: str


class BackupLog(Protocol):
    """Rows about backups; the backups themselves are folders."""

    def record(self, made: BackupTry, user_id: int, origin: str) -> None:
        """Keep a try, with its audit row."""
        ...

    def newest(self) -> Sequence[BackupTry]:
        """The newest try, and the newest that succeeded where that is another one; newest first."""
        ...
