"""The compiled core: rules by example, far prices and growth, the state as a value, and no reference counting."""

import re
from typing import Any

import numpy as np
import pytest
from numba import njit
from side_by_side import queues, rows, told

from trading.exchange.compiled import kernel
from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import BUY, INPUT, PRICE_MAX, SELL, WINDOW, Kind, Model

S = 1_000_000_000


def gist(events: np.ndarray[Any, Any]) -> list[tuple[Any, ...]]:
    """(event, code, order, maker, price, quantity, left)."""
    return [(name, code, *rest) for _, name, code, _, _, *rest in told(events)]


def fills(events: np.ndarray[Any, Any]) -> list[tuple[Any, ...]]:
    """(taker, maker, price, quantity)."""
    return [tuple(rest[:4]) for name, _, *rest in gist(events) if name == "fill"]


@pytest.fixture
def engine() -> CompiledEngine:
    return CompiledEngine(2)


def test_better_prices_trade_first_then_earlier_orders(engine: CompiledEngine) -> None:
    for order_id, price in ((1, 101), (2, 100), (3, 100)):
        engine.add(0, order_id, SELL, 5, price)
    assert fills(engine.add(0, 4, BUY, 12, 101)) == [(4, 2, 100, 5), (4, 3, 100, 5), (4, 1, 101, 2)]


def test_the_symbols_do_not_meet(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100)
    assert not fills(engine.add(1, 2, BUY, 5, 100))


def test_users_come_before_the_outside_at_an_equal_price_and_size_is_used_once(engine: CompiledEngine) -> None:
    engine.quote(0, 99, 5, 101, 6)
    engine.add(0, 1, SELL, 2, 101)
    assert fills(engine.add(0, 2, BUY, 20, 101)) == [(2, 1, 101, 2), (2, 0, 101, 6)]
    assert not fills(engine.add(0, 3, BUY, 1, 101))


def test_a_quote_fills_what_rests_at_its_limit_and_a_trade_beyond_it(engine: CompiledEngine) -> None:
    engine.quote(0, 99, 5, 101, 5)
    engine.add(0, 1, BUY, 8, 100)
    assert fills(engine.quote(0, 98, 5, 100, 3)) == [(0, 1, 100, 3)]
    assert not fills(engine.trade(0, 100, 50))
    assert fills(engine.trade(0, 99, 4)) == [(0, 1, 100, 4)]


def test_under_the_model_touch_a_trade_at_the_limit_is_enough() -> None:
    engine = CompiledEngine(model=Model.TOUCH)
    engine.add(0, 1, BUY, 8, 100)
    assert fills(engine.trade(0, 100, 3)) == [(0, 1, 100, 3)]
    assert not fills(engine.trade(0, 101, 3))


def test_an_order_on_an_old_quote_waits_for_the_next(engine: CompiledEngine) -> None:
    engine.quote(0, 99, 5, 101, 5, ts_ns=1 * S)
    assert gist(engine.add(0, 1, BUY, 4, 103, ts_ns=7 * S)) == [("accepted", "waits", 1, 0, 103, 4, 4)]
    assert fills(engine.quote(0, 99, 5, 102, 3, ts_ns=8 * S)) == [(1, 0, 102, 3)]
    assert queues(engine)[0][:4] == (0, BUY, 0, 1)


def test_after_a_gap_nothing_outside_trades_until_the_next_quote(engine: CompiledEngine) -> None:
    engine.quote(0, 99, 5, 101, 5)
    engine.gap()
    assert not fills(engine.add(0, 1, BUY, 4, None, kind=Kind.MARKET))
    assert fills(engine.quote(0, 99, 5, 102, 5)) == [(1, 0, 102, 4)]


def test_fill_or_kill_is_all_or_nothing_across_users_and_the_outside(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100)
    engine.quote(0, 98, 5, 101, 5)
    assert gist(engine.add(0, 2, BUY, 11, 101, kind=Kind.FOK))[1:] == [("cancelled", "fok", 2, 0, 101, 0, 11)]
    assert fills(engine.add(0, 3, BUY, 10, 101, kind=Kind.FOK)) == [(3, 1, 100, 5), (3, 0, 101, 5)]


