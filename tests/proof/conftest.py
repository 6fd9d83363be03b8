"""What the proofs share. ``PROOF_REPORT`` names a file that gets a line with the figures of each."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from house import House, opened
from nursery_street import CASH, Nursery, Street
from shared_servers import Database
from trading_floor import TradingFloor

from trading.adapters.embedded.valkey import EmbeddedValkey

pytest.register_assert_rewrite("floor_rules")


@pytest.fixture(scope="session")
def house(valkey: EmbeddedValkey) -> Iterator[House]:
    with opened(valkey.url()) as own:
        yield own


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    own = Nursery(tmp_path_factory.mktemp("nursery"))
    yield own
    own.close()


@pytest.fixture
def street(
    database: Database, redis_url: str, environment: dict[str, str], tmp_path: Path, nursery: Nursery
) -> Iterator[Street]:
    floor = TradingFloor(database, tmp_path / "lake", str(CASH))
    floor.clock.ns = time.time_ns()
    own = Street(floor, redis_url, environment, nursery)
    yield own
    own.close()
    floor.close()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a test's figures where ``PROOF_REPORT`` says."""

    def keep(figures: str) -> None:
        path = os.environ.get("PROOF_REPORT")
        if path is not None:
            with Path(path).open("a") as file:
                file.write(f"{request.node.name}: {figures}\n")

    return keep
