"""Inputs as the log keeps them: whatever goes in comes out, and damage is seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tick_runs import one_by_one

from trading.exchange.codec import chain_hash, decode, encode, events_hash
from trading.exchange.engine import Engine
from trading.exchange.messages import TICK, Cancel, Closed, Event, Input, Margin, Run, Tick, TurnAway, Working

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(*[INT64] * 8, st.integers(0, 255), st.integers(-128, 127), st.integers(0, 9)), max_size=9))
@settings(max_examples=100, deadline=None)
def test_whatever_a_tick_carries_survives_the_log(rows: list[tuple[int, ...]]) -> None:
    inputs = [Input(n, n % 3, Tick(i, kind, a, *numbers)) for n, (*numbers, kind, a, i) in enumerate(rows, 7)]
    assert list(one_by_one(decode(encode(inputs)))) == inputs


def test_a_run_in_the_log_stays_a_run() -> None:
    run = Run(5, 7, np.zeros(3, TICK))
    (again,) = decode(encode([run]))
    assert isinstance(again, Run)
    assert (again.seq, again.ts_ns, again.ticks.tobytes()) == (5, 7, run.ticks.tobytes())


def test_what_was_decided_of_margin_survives_the_log_and_changes_no_book() -> None:
    call = Input(1, 7, Margin(3, 1, "close_out", -5, 10, 8))
    away = Input(2, 8, TurnAway(9, "position_closed"))
    assert list(decode(encode([call, away]))) == [call, away]
    engine = Engine()
    before = engine.save()
    assert engine.apply(call) == []
    assert engine.apply(away) == [Closed(9, "rejected", "position_closed")]
    assert engine.seq == 2
    engine.seq = 0
    assert engine.save() == before


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:9] + b"xx" + b[11:]])
def test_damaged_inputs_are_refused(damage: object) -> None:
    packed = encode([Input(1, 1, Tick(1, 1, 0, 1, 0, 1, 2, 3, 4, 0, 0)), Input(2, 1, Cancel(3))])
    with pytest.raises(ValueError, match=r"damaged|cut|version"):
        list(decode(damage(packed)))  # type: ignore[operator]


def test_hashes_tell_every_difference() -> None:
    one: list[Event] = [Working(1), Closed(2, "cancelled", "cancel")]
    assert events_hash([(1, one)]) == events_hash([(1, list(one))])
    assert events_hash([(1, one)]) != events_hash([(1, one[::-1])])
    assert events_hash([(1, one)]) != events_hash([(1, one[:1])])
    assert events_hash([(1, one)]) != events_hash([(2, one)])
    assert len({chain_hash(b"", b"a", b"b"), chain_hash(b"c", b"a", b"b"), chain_hash(b"", b"a", b"c")}) == 3