def test_the_newer_of_two_orders_of_one_owner_is_cancelled(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100, owner=2)
    engine.add(0, 2, SELL, 5, 101, owner=1)
    told_ = gist(engine.add(0, 3, BUY, 9, 101, owner=1))
    assert told_[1:] == [("fill", "cross", 3, 1, 100, 5, 4), ("cancelled", "self_trade", 3, 0, 101, 0, 4)]


def test_a_market_order_stops_at_its_protection_price(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100)
    engine.add(0, 2, SELL, 5, 120)
    told_ = gist(engine.add(0, 3, BUY, 9, 110, kind=Kind.MARKET))
    assert told_[-1] == ("cancelled", "price_protection", 3, 0, 110, 0, 4)


def test_a_post_only_order_never_takes(engine: CompiledEngine) -> None:
    engine.add(0, 1, SELL, 5, 100)
    assert gist(engine.add(0, 2, BUY, 5, 100, kind=Kind.POST_ONLY)) == [("rejected", "would_take", 2, 0, 100, 5, 0)]
    assert gist(engine.add(0, 2, BUY, 5, 99, kind=Kind.POST_ONLY)) == [("accepted", "now", 2, 0, 99, 5, 5)]
    assert gist(engine.modify(2, 100, 5)) == [("rejected", "would_take", 2, 0, 100, 5, 0)]


def test_a_change_keeps_its_place_only_where_the_quantity_alone_goes_down(engine: CompiledEngine) -> None:
    for order_id in (1, 2, 3):
        engine.add(0, order_id, BUY, 5, 100)
    assert gist(engine.modify(1, 100, 4)) == [("modified", "kept_place", 1, 0, 100, 4, 4)]
    assert gist(engine.modify(2, 100, 6)) == [("modified", "went_back", 2, 0, 100, 6, 6)]
    assert fills(engine.add(0, 9, SELL, 99, 100)) == [(9, 1, 100, 4), (9, 3, 100, 5), (9, 2, 100, 6)]


def test_orders_expire_by_time_then_number_before_anything_else_happens(engine: CompiledEngine) -> None:
    engine.add(0, 5, SELL, 5, 100, expires_ns=30)
    engine.add(0, 4, SELL, 5, 100, expires_ns=30)
    engine.add(0, 6, SELL, 5, 100, expires_ns=20)
    told_ = gist(engine.add(0, 7, BUY, 5, 100, ts_ns=30))
    assert [(name, order_id) for name, _, order_id, *_ in told_] == [
        ("expired", 6), ("expired", 4), ("expired", 5), ("accepted", 7),
    ]  # fmt: skip
    assert gist(engine.add(0, 8, BUY, 5, 1, expires_ns=29)) == [("rejected", "already_expired", 8, 0, 1, 5, 0)]


