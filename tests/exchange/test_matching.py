"""The engine: rules by example, and what holds for any stream of inputs."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.exchange.codec import decode, encode, events_hash
from trading.exchange.engine import QUOTE_MAX_AGE_NS, Engine
from trading.exchange.messages import (
    BUY,
    SELL,
    Body,
    Cancel,
    Closed,
    Event,
    Filled,
    Gap,
    Halt,
    Input,
    Submit,
    Tick,
    Timer,
    Working,
)
from trading.market.ticks import QUOTE, TRADE

MS = 1_000_000


def quote(bid: int, ask: int, bid_lots: int = 50, ask_lots: int = 50, instrument: int = 1, seq: int = 1) -> Tick:
    return Tick(instrument, QUOTE, 0, seq, 0, bid, ask, bid_lots, ask_lots, 0, 0)


def trade(price: int, lots: int, instrument: int = 1) -> Tick:
    return Tick(instrument, TRADE, 0, 1, 0, 0, 0, 0, 0, price, lots)


def buy(order: int, lots: int, limit: int, *, market: bool = False, who: int = 1, tif: str = "gtc") -> Submit:
    return Submit(order, who, who, 1, BUY, market, tif, lots, limit)


def sell(order: int, lots: int, limit: int, *, market: bool = False, who: int = 1, tif: str = "gtc") -> Submit:
    return Submit(order, who, who, 1, SELL, market, tif, lots, limit)


class Session:
    """An engine that numbers and times its inputs: one every millisecond."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.now_ns = 0

    def give(self, *bodies: Body) -> Sequence[Event]:
        """The events of the last of ``bodies``."""
        events: Sequence[Event] = []
        for body in bodies:
            self.now_ns += MS
            events = list(self.engine.apply(Input(self.engine.seq + 1, self.now_ns, body)))
        return events


def fills(events: Sequence[Event]) -> list[tuple[int, int, int]]:
    return [(e.order_id, e.price_ticks, e.lots) for e in events if isinstance(e, Filled)]


@pytest.fixture
def market() -> Session:
    return Session()


def test_a_market_buy_takes_the_displayed_ask_and_waits_with_the_rest(market: Session) -> None:
    assert fills(market.give(quote(99, 100, ask_lots=30), buy(1, 40, 105, market=True))) == [(1, 100, 30)]
    assert market.give(buy(2, 1, 105, market=True)) == [Working(2)]  # displayed size is consumed once
    assert fills(market.give(quote(99, 101, ask_lots=10))) == [(1, 101, 10)]
    assert fills(market.give(quote(99, 101, ask_lots=10))) == [(2, 101, 1)]


def test_a_marketable_limit_fills_at_the_opposite_side_never_beyond_its_limit(market: Session) -> None:
    assert fills(market.give(quote(99, 100, ask_lots=5), buy(1, 10, 102))) == [(1, 100, 5)]
    assert fills(market.give(quote(100, 103))) == []
    # It rests now: when the ask comes back through its limit, it fills at its limit.
    assert fills(market.give(quote(99, 101))) == [(1, 102, 5)]


def test_a_limit_order_on_an_old_quote_meets_the_next_one_as_if_it_arrived_then(market: Session) -> None:
    market.give(quote(99, 100))
    market.now_ns += QUOTE_MAX_AGE_NS
    assert market.give(buy(1, 10, 105)) == [Working(1)]
    assert fills(market.give(quote(99, 101))) == [(1, 101, 10)]


def test_better_prices_come_first_then_earlier_orders(market: Session) -> None:
    market.give(quote(90, 110), buy(1, 5, 100), buy(2, 5, 101), buy(3, 5, 100))
    assert fills(market.give(quote(90, 99, ask_lots=12))) == [(2, 101, 5), (1, 100, 5), (3, 100, 2)]


def test_users_meet_each_other_inside_the_spread_and_first_at_an_equal_price(market: Session) -> None:
    market.give(quote(95, 100), sell(1, 5, 98, who=2), sell(2, 5, 100, who=3))
    assert fills(market.give(buy(3, 20, 105, market=True, who=4))) == [
        (3, 98, 5),
        (1, 98, 5),
        (3, 100, 5),
        (2, 100, 5),
        (3, 100, 10),
    ]


def test_an_order_never_trades_through_a_better_outside_price(market: Session) -> None:
    market.give(quote(95, 97, ask_lots=5), sell(1, 5, 98, who=2))
    assert fills(market.give(buy(2, 10, 105, market=True, who=3))) == [(2, 97, 5), (2, 98, 5), (1, 98, 5)]


def test_a_gap_means_no_fill_until_a_fresh_quote(market: Session) -> None:
    market.give(quote(99, 100), Gap("away"))
    assert market.give(buy(1, 10, 105, market=True)) == [Working(1)]
    assert fills(market.give(quote(99, 101))) == [(1, 101, 10)]


def test_halts_stop_fills_of_their_scope_alone(market: Session) -> None:
    market.give(quote(99, 100), Halt("user:1", "halted"))
    assert fills(market.give(buy(1, 5, 105, market=True, who=1))) == []
    assert fills(market.give(buy(2, 5, 105, market=True, who=2))) == [(2, 100, 5)]
    market.give(Halt("floor", "halted"))
    assert fills(market.give(quote(99, 100))) == []
    market.give(Halt("floor", "running"), Halt("user:1", "running"))
    assert fills(market.give(quote(99, 100))) == [(1, 100, 5)]


