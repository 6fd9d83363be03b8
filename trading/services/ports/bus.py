"""Redis as the use cases see it: transport, nothing of record."""

from collections.abc import Sequence
from typing import Protocol

from trading.market.ticks import Ticks


class Bus(Protocol):
    """Publish and peek. Every method is safe to call while the server is away: publishing then does nothing."""

    def wake_broker(self) -> None:
        """Tell the broker that a command has been committed."""
        ...

    def last_ticks(self) -> dict[int, Ticks]:
        """The newest quote of each instrument id, as an array of one tick; empty when there is none."""
        ...

    def last_books(self, ids: Sequence[int]) -> dict[int, Ticks]:
        """The newest complete snapshot of displayed levels of each of ``ids`` that has one."""
        ...

    def get_bars(self) -> tuple[bytes, bytes]:
        """Simulated bars not yet in the lake, closed ones and forming ones, packed `trading.market.bars.BAR`."""
        ...