def test_far_prices_are_neither_lost_nor_wrong(engine: CompiledEngine) -> None:
    prices = [0, WINDOW, -WINDOW, 10**9, -(10**9), PRICE_MAX, -PRICE_MAX, WINDOW // 2, 3 * WINDOW, 5, 5]
    for order_id, price in enumerate(prices, 1):
        engine.add(0, order_id, SELL, 1, price)
    engine.cancel(4)
    engine.modify(9, 4 * WINDOW, 1)
    kept = sorted((p if i != 9 else 4 * WINDOW, i) for i, p in enumerate(prices, 1) if i != 4)
    caused = engine.add(0, 99, BUY, len(kept), None, kind=Kind.MARKET)
    assert fills(caused) == [(99, order_id, price, 1) for price, order_id in kept]


@pytest.mark.parametrize("step", [7, -7, 4_099, -4_099, 70_001])
def test_the_window_follows_a_price_that_travels(engine: CompiledEngine, step: int) -> None:
    mid, order_id = 1_000_000, 0
    for _ in range(2_000):
        mid += step
        order_id += 2
        engine.add(0, order_id, BUY, 1, mid - 1)
        engine.add(0, order_id + 1, SELL, 1, mid + 1)
    resting = engine.open_orders()
    buys, sells = (resting[resting["side"] == side]["price"] for side in (BUY, SELL))
    assert buys.max() < sells.min()
    for side, sign in ((BUY, -1), (SELL, 1)):
        found = resting[resting["side"] == side]["price"] * sign
        assert (np.diff(found) >= 0).all()


def test_pools_and_buffers_grow_in_the_middle_of_a_batch() -> None:
    count = 150_000
    adds = np.zeros(count + 1, INPUT)
    adds["seq"], adds["order_id"] = np.arange(1, count + 2), np.arange(1, count + 2)
    adds["op"] = adds["kind"] = adds["qty"] = adds["side"] = 1
    adds["price"] = np.arange(count + 1) // 20
    adds["side"][-1], adds["qty"][-1], adds["price"][-1] = BUY, count, PRICE_MAX
    engine = CompiledEngine(orders=2)
    caused = engine.apply(adds)
    assert len(caused) == 2 * count + 1
    assert (np.diff(caused["seq"]) == 1).all()
    assert engine.n_open == 0
    assert caused["maker_id"][-count:].tolist() == list(range(1, count + 1))


def test_the_same_state_reached_in_different_ways_gives_the_same_bytes() -> None:
    straight, winding = CompiledEngine(), CompiledEngine(orders=2)
    for order_id in range(1, 41):
        straight.add(0, order_id, BUY, 5, order_id * 700)
    for order_id in range(40, 20, -1):
        winding.add(0, order_id, BUY, 5, order_id * 700)
    winding.cancel(30)
    for order_id in [*range(1, 21), 30]:
        winding.add(0, order_id, BUY, 5, order_id * 700)
    head = 8 * 5  # the numbers of inputs and of events differ
    assert straight.save()[head:] == winding.save()[head:]
    again = CompiledEngine.load(winding.save())
    assert again.save() == winding.save()
    assert again.state_hash() == winding.state_hash() != straight.state_hash()


def test_damaged_states_are_refused(engine: CompiledEngine) -> None:
    engine.add(0, 1, BUY, 5, 10)
    state = engine.save()
    other_symbol = state[:-16] + b"\x09" + state[-15:]
    other_side = state[:-12] + b"\x09" + state[-11:]
    wrong_head = (b"", b"x" + state[1:], state[:8] + b"\x07" + state[9:])
    for damaged in (*wrong_head, state[:-1], state + b"\0", other_symbol, other_side):
        with pytest.raises(ValueError, match="state"):
            CompiledEngine.load(damaged)


def test_inputs_whose_numbers_do_not_rise_are_refused_before_any_is_applied(engine: CompiledEngine) -> None:
    inputs = rows([{"op": "time", "seq": seq} for seq in (1, 2, 2)])
    with pytest.raises(ValueError, match="must rise"):
        engine.apply(inputs)
    assert engine.seq == engine.event_seq == 0


def test_orders_entered_in_a_hurry_do_what_the_same_orders_do_otherwise() -> None:
    quick, other = CompiledEngine(orders=2), CompiledEngine(orders=2)
    numbers = np.random.default_rng(7)
    for order_id in range(1, 3000):
        side, qty, price, owner = (int(n) for n in numbers.integers((0, 1, 90, 0), (2, 50, 110, 4)))
        kind = Kind.IOC if order_id % 5 == 0 else Kind.LIMIT
        n = quick.enter(0, order_id, side, qty, price, kind, owner, order_id)
        expected = other.add(0, order_id, side, qty, price, kind=kind, owner=owner, ts_ns=order_id)
        assert quick.told(n).tobytes() == expected.tobytes()
        if order_id % 3 == 0:
            gone = int(numbers.integers(1, order_id + 1))
            n = quick.withdraw(gone, order_id)
            assert quick.told(n).tobytes() == other.cancel(gone, ts_ns=order_id).tobytes()
    assert quick.save() == other.save()
    assert quick.enter(0, 5000, BUY, 0, 100) == 1, "a refusal is told as well"
    assert len(quick.add(0, 5001, BUY, 1, 1)) == 1, "what was told is not told again"


def test_the_hot_loop_counts_no_references() -> None:
    fresh = njit(kernel.run.py_func)  # a kernel out of the cache has no listing
    fresh.compile("int64(int64, int64, int64, int64)")
    (listing,) = fresh.inspect_asm().values()
    assert listing.count("\n") > 1_000
    assert len(re.findall(r"NRT_(?:incref|decref)", listing)) == 0
