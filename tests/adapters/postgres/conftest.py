from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from trading_floor import TradingFloor

from trading.services import verify
from trading.services.access import SYSTEM


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    """A floor on which ten AAPL were bought, an order rests and one was changed, and a pair would sell the rest."""
    own = TradingFloor(database, tmp_path / "lake")
    verify.run(own.floor, SYSTEM)  # all that comes now is new
    own.quote("99.99", "100.00")
    own.accepted("buy", "10")
    own.run_broker()
    own.accepted("sell", "4")
    own.run_broker()
    resting = own.accepted("buy", "5", "99.00")
    own.run_broker()
    own.accepted("sell", "6", stop_price="95.00", oco_limit="105.00")
    own.modify(resting.order_id, limit_price="98.50")
    own.run_broker()
    # Transactions of other tests on the same server hold the seal's horizon back for a moment.
    while own.query("select coalesce(sum(transfers), 0) < (select count(*) from transfer) from ledger_block")[0][0]:
        own.store.seal(own.clock.now())
    yield own
    own.close()
