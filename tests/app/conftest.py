from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_floor import LiveFloor, open_live_floor
from shared_servers import Database, Servers, floor_settings
from trading_floor import TradingFloor

from app import room


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    """The floor that the app of this process shows, with a quote of AAPL."""
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    own.quote("99.99", "100.00")
    yield own
    own.close()


@pytest.fixture(scope="module")
def live(servers: Servers, make_database: Callable[[], Database]) -> Iterator[LiveFloor]:
    """One real floor for the whole file."""
    with open_live_floor(servers, lambda folder, bus: floor_settings(folder, make_database(), bus)) as floor:
        yield floor
