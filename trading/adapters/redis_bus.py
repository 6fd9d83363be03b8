"""The bus on Redis or Valkey: ticks in flight, wake-ups, screen events. Nothing of record lives here.

The server may vanish at any time. Publishing then does nothing and answers False, and does not try again for
``RETRY_AFTER_S`` so that a frozen server cannot slow the publisher down; peeking answers "nothing"; a reader of the
tape gets `Unavailable` and decides itself. A publication of ticks is one write and one wait for its replies, on a
connection of its own (`trading.adapters.tick_wire`). Pub/sub ignores the database number of the address, so channels of
databases other than 0 carry it in their name and two floors can share one server.
"""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from trading.adapters.tick_wire import BOOKS, LAST, TickWire, word, words
from trading.domain.errors import Unavailable
from trading.market.ticks import BARS, CHANNEL, EVENTS, STREAM, TICK, WAKE, Ticks, unpack

PROTOCOL = 2
PUBLISH_TIMEOUT_S = 0.5
READ_TIMEOUT_S = 2.0
"""A frozen server is away for whoever waits as long: screens say within 3 s that quotes are old."""
RETRY_AFTER_S = 0.5
WAKE_ENTRIES = 1_024
TAIL = "bars:tail"
OPEN_BARS = "bars:open"
"""Simulated bars not yet in the lake: closed ones, and those still forming. Packed `trading.market.bars.BAR`."""
ASKED = "market:asked"
"""Redis stream of what is asked of the market process: field ``r``, JSON."""
REPLAYS = "market:replays"
REPLAYS_KEPT_S = 5
_FAILURES = (RedisError, OSError)
_NEVER = (float("-inf"), None)


@dataclass(frozen=True, slots=True)
class TapePosition:
    """How far a reader has read the tape and the wake-ups: ids of Redis streams."""

    tape: str = "0-0"
    wake: str = "0-0"


@dataclass(frozen=True, slots=True)
class TapeBatch:
    """What one read returned: where to go on, the ticks in order of publication, whether somebody asked to wake."""

    position: TapePosition
    ticks: Ticks
    woken: bool


def no_ticks() -> Ticks:
    """An empty array of ticks."""
    return np.empty(0, dtype=TICK)


