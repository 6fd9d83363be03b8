from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from trading_floor import TradingFloor


@pytest.fixture
def rich(floor: TradingFloor) -> TradingFloor:
    """A hundred AAPL, bought at 100.00; bid 99.99, ask 100.00."""
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "100")
    floor.run_broker()
    assert floor.shares() == (100, 0)
    return floor


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    yield own
    own.close()


@pytest.fixture(scope="module")
def wide_floor(
    make_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TradingFloor]:
    """One floor for all tests of a module that change nothing on it."""
    own = TradingFloor(make_database(), tmp_path_factory.mktemp("wide") / "lake")
    yield own
    own.close()
