"""What every broker's adapter must do: derive from `BrokerConformance` and give it a `Venue` as fixture ``venue``."""

import random
from dataclasses import replace
from itertools import count
from typing import Any, Protocol

import pytest

from trading.domain.brokerage import BrokerOrder, Execution, NewOrder, NewTerms
from trading.domain.errors import Conflict, Invalid, NotFound
from trading.domain.instruments import Instrument
from trading.domain.orders import OrderState, OrderType, Refusal, Side, TimeInForce
from trading.services.ports.brokerage import Brokerage

BID, ASK = 9_999, 10_000
OVER = {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED}


class Venue(Protocol):
    """A broker with one account that has cash and no position, and the market that the test makes for it."""

    broker: Brokerage
    instrument: Instrument

    def quote(self, bid_ticks: int, ask_ticks: int, lots: int) -> None:
        """The market shows this; everything that it causes has happened when this returns."""

    def work(self) -> None:
        """Everything that was asked so far has happened when this returns."""

    def reconnect(self) -> Brokerage:
        """The client lost its connection and memory, the broker was restarted: an adapter that knows nothing yet."""


class TradingVenue(Venue, Protocol):
    """A venue whose broker looks at what others trade, too."""

    def trade(self, price_ticks: int, lots: int) -> None:
        """Others trade at this price; everything that it causes has happened when this returns."""


