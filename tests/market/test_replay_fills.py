"""What an engine makes of a replay: orders fill at the prices of the recording, also after a seek, never in a pause."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from trading.exchange.engine import Engine
from trading.exchange.messages import BUY, SELL, Direction, Event, Filled, Input, Run, Submit
from trading.market import replay
from trading.market.recordings import Target, merged, with_books
from trading.market.replay import Recording
from trading.market.ticks import Ticks

SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS
NOW_NS = 1_800_000_000 * SECOND_NS
TARGET = Target(7, tick_size=0.01, lot_size=1.0, spread_ticks=2, size_lots=100)


def prices(seconds: int) -> Ticks:
    """A quote a second, a tick higher each, with a print in its middle."""
    stamps = START_NS + np.arange(seconds) * SECOND_NS
    bid = 10 + 0.01 * np.arange(seconds)
    size = np.full(seconds, 100.0)
    both = TARGET.quotes(stamps, bid, bid + 0.02, size, size)
    return merged([both, TARGET.trades(stamps, bid + 0.01, size / 10, np.ones(seconds, dtype=np.int64))])


def book(seconds: int) -> Ticks:
    """The same prices as updates of a book of two levels a side."""
    steps = np.repeat(np.arange(seconds), 4)
    side = np.tile([False, False, True, True], seconds)
    price = 10 + 0.01 * steps + np.tile([-0.01, 0.0, 0.02, 0.03], seconds)
    stamps = START_NS + steps * SECOND_NS
    return TARGET.books(stamps, steps, np.ones(len(steps), dtype=bool), side, price, np.full(len(steps), 100.0))


class Traded:
    """A replay into an engine, with a clock that the test moves."""

    def __init__(self, ticks: Ticks, speed: float = 1.0) -> None:
        self.recording, self.engine, self.now_ns = Recording.of(ticks), Engine(), NOW_NS
        self.playback = replay.begin(self.recording, NOW_NS, from_ns=None, speed=speed, paused=False)
        self._orders: Iterator[int] = count(1)

    def run(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        for _ in range(round(seconds * 10)):
            self.now_ns += SECOND_NS // 10
            self.playback, ticks = replay.advance(self.recording, self.playback, self.now_ns)
            if len(ticks):
                run = Run(self.engine.seq + 1, self.now_ns, ticks)
                events += [event for _, caused in self.engine.apply_run(run) for event in caused]
        return events

    def send(self, direction: Direction, limit_ticks: int, *, market: bool = True) -> list[Event]:
        order = Submit(next(self._orders), 1, 1, 7, direction, market, "gtc", 5, limit_ticks)
        return list(self.engine.apply(Input(self.engine.seq + 1, self.now_ns, order)))


def fills(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.price_ticks, event.lots) for event in events if isinstance(event, Filled)]


@pytest.mark.parametrize("ticks", [with_books(prices(200)), book(200)], ids=["quotes", "books"])
def test_orders_fill_at_the_recordings_prices_also_after_a_seek(ticks: Ticks) -> None:
    own = Traded(ticks)
    own.run(10.55)
    assert fills(own.send(BUY, 9_999)) == [(1012, 5)]
    assert fills(own.send(SELL, 1)) == [(1010, 5)]
    own.playback = replay.seek(own.recording, own.playback, START_NS + 100 * SECOND_NS + 1, own.now_ns)
    own.run(0.1)
    assert fills(own.send(BUY, 9_999)) == [(1102, 5)], "what holds there is told before the next record is due"
    own.run(1)
    assert fills(own.send(SELL, 1)) == [(1101, 5)]


@pytest.mark.parametrize("ticks", [with_books(prices(60)), book(60)], ids=["quotes", "books"])
def test_an_order_sent_in_a_long_pause_waits_until_it_goes_on(ticks: Ticks) -> None:
    own = Traded(ticks)
    own.run(10.5)
    own.playback = replay.pause(own.recording, own.playback, own.now_ns)
    own.run(6)
    assert fills(own.send(BUY, 9_999)) == []
    assert own.run(20) == []
    own.playback = replay.play(own.recording, own.playback, own.now_ns)
    assert fills(own.run(1)) == [(1012, 5)], "the book that holds there is told again at once"


def test_a_limit_order_fills_when_a_recorded_price_reaches_it() -> None:
    own = Traded(with_books(prices(60)))
    own.run(5.5)
    assert fills(own.send(SELL, 1020, market=False)) == []
    assert fills(own.run(14.4)) == []
    assert fills(own.run(3)) == [(1020, 5)], "the print above it, or the bid that comes to it"


def test_a_slow_replay_of_books_stays_live() -> None:
    own = Traded(book(60), speed=0.01)
    own.run(30)
    assert fills(own.send(BUY, 9_999)) == [(1002, 5)]
