"""The way of records out of the market process, against a real Valkey: numbers, bars, and what a kill leaves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trading.adapters.clock import FixedClock
from trading.adapters.redis_bus import RedisBus, TapePosition
from trading.market.bars import MINUTE_NS, bars_of_ticks, no_bars
from trading.market.ticks import QUOTE, TICK, TRADE, Ticks
from trading.processes.market_archive import Units
from trading.processes.market_feed import RESERVE, Feed

NOON_NS = 20_700 * 1440 * MINUTE_NS
UNITS = {key: Units(f"S{key}", Decimal("0.01"), Decimal(1)) for key in (3, 5, 9)}


def no_lake() -> Any:
    raise AssertionError("no bar is due for the lake here")


@pytest.fixture
def bus(redis_url: str) -> Iterator[RedisBus]:
    bus = RedisBus(redis_url)
    yield bus
    bus.close()


@pytest.fixture
def later() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor


def feed_of(bus: RedisBus, later: ThreadPoolExecutor) -> Feed:
    return Feed(UNITS, bus, no_lake, FixedClock(NOON_NS), later)


def records(*ids: int, minute: float = 0.0) -> Ticks:
    ticks = np.zeros(len(ids), dtype=TICK)
    ticks["instrument_id"], ticks["kind"], ticks["ts_ns"] = ids, QUOTE | TRADE, NOON_NS + int(minute * MINUTE_NS)
    ticks["trade_ticks"], ticks["trade_lots"] = 100 + np.arange(len(ids)), 1
    return ticks


def tape(bus: RedisBus) -> Ticks:
    return bus.read_tape(TapePosition(), 0, count=10_000).ticks


def test_numbers_rise_by_one_for_each_instrument_however_records_are_mixed(
    bus: RedisBus, later: ThreadPoolExecutor
) -> None:
    feed = feed_of(bus, later)
    for ids in ((3, 5, 3, 9, 9, 3), (5,), (9, 3, 5, 5)):
        feed.publish(records(*ids))
    published = tape(bus)
    assert published["instrument_id"].tolist() == [3, 5, 3, 9, 9, 3, 5, 9, 3, 5, 5], "their order is kept"
    for instrument_id in UNITS:
        seq = published["seq"][published["instrument_id"] == instrument_id]
        assert np.diff(seq).tolist() == [1] * (len(seq) - 1)


def test_time_does_not_go_back_where_one_source_takes_over_from_another(
    bus: RedisBus, later: ThreadPoolExecutor
) -> None:
    feed = feed_of(bus, later)
    for ids, minute in (((3, 5), 0.2), ((3, 3), 0.1), ((5, 3), 0.3), ((9,), 0.0)):
        feed.publish(records(*ids, minute=minute), replayed=minute == 0.2)
    published = tape(bus)
    minutes = (published["ts_ns"] - NOON_NS) / MINUTE_NS
    assert minutes.round(3).tolist() == [0.2, 0.2, 0.2, 0.2, 0.3, 0.3, 0.0], "each instrument has a time of its own"


def test_a_killed_feed_takes_up_its_numbers_and_bars_from_the_tape(bus: RedisBus, later: ThreadPoolExecutor) -> None:
    feed = feed_of(bus, later)
    feed.publish(records(3, 5, 3))
    saved = feed.dump()
    feed.publish(records(3, 9, minute=0.5))
    feed.publish(records(3, 5, minute=1.2))
    following = feed_of(bus, later)
    following.load(saved)
    caught = following.catch_up(0)
    assert caught["seq"].tolist() == tape(bus)["seq"][3:].tolist()
    following.publish(records(3, 5, 9, minute=2.5))
    published = tape(bus)
    for instrument_id in UNITS:
        seq = published["seq"][published["instrument_id"] == instrument_id]
        assert np.diff(seq).tolist() == [1] * (len(seq) - 1)
    expected = bars_of_ticks(published, "D1")
    forming = {(row[0], row[1]): row[3:] for row in following.dump()["builder"]["open"]}
    minutes = bars_of_ticks(published, "M1")
    for bar in minutes[minutes["ts_ns"] == NOON_NS + 2 * MINUTE_NS].tolist():
        assert forming[bar[0], 0] == list(bar[4:])
    day = {row[0]: row[8] for row in expected.tolist()}
    for instrument_id, volume in day.items():
        assert forming[instrument_id, 6][4] + forming[instrument_id, 0][4] == volume, "nothing twice, nothing lost"


def test_where_the_tape_is_gone_numbers_jump(bus: RedisBus, later: ThreadPoolExecutor) -> None:
    feed = feed_of(bus, later)
    feed.load({"builder": feed.dump()["builder"], "pending": "", "seq": {"3": 41}})
    assert len(feed.catch_up(0)) == 0
    feed.publish(records(3))
    assert tape(bus)["seq"].tolist() == [41 + RESERVE + 1]


def test_ticks_wait_for_the_past_before_they_become_bars(bus: RedisBus, later: ThreadPoolExecutor) -> None:
    feed = feed_of(bus, later)
    feed.hold_bars()
    feed.publish(records(3, 3))
    assert feed.holding
    assert feed.dump()["builder"]["open"] == []
    feed.adopt(no_bars())
    assert not feed.holding
    assert [row[:2] + row[3:] for row in feed.dump()["builder"]["open"]] == [[3, 0, 100, 101, 100, 101, 2]]
