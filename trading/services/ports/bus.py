"""Redis as the use cases see it: transport, nothing of record."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trading.market.ticks import Ticks


class Bus(Protocol):
    """Publish and peek. Every method is safe to call while the server is away: publishing then does nothing."""

    def wake_broker(self, events: Sequence[Mapping[str, Any]] = ()) -> None:
        """Tell the broker that a command has been committed, and screens what that made known.

        An event is ``{"v": 1, "topic": ..., "portfolio_id": ...}``.
        """
        ...

    def last_ticks(self, ids: Sequence[int] | None = None, within_s: float = 0.0) -> dict[int, Ticks]:
        """The newest quote of each instrument, or of each named, by id, as an array of one tick; none while away.

        A quote of those named that was read less than ``within_s`` ago need not be read again.
        """
        ...

    def last_books(self, ids: Sequence[int]) -> dict[int, Ticks]:
        """The newest complete snapshot of displayed levels of each of ``ids`` that has one."""
        ...

    def get_bars(self) -> tuple[bytes, bytes]:
        """Simulated bars not yet in the lake, closed ones and forming ones, packed `trading.market.bars.BAR`."""
        ...
