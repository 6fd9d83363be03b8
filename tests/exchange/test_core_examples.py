"""Worked examples of the core's newer rules: levels, sessions, halts, stops, linked orders, places in a queue."""

from typing import Any

import numpy as np
import pytest
from side_by_side import told

from trading.exchange.compiled.engine import ROW, CompiledEngine
from trading.exchange.compiled.layout import BUY, OPEN_ORDER, SELL, UNSET, Flag, Kind, Link, Model, Op, Trigger, Where

MORE, RESET = int(Flag.MORE), int(Flag.RESET)
S = 1_000_000_000


def gist(events: np.ndarray[Any, Any]) -> list[tuple[Any, ...]]:
    """(event, code, order, maker, price, quantity, left)."""
    return [(name, code, *rest) for _, name, code, _, _, *rest in told(events)]


def words(events: np.ndarray[Any, Any]) -> list[tuple[Any, ...]]:
    """(event, code, order, quantity, left), of a fill with the maker's id where the outside took."""
    return [(name, code, order or maker, qty, left) for name, code, order, maker, _, qty, left in gist(events)]


def fills(events: np.ndarray[Any, Any]) -> list[tuple[Any, ...]]:
    """(taker, maker, price, quantity)."""
    return [tuple(rest[:4]) for name, _, *rest in gist(events) if name == "fill"]


def order_of(engine: CompiledEngine, order_id: int) -> Any:
    orders = engine.open_orders()
    return orders[orders["order_id"] == order_id][0]


@pytest.fixture
def engine() -> CompiledEngine:
    return CompiledEngine(2)


def bracket(engine: CompiledEngine, qty: int, entry_price: int, target: int, stop: int) -> np.ndarray[Any, Any]:
    """Order 1 takes profit, 2 stops the loss, 3 buys; all of owner 7."""
    engine.add(0, 1, SELL, qty, target, owner=7, link_kind=Link.HELD, flags=MORE)
    engine.add(0, 2, SELL, qty, None, owner=7, kind=Kind.MARKET, trigger=Trigger.STOP, stop_price=stop,
               link=1, link_kind=Link.HELD_OCO, flags=MORE)  # fmt: skip
    return engine.add(0, 3, BUY, qty, entry_price, owner=7, link=1, link_kind=Link.ENTRY)


def test_a_taker_walks_the_levels_of_the_outside_and_users_come_first_at_an_equal_price(engine: CompiledEngine) -> None:
    engine.depth(0, SELL, 101, 5, flags=RESET | MORE)
    engine.depth(0, SELL, 103, 5, flags=MORE)
    engine.depth(0, SELL, 102, 5)
    engine.add(0, 1, SELL, 4, 102)
    caused = engine.add(0, 2, BUY, 30, 102)
    assert fills(caused) == [(2, 0, 101, 5), (2, 1, 102, 4), (2, 0, 102, 5)]
    engine.depth(0, SELL, 103, 0)
    assert engine.best(0) == (None, 101, 102, None)
    assert not fills(engine.add(0, 3, BUY, 1, 103))  # what was displayed is used once


def test_rows_that_more_follow_only_change_levels(engine: CompiledEngine) -> None:
    engine.add(0, 1, BUY, 4, 105)
    assert not len(engine.depth(0, SELL, 101, 5, flags=MORE))
    assert fills(engine.depth(0, SELL, 100, 3)) == [(0, 1, 105, 3), (0, 1, 105, 1)]


def test_after_a_gap_levels_must_begin_anew(engine: CompiledEngine) -> None:
    engine.depth(0, SELL, 101, 5)
    engine.gap(0)
    engine.depth(0, SELL, 102, 5)
    assert gist(engine.add(0, 1, BUY, 1, 105))[0][:2] == ("accepted", "waits")
    assert fills(engine.depth(0, SELL, 103, 5, flags=RESET)) == [(1, 0, 103, 1)]


def test_a_closed_session_takes_orders_and_trades_none(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100)
    engine.session(0, opens=False)
    assert gist(engine.add(0, 2, BUY, 5, 100, kind=Kind.IOC)) == [("rejected", "closed", 2, 0, 100, 5, 0)]
    assert gist(engine.add(0, 3, BUY, 5, 100)) == [("accepted", "waits", 3, 0, 100, 5, 5)]
    assert not len(engine.trade(0, 120, 50))
    assert gist(engine.session(0, opens=True)) == [("fill", "cross", 3, 1, 100, 5, 0)]


def test_an_opening_waits_for_the_outside_where_there_is_one(engine: CompiledEngine) -> None:
    engine.quote(0, 99, 5, 101, 5)
    engine.session(-1, opens=False)
    engine.add(0, 1, BUY, 5, 101)
    assert not len(engine.quote(0, 99, 5, 100, 5))
    assert not len(engine.session(-1, opens=True))
    assert fills(engine.quote(0, 99, 5, 101, 5)) == [(1, 0, 101, 5)]


