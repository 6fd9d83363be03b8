"""Large orders worked in children on the floor: by example, through restarts, kills and the kill switch."""

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from killed_clerks import KilledClerks
from trading_floor import TradingFloor, refusal

from trading.domain.errors import Conflict, NotFound
from trading.domain.orders import OrderType, Refusal, Side, Ticket
from trading.market.bars import BAR, pack_bars
from trading.services import halt, parents, people
from trading.services.access import SYSTEM
from trading.services.parents import Working
from trading.services.ports.parents import ParentState, Style, WorkedParent

TWAP = Working(Style.TWAP, 3, slices=3)


def ticket(quantity: str = "90", limit: str | None = None, side: Side = Side.BUY, **more: Any) -> Ticket:
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    return Ticket("AAPL", side, kind, quantity, limit, **more)


class Works:
    """A floor that works orders; the test is the clerk."""

    def __init__(self, floor: TradingFloor) -> None:
        self.floor = floor
        self.keys = iter(range(10_000))
        self.bars: bytes = b""
        floor.bus.get_bars = lambda: (b"", self.bars)  # type: ignore[method-assign]
        floor.quote("99.99", "100.00")

    def ask(self, asked: Ticket, working: Working, key: str | None = None) -> WorkedParent | Refusal:
        key = key or f"p{next(self.keys)}"
        return parents.create(self.floor.floor, self.floor.trader, self.floor.portfolio, asked, working, key)

    def begun(self, asked: Ticket, working: Working) -> WorkedParent:
        answer = self.ask(asked, working)
        assert isinstance(answer, WorkedParent), answer
        return answer

    def step(self, seconds: float = 0.0, *, broker: bool = True) -> str:
        """Time passes, the market quotes, the broker fills, the clerk works."""
        self.floor.clock.advance(seconds)
        row = self.floor.quoted("99.99", "100.00")
        if broker:
            self.floor.run_broker(row)
        return parents.work_all(self.floor.floor, SYSTEM)

    def now(self, parent: WorkedParent) -> WorkedParent:
        found = self.floor.floor.parents.one(parent.id)
        assert found is not None
        return found

    def children(self, parent: WorkedParent) -> list[tuple[int, int, str]]:
        return [(child.quantity_lots, child.filled_lots, str(child.state)) for child in self.now(parent).children]

    def traded(self, lots: int, minute: int = 0) -> None:
        """The forming minute bar says that others have traded so much."""
        bar = np.zeros(1, BAR)
        bar["instrument_id"], bar["volume"] = self.floor.aapl.id, lots
        bar["ts_ns"] = self.floor.clock.now_ns() // 60_000_000_000 * 60_000_000_000 + minute * 60_000_000_000
        self.bars = pack_bars(bar)

    def call(self, what: Callable[..., Refusal | None], parent: WorkedParent) -> Refusal | None:
        return what(self.floor.floor, self.floor.trader, self.floor.portfolio, parent.id)


@pytest.fixture
def works(floor: TradingFloor) -> Works:
    return Works(floor)


def test_a_twap_sends_its_slices_in_time_and_is_filled_by_them(works: Works) -> None:
    parent = works.begun(ticket(), TWAP)
    assert works.children(parent) == [(30, 0, "accepted")]
    works.step(1)
    assert works.children(parent) == [(30, 30, "filled")]
    works.step(60)
    works.step()
    works.step(60)
    works.step()
    assert works.children(parent) == [(30, 30, "filled")] * 3
    works.step()
    done = works.now(parent)
    assert (done.state, done.filled_lots) == (ParentState.FILLED, 90)
    assert works.step(60) == ""
    assert works.floor.shares() == (90, 0)
    assert works.floor.query("select distinct parent_id, actor_id from orders") == [
        (parent.id, works.floor.trader.user_id)
    ]
    works.floor.check()


