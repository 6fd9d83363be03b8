"""The system's clock, in UTC."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements `trading.services.ports.clock.Clock`."""

    def now(self) -> datetime:
        """Now, timezone-aware UTC."""
        return datetime.now(UTC)

    def now_ns(self) -> int:
        """Now in nanoseconds since the epoch, UTC."""
        return time.time_ns()


class FixedClock:
    """A clock that stands until it is moved, for tests and replays."""

    def __init__(self, start_ns: int) -> None:
        self.ns = start_ns

    def now(self) -> datetime:
        """The set time, timezone-aware UTC."""
        return datetime.fromtimestamp(self.ns / 1e9, UTC)

    def now_ns(self) -> int:
        """The set time in nanoseconds."""
        return self.ns

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.ns += int(seconds * 1e9)