@pytest.mark.parametrize(("scope", "gone"), [((0, 0), [1, 2]), ((-1, 7), [1, 3]), ((-1, 0), [1, 2, 3])])
def test_a_halt_cancels_its_scope_and_refuses_new_orders(
    engine: CompiledEngine, scope: tuple[int, int], gone: list[int]
) -> None:
    symbol, owner = scope
    for order_id, where, whose in ((1, 0, 7), (2, 0, 8), (3, 1, 7)):
        engine.add(where, order_id, BUY, 5, 100, owner=whose)
    caused = gist(engine.halt(True, symbol=symbol, owner=owner))
    assert [(name, code, order_id) for name, code, order_id, *_ in caused] == [
        ("cancelled", "halted", order_id) for order_id in gone
    ]
    engine = CompiledEngine.load(engine.save())
    assert gist(engine.add(0, 9, BUY, 5, 100, owner=7))[0][:2] == ("rejected", "halted")
    assert not len(engine.halt(False, symbol=symbol, owner=owner))
    assert gist(engine.add(0, 9, BUY, 5, 100, owner=7))[0][:2] == ("accepted", "now")


def test_stops_are_triggered_by_trades_nearest_first_and_a_cascade_goes_on_in_rounds(engine: CompiledEngine) -> None:
    for order_id, price in ((1, 99), (2, 95)):
        engine.add(0, order_id, BUY, 5, price)
    engine.add(0, 3, SELL, 5, None, kind=Kind.MARKET, trigger=Trigger.STOP, stop_price=98)
    engine.add(0, 4, SELL, 5, 90, trigger=Trigger.STOP, stop_price=97)
    caused = gist(engine.trade(0, 98, 1))
    assert caused[:2] == [("fill", "trade", 0, 1, 99, 1, 4), ("triggered", "trade", 3, 0, 98, 5, 5)]
    assert [(row[0], row[2]) for row in caused[2:]] == [("fill", 3), ("fill", 3), ("triggered", 4), ("fill", 4)]


def test_a_stop_looks_at_the_quote_only_while_nothing_ever_traded(engine: CompiledEngine) -> None:
    engine.add(0, 1, BUY, 5, None, kind=Kind.MARKET, trigger=Trigger.STOP, stop_price=103)
    assert gist(engine.quote(0, 102, 5, 103, 5))[0] == ("triggered", "quote", 1, 0, 103, 5, 5)
    engine.trade(0, 100, 1)
    engine.add(0, 2, BUY, 5, None, kind=Kind.MARKET, trigger=Trigger.STOP, stop_price=103)
    assert not len(engine.quote(0, 110, 5, 111, 5))


def test_a_trailing_stop_follows_and_never_loosens_but_when_its_owner_says_so(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, None, kind=Kind.MARKET, trigger=Trigger.TRAIL_TICKS, trail=10)
    assert order_of(engine, 1)["mark"] == -UNSET
    for price, stop in ((100, 90), (120, 110), (115, 110)):
        engine.trade(0, price, 1)
        assert order_of(engine, 1)["stop"] == stop
    told_ = gist(engine.modify(1, int(order_of(engine, 1)["price"]), 5, trail=20))
    assert told_[0][:2] == ("modified", "went_back")
    assert order_of(engine, 1)["stop"] == 100
    assert gist(engine.trade(0, 100, 1))[0] == ("triggered", "trade", 1, 0, 100, 5, 5)


def test_a_trail_in_parts_per_million_does_not_overflow(engine: CompiledEngine) -> None:
    far = 2**46
    engine.trade(0, -far, 1)
    engine.add(0, 1, BUY, 5, None, kind=Kind.MARKET, trigger=Trigger.TRAIL_PPM, trail=999_999)
    assert order_of(engine, 1)["stop"] == -far + far * 999_999 // 1_000_000


def test_a_fill_shrinks_the_sibling_before_anything_else_can_fill_it(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100, owner=7)
    engine.add(0, 2, SELL, 9, 100, owner=7, link=1, link_kind=Link.OCO)
    assert order_of(engine, 2)["qty"] == 5
    assert words(engine.add(0, 3, BUY, 9, 100)) == [
        ("accepted", "now", 3, 9, 9), ("fill", "cross", 3, 5, 4), ("cancelled", "oco", 2, 0, 5),
    ]  # fmt: skip
    assert engine.n_open == 1


def test_the_end_of_one_sibling_by_its_owner_or_the_clock_is_the_end_of_both(engine: CompiledEngine) -> None:
    for first, lasts in ((1, 0), (3, 20)):
        engine.add(0, first, SELL, 5, 100, owner=7, expires_ns=lasts)
        engine.add(0, first + 1, SELL, 5, 101, owner=7, link=first, link_kind=Link.OCO)
    assert words(engine.cancel(2)) == [("cancelled", "requested", 2, 0, 5), ("cancelled", "oco", 1, 0, 5)]
    assert words(engine.time(20)) == [("expired", "", 3, 0, 5), ("cancelled", "oco", 4, 0, 5)]


