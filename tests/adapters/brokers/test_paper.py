"""The paper broker behind the protocol: the real desk, database and broker, which the test steps."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance import BrokerConformance, ConditionalConformance, cash, client
from shared_servers import Database
from trading_floor import TradingFloor

from trading.adapters.brokers.paper import PaperBrokerage
from trading.domain.brokerage import NewOrder
from trading.domain.errors import Forbidden
from trading.domain.orders import OrderType, Refusal, Side
from trading.services import halt
from trading.services.access import SYSTEM
from trading.services.ports.brokerage import Brokerage

__all__ = ["cash", "client"]


class PaperVenue:
    """A floor whose market is AAPL."""

    def __init__(self, floor: TradingFloor) -> None:
        self.floor = floor
        self.instrument = floor.aapl
        self.broker = self.reconnect()

    def quote(self, bid_ticks: int, ask_ticks: int, lots: int) -> None:
        bid, ask = (f"{self.instrument.price(ticks):f}" for ticks in (bid_ticks, ask_ticks))
        self.floor.quote(bid, ask, lots)

    def trade(self, price_ticks: int, lots: int) -> None:
        self.floor.trade(f"{self.instrument.price(price_ticks):f}", lots)

    def work(self) -> None:
        self.floor.run_broker()

    def reconnect(self) -> Brokerage:
        self.floor.restart_broker()
        if newest := self.floor.bus.newest.get(self.instrument.id):
            row = newest[0]
            self.quote(int(row["bid_ticks"]), int(row["ask_ticks"]), int(row["ask_lots"]))
        return PaperBrokerage(self.floor.floor, self.floor.trader, self.floor.portfolio)


@pytest.fixture
def venue(database: Database, tmp_path: Path) -> Iterator[PaperVenue]:
    floor = TradingFloor(database, tmp_path / "lake")
    yield PaperVenue(floor)
    floor.check()
    floor.close()


class TestPaperBroker(BrokerConformance, ConditionalConformance):
    """All of it."""

    def test_a_halt_is_a_refusal(self, venue: PaperVenue) -> None:
        venue.quote(9_999, 10_000, 100)
        halt.set_mode(venue.floor.floor, SYSTEM, "floor", "halted", "a drill")
        answer = venue.broker.submit(NewOrder("one", venue.instrument, Side.BUY, OrderType.MARKET, 1))
        assert isinstance(answer, Refusal)
        assert answer.code == "halted"

    def test_nobody_trades_on_the_account_of_another(self, venue: PaperVenue) -> None:
        _, portfolio = venue.floor.add_trader("theo", "100.00")
        other = PaperBrokerage(venue.floor.floor, venue.floor.trader, portfolio)
        with pytest.raises(Forbidden):
            other.submit(NewOrder("one", venue.instrument, Side.BUY, OrderType.MARKET, 1))
        with pytest.raises(Forbidden):
            other.executions()