def test_an_iceberg_shows_a_part_and_follows_it_with_the_next(works: Works) -> None:
    parent = works.begun(ticket("25", "100.00"), Working(Style.ICEBERG, 60, display="10"))
    for _ in range(5):
        works.step()
    assert works.children(parent) == [(10, 10, "filled"), (10, 10, "filled"), (5, 5, "filled")]
    assert works.now(parent).state is ParentState.FILLED
    works.floor.check()


def test_participation_follows_the_volume_of_the_tape(works: Works) -> None:
    works.traded(500)
    parent = works.begun(ticket("1000"), Working(Style.POV, 60, rate_percent="10"))
    works.step()
    assert works.children(parent) == []  # what was traded before it began is not its business
    works.traded(700)
    works.step()
    assert [lots for lots, _, _ in works.children(parent)] == [20]
    works.step(2)
    assert [lots for lots, _, _ in works.children(parent)] == [20]
    works.floor.clock.advance(60)
    works.traded(300)
    works.step()
    assert [lots for lots, _, _ in works.children(parent)] == [20, 30]
    works.floor.check()


def test_a_cancel_reaches_every_child_and_what_has_filled_stays(works: Works) -> None:
    parent = works.begun(ticket("90", "99.50"), TWAP)
    works.step(1)
    works.step(60)
    works.step()
    assert [state for _, _, state in works.children(parent)] == ["working", "working"]
    assert works.call(parents.cancel, parent) is None
    assert works.now(parent).state is ParentState.STOPPING
    assert works.call(parents.cancel, parent) is None
    works.step()
    works.step()
    assert works.now(parent).state is ParentState.CANCELLED
    assert works.floor.held() == (0, 0)
    assert refusal(works.call(parents.cancel, parent)) == "order_over"
    works.step(60)
    assert len(works.children(parent)) == 2
    works.floor.check()


def test_its_time_over_it_takes_back_what_is_out_and_leaves_or_takes_the_rest(works: Works) -> None:
    leave = works.begun(ticket("30", "99.50"), Working(Style.TWAP, 1, slices=1))
    take = works.begun(ticket("30", "100.00", Side.BUY), Working(Style.ICEBERG, 1, display="10", at_end="take"))
    works.floor.quote("100.01", "100.02")
    works.floor.clock.advance(60)
    works.floor.quote("99.99", "100.00")
    for _ in range(4):
        works.step()
    ended = works.now(leave)
    assert (ended.state, ended.code, ended.filled_lots) == (ParentState.ENDED, "time_over", 0)
    assert works.now(take).state is ParentState.FILLED
    works.floor.check()


def test_the_kill_switch_pauses_it_and_its_owner_resumes_it(works: Works) -> None:
    parent = works.begun(ticket(), TWAP)
    works.step(1)
    halt.set_mode(works.floor.floor, SYSTEM, "floor", "halted", "a drill")
    works.step(60)
    paused = works.now(parent)
    assert (paused.state, paused.code) == (ParentState.PAUSED, "halted")
    assert works.step(30) == ""
    halt.set_mode(works.floor.floor, SYSTEM, "floor", "running", "over")
    works.step()
    assert len(works.children(parent)) == 1
    assert works.call(parents.resume, parent) is None
    assert refusal(works.call(parents.resume, parent)) == "parent_state"
    for _ in range(3):
        works.step(40)
        works.step()
    assert works.now(parent).state is ParentState.FILLED
    works.floor.check()


def test_a_refused_child_pauses_with_its_code_and_a_paused_one_ends_with_its_time(works: Works) -> None:
    parent = works.begun(ticket("3000"), Working(Style.TWAP, 3, slices=2))
    assert (works.now(parent).state, works.now(parent).code) == (ParentState.PAUSED, "insufficient_cash")
    works.step(180)
    works.step()
    assert (works.now(parent).state, works.now(parent).code) == (ParentState.ENDED, "paused_to_end")
    disabled = works.begun(ticket(), TWAP)
    people.set_disabled(works.floor.floor, SYSTEM, works.floor.trader.user_id, True)
    works.step(60)
    assert works.now(disabled).code == "owner_disabled"
    works.floor.check()