def test_the_legs_of_a_bracket_grow_as_the_entry_fills_and_only_one_of_them_ends_it(engine: CompiledEngine) -> None:
    assert words(bracket(engine, 10, 100, 110, 90)) == [("accepted", "now", 3, 10, 10)]
    assert words(engine.add(0, 4, SELL, 4, 100))[2:] == [("sized", "grown", 1, 4, 4), ("sized", "grown", 2, 4, 4)]
    assert [int(row["where"]) for row in engine.open_orders()] == [Where.BOOK, Where.BOOK, Where.PENDING]
    engine = CompiledEngine.load(engine.save())
    assert words(engine.trade(0, 111, 4)) == [("fill", "trade", 1, 4, 0), ("sized", "shrunk", 2, 4, 0)]
    assert [int(row["where"]) for row in engine.open_orders()] == [Where.BOOK, Where.HELD, Where.HELD]
    assert gist(engine.modify(3, 100, 5))[0][:2] == ("rejected", "linked_quantity")
    assert words(engine.cancel(3)) == [
        ("cancelled", "requested", 3, 0, 6), ("cancelled", "entry_over", 1, 0, 0), ("cancelled", "entry_over", 2, 0, 0),
    ]  # fmt: skip


def test_a_refused_entry_takes_its_legs_with_it(engine: CompiledEngine) -> None:
    assert words(bracket(engine, 10, 2**60, 110, 90)) == [
        ("rejected", "bad_price", 3, 10, 0), ("cancelled", "entry_over", 1, 0, 0), ("cancelled", "entry_over", 2, 0, 0),
    ]  # fmt: skip


def test_links_need_an_owner_and_an_order_that_fits(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100, owner=7)
    for owner, symbol, link in ((0, 0, 1), (8, 0, 1), (7, 1, 1), (7, 0, 2)):
        caused = engine.add(symbol, 9, SELL, 5, 101, owner=owner, link=link, link_kind=Link.OCO)
        assert gist(caused)[0][:2] == ("rejected", "bad_link")


def test_a_print_at_a_limit_first_uses_up_what_the_outside_had_before_it() -> None:
    engine = CompiledEngine(model=Model.QUEUE)
    engine.quote(0, 100, 8, 102, 8)
    engine.add(0, 1, BUY, 5, 100)
    engine.add(0, 2, BUY, 5, 99)
    assert [int(row["ahead"]) for row in engine.open_orders()] == [8, -1]
    assert not fills(engine.trade(0, 100, 6))
    assert fills(engine.trade(0, 100, 4)) == [(0, 1, 100, 2)]
    engine.quote(0, 99, 3, 102, 8)
    assert [int(row["ahead"]) for row in CompiledEngine.load(engine.save()).open_orders()] == [0, 3]
    assert fills(engine.trade(0, 98, 9)) == [(0, 1, 100, 3), (0, 2, 99, 5)]


def test_no_state_is_saved_between_the_rows_of_one_input(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100, owner=7, link_kind=Link.HELD, flags=MORE)
    with pytest.raises(ValueError, match="between the rows"):
        engine.save()
    engine.add(0, 2, BUY, 5, 90, owner=7, link=1, link_kind=Link.ENTRY)
    assert CompiledEngine.load(engine.save()).save() == engine.save()


def test_the_next_expiry_is_told(engine: CompiledEngine) -> None:
    assert engine.next_expiry_ns() is None
    engine.add(0, 1, SELL, 5, 100, expires_ns=9 * S)
    engine.add(0, 2, SELL, 5, 100, expires_ns=7 * S)
    assert engine.next_expiry_ns() == 7 * S


def test_a_packed_row_does_what_a_call_does(engine: CompiledEngine) -> None:
    row = ROW.pack(5, 0, 1, 0, 100, 5, 0, 0, 0, 0, 0, 0, 0, int(Op.ADD), SELL, int(Kind.LIMIT), 0, 0, 0)
    assert gist(engine.apply_row(row)) == [("accepted", "now", 1, 0, 100, 5, 5)]
    assert engine.seq == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [("sibling_id", 9), ("entry_id", 1), ("leg_id", 3), ("where", 9), ("trigger", 7), ("latched", 2), ("planned", -1),
     ("ahead", -2), ("stop", 2**60), ("arrival", 10**9), ("qty", 3), ("owner", 0), ("symbol", 1)],
)  # fmt: skip
def test_a_state_with_a_damaged_order_is_refused(engine: CompiledEngine, field: str, value: int) -> None:
    bracket(engine, 10, 100, 110, 90)
    state = engine.save()
    orders = np.frombuffer(state, OPEN_ORDER, 3, len(state) - 3 * OPEN_ORDER.itemsize).copy()
    orders[field][-1] = value
    with pytest.raises(ValueError, match="the state"):
        CompiledEngine.load(state[: -orders.nbytes] + orders.tobytes())


def test_a_state_that_is_not_in_canonical_order_is_refused(engine: CompiledEngine) -> None:
    for order_id in (1, 2):
        engine.add(0, order_id, BUY, 5, 100 - order_id)
    state, size = engine.save(), OPEN_ORDER.itemsize
    with pytest.raises(ValueError, match="canonical"):
        CompiledEngine.load(state[: -2 * size] + state[-size:] + state[-2 * size : -size])
