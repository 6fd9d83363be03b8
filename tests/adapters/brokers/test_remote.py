"""The remote adapter against a broker elsewhere, on a calm wire and on a rough one."""

import logging
from collections.abc import Iterator

import pytest
from conformance import BrokerConformance, Client, cash, client
from fakes.broker_exchange import FakeExchange
from fakes.broker_server import KEY, FakeBrokerServer, Faults

from trading.adapters.brokers import remote
from trading.adapters.brokers.remote import RemoteBrokerage, check_address
from trading.backtest.result import us_equity
from trading.domain.brokerage import NewOrder
from trading.domain.errors import Forbidden, Inconsistent, Invalid, Unavailable
from trading.domain.orders import OrderState, OrderType, Side
from trading.services.ports.brokerage import Brokerage

__all__ = ["cash", "client"]

ROUGH = Faults(lost_every=4, error_every=6, late_error_every=9, twice=True, delay_s=0.001)


class RemoteVenue:
    """A fake broker behind a socket."""

    def __init__(self, faults: Faults) -> None:
        self.instrument = us_equity("AAPL")
        self.server = FakeBrokerServer(FakeExchange([self.instrument], 100_000_00), faults)
        self.clients: list[RemoteBrokerage] = []
        self.broker = self.reconnect()

    def quote(self, bid_ticks: int, ask_ticks: int, lots: int) -> None:
        with self.server.lock:
            self.server.exchange.quote(self.instrument.id, bid_ticks, ask_ticks, lots)

    def work(self) -> None:
        """It works at once."""

    def connect(self, key: str = KEY) -> RemoteBrokerage:
        self.clients.append(RemoteBrokerage(self.server.url, key, [self.instrument], 2.0, lambda _: None))
        return self.clients[-1]

    def reconnect(self) -> Brokerage:
        return self.connect()

    def close(self) -> None:
        for each in self.clients:
            each.close()
        self.server.close()


@pytest.fixture(params=[Faults(), ROUGH], ids=["calm", "rough"])
def venue(request: pytest.FixtureRequest) -> Iterator[RemoteVenue]:
    own = RemoteVenue(request.param)
    yield own
    own.close()


class TestRemoteBroker(BrokerConformance):
    """All of it."""

    def test_an_answer_that_is_lost_is_asked_for_again_and_the_order_sent_once(
        self, venue: RemoteVenue, client: Client
    ) -> None:
        venue.server.faults = Faults(lost_every=2)
        for _ in range(10):
            client.sent("buy", 1)
        assert venue.server.lost >= 10
        assert len(client.executions()) == 10

    def test_a_stop_with_a_limit_beside_it_is_a_pair_that_holds_its_shares_once(
        self, venue: RemoteVenue, client: Client
    ) -> None:
        client.sent("buy", 10)
        pair = NewOrder(
            "pair", venue.instrument, Side.SELL, OrderType.STOP, 10, stop_ticks=9_500, oco_limit_ticks=11_000
        )
        stop = client.send(pair)
        assert (stop.state, stop.stop_ticks) == (OrderState.PENDING_TRIGGER, 9_500)
        assert [order.client_id for order in venue.broker.open_orders()] == ["pair", "pair"]
        (holding,) = venue.broker.positions()
        assert (holding.quantity_lots, holding.held_lots) == (10, 10)
        venue.quote(9_400, 9_500, 100)
        assert (client.position(), venue.broker.open_orders()) == (0, [])


@pytest.fixture
def calm() -> Iterator[RemoteVenue]:
    own = RemoteVenue(Faults())
    yield own
    own.close()


def test_a_broker_that_is_gone_is_unavailable(calm: RemoteVenue) -> None:
    calm.broker.account()
    calm.server.close()
    with pytest.raises(Unavailable):
        calm.broker.account()


def test_a_broker_that_only_makes_errors_is_unavailable_after_as_many_tries_as_allowed(calm: RemoteVenue) -> None:
    calm.server.faults = Faults(error_every=1)
    with pytest.raises(Unavailable):
        calm.broker.account()
    assert calm.server.asked == remote.TRIES


def test_a_broker_that_takes_too_long_is_unavailable(calm: RemoteVenue) -> None:
    calm.server.faults = Faults(delay_s=0.2)
    slow = RemoteBrokerage(calm.server.url, KEY, [calm.instrument], 0.05, lambda _: None)
    with pytest.raises(Unavailable):
        slow.account()
    slow.close()


def test_a_key_that_is_not_good_is_forbidden_and_appears_nowhere(
    calm: RemoteVenue, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "another-key-that-nobody-may-read"
    with caplog.at_level(logging.DEBUG), pytest.raises(Forbidden) as refused:
        calm.connect(secret).account()
    told = caplog.text + str(refused.value) + repr(calm.clients[-1]) + repr(vars(calm.clients[-1]))
    assert secret not in told


def test_an_instrument_that_the_floor_does_not_know_is_said_to_be_so(calm: RemoteVenue) -> None:
    calm.quote(9_999, 10_000, 10)
    assert calm.broker.submit(NewOrder("one", calm.instrument, Side.BUY, OrderType.MARKET, 1))
    stranger = RemoteBrokerage(calm.server.url, KEY, [us_equity("IBM")], 2.0)
    with pytest.raises(Inconsistent):
        stranger.positions()
    stranger.close()


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://broker.example/api", "not_https"),
        ("http://10.0.0.7/api", "not_https"),
        ("ftp://broker.example", "bad_address"),
        ("https://", "bad_address"),
        ("https://me:secret@broker.example", "bad_address"),
        ("https://broker.example/?key=1", "bad_address"),
    ],
)
def test_a_key_is_sent_over_https_or_to_this_machine_alone(address: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_address(address)
    assert refused.value.code == code


def test_a_good_address_loses_its_last_slash() -> None:
    assert check_address("https://broker.example/api/") == "https://broker.example/api"
    assert check_address("http://127.0.0.1:9000") == "http://127.0.0.1:9000"
