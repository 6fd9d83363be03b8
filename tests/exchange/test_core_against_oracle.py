"""The compiled core beside a plain engine that shares no code with it, and the rules that hold for any inputs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Oracle
from side_by_side import CODES, Pair, TightEngine, compare, rows
from streams import BLANK, Step, Stream

from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import PRICE_MAX, WINDOW, Event, Model

S = 1_000_000_000
MODELS = [model.name.lower() for model in Model]
# Of what is told, what no stream of right words can cause.
NEVER = {("rejected", "unknown_op")}


@pytest.mark.parametrize("seed", range(30))
def test_the_core_tells_what_the_oracle_tells(seed: int) -> None:
    # In batches of one input queues and rules are checked after every event.
    batch = (1, 7, 150)[seed % 3]
    count, save_every = 400 if batch == 1 else 1_500, (0, 150)[seed % 2]
    compare(seed, count, Model(seed // 3 % 3), batch=batch, save_every=save_every)


@pytest.mark.parametrize("seed", range(100, 106))
def test_the_core_stops_for_want_of_room_and_goes_on_where_it_stopped(seed: int) -> None:
    compare(seed, 800, Model(seed % 3), batch=50, made=TightEngine)


def test_the_streams_reach_every_event_and_code() -> None:
    seen: set[tuple[str, str]] = set()
    for seed in range(12):
        stream, oracle = Stream(seed), Oracle(3, MODELS[seed % 3], waits=seed % 4 == 2)
        for _ in range(2_000):
            seen |= {told[1:3] for row in stream.step() for told in oracle.apply(row)}
    codes = {(event.name.lower(), code.name.lower()) for event, codes in CODES.items() for code in codes}
    assert seen == (codes | {("expired", ""), ("rested", "now")}) - NEVER


@pytest.mark.parametrize("model", MODELS)
def test_one_input_a_call_gives_what_a_batch_gives(model: str) -> None:
    stream = Stream(11)
    inputs = [stream.step() for _ in range(2_000)]
    whole, parts = (CompiledEngine(3, model=Model[model.upper()]) for _ in range(2))
    expected = whole.apply(rows([row for input_ in inputs for row in input_]))
    found = np.concatenate([parts.apply(rows(input_)) for input_ in inputs])
    assert found.tobytes() == expected.tobytes()
    assert whole.save() == parts.save()


# Every choice is the machine's own here, so that a failure shrinks to a few inputs. Orders are numbered 1, 2, 3...;
# cancels, changes and links name one of the last.
PRICES = st.one_of(st.integers(97, 103), st.sampled_from([100 - WINDOW, 100 + 3 * WINDOW, -(10**9), PRICE_MAX + 1]))
NEAR = st.integers(97, 103)
LOTS = st.integers(0, 9)
ORDERS = {
    "op": st.just("add"),
    "symbol": st.sampled_from([0, 0, 0, 1]),
    "owner": st.integers(0, 2),
    "side": st.integers(0, 1),
    "kind": st.sampled_from(["limit", "limit", "limit", "market", "ioc", "fok", "post_only"]),
    "price": PRICES,
    "qty": LOTS,
    "lasts_s": st.sampled_from([0, 0, 0, 2, 9]),
}
STOPS = ORDERS | {
    "kind": st.sampled_from(["market", "market", "limit"]),
    "trigger": st.sampled_from(["stop", "stop", "trail_ticks", "trail_ppm"]),
    "stop_price": NEAR,
    "trail": st.sampled_from([1, 2, 3, 30_000]),
}
LINKED = STOPS | {
    "trigger": st.sampled_from(["none", "stop"]),
    "link_kind": st.sampled_from(["oco", "oco", "oco", "held", "held_oco", "entry"]),
    "back": st.integers(1, 4),
}
BRACKETS = ORDERS | {
    "op": st.just("bracket"),
    "owner": st.integers(1, 2),
    "price": NEAR,
    "take_profit": NEAR,
    "stop_price": NEAR,
    "stop_kind": st.sampled_from(["market", "limit"]),
    "stop_trigger": st.sampled_from(["stop", "stop", "trail_ticks"]),
    "trail": st.sampled_from([1, 2, 3]),
    "planned": st.sampled_from([None, None, 2]),
}
CHANGES = {
    "op": st.sampled_from(["cancel", "modify", "modify"]),
    "back": st.integers(0, 8),
    "price": NEAR,
    "qty": LOTS,
    "stop_price": NEAR,
    "trail": st.integers(0, 3),
}
QUOTES = {
    "op": st.sampled_from(["quote", "quote", "trade", "trade", "trade", "gap"]),
    "symbol": st.sampled_from([0, 0, 0, 1]),
    "price": NEAR,
    "qty": LOTS,
    "ask_price": NEAR,
    "ask_qty": LOTS,
}
LEVELS = st.lists(
    st.fixed_dictionaries({"side": st.integers(0, 1), "price": NEAR, "qty": LOTS, "reset": st.booleans()}),
    min_size=1, max_size=4,
)  # fmt: skip
SWITCHES = {
    "op": st.sampled_from(["session", "halt"]),
    "symbol": st.sampled_from([-1, 0]),
    "owner": st.integers(0, 1),
    "qty": st.integers(0, 1),
}
INPUTS = st.one_of(
    st.fixed_dictionaries(ORDERS),
    st.fixed_dictionaries(ORDERS),
    st.fixed_dictionaries(STOPS),
    st.fixed_dictionaries(LINKED),
    st.fixed_dictionaries(BRACKETS),
    st.fixed_dictionaries(CHANGES),
    st.fixed_dictionaries(QUOTES),
    st.fixed_dictionaries(QUOTES),
    LEVELS.map(lambda levels: {"op": "depth", "symbol": 0, "levels": levels}),
    st.fixed_dictionaries(SWITCHES),
)


class Script:
    """Turns what was drawn into rows: gives numbers and times, and says who is meant."""

    def __init__(self) -> None:
        self.seq = self.now_ns = self.last_id = 0

    def rows(self, drawn: dict[str, Any], later_s: int) -> list[Step]:
        self.seq += 1
        self.now_ns += later_s * S
        found = [{**BLANK, **row} for row in getattr(self, drawn["op"], self.as_it_is)(dict(drawn))]
        for at, row in enumerate(found):
            row.update({"seq": self.seq, "ts_ns": self.now_ns, "more": at < len(found) - 1})
        return found

    def as_it_is(self, drawn: Step) -> list[Step]:
        return [drawn]

    def before(self, drawn: Step) -> int:
        return max(1, self.last_id - int(drawn.pop("back", 0)))

    def add(self, drawn: Step) -> list[Step]:
        lasts_s = drawn.pop("lasts_s")
        link = self.before(drawn)
        self.last_id += 1
        expires_ns = self.now_ns + lasts_s * S if lasts_s else 0
        return [{**drawn, "order_id": self.last_id, "link": link, "expires_ns": expires_ns}]

    def bracket(self, drawn: Step) -> list[Step]:
        take_profit, kind, trigger, planned = (
            drawn.pop(name) for name in ("take_profit", "stop_kind", "stop_trigger", "planned")
        )
        stop = {"trigger": trigger, "stop_price": drawn.pop("stop_price"), "trail": drawn.pop("trail")}
        leg = {**drawn, "op": "add", "side": 1 - drawn["side"], "qty": planned or drawn["qty"]}
        kind = "market" if trigger != "stop" else kind
        first = self.add({**leg, "kind": "limit", "price": take_profit, "link_kind": "held"})
        second = self.add({**leg, **stop, "kind": kind, "link_kind": "held_oco", "back": 0})
        return [*first, *second, *self.add({**drawn, "op": "add", "link_kind": "entry", "back": 1})]

    def cancel(self, drawn: Step) -> list[Step]:
        return [{"op": "cancel", "order_id": self.before(drawn)}]

    def modify(self, drawn: Step) -> list[Step]:
        return [{"order_id": self.before(drawn), **drawn}]

    def depth(self, drawn: Step) -> list[Step]:
        return [{**level, "op": "depth", "symbol": drawn["symbol"]} for level in drawn["levels"]]


@settings(max_examples=150, deadline=None)
@given(
    drawn=st.lists(st.tuples(INPUTS, st.sampled_from([0, 0, 0, 0, 1, 6])), max_size=40),
    model=st.sampled_from(list(Model)),
    waits=st.booleans(),
)
def test_any_inputs_give_the_events_of_the_oracle(
    drawn: list[tuple[dict[str, Any], int]], model: Model, waits: bool
) -> None:
    pair, script = Pair(2, model, waits, orders=2), Script()
    for one, later_s in drawn:
        pair.give(script.rows(one, later_s))
        pair.reload()


def told_by_both(*inputs: list[Step]) -> list[tuple[Any, ...]]:
    """(event, code, order, maker, price, quantity, left) of the last input, on which both engines agree."""
    pair = Pair(1, Model.THROUGH)
    for number, input_ in enumerate(inputs, 1):
        same = {"seq": number, "ts_ns": number}
        pair.give([{**BLANK, **row, **same, "more": at < len(input_) - 1} for at, row in enumerate(input_)])
    return [(name, code, *rest) for _, name, code, _, _, *rest in pair.told]


def sell(order_id: int, qty: int, price: int, **more: Any) -> Step:
    return {"op": "add", "order_id": order_id, "owner": 1, "side": 1, "qty": qty, "price": price, **more}


def buy(order_id: int, qty: int, price: int, **more: Any) -> Step:
    return {**sell(order_id, qty, price), "owner": 2, "side": 0, **more}


@pytest.mark.parametrize(("lots", "code"), [(6, "fok"), (5, "")])
def test_fill_or_kill_does_not_count_two_siblings_as_two(lots: int, code: str) -> None:
    siblings = [[sell(1, 5, 100)], [sell(2, 5, 101, link_kind="oco", link=1)]]
    told = told_by_both(*siblings, [buy(3, lots, 101, kind="fok")])
    if code:
        assert told[1:] == [("cancelled", "fok", 3, 0, 101, 0, lots)]
    else:
        assert told[1:] == [("fill", "cross", 3, 1, 100, 5, 0), ("cancelled", "oco", 2, 0, 101, 0, 5)]


def test_fill_or_kill_counts_an_order_whose_sibling_is_not_in_the_book() -> None:
    stop = sell(2, 5, 0, trigger="stop", kind="market", stop_price=90, link_kind="oco", link=1)
    told = told_by_both([sell(1, 5, 100), stop], [buy(3, 5, 100, kind="fok")])
    assert told[1:] == [("fill", "cross", 3, 1, 100, 5, 0), ("cancelled", "oco", 2, 0, 0, 0, 5)]


def test_a_leg_that_fills_as_it_grows_takes_as_much_from_the_other() -> None:
    bids = [[buy(1, 4, 105, owner=3)], [sell(2, 9, 106, owner=4)]]
    legs = [sell(3, 9, 105, link_kind="held"), sell(4, 9, 90, trigger="stop", stop_price=95, kind="market",
                                                    link_kind="held_oco", link=3)]  # fmt: skip
    told = told_by_both(*bids, [*legs, buy(5, 9, 106, owner=1, link_kind="entry", link=3)])
    assert told[2:] == [
        ("accepted", "now", 5, 0, 106, 9, 9),
        ("fill", "cross", 5, 2, 106, 9, 0),
        ("sized", "grown", 3, 0, 105, 9, 9),
        ("sized", "grown", 4, 0, 90, 9, 9),
        ("fill", "cross", 3, 1, 105, 4, 5),
        ("sized", "shrunk", 4, 0, 90, 4, 5),
    ]


def test_of_two_siblings_that_one_price_triggers_the_first_alone_fills() -> None:
    stop = {"trigger": "stop", "kind": "market"}
    siblings = [sell(1, 5, 0, stop_price=99, **stop), sell(2, 5, 0, stop_price=98, link_kind="oco", link=1, **stop)]
    bid = [{"op": "quote", "price": 97, "qty": 9}]
    told = told_by_both(bid, siblings, [{"op": "trade", "price": 97, "qty": 1}])
    assert told == [
        ("triggered", "trade", 1, 0, 99, 5, 5),
        ("fill", "quote", 1, 0, 97, 5, 0),
        ("cancelled", "oco", 2, 0, 0, 0, 5),
    ]


def test_every_event_has_its_words() -> None:
    assert set(CODES) | {Event.EXPIRED, Event.RESTED} == set(Event)