def test_what_cannot_be_worked_is_refused(works: Works) -> None:
    assert refusal(works.ask(ticket("0"), TWAP)) == "not_positive"
    assert refusal(works.ask(ticket("1.5"), TWAP)) == "off_step"
    assert refusal(works.ask(ticket(take_profit="110"), TWAP)) == "not_worked"
    assert refusal(works.ask(ticket(limit="99.999"), TWAP)) == "off_step"
    assert refusal(works.ask(ticket(), Working(Style.TWAP, 0))) == "bad_plan"
    assert refusal(works.ask(ticket(), Working(Style.TWAP, 1, slices=501))) == "bad_plan"
    assert refusal(works.ask(ticket(), Working(Style.POV, 1, rate_percent="101"))) == "bad_plan"
    assert refusal(works.ask(ticket(), Working(Style.VWAP, 1, weights=(0, 0)))) == "bad_plan"
    assert refusal(works.ask(ticket(), Working(Style.ICEBERG, 1, display="1"))) == "limit_missing"
    assert refusal(works.ask(ticket(limit="99.00"), Working(Style.ICEBERG, 1, display="91"))) == "bad_plan"
    assert refusal(works.ask(Ticket("NA", Side.BUY, OrderType.MARKET, "1"), TWAP)) == "unknown_instrument"
    with pytest.raises(NotFound):
        parents.cancel(works.floor.floor, works.floor.trader, works.floor.portfolio, 99)


def test_a_key_is_one_parent(works: Works) -> None:
    first = works.ask(ticket(), TWAP, "one")
    works.floor.clock.advance(5)
    again = works.ask(ticket(), TWAP, "one")
    assert isinstance(first, WorkedParent)
    assert isinstance(again, WorkedParent)
    assert again.id == first.id
    assert len(works.children(first)) == 1
    with pytest.raises(Conflict):
        works.ask(ticket("91"), TWAP, "one")


def test_a_child_can_be_cancelled_but_not_changed_by_hand(works: Works) -> None:
    parent = works.begun(ticket("90", "99.50"), TWAP)
    works.step(1)
    [child] = works.now(parent).children
    assert refusal(works.floor.modify(child.order_id, quantity="80")) == "child_order"
    assert works.floor.cancel(child.order_id) is None
    works.step()
    works.step(60)
    assert [lots for lots, _, _ in works.children(parent)] == [30, 60]
    works.floor.check()


def test_a_split_of_what_is_out_pauses_it_and_it_can_still_be_cancelled(works: Works) -> None:
    parent = works.begun(ticket("90", "99.50"), TWAP)
    works.step(1)
    works.floor.query("update orders set quantity_lots = 2 * quantity_lots")
    works.step()
    assert (works.now(parent).state, works.now(parent).code) == (ParentState.PAUSED, "resized")
    assert works.call(parents.cancel, parent) is None
    works.step()
    works.step()
    assert works.now(parent).state is ParentState.CANCELLED


def test_a_clerk_that_was_frozen_cannot_send_what_has_been_given_back(works: Works) -> None:
    """It has read the plan, sleeps, and meanwhile the parent is cancelled."""
    parent = works.begun(ticket("90", "99.50"), TWAP)
    works.step(1)
    works.floor.clock.advance(60)
    frozen = works.now(parent)
    plan, _, _ = parents._advanced(works.floor.floor, frozen, parents.load(frozen.plan), works.floor.clock.now_ns())
    assert parents._kept(works.floor.floor, frozen, ParentState.WORKING, plan=plan)
    assert works.call(parents.cancel, parent) is None
    works.step()
    works.step()
    assert works.now(parent).state is ParentState.CANCELLED
    parents._see_to_children(works.floor.floor, frozen, plan)
    assert len(works.children(parent)) == 1
    works.floor.check()


