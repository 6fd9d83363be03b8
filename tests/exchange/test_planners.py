"""Parents worked in children: schedules by example, and what holds whatever the market and the wire do."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.errors import Invalid
from trading.exchange.planners import (
    Iceberg,
    Order,
    Parent,
    Participation,
    Place,
    Plan,
    Printed,
    Report,
    Sliced,
    Stop,
    TakeBack,
    advance,
    dump,
    load,
    resume,
    schedule,
)

S = 1_000_000_000
TWAP3 = Sliced((1, 1, 1))


def parent(lots: int = 10, style: object = TWAP3, **kwargs: object) -> Parent:
    return Parent(lots, 0, 30 * S, style, **kwargs)  # type: ignore[arg-type]


def filled(order: Order) -> Report:
    assert isinstance(order, Place)
    return Report(order.n, order.lots, over=True)


# By example ----------------------------------------------------------------------------------------------------------


def test_a_twap_sends_even_slices_at_even_times_and_the_remainder_with_the_last() -> None:
    assert schedule(parent()) == ((0, 3), (10 * S, 6), (20 * S, 10))
    plan, first = advance(Plan(parent()), 0)
    plan, nothing = advance(plan, 9 * S)
    plan, second = advance(plan, 10 * S)
    plan, third = advance(plan, 21 * S)
    assert [first, nothing, second, third] == [(Place(1, 3),), (), (Place(2, 3),), (Place(3, 4),)]


def test_a_vwap_follows_the_profile_of_the_volume() -> None:
    assert schedule(parent(100, Sliced((5, 1, 4)))) == ((0, 50), (10 * S, 60), (20 * S, 100))


def test_slices_that_were_slept_through_go_out_as_one() -> None:
    plan, orders = advance(Plan(parent()), 25 * S)
    assert orders == (Place(1, 10),)
    assert plan.slices == 3


def test_what_a_slice_did_not_get_goes_with_the_next_one_and_not_before() -> None:
    plan, _ = advance(Plan(parent()), 0)
    plan, orders = advance(plan, 1 * S, Report(1, 1, over=True))
    assert orders == ()
    plan, orders = advance(plan, 10 * S)
    assert orders == (Place(2, 5),)


def test_participation_takes_its_share_of_what_others_trade() -> None:
    plan = Plan(parent(1000, Participation(100_000, least_lots=10)))
    plan, orders = advance(plan, 1 * S, Printed(99))
    assert orders == ()
    plan, orders = advance(plan, 2 * S, Printed(51))
    assert orders == (Place(1, 15),)
    plan, orders = advance(plan, 3 * S, Report(1, 15, over=True))
    assert orders == ()
    plan, orders = advance(plan, 3 * S, Printed(1_000_000))
    assert orders == (Place(2, 985),)


def test_an_iceberg_shows_one_child_at_a_time() -> None:
    plan, orders = advance(Plan(parent(25, Iceberg(10))), 0)
    shown = []
    while orders:
        shown.append(orders)
        plan, orders = advance(plan, 1 * S, filled(orders[0]))
    assert shown == [(Place(1, 10),), (Place(2, 10),), (Place(3, 5),)]
    assert plan.over
    assert plan.filled_lots == 25


def test_an_iceberg_does_not_fight_whoever_cancels_its_child() -> None:
    plan, _ = advance(Plan(parent(25, Iceberg(10))), 0)
    plan, orders = advance(plan, 1 * S, Report(1, 4, over=True))
    assert orders == ()
    assert plan.over


def test_at_the_end_children_are_taken_back_and_the_rest_is_left() -> None:
    plan, _ = advance(Plan(parent()), 25 * S)
    plan, orders = advance(plan, 30 * S)
    assert orders == [TakeBack(1)]
    assert not plan.over
    plan, orders = advance(plan, 31 * S, Report(1, 4, over=True))
    assert orders == ()
    assert plan.over
    assert plan.filled_lots == 4


def test_at_the_end_the_rest_is_taken_once_where_the_parent_says_so() -> None:
    plan, _ = advance(Plan(parent(at_end="take")), 25 * S)
    plan, _ = advance(plan, 30 * S)
    plan, orders = advance(plan, 31 * S, Report(1, 4, over=True))
    assert orders == (Place(2, 6, take=True),)
    plan, orders = advance(plan, 32 * S, Report(2, 5, over=True))
    assert orders == ()
    assert plan.over
    assert plan.filled_lots == 9


def test_a_fill_that_overtakes_the_cancel_is_counted_before_the_rest_is_taken() -> None:
    plan, _ = advance(Plan(parent(at_end="take")), 25 * S)
    plan, _ = advance(plan, 30 * S)
    plan, orders = advance(plan, 31 * S, Report(1, 9, over=False))
    assert orders == ()
    plan, orders = advance(plan, 32 * S, Report(1, 9, over=True))
    assert orders == (Place(2, 1, take=True),)


def test_stopping_takes_back_the_last_child_too() -> None:
    plan, _ = advance(Plan(parent(at_end="take")), 31 * S)
    plan, orders = advance(plan, 32 * S, Stop())
    assert orders == [TakeBack(1)]
    plan, orders = advance(plan, 33 * S, Report(1, 2, over=True))
    assert orders == ()
    assert plan.over


def test_a_report_that_comes_late_takes_no_fill_away() -> None:
    plan, _ = advance(Plan(parent()), 25 * S)
    for filled_lots in (2, 7, 2):
        plan, _ = advance(plan, 26 * S, Report(1, filled_lots, over=False))
    assert plan.filled_lots == 7


def test_jitter_scatters_times_and_sizes_and_belongs_to_the_seed() -> None:
    loose = parent(1000, Sliced((1,) * 10), seed=4, jitter_ppm=500_000)
    slices = schedule(loose)
    assert slices == schedule(load(dump(Plan(loose))).parent)
    assert slices != schedule(parent(1000, Sliced((1,) * 10), seed=5, jitter_ppm=500_000))
    assert slices[-1][1] == 1000
    assert all(k * 3 * S <= due < (k + 1) * 3 * S for k, (due, _) in enumerate(slices))
    assert len({b - a for (_, a), (_, b) in pairwise(slices)}) > 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Parent(0, 0, 1, TWAP3),
        lambda: Parent(1, 1, 1, TWAP3),
        lambda: Sliced((0, 0)),
        lambda: Sliced((1, -1)),
        lambda: Participation(0),
        lambda: Iceberg(0),
        lambda: parent(jitter_ppm=1_000_000),
    ],
)
def test_a_parent_that_cannot_be_worked_is_refused(wrong: object) -> None:
    with pytest.raises(Invalid):
        wrong()  # type: ignore[operator]


@pytest.mark.parametrize("report", [Report(2, 0, over=True), Report(0, 0, over=False), Report(1, 11, over=False)])
def test_a_report_that_cannot_be_true_is_refused(report: Report) -> None:
    plan, _ = advance(Plan(parent()), 25 * S)
    with pytest.raises(Invalid, match="cannot have filled"):
        advance(plan, 26 * S, report)


# Whatever happens ----------------------------------------------------------------------------------------------------

STYLES = st.one_of(
    st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any).map(lambda w: Sliced(tuple(w))),
    st.builds(Participation, st.integers(1, 1_000_000), st.integers(1, 20)),
    st.builds(Iceberg, st.integers(1, 40)),
)
PARENTS = st.builds(
    Parent,
    lots=st.integers(1, 200),
    start_ns=st.integers(0, 5 * S),
    end_ns=st.integers(6 * S, 20 * S),
    style=STYLES,
    at_end=st.sampled_from(["leave", "take"]),
    seed=st.integers(0, 99),
    jitter_ppm=st.sampled_from([0, 300_000, 999_999]),
)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["time", "print", "fill", "fill", "end", "again", "again", "stop"]),
        st.integers(0, 99),
        st.integers(1, 60),
    ),
    max_size=60,
)


class Wire:
    """Children as the market has them: cumulative fills, which are over, and every report that was ever sent."""

    def __init__(self) -> None:
        self.placed: dict[int, Place] = {}
        self.filled: dict[int, int] = {}
        self.over: set[int] = set()
        self.asked: set[int] = set()
        self.sent: list[Report] = []

    def take(self, orders: object) -> None:
        for order in orders:  # type: ignore[attr-defined]
            if isinstance(order, TakeBack):
                self.asked.add(order.n)
            else:
                assert order.lots > 0
                assert self.placed.setdefault(order.n, order) == order

    def live(self) -> list[int]:
        return [n for n in self.placed if n not in self.over]

    def report(self, n: int, more: int, over: bool) -> Report:
        self.filled[n] = min(self.placed[n].lots, self.filled.get(n, 0) + more)
        if over or self.filled[n] == self.placed[n].lots:
            self.over.add(n)
        self.sent.append(Report(n, self.filled[n], n in self.over))
        return self.sent[-1]


def moved(wire: Wire, kind: str, pick: int, lots: int) -> Printed | Report | Stop | None:
    live = wire.live()
    if kind == "print":
        return Printed(lots)
    if kind == "stop" and pick < 15:
        return Stop()
    if kind == "again" and wire.sent:
        return wire.sent[pick % len(wire.sent)]
    if kind in ("fill", "end") and live:
        return wire.report(live[pick % len(live)], 1 + lots // 8 if kind == "fill" else 0, kind == "end")
    return None


@settings(max_examples=300)
@given(PARENTS, MOVES)
def test_children_never_exceed_the_parent_and_a_resumed_plan_goes_on_as_the_unbroken_one(
    whole: Parent, moves: list[tuple[str, int, int]]
) -> None:
    plan, wire, now_ns = Plan(whole), Wire(), 0
    stopped = False
    for kind, pick, lots in moves:
        now_ns += lots * S // 20 if kind == "time" else 0
        happened = moved(wire, kind, pick, lots)
        stopped = stopped or isinstance(happened, Stop)
        resumed = load(json.loads(json.dumps(dump(plan))))
        assert resumed == plan
        once = advance(plan, now_ns, happened)
        assert advance(resumed, now_ns, happened) == once
        plan, orders = once
        wire.take(orders)
        wire.take(resume(plan))
        done = sum(wire.filled.get(n, 0) for n in wire.over)
        assert done + sum(wire.placed[n].lots for n in wire.live()) <= whole.lots
        assert plan.filled_lots == sum(wire.filled.values())
        assert {child.n for child in plan.live} == set(wire.live())
        if stopped:
            assert set(wire.live()) <= wire.asked
    closed(plan, wire, whole, stopped)


def closed(plan: Plan, wire: Wire, whole: Parent, stopped: bool) -> None:
    """After the end every child is taken back, and with a market that fills it a ``take`` parent is complete."""
    plan, orders = advance(plan, whole.end_ns)
    wire.take(orders)
    for n in [n for n in wire.live() if n in wire.asked]:
        plan, orders = advance(plan, whole.end_ns + S, wire.report(n, 0, over=True))
        wire.take(orders)
    for n in wire.live():
        assert wire.placed[n].take
        plan, orders = advance(plan, whole.end_ns + S, wire.report(n, whole.lots, over=True))
        assert not orders
        assert plan.filled_lots == whole.lots
    assert plan.over
    assert not wire.live()
    assert plan.filled_lots == sum(wire.filled.values()) <= whole.lots