class RedisBus:
    """Publish, peek, read the tape, listen. Safe to share between threads; connections are made when first needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._publisher = self._client(PUBLISH_TIMEOUT_S)
        self._reader = self._client(READ_TIMEOUT_S)
        database = int(self._publisher.connection_pool.connection_kwargs.get("db") or 0)
        self._suffix = f"@{database}" if database else ""
        self._quiet_until_s = 0.0
        self._wire = TickWire(self.channel(CHANNEL))
        self._wake = words("XADD", WAKE, "MAXLEN", "~", str(WAKE_ENTRIES), "*", "w", "1")
        self._tell = b"*3\r\n" + word("PUBLISH") + word(self.channel(EVENTS))
        self._ticks = self._publisher.connection_pool.make_connection()
        self._ticks_lock = threading.Lock()
        self._quotes = _Lines(self._publisher)
        self._wakes = _Lines(self._publisher, answers=False)
        self._read_before: dict[int, tuple[float, bytes | None]] = {}

    def _client(self, timeout_s: float) -> redis.Redis:
        return redis.Redis.from_url(
            self._url,
            protocol=PROTOCOL,
            socket_timeout=timeout_s,
            socket_connect_timeout=PUBLISH_TIMEOUT_S,
            # A retried XADD could write a tick twice: whoever publishes decides, nothing repeats by itself.
            retry=Retry(NoBackoff(), 0),
        )

    def channel(self, name: str) -> str:
        """The pub/sub channel of this floor for `CHANNEL`, `EVENTS` or `BARS`."""
        return name + self._suffix

    def close(self) -> None:
        """Give the connections back."""
        self._ticks.disconnect()  # type: ignore[no-untyped-call]
        self._quotes.close()
        self._wakes.close()
        self._publisher.close()
        self._reader.close()

    # Publishing -------------------------------------------------------------------------------------------------------

    def _send(self, *commands: tuple[Any, ...]) -> bool:
        """Commands in one round trip; False, without an exception, when the server does not answer in time."""
        if time.monotonic() < self._quiet_until_s:
            return False
        try:
            if len(commands) == 1:
                self._publisher.execute_command(*commands[0])  # type: ignore[no-untyped-call]
                return True
            with self._publisher.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
                pipeline.execute()
        except _FAILURES:
            self._quiet_until_s = time.monotonic() + RETRY_AFTER_S
            return False
        return True

    def publish_ticks(self, ticks: Ticks) -> bool:
        """Put ticks on the tape, tell the screens, and remember the newest quote and book of each instrument."""
        if len(ticks) == 0:
            return True
        with self._ticks_lock:
            if time.monotonic() < self._quiet_until_s:
                return False
            command, replies = self._wire.commands(ticks)
            try:
                _renew_if_stale(self._ticks)
                self._ticks.send_packed_command([command])  # type: ignore[no-untyped-call]
                for _ in range(replies):
                    self._ticks.read_response(disable_decoding=True)
            except _FAILURES:
                # Replies that were not read must not answer the next publication.
                self._ticks.disconnect()  # type: ignore[no-untyped-call]
                self._quiet_until_s = time.monotonic() + RETRY_AFTER_S
                return False
        return True

    def publish_bars(self, bars: Sequence[Mapping[str, Any]]) -> bool:
        """Closed simulated bars, JSON ``{"v": 1, "bars": [...]}``."""
        return self._send(("PUBLISH", self.channel(BARS), json.dumps({"v": 1, "bars": list(bars)})))

    def publish_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Screen events in one round trip: ``{"v": 1, "topic": ..., "portfolio_id": ...}`` each."""
        if events:
            channel = self.channel(EVENTS)
            self._send(*(("PUBLISH", channel, json.dumps(event)) for event in events))

    def wake_broker(self, events: Sequence[Mapping[str, Any]] = ()) -> None:
        """Tell the broker that a command has been committed; without it the broker finds it by polling.

        Screens are told ``events`` on the way. Does not wait for the server: who was accepted waits for nobody.
        """
        if time.monotonic() < self._quiet_until_s:
            return
        try:
            self._wakes.tell(self._wake + b"".join(self._tell + word(json.dumps(event)) for event in events))
        except _FAILURES:
            self._quiet_until_s = time.monotonic() + RETRY_AFTER_S

    def put_bars(self, forming: bytes, closed: bytes | None = None) -> bool:
        """Replace the forming simulated bars and, where given, at once the closed ones that the lake has not yet."""
        tail = () if closed is None else (TAIL, closed)
        return self._send(("MSET", OPEN_BARS, forming, *tail))

    def ask_market(self, request: Mapping[str, Any]) -> str:
        """Ask something of the market process; returns the request's id, by which its answer is known.

        Raises `Unavailable` where the server does not answer.
        """
        words = ("XADD", ASKED, "MAXLEN", "~", WAKE_ENTRIES, "*", "r", json.dumps(request))
        try:
            asked: Any = self._reader.execute_command(*words)  # type: ignore[no-untyped-call]
        except _FAILURES as error:
            raise Unavailable(f"the bus does not answer: {error}") from error
        return _text(asked)

    def asked_of_market(self, after: str | None) -> list[tuple[str, str]]:
        """Requests behind the one called ``after``, as (id, JSON), or the last one alone; for the market process.

        Like publishing it does not hold its caller up: nothing where the server does not answer in time.
        """
        if time.monotonic() < self._quiet_until_s:
            return []
        try:
            if after is None:
                found: Any = self._publisher.xrevrange(ASKED, count=1) or [("0-0", {b"r": b"null"})]
            else:
                found = self._publisher.xrange(ASKED, min=f"({after}", count=16)
        except _FAILURES:
            self._quiet_until_s = time.monotonic() + RETRY_AFTER_S
            return []
        return [(_text(name), _text(fields[b"r"])) for name, fields in found]

    def put_replays(self, status: Mapping[str, Any]) -> bool:
        """What the market process replays, as JSON; forgotten when it is not said again."""
        return self._send(("SET", REPLAYS, json.dumps(status), "EX", REPLAYS_KEPT_S))

    # Peeking ----------------------------------------------------------------------------------------------------------

    def last_ticks(self, ids: Sequence[int] | None = None, within_s: float = 0.0) -> dict[int, Ticks]:
        """The newest quote of each instrument id, as an array of one tick; empty when there is none.

        Of ``ids`` alone where they are given: all of a market take several times as long to read as one. What was read
        less than ``within_s`` ago is not read again.
        """
        now_s = time.monotonic()
        try:
            if ids is None:
                found: Any = self._reader.hgetall(LAST)
            else:
                known = [self._read_before.get(key, _NEVER) for key in ids] if within_s else []
                if known and now_s - min(read_s for read_s, _ in known) < within_s:
                    values: Any = [value for _, value in known]
                else:
                    values = self._quotes.ask("HMGET", LAST, *ids) if ids else []
                    self._read_before.update((key, (now_s, value)) for key, value in zip(ids, values, strict=True))
                found = dict(zip(ids, values, strict=True))
        except _FAILURES:
            return {}
        return {int(key): unpack(value) for key, value in found.items() if value is not None}

    def last_books(self, ids: Sequence[int]) -> dict[int, Ticks]:
        """The newest whole snapshot of depth of those of the instruments that have one, as its DEPTH records."""
        try:
            found: Any = self._reader.hmget(BOOKS, [str(key) for key in ids]) if ids else []
        except _FAILURES:
            return {}
        return {key: unpack(value) for key, value in zip(ids, found, strict=True) if value is not None}

    def get_replays(self) -> dict[str, Any] | None:
        """What the market process said last about its replays; None where it does not run."""
        try:
            found: Any = self._reader.get(REPLAYS)
        except _FAILURES:
            return None
        return None if found is None else dict(json.loads(found))

    def get_bars(self) -> tuple[bytes, bytes]:
        """Simulated bars not yet in the lake, closed ones and forming ones, as `put_bars` was given them."""
        try:
            values: Any = self._reader.mget(TAIL, OPEN_BARS)
        except _FAILURES:
            return b"", b""
        tail, forming = values
        return tail or b"", forming or b""

    def ping(self) -> bool:
        """Whether the server answers now."""
        try:
            return bool(self._reader.ping())
        except _FAILURES:
            return False

    # Reading the tape -------------------------------------------------------------------------------------------------

    def tape_end(self) -> TapePosition:
        """The position behind everything published so far; raises `Unavailable`."""
        try:
            ends: Any = [self._reader.xrevrange(stream, count=1) for stream in (STREAM, WAKE)]
        except _FAILURES as error:
            raise Unavailable(f"the bus does not answer: {error}") from error
        tape, wake = (_text(rows[0][0]) if rows else "0-0" for rows in ends)
        return TapePosition(tape, wake)

    def read_tape(self, position: TapePosition, block_ms: int, count: int = 512) -> TapeBatch:
        """Everything behind ``position``, at most ``count`` publications; waits up to ``block_ms`` where there is none.

        ``block_ms`` 0 does not wait; more than 4 s are never waited, so that a dead socket is noticed. Raises
        `Unavailable` when the server does not answer.
        """
        wait_ms = min(block_ms, int(READ_TIMEOUT_S * 1000) - 1000)
        try:
            found: Any = self._reader.xread(
                {STREAM: position.tape, WAKE: position.wake}, count=count, block=wait_ms if wait_ms > 0 else None
            )
        except _FAILURES as error:
            raise Unavailable(f"the bus does not answer: {error}") from error
        tape, wake, payloads = position.tape, position.wake, []
        for stream, rows in found or ():
            last = _text(rows[-1][0])
            if _text(stream) == STREAM:
                tape = last
                payloads = [fields[b"b"] for _, fields in rows if fields]
            else:
                wake = last
        ticks = unpack(b"".join(payloads)) if payloads else no_ticks()
        return TapeBatch(TapePosition(tape, wake), ticks, wake != position.wake)

    # Listening --------------------------------------------------------------------------------------------------------

    async def listen(self, *names: str) -> AsyncIterator[tuple[str, bytes]]:
        """Messages of `CHANNEL`, `EVENTS` or `BARS` as (name, payload), for ever; reconnects by itself.

        What is published while the connection is down is lost: a screen asks for the newest state when it connects.
        """
        by_channel = {self.channel(name): name for name in names}
        while True:
            client = redis.asyncio.Redis.from_url(
                self._url,
                protocol=PROTOCOL,
                socket_timeout=READ_TIMEOUT_S,
                socket_connect_timeout=PUBLISH_TIMEOUT_S,
                health_check_interval=2,
            )
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(*by_channel)
                    while True:
                        message = await pubsub.get_message(timeout=1.0)
                        if message is not None:
                            yield by_channel[_text(message["channel"])], message["data"]
            except (*_FAILURES, TimeoutError):
                await asyncio.sleep(RETRY_AFTER_S)
            finally:
                await client.aclose()


