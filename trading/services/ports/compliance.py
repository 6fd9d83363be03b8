"""A person's data, and what need not be kept for ever."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol


@dataclass(frozen=True, slots=True)
class Erasure:
    """What came of an erasure: the pseudonym, or why not; ``count`` is how many stand in the way."""

    pseudonym: str = ""
    refused: str = ""
    count: int = 0


class ComplianceStore(Protocol):
    """Every deed writes its audit row with it."""

    def export_person(self, user_id: int, out: IO[bytes], actor_id: int, origin: str) -> Mapping[str, int]:
        """Write a zip with one file of JSON lines for each table that has rows about a person; returns rows by table.

        One snapshot. Hashes of passwords and sessions are left out. Raises `NotFound`.
        """
        ...

    def erase_person(self, user_id: int, confirmation: str, actor_id: int, origin: str) -> Erasure:
        """Put a pseudonym in the place of a person's names and origins; the login ends, what was done stays."""
        ...

    def retention(self) -> Mapping[str, int]:
        """Days by what is kept, where they were set."""
        ...

    def set_retention(self, days: Mapping[str, int], actor_id: int, origin: str) -> None:
        """Keep the days."""
        ...

    def prune(self, what: str, before: datetime, limit: int, origin: str) -> int:
        """Delete at most ``limit`` rows that ended before a moment; returns how many."""
        ...
