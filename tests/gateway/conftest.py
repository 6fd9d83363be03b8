from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from trading_floor import TradingFloor


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    yield own
    own.close()