def test_two_clerks_at_once_send_each_child_once(works: Works) -> None:
    parent = works.begun(ticket("90", "99.50"), TWAP)
    works.floor.clock.advance(60)
    works.floor.quoted("99.99", "100.00")
    read = works.now(parent)
    for _ in range(2):
        plan, _, _ = parents._advanced(works.floor.floor, read, parents.load(read.plan), works.floor.clock.now_ns())
        if parents._kept(works.floor.floor, read, ParentState.WORKING, plan=plan):
            parents._see_to_children(works.floor.floor, read, plan)
    assert [lots for lots, _, _ in works.children(parent)] == [30, 30]
    works.floor.check()


steps = st.lists(
    st.sampled_from(["clerk", "clerk", "broker", "time", "restart", "away", "halt", "run", "resume", "cancel child"]),
    min_size=5,
    max_size=25,
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps, st.sampled_from([TWAP, Working(Style.ICEBERG, 3, display="20"), Working(Style.POV, 3, rate_percent="50")])
)
def test_whatever_happens_children_never_come_to_more_than_their_parent(
    works: Works, happened: list[str], working: Working
) -> None:
    floor, chance = works.floor, random.Random(len(happened))
    works.traded(0)
    parent = works.begun(ticket("60", "100.00"), working)
    for what in happened:
        if what == "clerk":
            works.step(chance.uniform(0, 20), broker=False)
        elif what == "broker":
            floor.run_broker(floor.quoted("99.99", "100.00", lots=chance.choice([7, 1000])))
        elif what == "time":
            floor.clock.advance(30)
            works.traded(chance.randrange(100))
        elif what == "restart":
            floor.restart_broker()
        elif what == "away":
            floor.quoted("100.50", "100.51")
        elif what in ("halt", "run"):
            halt.set_mode(floor.floor, SYSTEM, "floor", "halted" if what == "halt" else "running", "a drill")
        elif what == "resume":
            works.call(parents.resume, parent)
        else:
            for child in works.now(parent).children[-1:]:
                floor.cancel(child.order_id)
        floor.check()
    halt.set_mode(floor.floor, SYSTEM, "floor", "running", "over")
    works.call(parents.cancel, parent)
    for _ in range(3):
        works.step()
    over = works.now(parent)
    assert over.state in (ParentState.FILLED, ParentState.CANCELLED, ParentState.ENDED)
    assert over.filled_lots <= 60
    assert floor.query("select count(*) from orders where state not in ('filled', 'cancelled', 'rejected')") == [(0,)]
    floor.check()


def test_killed_many_times_while_working_every_parent_is_carried_on_and_filled(
    works: Works, environment: dict[str, str]
) -> None:
    """Six icebergs of five children each; the clerk is killed again and again, the broker fills what is there."""
    floor = works.floor
    floor.clock.ns = time.time_ns()  # the clerks' clock is the real one
    floor.quote("99.99", "100.00")
    made = [works.begun(ticket("5", "100.00"), Working(Style.ICEBERG, 10_000, display="1")) for _ in range(6)]
    clerks = KilledClerks(environment, "parents", "work_all(floor, SYSTEM)", seed=3)
    try:
        deadline = time.monotonic() + 120
        while floor.query("select 1 from parent_order where state = 'working' limit 1"):
            assert time.monotonic() < deadline
            clerks.live_and_die(0.05, 0.3)
            floor.clock.ns = max(floor.clock.ns, time.time_ns())
            floor.run_broker(floor.quoted("99.99", "100.00"))
    finally:
        clerks.close()
    assert clerks.kills >= 5
    for parent in made:
        done = works.now(parent)
        assert (done.state, len(done.children), done.filled_lots) == (ParentState.FILLED, 5, 5), done.reason
    assert floor.shares() == (30, 0)
    floor.check()
