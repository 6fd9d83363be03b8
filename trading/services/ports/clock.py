"""Time as an argument."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """UTC, always."""

    def now(self) -> datetime:
        """Now, timezone-aware UTC."""
        ...

    def now_ns(self) -> int:
        """Now as nanoseconds since the epoch, UTC."""
        ...