def test_a_timer_expires_what_is_due(market: Session) -> None:
    market.give(quote(90, 110), Submit(1, 1, 1, 1, BUY, False, "day", 5, 100, expires_ns=10 * MS))
    assert market.engine.next_expiry_ns() == 10 * MS
    assert market.give(Timer()) == []
    market.now_ns = 10 * MS
    assert market.give(Timer()) == [Closed(1, "expired", "day_end")]


def test_a_hole_in_the_sequence_is_an_error(market: Session) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        market.engine.apply(Input(2, 0, Timer()))


def test_another_engine_revision_is_not_loaded() -> None:
    with pytest.raises(ValueError, match="revision"):
        Engine.load(Engine().save().replace(b'"rev":1', b'"rev":0'))


PRICES = st.integers(90, 110)
LOTS = st.integers(1, 30)
BODIES = st.one_of(
    st.builds(
        lambda bid, spread, b, a: quote(bid, bid + spread, b, a), PRICES, st.integers(0, 5), st.integers(0, 40), LOTS
    ),
    st.builds(trade, PRICES, LOTS),
    st.builds(
        lambda side, lots, limit, market, who, tif: Submit(0, who, who, 1, side, market, tif, lots, limit),
        st.sampled_from([BUY, SELL]),
        LOTS,
        PRICES,
        st.booleans(),
        st.integers(1, 3),
        st.sampled_from(["gtc", "ioc"]),
    ),
    st.builds(Cancel, st.integers(1, 20)),
    st.builds(Halt, st.sampled_from(["floor", "user:1", "instrument:1"]), st.sampled_from(["halted", "running"])),
    st.just(Gap("test")),
)
STREAMS = st.lists(BODIES, max_size=40)


def numbered(bodies: list[Body]) -> list[Input]:
    """Inputs in sequence; each submit gets the next order id."""
    order, inputs = 0, []
    for at, body in enumerate(bodies, 1):
        if isinstance(body, Submit):
            order += 1
            body = Submit(order, *[getattr(body, name) for name in Submit.__slots__[1:]])
        inputs.append(Input(at, at * MS, body))
    return inputs


@given(STREAMS, st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_a_state_saved_and_loaded_anywhere_goes_on_as_if_nothing_had_been(bodies: list[Body], cut: int) -> None:
    inputs = numbered(bodies)
    straight, broken = Engine(), Engine()
    for step in inputs:
        if step.seq == cut:
            broken = Engine.load(broken.save())
            assert broken.state_hash() == straight.state_hash()
        assert list(straight.apply(step)) == list(broken.apply(step))
    assert straight.save() == broken.save()


@given(STREAMS)
@settings(max_examples=300, deadline=None)
def test_inputs_survive_the_log(bodies: list[Body]) -> None:
    inputs = numbered(bodies)
    assert list(decode(encode(inputs))) == inputs


@given(STREAMS)
@settings(max_examples=500, deadline=None)
def test_no_stream_breaks_the_rules_of_the_book(bodies: list[Body]) -> None:
    engine = Engine()
    open_lots: dict[int, int] = {}
    submits: dict[int, Submit] = {}
    displayed = {BUY: 0, SELL: 0}
    for step in numbered(bodies):
        body = step.body
        if isinstance(body, Submit):
            submits[body.order_id], open_lots[body.order_id] = body, body.quantity_lots
        if isinstance(body, Tick) and body.kind & QUOTE:
            displayed = {BUY: body.ask_lots, SELL: body.bid_lots}
        crossed: dict[int, int] = {}
        printed = body.trade_lots if isinstance(body, Tick) and body.kind & TRADE else 0
        for n, event in enumerate(e for e in engine.apply(step) if isinstance(e, Filled)):
            order = submits[event.order_id]
            assert event.n == n
            assert event.lots > 0
            assert order.direction * (event.price_ticks - order.limit_ticks) <= 0, "beyond the limit"
            open_lots[event.order_id] -= event.lots
            assert open_lots[event.order_id] >= 0, "more than was ordered"
            if event.rule in ("quote", "quote_reached"):
                displayed[order.direction] -= event.lots
            elif event.rule == "trade_through":
                printed -= event.lots
            else:
                crossed[order.direction] = crossed.get(order.direction, 0) + event.lots
        assert min(displayed.values()) >= 0, "displayed size used twice"
        assert printed >= 0
        assert crossed.get(BUY, 0) == crossed.get(SELL, 0), "a cross has two sides"
        for book in engine.books.values():
            for side in (book.buys, book.sells):
                ranks = [(-o.direction * o.limit_ticks, o.arrival) for o in side]
                assert ranks == sorted(ranks), "price, then time"
            for resting in (*book.buys, *book.sells, *book.waiting):
                assert resting.remaining_lots == open_lots[resting.order_id] > 0


def test_events_hash_tells_every_difference() -> None:
    one: list[Event] = [Working(1), Closed(2, "cancelled", "cancel")]
    assert events_hash(b"", one) == events_hash(b"", list(one))
    assert events_hash(b"", one) != events_hash(b"", one[::-1])
    assert events_hash(b"", one) != events_hash(b"", one[:1])
