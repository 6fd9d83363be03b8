"""The floor's engine: rules by example, and what holds for any stream of inputs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tick_runs import one_by_one

from trading.exchange.codec import decode, encode
from trading.exchange.compiled.layout import QUOTE_MAX_AGE_NS
from trading.exchange.engine import Engine
from trading.exchange.messages import (
    BUY,
    SELL,
    Body,
    Cancel,
    Closed,
    Event,
    Filled,
    Gap,
    Group,
    Halt,
    Input,
    Modified,
    Modify,
    Pending,
    Refused,
    Run,
    Session,
    Sized,
    Submit,
    Tick,
    Timer,
    Triggered,
    Working,
)
from trading.exchange.rows import CLOSED, DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TRADE

MS = 1_000_000


def quote(bid: int, ask: int, bid_lots: int = 50, ask_lots: int = 50, instrument: int = 1, seq: int = 1) -> Tick:
    return Tick(instrument, QUOTE, 0, seq, 0, bid, ask, bid_lots, ask_lots, 0, 0)


def trade(price: int, lots: int, instrument: int = 1) -> Tick:
    return Tick(instrument, TRADE, 0, 1, 0, 0, 0, 0, 0, price, lots)


def levels(bid: tuple[int, int], ask: tuple[int, int], kind: int = 0) -> Tick:
    """One level a side, (price, lots); lots -1 is no change."""
    return Tick(1, DEPTH | kind, 0, 1, 0, bid[0], ask[0], bid[1], ask[1], 0, 0)


def buy(order: int, lots: int, limit: int, *, market: bool = False, who: int = 1, tif: str = "gtc") -> Submit:
    return Submit(order, who, who, 1, BUY, market, tif, lots, limit)


def sell(order: int, lots: int, limit: int, *, market: bool = False, who: int = 1, tif: str = "gtc") -> Submit:
    return Submit(order, who, who, 1, SELL, market, tif, lots, limit)


class Floor:
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
def market() -> Floor:
    return Floor()


def test_a_market_buy_takes_the_displayed_ask_and_waits_with_the_rest(market: Floor) -> None:
    assert fills(market.give(quote(99, 100, ask_lots=30), buy(1, 40, 105, market=True))) == [(1, 100, 30)]
    assert market.give(buy(2, 1, 105, market=True)) == [Working(2)]  # displayed size is consumed once
    assert fills(market.give(quote(99, 101, ask_lots=10))) == [(1, 101, 10)]
    assert fills(market.give(quote(99, 101, ask_lots=10))) == [(2, 101, 1)]


def test_a_marketable_limit_fills_at_the_opposite_side_never_beyond_its_limit(market: Floor) -> None:
    assert fills(market.give(quote(99, 100, ask_lots=5), buy(1, 10, 102))) == [(1, 100, 5)]
    assert fills(market.give(quote(100, 103))) == []
    # It rests now: when the ask comes back through its limit, it fills at its limit.
    assert fills(market.give(quote(99, 101))) == [(1, 102, 5)]


def test_a_limit_order_on_an_old_quote_meets_the_next_one_as_if_it_arrived_then(market: Floor) -> None:
    market.give(quote(99, 100))
    market.now_ns += QUOTE_MAX_AGE_NS
    assert market.give(buy(1, 10, 105)) == [Working(1)]
    assert fills(market.give(quote(99, 101))) == [(1, 101, 10)]


def test_better_prices_come_first_then_earlier_orders(market: Floor) -> None:
    market.give(quote(90, 110), buy(1, 5, 100), buy(2, 5, 101), buy(3, 5, 100))
    assert fills(market.give(quote(90, 99, ask_lots=12))) == [(2, 101, 5), (1, 100, 5), (3, 100, 2)]


def test_users_meet_each_other_inside_the_spread_and_first_at_an_equal_price(market: Floor) -> None:
    market.give(quote(95, 100), sell(1, 5, 98, who=2), sell(2, 5, 100, who=3))
    assert fills(market.give(buy(3, 20, 105, market=True, who=4))) == [
        (3, 98, 5),
        (1, 98, 5),
        (3, 100, 5),
        (2, 100, 5),
        (3, 100, 10),
    ]


def test_an_order_never_trades_through_a_better_outside_price(market: Floor) -> None:
    market.give(quote(95, 97, ask_lots=5), sell(1, 5, 98, who=2))
    assert fills(market.give(buy(2, 10, 105, market=True, who=3))) == [(2, 97, 5), (2, 98, 5), (1, 98, 5)]


def test_a_user_never_trades_with_himself_in_whatever_portfolio(market: Floor) -> None:
    market.give(quote(90, 110), sell(1, 5, 100))
    assert market.give(Submit(2, 7, 1, 1, BUY, False, "gtc", 5, 100)) == [Closed(2, "cancelled", "self_trade")]


def test_a_fill_tells_what_it_was_decided_on(market: Floor) -> None:
    market.give(Tick(1, QUOTE, 0, 7, 70, 99, 100, 11, 22, 0, 0), sell(1, 5, 104, who=2))
    assert market.give(buy(2, 5, 100)) == [Filled(2, 0, 100, 5, "taker", "quote", 7, 70, 99, 100, 22)]
    assert market.give(trade(105, 3)) == [Filled(1, 0, 104, 3, "maker", "trade_through", 7, 70, 99, 100, 3)]
    market.give(Tick(1, QUOTE, 0, 8, 80, 0, 0, 0, 0, 0, 0))
    assert market.give(buy(3, 9, 104)) == [
        Filled(3, 0, 104, 2, "taker", "internal_cross", 8, 80, 0, 0, 2),
        Filled(1, 1, 104, 2, "maker", "internal_cross", 8, 80, 0, 0, 9),
    ]


def test_a_gap_means_no_fill_until_a_fresh_quote(market: Floor) -> None:
    market.give(quote(99, 100), Gap("away"))
    assert market.give(buy(1, 10, 105, market=True)) == [Working(1)]
    assert fills(market.give(quote(99, 101))) == [(1, 101, 10)]


def test_a_halt_cancels_what_is_open_in_its_scope_and_refuses_what_comes(market: Floor) -> None:
    market.give(quote(99, 110), buy(1, 5, 100, who=1), buy(2, 5, 100, who=2))
    assert market.give(Halt("user:1", "halted")) == [Closed(1, "cancelled", "halted")]
    assert market.give(buy(3, 5, 100, who=1)) == [Closed(3, "rejected", "halted")]
    assert market.give(Halt("instrument:1", "halted")) == [Closed(2, "cancelled", "halted")]
    assert market.give(buy(4, 5, 100, who=2)) == [Closed(4, "rejected", "halted")]
    market.give(Halt("instrument:1", "running"), Halt("floor", "halted"))
    assert market.give(buy(5, 5, 100, who=2)) == [Closed(5, "rejected", "halted")]
    assert market.engine.halted == {"floor", "user:1"}
    market.give(Halt("floor", "reducing"), Halt("user:1", "running"))
    assert market.give(buy(6, 5, 100)) == [Working(6)]


def test_a_timer_expires_what_is_due(market: Floor) -> None:
    market.give(quote(90, 110), Submit(1, 1, 1, 1, BUY, False, "day", 5, 100, expires_ns=10 * MS))
    market.give(Submit(2, 1, 1, 1, BUY, False, "gtd", 5, 100, expires_ns=11 * MS))
    assert market.engine.next_expiry_ns() == 10 * MS
    assert market.give(Timer()) == []
    market.now_ns = 10 * MS
    assert market.give(Timer()) == [Closed(1, "expired", "day_end"), Closed(2, "expired", "expired")]
    assert market.engine.next_expiry_ns() is None


def test_a_modify_answers_with_the_new_terms_or_why_not(market: Floor) -> None:
    market.give(quote(90, 110), buy(1, 5, 100), buy(2, 5, 101))
    assert market.give(Modify(1, 100, 4)) == [Modified(1, 100, 4, 0, 0, kept_place=True)]
    assert market.give(Modify(1, 101, 4)) == [Modified(1, 101, 4, 0, 0, kept_place=False)]
    assert fills(market.give(trade(100, 6))) == [(2, 101, 5), (1, 101, 1)]
    assert market.give(Modify(9, 100, 4)) == [Refused(9, "unknown_order")]
    assert market.give(Modify(1, 100, 0)) == [Refused(1, "bad_quantity")]
    assert market.engine.orders[1].open_lots == 3


def test_a_cancel_of_an_order_that_is_over_is_nothing(market: Floor) -> None:
    market.give(buy(1, 5, 100))
    assert market.give(Cancel(1)) == [Closed(1, "cancelled", "cancel")]
    assert market.give(Cancel(1)) == []
    assert market.engine.orders == {}


def test_ioc_fok_and_post_only_end_as_they_must(market: Floor) -> None:
    market.give(quote(99, 100, ask_lots=5))
    assert market.give(buy(1, 9, 100, tif="fok")) == [Closed(1, "cancelled", "fok")]
    assert market.give(Submit(2, 1, 1, 1, BUY, False, "gtc", 5, 100, post_only=True)) == [
        Closed(2, "rejected", "would_take")
    ]
    told = market.give(buy(3, 9, 100, tif="ioc"))
    assert (fills(told), told[-1]) == ([(3, 100, 5)], Closed(3, "cancelled", "ioc"))


def test_a_stop_waits_for_its_price_and_then_trades(market: Floor) -> None:
    market.give(quote(99, 100))
    stop = Submit(1, 1, 1, 1, SELL, True, "gtc", 5, 90, trigger="stop", stop_ticks=98)
    assert market.give(stop) == [Pending(1)]
    assert market.give(trade(99, 1)) == []
    told = market.give(trade(98, 1))
    assert told[0] == Triggered(1, 98, "trade")
    assert fills(told) == [(1, 99, 5)]


def test_a_trailing_stop_follows_the_trades(market: Floor) -> None:
    market.give(quote(99, 100), trade(100, 1))
    market.give(Submit(1, 1, 1, 1, SELL, True, "gtc", 5, 90, trigger="trail", trail=3))
    assert market.give(trade(105, 1), quote(101, 102), trade(103, 1)) == []
    assert market.give(trade(102, 1))[0] == Triggered(1, 102, "trade")


def test_of_two_orders_that_exclude_each_other_one_fill_takes_from_both(market: Floor) -> None:
    market.give(quote(90, 110))
    first = sell(1, 10, 105)
    second = Submit(2, 1, 1, 1, SELL, True, "gtc", 10, 80, trigger="stop", stop_ticks=95, link="oco", link_order_id=1)
    assert market.give(Group((first, second))) == [Working(1), Pending(2)]
    assert [type(event) for event in market.give(trade(106, 4))] == [Filled, Sized]
    assert market.give(trade(106, 6))[1:] == [Closed(2, "cancelled", "oco")]
    assert market.engine.orders == {}


def bracket(lots: int = 10) -> Group:
    """A buy at 100 with a take profit at 110 and a stop loss at 95."""
    return Group(
        (
            Submit(1, 1, 1, 1, SELL, False, "gtc", lots, 110, link="held"),
            Submit(2, 1, 1, 1, SELL, True, "gtc", lots, 80, trigger="stop", stop_ticks=95, link="held_oco",
                   link_order_id=1),
            Submit(3, 1, 1, 1, BUY, False, "gtc", lots, 100, link="entry", link_order_id=1),
        )
    )  # fmt: skip


def test_the_exits_of_a_bracket_are_as_large_as_what_its_entry_filled(market: Floor) -> None:
    market.give(quote(90, 120))
    assert market.give(bracket()) == [Pending(1), Pending(2), Working(3)]
    told = market.give(trade(99, 4))
    assert fills(told) == [(3, 100, 4)]
    assert told[1:] == [Sized(1, 4, 4), Sized(2, 4, 4)]
    told = market.give(trade(111, 3))
    assert (fills(told), told[1:]) == ([(1, 110, 3)], [Sized(2, 1, -3)])
    told = market.give(Cancel(3))
    assert told == [Closed(3, "cancelled", "cancel")]
    told = market.give(trade(111, 3))
    assert (fills(told), told[1:]) == ([(1, 110, 1)], [Closed(2, "cancelled", "oco")])
    assert market.engine.orders == {}


def test_a_bracket_without_a_fill_ends_with_its_entry(market: Floor) -> None:
    market.give(quote(90, 120), bracket())
    assert market.give(Cancel(3)) == [
        Closed(3, "cancelled", "cancel"),
        Closed(1, "cancelled", "entry_over"),
        Closed(2, "cancelled", "entry_over"),
    ]


def test_depth_is_walked_level_by_level_and_quotes_no_longer_count(market: Floor) -> None:
    market.give(quote(99, 100), levels((99, 5), (101, 5), RESET | MORE), levels((0, -1), (102, 5)))
    assert fills(market.give(buy(1, 8, 105, market=True))) == [(1, 101, 5), (1, 102, 3)]
    market.give(quote(99, 100))
    assert fills(market.give(buy(2, 4, 105, market=True))) == [(2, 102, 2)]
    assert fills(market.give(levels((0, -1), (103, 9)))) == [(2, 103, 2)]


def test_after_a_gap_levels_wait_for_a_whole_book(market: Floor) -> None:
    market.give(levels((99, 5), (101, 5), RESET), Tick(1, GAP, 0, 1, 0, 0, 0, 0, 0, 0, 0))
    market.give(levels((0, -1), (100, 5)))
    assert market.give(buy(1, 5, 105, market=True)) == [Working(1)]
    assert fills(market.give(levels((99, 5), (102, 5), RESET))) == [(1, 102, 5)]


@pytest.mark.parametrize("by_tick", [False, True])
def test_nothing_trades_while_a_session_is_closed(market: Floor, by_tick: bool) -> None:
    def session(opens: bool) -> Body:
        return Tick(1, OPENED if opens else CLOSED, 0, 1, 0, 0, 0, 0, 0, 0, 0) if by_tick else Session(1, opens)

    market.give(quote(99, 100), session(False))
    assert market.give(buy(1, 5, 105, market=True)) == [Working(1)]
    assert market.give(buy(2, 5, 105, tif="ioc")) == [Closed(2, "rejected", "closed")]
    assert market.give(quote(99, 100), session(True)) == []
    assert fills(market.give(quote(99, 101))) == [(1, 101, 5)]


def test_a_hole_in_the_sequence_is_an_error(market: Floor) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        market.engine.apply(Input(2, 0, Timer()))
    with pytest.raises(ValueError, match="does not follow"):
        market.engine.apply(Input(2, 0, quote(1, 2)))


def test_another_engine_revision_is_not_loaded() -> None:
    with pytest.raises(ValueError, match="revision 1"):
        Engine.load(Engine().save().replace(b'"rev":2', b'"rev":1'))
    with pytest.raises(ValueError, match="not a state"):
        Engine.load(b'{"rev":1}')


# Any stream ----------------------------------------------------------------------------------------------------------

PRICES = st.integers(90, 110)
LOTS = st.integers(1, 30)
SIDES = st.sampled_from([BUY, SELL])
TICKS = st.one_of(
    st.builds(
        lambda bid, spread, b, a, on: quote(bid, bid + spread, b, a, on),
        PRICES,
        st.integers(0, 5),
        st.integers(0, 40),
        LOTS,
        st.integers(1, 2),
    ),
    st.builds(trade, PRICES, LOTS, st.integers(1, 2)),
    st.builds(
        lambda kind, b, bl, a, al: levels((b, bl), (a, al), kind),
        st.sampled_from([0, 0, MORE, RESET, RESET | MORE, GAP, TRADE]),
        PRICES,
        st.integers(-1, 40),
        PRICES,
        st.integers(-1, 40),
    ),
    st.builds(lambda kind: Tick(1, kind, 0, 1, 0, 0, 0, 0, 0, 0, 0), st.sampled_from([CLOSED, OPENED, OPENED, GAP])),
)


def submit(side: int, lots: int, limit: int, market: bool, who: int, tif: str, stop: int | None) -> Submit:
    plain = tif in ("ioc", "fok") or stop is None
    expires_ns = 30 * MS if tif == "day" else None
    return Submit(0, who, who, 1, side, market, tif, lots, limit, expires_ns,  # type: ignore[arg-type]
                  trigger="" if plain else "stop", stop_ticks=0 if plain else stop or 0)  # fmt: skip


ORDERS = st.builds(
    submit,
    SIDES,
    LOTS,
    PRICES,
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from(["gtc", "ioc", "day", "fok"]),
    st.none() | PRICES,
)
BODIES = st.one_of(
    TICKS,
    TICKS,
    ORDERS,
    ORDERS,
    st.builds(bracket, LOTS),
    st.builds(Cancel, st.integers(1, 20)),
    st.builds(Modify, st.integers(1, 20), PRICES, LOTS, PRICES),
    st.builds(Halt, st.sampled_from(["floor", "user:1", "instrument:1"]), st.sampled_from(["halted", "running"])),
    st.just(Gap("test")),
    st.just(Timer()),
)
STREAMS = st.lists(BODIES, max_size=40)


def numbered(bodies: list[Body]) -> list[Input]:
    """Inputs in sequence; each order gets the next id."""
    last, inputs = 0, []
    for at, body in enumerate(bodies, 1):
        if isinstance(body, Submit):
            last += 1
            body = replace(body, order_id=last)
        elif isinstance(body, Group):
            body = Group(tuple(
                replace(order, order_id=last + order.order_id,
                        link_order_id=last + order.link_order_id if order.link_order_id else 0)
                for order in body.orders
            ))  # fmt: skip
            last += len(body.orders)
        inputs.append(Input(at, at * MS, body))
    return inputs


def in_runs(inputs: list[Input]) -> list[Input | Run]:
    """The same inputs with all neighbouring ticks of one time as runs."""
    return list(decode(encode(inputs)))


@given(STREAMS, st.integers(0, 40))
@settings(max_examples=200, deadline=None)
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
@settings(max_examples=200, deadline=None)
def test_ticks_taken_in_runs_do_what_they_do_one_by_one(bodies: list[Body]) -> None:
    inputs = [Input(step.seq, 0, step.body) for step in numbered(bodies)]
    single, running = Engine(), Engine()
    expected = {step.seq: list(single.apply(step)) for step in inputs}
    found: dict[int, Sequence[Event]] = {}
    for step in in_runs(inputs):
        if isinstance(step, Run):
            found.update(running.apply_run(step))
        else:
            found[step.seq] = running.apply(step)
    assert {seq: list(events) for seq, events in found.items() if events} == {
        seq: events for seq, events in expected.items() if events
    }
    assert single.save() == running.save()


@given(STREAMS)
@settings(max_examples=200, deadline=None)
def test_inputs_survive_the_log(bodies: list[Body]) -> None:
    inputs = numbered(bodies)
    assert list(one_by_one(in_runs(inputs))) == inputs


@given(STREAMS)
@settings(max_examples=300, deadline=None)
def test_no_stream_breaks_the_rules_of_the_book(bodies: list[Body]) -> None:
    engine = Engine()
    open_lots: dict[int, int] = {}
    limits: dict[int, tuple[int, int]] = {}
    for step in numbered(bodies):
        body = step.body
        for order in body.orders if isinstance(body, Group) else [body] if isinstance(body, Submit) else []:
            limits[order.order_id] = order.direction, order.limit_ticks
            open_lots[order.order_id] = 0 if order.link.startswith("held") else order.quantity_lots
        crossed: dict[int, int] = {}
        printed = body.trade_lots if isinstance(body, Tick) and body.kind & TRADE else 0
        n = 0
        for event in engine.apply(step):
            if isinstance(event, Modified):
                limits[event.order_id] = limits[event.order_id][0], event.limit_ticks
                open_lots[event.order_id] = event.open_lots
            elif isinstance(event, Sized):
                open_lots[event.order_id] += event.change_lots
                assert open_lots[event.order_id] == event.open_lots
            elif isinstance(event, Closed):
                del open_lots[event.order_id]
            elif isinstance(event, Filled):
                assert event.n == n
                n += 1
                assert event.lots > 0
                direction, limit = limits[event.order_id]
                assert direction * (event.price_ticks - limit) <= 0, "beyond the limit"
                open_lots[event.order_id] -= event.lots
                assert open_lots[event.order_id] >= 0, "more than was open"
                if event.rule == "trade_through":
                    printed -= event.lots
                elif event.rule == "internal_cross":
                    crossed[direction] = crossed.get(direction, 0) + event.lots
        assert printed >= 0
        assert crossed.get(BUY, 0) == crossed.get(SELL, 0), "a cross has two sides"
        assert {key: lots for key, lots in open_lots.items() if lots} == {
            key: order.open_lots for key, order in engine.orders.items() if order.open_lots
        }
        assert set(engine.orders) == set(engine._core.open_orders()["order_id"].tolist())