class _Lines:
    """Connections for one small command after the other, without what a client does around each."""

    def __init__(self, client: redis.Redis, *, answers: bool = True) -> None:
        self._pool = client.connection_pool
        self._idle: deque[Any] = deque()
        self._answers = answers

    def ask(self, *words: Any) -> Any:
        """What the server answers."""
        with self._one() as connection:
            _renew_if_stale(connection)
            connection.send_command(*words)
            return connection.read_response(disable_decoding=True)

    def tell(self, packed: bytes) -> None:
        """Send it, where the server does not answer."""
        with self._one() as connection:
            _renew_if_stale(connection)
            connection.send_packed_command([packed])

    def close(self) -> None:
        """Hang up."""
        while self._idle:
            self._idle.pop().disconnect()

    @contextmanager
    def _one(self) -> Iterator[Any]:
        """A connection that nobody else uses. After an error it hangs up: a late answer must not be the next one's."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.make_connection()
            if not self._answers:
                connection.redis_connect_func = _silence  # type: ignore[attr-defined]
        try:
            yield connection
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)


def _silence(connection: Any) -> None:
    """Log in, and have the server answer nothing any more: what there is to read is that it has hung up."""
    connection.on_connect()
    connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)


def _renew_if_stale(connection: Any) -> None:
    """Connect anew where the server hung up since the last answer: nothing else could be there to read."""
    try:
        stale = connection.can_read(timeout=0)
    except _FAILURES:
        stale = True
    if stale:
        connection.disconnect()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
