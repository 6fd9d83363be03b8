"""Replays in the market process against a real Valkey: the tape holds what was stored, steered while it runs."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import psycopg
import pytest

from trading.adapters.clock import SystemClock
from trading.adapters.embedded import connections
from trading.adapters.lake import Lake
from trading.adapters.postgres.pool import connection_of, open_pool
from trading.adapters.postgres.reference import keep_instruments
from trading.adapters.redis_bus import RedisBus, TapePosition
from trading.adapters.sources import recordings
from trading.config import PROJECT_ROOT, Settings
from trading.domain.errors import Invalid, NotFound
from trading.market.bars import MINUTE_NS, bars_of_ticks
from trading.market.profiles import shipped_profiles
from trading.market.recordings import Target, merged
from trading.market.ticks import GAP, OPENED, QUOTE, TICK, TRADE, Ticks
from trading.processes.command_replay import instant_ns, replay_files, steer
from trading.processes.market_archive import Units
from trading.processes.market_feed import Feed
from trading.processes.replays import Replays

SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS
CONTENT = [name for name in TICK.names or () if name not in ("ts_ns", "kind", "seq")]
BTC = Target(1, tick_size=0.01, lot_size=0.0001, spread_ticks=18, size_lots=31_046)


def records(count: int, every_s: float = 1.0, instrument_id: int = 1) -> Ticks:
    """Quotes with a trade each, with prices that tell them apart."""
    ticks = np.zeros(count, dtype=TICK)
    ticks["instrument_id"], ticks["kind"] = instrument_id, QUOTE | TRADE
    ticks["ts_ns"] = START_NS + (np.arange(count) * every_s * SECOND_NS).astype(np.int64)
    ticks["bid_ticks"], ticks["ask_ticks"] = 1000 + np.arange(count), 1002 + np.arange(count)
    ticks["bid_lots"] = ticks["ask_lots"] = 5
    ticks["trade_ticks"], ticks["trade_lots"] = 1001 + np.arange(count), 1 + np.arange(count) % 7
    return ticks


class Floor:
    """Feed, replays and a clock that the test moves; the requests come over the real bus."""

    def __init__(self, bus: RedisBus, folder: Path) -> None:
        self.bus, self.folder = bus, folder
        folder.mkdir()
        units = {
            key: Units(symbol, Decimal("0.01"), Decimal("0.0001")) for key, symbol in ((1, "BTCUSD"), (2, "ETHUSD"))
        }
        self.later = ThreadPoolExecutor(max_workers=1)
        self.feed = Feed(units, bus, self.no_lake, SystemClock(), self.later)
        self.given_back: list[int] = []
        self.replays = Replays(self.feed, bus, folder, lambda ids: self.given_back.extend(sorted(ids)))
        self.now_ns = time.time_ns()
        self.run(0.1)

    def no_lake(self) -> Any:
        raise AssertionError("no bar is due for the lake here")

    def run(self, seconds: float, step_s: float = 0.1) -> None:
        for _ in range(max(1, round(seconds / step_s))):
            self.now_ns += int(step_s * SECOND_NS)
            self.replays.step(self.now_ns)

    def ask(self, do: str, **more: Any) -> str:
        """Ask and let the process hear it; returns its answer, empty for yes."""
        name = self.bus.ask_market({"do": do, **more})
        self.run(0.05, 0.05)
        return str(self.status()["answers"][name])

    def replay(self, ticks: Ticks, symbol: str = "BTCUSD", **more: Any) -> str:
        file = f"{uuid4().hex}.ticks"
        ticks.tofile(self.folder / file)
        given = {"speed": 1.0, "from_ns": None, "paused": False, **more}
        return self.ask("replay", file=file, symbol=symbol, title="a test", **given)

    def status(self) -> dict[str, Any]:
        found = self.bus.get_replays()
        assert found is not None
        return found

    def state(self, symbol: str = "BTCUSD") -> dict[str, Any]:
        self.run(0.3)
        return next(each for each in self.status()["replays"] if each["symbol"] == symbol)

    def tape(self) -> Ticks:
        return whole_tape(self.bus)


def whole_tape(bus: RedisBus) -> Ticks:
    position, parts = TapePosition(), [np.empty(0, dtype=TICK)]
    while len((batch := bus.read_tape(position, 0)).ticks):
        parts.append(batch.ticks)
        position = batch.position
    return np.concatenate(parts)


@pytest.fixture
def bus(redis_url: str) -> Iterator[RedisBus]:
    bus = RedisBus(redis_url)
    yield bus
    bus.close()


@pytest.fixture
def floor(bus: RedisBus, tmp_path: Path) -> Iterator[Floor]:
    own = Floor(bus, tmp_path / "replay")
    yield own
    own.later.shutdown()


def test_the_tape_holds_what_was_stored_and_the_simulator_is_not_heard_meanwhile(floor: Floor) -> None:
    floor.feed.publish(records(3))
    stored = records(20)
    assert floor.replay(stored) == ""
    assert list(floor.folder.iterdir()) == [], "nothing is left behind"
    floor.feed.publish(np.concatenate([records(2), records(2, instrument_id=2)]))
    floor.run(25)
    floor.feed.publish(records(1))
    tape = floor.tape()
    own = tape[tape["instrument_id"] == 1]
    assert np.diff(own["seq"]).tolist() == [1] * 23, "numbers go on over every change of source"
    assert own[3:23][CONTENT].tolist() == stored[CONTENT].tolist()
    assert ((own["kind"] & (GAP | OPENED)) != 0).tolist() == [False] * 3 + [True] + [False] * 20
    assert (np.diff(own["ts_ns"][3:23]) == SECOND_NS).all()
    assert (tape["instrument_id"] == 2).sum() == 2
    assert floor.given_back == [1]
    assert floor.state()["state"] == "over"


def test_a_replay_is_paused_sped_up_and_sought_while_it_runs(floor: Floor) -> None:
    floor.replay(records(1000), paused=True)
    floor.run(3)
    assert len(floor.tape()) == 0
    assert floor.state()["state"] == "paused"
    assert floor.ask("play") == ""
    floor.run(4)
    assert floor.ask("pause") == ""
    heard = len(floor.tape())
    assert heard in (4, 5, 6)
    floor.run(10)
    assert len(floor.tape()) == heard
    assert floor.ask("speed", speed=100) == ""
    assert floor.ask("seek", to_ns=START_NS + 500 * SECOND_NS) == ""
    assert floor.state()["position_ns"] == START_NS + 500 * SECOND_NS
    assert floor.ask("play") == ""
    floor.run(1)
    sought = floor.tape()[heard:]
    assert sought["kind"][0] & GAP
    assert sought["bid_ticks"][:3].tolist() == [1499, 1500, 1501], "the quote that holds there, then what comes next"
    assert 90 < len(sought) < 120
    assert floor.state()["speed"] == 100
    assert floor.ask("stop") == ""
    assert floor.given_back == [1]
    assert floor.state()["state"] == "stopped"


def test_two_instruments_are_replayed_and_steered_by_symbol(floor: Floor) -> None:
    floor.replay(records(50))
    floor.replay(records(50, instrument_id=2), "ETHUSD", from_ns=START_NS + 10 * SECOND_NS)
    assert floor.ask("pause", symbol="BTCUSD") == ""
    floor.run(5)
    assert (floor.state("BTCUSD")["state"], floor.state("ETHUSD")["state"]) == ("paused", "playing")
    assert (floor.tape()["instrument_id"] == 2).sum() >= 5
    assert floor.ask("stop") == ""
    assert floor.given_back == [1, 2]


def test_what_cannot_be_done_is_answered_and_changes_nothing(floor: Floor) -> None:
    assert "nothing is being replayed" in floor.ask("pause")
    assert "no instrument NOPE" in floor.replay(records(5), "NOPE")
    assert "not in the recording" in floor.replay(records(5), from_ns=1)
    assert "speed" in floor.replay(records(5), speed=-1)
    for file in ("../state.json", "0" * 32 + ".ticks"):
        assert "did not understand" in floor.ask(
            "replay", file=file, symbol="BTCUSD", title="", speed=1, from_ns=None, paused=False
        )
    assert "did not understand" in floor.replay(records(5, instrument_id=2), "BTCUSD")
    assert "did not understand" in floor.ask("dance")
    assert floor.feed.taken == frozenset()
    floor.replay(records(5))
    assert "not in the recording" in floor.ask("seek", to_ns=1)
    assert "as ETHUSD" in floor.ask("stop", symbol="ETHUSD")
    assert floor.feed.taken == frozenset({1})
    assert list(floor.folder.iterdir()) == []


@pytest.mark.shared_data
def test_bars_of_a_real_replay_are_those_of_the_stored_ticks(floor: Floor, shared_data: Path) -> None:
    files = [shared_data / "ticks" / f"BTCUSDT_binance-spot_20240808_{kind}.parquet" for kind in ("bbo", "trades")]
    stored = merged([recordings.read([file], BTC) for file in files])
    stored = stored[stored["ts_ns"] < stored["ts_ns"][0] + 3 * MINUTE_NS]
    floor.replay(stored, paused=True)
    # Whole minutes between then and now, so that the same trades fall into the same minutes.
    floor.now_ns += (int(stored["ts_ns"][0]) - floor.now_ns) % MINUTE_NS
    name = floor.bus.ask_market({"do": "play"})
    floor.replays.step(floor.now_ns)
    assert floor.status()["answers"][name] == ""
    shift_ns = floor.now_ns - int(stored["ts_ns"][0])
    assert shift_ns % MINUTE_NS == 0
    floor.run(185, step_s=0.25)
    tape = floor.tape()
    assert tape[CONTENT].tolist() == stored[CONTENT].tolist()
    stored["seq"] = np.arange(len(stored))
    expected = bars_of_ticks(stored, "M1")
    expected["ts_ns"] += shift_ns
    assert bars_of_ticks(tape, "M1").tolist() == expected.tolist()
    forming = floor.feed.dump()["builder"]["open"]
    assert [tuple(row[2:]) for row in forming if row[1] == 0] == [expected[-1].tolist()[3:]]


# The process and the command line -----------------------------------------------------------------------------------


@pytest.fixture
def market(settings: Settings, environment: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    pool = open_pool(connections.dsn(settings, "superuser", "tradefloor"), max_size=1)
    with connection_of(pool) as connection:
        keep_instruments(connection, shipped_profiles())
        connection.execute("insert into process_status (name, state, beat_at) values ('market', 'running', now())")
    pool.close()
    with (tmp_path / "market.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "trading.processes.market"], env=environment, stderr=log, cwd=PROJECT_ROOT
        )
    yield child
    child.kill()
    child.wait()


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.mark.floor
def test_an_open_market_replays_a_file_of_bars_and_goes_on_with_its_simulator(
    market: "subprocess.Popen[bytes]", environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    def tradefloor(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "trading.cli", "market", *words],
            env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip

    stamps = pd.date_range("2024-03-01T10:00Z", periods=120, freq="1min")
    closes = 7.00 + 0.01 * np.arange(120)
    frame = pd.DataFrame({"ts": stamps, "open": closes, "high": closes + 0.02, "low": closes - 0.02, "close": closes})
    frame = frame.assign(volume=100.0)
    pool = open_pool(connections.dsn(settings, "tf_app"), max_size=1)
    Lake(settings.lake_dir, pool).write("bars", "test/XYZ/M1", frame)
    pool.close()
    bus = RedisBus(settings.redis_url)
    until(lambda: len(bus.last_ticks()) == len(shipped_profiles()), "a quote of every instrument")
    with psycopg.connect(connections.dsn(settings, "tf_app")) as connection:
        row = connection.execute("select id from instrument where symbol = 'AAPL'").fetchone()
    assert row is not None
    key = int(row[0])

    stored = ["lake:bars/test/XYZ/M1"]
    at_once = {"symbol": None, "zone": None, "from_ns": None, "follow": False}
    with pytest.raises(NotFound, match="no instrument NOPE"):
        replay_files(settings, stored, as_symbol="NOPE", speed=1, paused=False, **at_once)
    with pytest.raises(Invalid, match="nothing is being replayed"):
        steer(settings, {"do": "pause", "symbol": None})
    assert replay_files(settings, stored, as_symbol="aapl", speed=60, paused=True, **at_once) == 0
    assert steer(settings, {"do": "seek", "symbol": None, "to_ns": instant_ns("2024-03-01T11:00")}) == 0
    assert steer(settings, {"do": "play", "symbol": "AAPL"}) == 0

    def own_tape() -> Ticks:
        tape = whole_tape(bus)
        return tape[tape["instrument_id"] == key]

    def replayed() -> list[int]:
        own = own_tape()
        return own["trade_ticks"][(own["trade_ticks"] > 700) & (own["trade_ticks"] < 900)].tolist()

    until(lambda: len(replayed()) > 10, "records of the file on the tape")
    book = bus.last_books([key])[key]
    assert (book["ask_ticks"] - book["bid_ticks"]).tolist() == [3], "the instrument has depth, so the replay has"
    assert replayed()[:8] == [760, 762, 758, 760, 761, 763, 759, 761]
    told = json.loads(tradefloor("status", "--json"))["replays"][0]
    assert (told["symbol"], told["title"], told["state"]) == ("AAPL", stored[0], "playing")
    assert pd.Timestamp(told["position_ns"], tz="UTC") > pd.Timestamp("2024-03-01T11:00Z")
    assert steer(settings, {"do": "speed", "symbol": None, "speed": 100_000}) == 0
    until(lambda: own_tape()["bid_ticks"][-1] > 1000, "the simulator's own price again")
    assert (bus.get_replays() or {})["replays"][0]["state"] == "over"
    own = own_tape()
    assert (np.diff(own["seq"]) == 1).all()
    assert (np.diff(own["ts_ns"]) >= 0).all()
    gaps = np.flatnonzero(own["kind"] & GAP)
    assert len(gaps) == 3, "the market's start, the replay's, its end"
    assert own["kind"][gaps[1]] == QUOTE | GAP | OPENED
    assert own["bid_ticks"][gaps[1]] < 900
    path = tmp_path / "XYZ.csv"
    frame.to_csv(path, index=False)
    followed = tradefloor("replay", str(path), "--as", "aapl", "--from", "2024-03-01T11:55", "--speed", "10000")
    assert "The recording is over" in followed, followed
    assert "simulated again" in followed
    market.send_signal(signal.SIGTERM)
    assert market.wait(timeout=20) == 0
    bus.close()
    assert list((settings.data_dir / "market" / "replay").iterdir()) == []