class Client:
    """A hand at the desk of a venue; numbers its orders."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._ids = count(1)

    def new(self, side: str, lots: int, limit: int | None = None, tif: str = "gtc", key: str = "") -> NewOrder:
        kind = OrderType.MARKET if limit is None else OrderType.LIMIT
        client_id = key or f"client-{next(self._ids)}"
        return NewOrder(client_id, self.venue.instrument, Side(side), kind, lots, limit, TimeInForce(tif))

    def send(self, order: NewOrder) -> BrokerOrder:
        answer = self.venue.broker.submit(order)
        assert isinstance(answer, BrokerOrder), answer
        return answer

    def sent(self, side: str, lots: int, limit: int | None = None, tif: str = "gtc") -> BrokerOrder:
        """An order after the broker has worked on it."""
        order = self.send(self.new(side, lots, limit, tif))
        self.venue.work()
        return self.now(order)

    def now(self, order: BrokerOrder) -> BrokerOrder:
        return self.venue.broker.order(order.order_id)

    def executions(self) -> list[Execution]:
        return list(self.venue.broker.executions())

    def position(self) -> int:
        return sum(holding.quantity_lots for holding in self.venue.broker.positions())

    def check(self, cash_at_first: int) -> None:
        """Orders, position and cash are what the executions say."""
        done = self.executions()
        signed = [run.quantity_lots if run.side is Side.BUY else -run.quantity_lots for run in done]
        assert self.position() == sum(signed)
        for order_id in {run.order_id for run in done}:
            filled = sum(run.quantity_lots for run in done if run.order_id == order_id)
            assert self.venue.broker.order(order_id).filled_lots == filled
        spent = sum(
            self.venue.instrument.notional(run.price_ticks * lots) for run, lots in zip(done, signed, strict=True)
        )
        (cash,) = self.venue.broker.account()
        assert cash.total == cash_at_first - spent - sum(run.fee for run in done)
        if not self.venue.broker.open_orders():
            assert cash.held == 0


@pytest.fixture
def client(venue: Venue) -> Client:
    venue.quote(BID, ASK, 1000)
    return Client(venue)


@pytest.fixture
def cash(venue: Venue) -> int:
    (balance,) = venue.broker.account()
    assert balance.held == 0
    return balance.total


class BrokerConformance:
    """Run against every adapter."""

    def test_a_market_order_fills_at_the_quote_and_the_account_shows_it(self, client: Client, cash: int) -> None:
        order = client.sent("buy", 10)
        assert (order.state, order.filled_lots) == (OrderState.FILLED, 10)
        (run,) = client.executions()
        assert (run.order_id, run.side, run.price_ticks, run.quantity_lots) == (order.order_id, Side.BUY, ASK, 10)
        assert client.venue.broker.open_orders() == []
        client.check(cash)

    def test_an_order_that_is_sent_again_is_the_same_order(self, client: Client, cash: int) -> None:
        order = client.new("buy", 10)
        first = client.send(order)
        client.venue.work()
        again = client.send(order)
        client.venue.work()
        assert again == client.now(first)
        assert again.client_id == order.client_id
        assert len(client.executions()) == 1
        client.check(cash)

    def test_a_key_that_belongs_to_another_order_is_refused(self, client: Client) -> None:
        client.send(client.new("buy", 10, key="one"))
        with pytest.raises(Conflict) as refused:
            client.send(client.new("buy", 11, key="one"))
        assert refused.value.code == "duplicate_client_id"

    def test_a_refusal_has_a_code_and_leaves_nothing_behind(self, client: Client, cash: int) -> None:
        order = client.new("sell", 5)
        answer = client.venue.broker.submit(order)
        assert isinstance(answer, Refusal)
        assert answer.code == "insufficient_position"
        assert client.venue.broker.submit(order) == answer
        assert client.venue.broker.open_orders() == []
        client.check(cash)

    def test_a_resting_order_is_open_holds_cash_and_fills_in_parts(self, client: Client, cash: int) -> None:
        order = client.sent("buy", 10, BID - 9)
        assert order.state is OrderState.WORKING
        assert client.venue.broker.open_orders() == [order]
        (balance,) = client.venue.broker.account()
        assert balance.held >= client.venue.instrument.notional((BID - 9) * 10)
        assert balance.available == balance.total - balance.held
        client.venue.quote(BID - 20, BID - 9, 4)
        assert (client.now(order).state, client.now(order).filled_lots) == (OrderState.PARTIALLY_FILLED, 4)
        client.venue.quote(BID - 20, BID - 9, 100)
        assert (client.now(order).state, client.now(order).filled_lots) == (OrderState.FILLED, 10)
        assert {run.price_ticks for run in client.executions()} == {BID - 9}
        client.check(cash)

    def test_a_cancelled_order_keeps_what_it_filled_and_gives_its_hold_back(self, client: Client, cash: int) -> None:
        order = client.sent("buy", 10, BID - 9)
        client.venue.quote(BID - 20, BID - 9, 4)
        assert client.venue.broker.cancel(order.order_id) is None
        client.venue.work()
        assert (client.now(order).state, client.now(order).filled_lots) == (OrderState.CANCELLED, 4)
        client.venue.quote(BID - 20, BID - 9, 100)
        assert client.position() == 4
        client.check(cash)

    def test_what_an_ioc_order_does_not_get_is_cancelled(self, client: Client, cash: int) -> None:
        client.venue.quote(BID, ASK, 3)
        order = client.sent("buy", 10, ASK, "ioc")
        assert (order.state, order.filled_lots) == (OrderState.CANCELLED, 3)
        client.check(cash)

    def test_a_fill_or_kill_order_gets_all_or_nothing(self, client: Client, cash: int) -> None:
        client.venue.quote(BID, ASK, 9)
        order = client.sent("buy", 10, ASK, "fok")
        assert (order.state, order.filled_lots) == (OrderState.CANCELLED, 0)
        order = client.sent("buy", 9, ASK, "fok")
        assert (order.state, order.filled_lots) == (OrderState.FILLED, 9)
        client.check(cash)

    def test_a_changed_order_trades_on_its_new_terms(self, client: Client, cash: int) -> None:
        order = client.sent("buy", 10, BID - 9)
        terms = NewTerms(quantity_lots=15, limit_ticks=BID - 5)
        for _ in range(2):  # sent again, it is the same change
            assert client.venue.broker.modify(order.order_id, terms, "change-1") is None
            client.venue.work()
        assert (client.now(order).quantity_lots, client.now(order).limit_ticks) == (15, BID - 5)
        client.venue.quote(BID - 20, BID - 5, 100)
        assert (client.now(order).state, client.now(order).filled_lots) == (OrderState.FILLED, 15)
        assert {run.price_ticks for run in client.executions()} == {BID - 5}
        client.check(cash)

    def test_a_change_and_a_fill_that_race_keep_the_books_right(self, client: Client, cash: int) -> None:
        order = client.sent("buy", 10, BID - 9)
        client.venue.quote(BID - 20, BID - 9, 4)
        client.venue.broker.modify(order.order_id, NewTerms(quantity_lots=5), "change-1")
        client.venue.quote(BID - 20, BID - 9, 3)
        client.venue.work()
        after = client.now(order)
        assert 5 <= after.filled_lots <= after.quantity_lots
        client.check(cash)

    def test_what_cannot_be_changed_is_refused_with_a_code(self, client: Client) -> None:
        order = client.sent("buy", 10, BID - 9)
        client.venue.quote(BID - 20, BID - 9, 4)
        below = client.venue.broker.modify(order.order_id, NewTerms(quantity_lots=4), "change-1")
        assert below is not None
        assert below.code == "below_filled"
        client.venue.quote(BID - 20, BID - 9, 100)
        over = client.venue.broker.modify(order.order_id, NewTerms(quantity_lots=20), "change-2")
        assert over is not None
        assert over.code == "order_over"
        with pytest.raises(NotFound):
            client.venue.broker.modify("999999999", NewTerms(quantity_lots=20), "change-3")

    def test_there_is_nothing_to_cancel_of_an_order_that_is_over_or_unknown(self, client: Client) -> None:
        order = client.sent("buy", 10)
        refusal = client.venue.broker.cancel(order.order_id)
        assert refusal is not None
        assert refusal.code == "order_over"
        for order_id in ("999999999", "no-such-order", ""):
            with pytest.raises(NotFound) as unknown:
                client.venue.broker.cancel(order_id)
            assert unknown.value.code == "unknown_order"

    @pytest.mark.parametrize("cancel_first", [True, False])
    def test_a_cancel_and_a_fill_that_race_end_in_one_of_the_two(
        self, client: Client, cash: int, cancel_first: bool
    ) -> None:
        order = client.sent("buy", 10, BID - 9)
        if cancel_first:
            client.venue.broker.cancel(order.order_id)
            client.venue.quote(BID - 20, BID - 9, 100)
        else:
            client.venue.quote(BID - 20, BID - 9, 100)
            client.venue.broker.cancel(order.order_id)
        client.venue.work()
        after = client.now(order)
        assert (after.state, after.filled_lots) in ((OrderState.FILLED, 10), (OrderState.CANCELLED, 0))
        client.check(cash)

    def test_executions_are_the_same_from_any_cursor_and_in_pages_of_any_size(self, client: Client) -> None:
        for n in range(1, 8):
            client.sent("buy", n)
            client.sent("sell", n)
        whole = client.executions()
        assert len(whole) == 14
        assert sorted(whole, key=lambda run: run.ts_ns) == whole
        assert len({run.cursor for run in whole}) == 14
        for n, run in enumerate(whole):
            assert list(client.venue.broker.executions(run.cursor)) == whole[n + 1 :]
        for size in (1, 3, 14):
            pages, cursor = [], ""
            while page := list(client.venue.broker.executions(cursor, size)):
                assert len(page) <= size
                pages += page
                cursor = page[-1].cursor
            assert pages == whole

    def test_what_is_no_cursor_is_refused(self, client: Client) -> None:
        for cursor in ("x", "1:-1", "1' or '1'='1", "9" * 40):
            with pytest.raises(Invalid) as refused:
                client.venue.broker.executions(cursor)
            assert refused.value.code == "bad_cursor"

    def test_a_client_that_comes_back_with_nothing_finds_everything(self, client: Client, cash: int) -> None:
        filled = client.new("buy", 10)
        resting = client.new("buy", 5, BID - 9)
        for order in (filled, resting):
            client.send(order)
        client.venue.work()
        before = client.executions()
        client.venue.broker = client.venue.reconnect()
        assert [order.client_id for order in client.venue.broker.open_orders()] == [resting.client_id]
        assert client.executions() == before
        for order in (filled, resting):
            client.send(order)
        client.venue.work()
        assert client.executions() == before
        client.venue.quote(BID - 20, BID - 9, 100)
        later = client.venue.broker.executions(before[-1].cursor)
        assert [run.price_ticks for run in later] == [BID - 9]
        client.check(cash)

    def test_whatever_is_asked_the_account_is_what_the_executions_say(self, client: Client, cash: int) -> None:
        chance = random.Random(11)
        sent: list[NewOrder] = []
        for _ in range(60):
            move = chance.choice(("market", "limit", "limit", "cancel", "modify", "again", "quote", "work"))
            side, lots = chance.choice(("buy", "sell")), chance.randint(1, 30)
            if move in ("market", "limit"):
                sent.append(client.new(side, lots, None if move == "market" else chance.randint(BID - 20, ASK + 20)))
                client.venue.broker.submit(sent[-1])
            elif move == "cancel" and (working := client.venue.broker.open_orders()):
                client.venue.broker.cancel(chance.choice(working).order_id)
            elif move == "modify" and (working := client.venue.broker.open_orders()):
                order = chance.choice(working)
                terms = NewTerms(lots + order.filled_lots, order.limit_ticks and chance.randint(BID - 20, ASK + 20))
                client.venue.broker.modify(order.order_id, terms, f"change-{chance.random()}")
            elif move == "again" and sent:
                client.venue.broker.submit(chance.choice(sent))
            elif move == "quote":
                middle = chance.randint(BID - 20, ASK + 20)
                client.venue.quote(middle - 1, middle + 1, chance.randint(1, 40))
            client.venue.work()
            client.check(cash)
            assert not {order.state for order in client.venue.broker.open_orders()} & OVER


class ConditionalConformance:
    """Besides, where the broker knows stops, brackets and pairs."""

    def place(self, client: Client, side: str, kind: OrderType, lots: int, **terms: Any) -> BrokerOrder:
        order = replace(client.new(side, lots), type=kind, **terms)
        answer = client.send(order)
        client.venue.work()
        return client.now(answer)

    def test_a_stop_waits_until_its_price_trades(self, venue: TradingVenue, client: Client, cash: int) -> None:
        client.sent("buy", 10)
        stop = self.place(client, "sell", OrderType.STOP, 10, stop_ticks=BID - 50)
        assert (stop.state, stop.stop_ticks) == (OrderState.PENDING_TRIGGER, BID - 50)
        client.venue.quote(BID - 40, ASK - 40, 100)
        assert client.now(stop).state is OrderState.PENDING_TRIGGER
        venue.trade(BID - 50, 1)
        client.venue.quote(BID - 51, ASK - 51, 100)
        assert client.now(stop).state is OrderState.FILLED
        assert client.position() == 0
        client.check(cash)

    def test_a_stop_limit_that_was_met_rests_at_its_limit(self, venue: TradingVenue, client: Client, cash: int) -> None:
        client.sent("buy", 10)
        stop = self.place(client, "sell", OrderType.STOP_LIMIT, 10, stop_ticks=BID - 50, limit_ticks=BID - 30)
        client.venue.quote(BID - 60, ASK - 60, 100)
        venue.trade(BID - 55, 1)
        client.venue.quote(BID - 60, ASK - 60, 100)
        assert client.now(stop).state is OrderState.WORKING
        client.venue.quote(BID - 30, ASK - 30, 100)
        assert client.now(stop).state is OrderState.FILLED
        assert client.executions()[-1].price_ticks == BID - 30
        client.check(cash)

    @pytest.mark.parametrize("distance", [{"trail_ticks": 100}, {"trail_ppm": 10_000}])
    def test_a_trailing_stop_follows_and_never_loosens(
        self, venue: TradingVenue, client: Client, cash: int, distance: dict[str, int]
    ) -> None:
        client.sent("buy", 10)
        venue.trade(ASK, 1)
        stop = self.place(client, "sell", OrderType.TRAILING_STOP, 10, **distance)
        for price in (ASK + 500, ASK + 450):
            venue.trade(price, 1)
        assert client.now(stop).state is OrderState.PENDING_TRIGGER
        venue.trade(ASK + 380, 1)
        client.venue.quote(ASK + 379, ASK + 380, 100)
        assert client.now(stop).state is OrderState.FILLED
        client.check(cash)

    def test_of_a_pair_one_trades_and_the_other_ends(self, client: Client, cash: int) -> None:
        client.sent("buy", 10)
        stop = self.place(client, "sell", OrderType.STOP, 10, stop_ticks=BID - 50, oco_limit_ticks=ASK + 50)
        assert len(client.venue.broker.open_orders()) == 2
        assert {order.client_id for order in client.venue.broker.open_orders()} == {stop.client_id}
        client.venue.quote(ASK + 50, ASK + 51, 100)
        assert client.venue.broker.open_orders() == []
        assert client.now(stop).state is OrderState.CANCELLED
        assert client.position() == 0
        client.check(cash)

    def test_exits_of_a_bracket_grow_with_their_entry_and_one_of_them_ends_it(self, client: Client, cash: int) -> None:
        client.venue.quote(BID, ASK, 6)
        exits = {"take_profit_ticks": ASK + 50, "stop_loss_ticks": BID - 50}
        entry = self.place(client, "buy", OrderType.LIMIT, 10, limit_ticks=ASK, **exits)
        assert (entry.state, entry.filled_lots) == (OrderState.PARTIALLY_FILLED, 6)
        assert len(client.venue.broker.open_orders()) == 3
        client.venue.quote(BID, ASK, 100)
        assert client.now(entry).state is OrderState.FILLED
        client.venue.quote(ASK + 50, ASK + 51, 100)
        assert client.position() == 0
        assert client.venue.broker.open_orders() == []
        client.check(cash)
