"""The bus beside its own server: publish_vs_benchmark and tick_p99_vs_ping.

Publishing at full load: `RedisBus` with a thousand quotes of fifty instruments in each call, a millisecond's worth at a
million a second; they go to the tape, to the channel and into the table of newest quotes in one round trip, as the
market publishes them. The peer (`bench.publish_peer`) sends PUBLISH commands of one 72-byte tick each in pipelines of a
hundred over 50 connections, the default of redis-benchmark, so that it has thousands on the way as well; nobody
subscribes. Both count ticks, on the same Valkey, in turns. Printed beside it: a hundred quotes a call, against one
connection.

Latency: 50 ticks every millisecond through `RedisBus` to another process that listens by `RedisBus.listen` and unpacks
them; from the moment the publisher stamps a tick, just before it publishes, to the moment the listener has it. PING is
`RedisBus.ping` on the idle server, before and after.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import redis

from bench.floor import servers
from bench.measure import Row, at_least, at_most, in_turns, percentile, say, scaled, where_time_goes
from bench.publish_peer import SOURCE
from trading.adapters.embedded import connections, secrets
from trading.adapters.redis_bus import RedisBus
from trading.config import Settings
from trading.domain.errors import Unavailable
from trading.market.ticks import CHANNEL, QUOTE, TICK, Ticks, unpack

SYMBOLS = 50
AT_ONCE, PIPELINE, CLIENTS = 1_000, 100, 50
TICKS = 200_000
ROUNDS = 5
PUBLISH_WANTED = 0.7
RATE = 50_000
LISTEN_S = 5
PINGS = 2_000
LATENCY_WANTED = 25


def run(folder: Path) -> list[Row]:
    """Measure both."""
    with servers(folder) as settings:
        bus = RedisBus(connections.redis_url(settings))
        try:
            return [publishing(bus, settings, folder), latency(bus, settings)]
        finally:
            bus.close()


def quotes(count: int) -> Ticks:
    """One quote after the other of all instruments in turn."""
    ticks = np.zeros(count, TICK)
    ticks["instrument_id"] = np.arange(count) % SYMBOLS + 1
    ticks["kind"], ticks["seq"] = QUOTE, np.arange(count) // SYMBOLS + 1
    ticks["bid_ticks"], ticks["ask_ticks"], ticks["bid_lots"], ticks["ask_lots"] = 9_999, 10_001, 300, 200
    return ticks


def publishing(bus: RedisBus, settings: Settings, folder: Path) -> Row:
    """Ticks a second, in thousands."""
    program, known = compiled(folder), secrets.read(settings.secrets_path)
    if known is None:
        raise RuntimeError("the servers have no secrets")
    ticks = quotes(scaled(TICKS, AT_ONCE))

    def ours(at_once: int = AT_ONCE) -> float:
        began_s = time.perf_counter()
        for at in range(0, len(ticks), at_once):
            if not bus.publish_ticks(ticks[at : at + at_once]):
                raise Unavailable("the bus did not take the ticks")
        return len(ticks) / (time.perf_counter() - began_s) / 1e3

    def peer(clients: int = CLIENTS) -> float:
        sizes = (clients, PIPELINE, 5 * len(ticks), TICK.itemsize)
        command = [str(program), known.valkey_socket, known.valkey_password, *map(str, sizes)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1e3

    small, alone, ratio = in_turns(ROUNDS, lambda: ours(PIPELINE), lambda: peer(1))
    say(f"  {PIPELINE} quotes a call {small:,.0f} k ticks/s, one connection {alone:,.0f} k, ratio {ratio:.2f}")
    row = at_least("publish_vs_benchmark", *in_turns(ROUNDS, ours, peer), PUBLISH_WANTED, "k ticks/s")
    if not row.met:
        where_time_goes("RedisBus.publish_ticks", ours)
    return row


def compiled(folder: Path) -> Path:
    """The peer's program."""
    (folder / "publish.c").write_text(SOURCE)
    program = folder / "publish"
    subprocess.run(["gcc", "-O3", "-o", str(program), str(folder / "publish.c")], check=True)
    return program


def latency(bus: RedisBus, settings: Settings) -> Row:
    """p99 of tick to listener beside the p50 of PING, in microseconds; not met below the wanted rate."""
    pings_us = pings(bus)
    count = scaled(RATE * LISTEN_S, RATE)
    command = [sys.executable, "-m", "bench.bus", connections.redis_url(settings), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        wait_for_listener(settings)
        rate = publish_steadily(bus, count)
        heard, _ = listener.communicate(timeout=30)
    pings_us += pings(bus)
    found, ping_us = json.loads(heard), statistics.median(pings_us)
    say(f"  tick to listener {found} at {rate:,.0f} ticks/s; PING p50 {ping_us:.0f} us")
    row = at_most("tick_p99_vs_ping", found["p99_us"], ping_us, LATENCY_WANTED, "us")
    return replace(row, met=row.met and rate >= 0.98 * RATE, wanted=f"{row.wanted} at {RATE:,}/s")


def pings(bus: RedisBus) -> list[float]:
    """Microseconds of round trips."""
    found = []
    for _ in range(PINGS):
        began_ns = time.perf_counter_ns()
        bus.ping()
        found.append((time.perf_counter_ns() - began_ns) / 1e3)
    return found


def wait_for_listener(settings: Settings, channel: str = CHANNEL) -> None:
    """Return when somebody has subscribed."""
    with redis.Redis.from_url(connections.redis_url(settings)) as client:
        deadline = time.monotonic() + 30
        while client.pubsub_numsub(channel)[0][1] == 0:
            if time.monotonic() > deadline:
                raise RuntimeError("the listener did not subscribe")
            time.sleep(0.01)


def publish_steadily(bus: RedisBus, count: int) -> float:
    """`RATE` ticks a second in runs of a millisecond, a late run at once; returns the rate that it came to."""
    at_once = RATE // 1000
    ticks = quotes(count)
    began_ns = time.perf_counter_ns()
    for number in range(count // at_once):
        wait_ns = began_ns + number * 1_000_000 - time.perf_counter_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        run_of_ticks = ticks[number * at_once : (number + 1) * at_once]
        run_of_ticks["ts_ns"] = time.time_ns()
        bus.publish_ticks(run_of_ticks)
    return count / ((time.perf_counter_ns() - began_ns) / 1e9)


async def listen(url: str, count: int) -> None:
    """Hear ``count`` ticks, then print the latencies' percentiles."""
    taken_us: list[float] = []
    async for _, payload in RedisBus(url).listen(CHANNEL):
        ticks = unpack(payload)
        taken_us += ((time.time_ns() - ticks["ts_ns"]) / 1e3).tolist()
        if len(taken_us) >= count:
            break
    say(json.dumps({"p50_us": percentile(taken_us, 0.5), "p99_us": percentile(taken_us, 0.99)}))


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1], int(sys.argv[2])))
