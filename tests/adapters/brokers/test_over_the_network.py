"""A broker on the far side of a network that is slow, loses answers and repeats itself."""

from collections.abc import Iterator

import pytest
from conformance import BrokerConformance, Client, cash, client
from fake_broker import Book, FakeBroker, Faults, NetworkBrokerage

from trading.backtest.result import us_equity
from trading.domain.errors import Unavailable
from trading.services.ports.brokerage import Brokerage

__all__ = ["cash", "client"]


class NetworkVenue:
    """A fake broker behind a socket."""

    def __init__(self, faults: Faults) -> None:
        self.instrument = us_equity("AAPL")
        self.server = FakeBroker(Book(self.instrument, 100_000_00), faults)
        self.broker = self.reconnect()

    def quote(self, bid_ticks: int, ask_ticks: int, lots: int) -> None:
        with self.server.lock:
            self.server.book.quote(bid_ticks, ask_ticks, lots)

    def work(self) -> None:
        """It works at once."""

    def reconnect(self) -> Brokerage:
        return NetworkBrokerage(self.server.server_address[1])


@pytest.fixture(params=[Faults(), Faults(lost_every=2, twice=True, delay_s=0.001)], ids=["calm", "rough"])
def venue(request: pytest.FixtureRequest) -> Iterator[NetworkVenue]:
    own = NetworkVenue(request.param)
    yield own
    own.server.close()


class TestNetworkBroker(BrokerConformance):
    """All of it, on a calm wire and on a rough one."""

    def test_an_answer_that_is_lost_is_asked_for_again_and_the_order_sent_once(
        self, venue: NetworkVenue, client: Client
    ) -> None:
        venue.server.faults = Faults(lost_every=2)
        for _ in range(10):
            client.sent("buy", 1)
        assert venue.server.lost >= 10
        assert len(client.executions()) == 10

    def test_a_broker_that_is_gone_is_unavailable(self, venue: NetworkVenue, client: Client) -> None:
        venue.server.close()
        with pytest.raises(Unavailable):
            venue.broker.account()
