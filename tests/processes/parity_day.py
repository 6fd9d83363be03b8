"""A day on a real floor at high speed: desk services, broker processes that are killed, a tape, and a live strategy.

The desk runs on the real clock, PostgreSQL and Valkey; brokers are processes, of which one waits as a standby. The
tape's own time runs `SPEED` times faster, so that a minute's bar closes every third of a second.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import redis
from shared_servers import Database
from trading_floor import TradingFloor

from trading.adapters.brokers.paper import PaperBrokerage
from trading.adapters.clock import SystemClock
from trading.adapters.redis_bus import RedisBus
from trading.domain.instruments import Instrument
from trading.domain.orders import Acceptance, OrderType, Refusal, Side, Ticket, TimeInForce
from trading.market.ticks import QUOTE, STREAM, TICK, TRADE, Ticks, unpack
from trading.services import desk
from trading.services.access import Actor
from trading.strategy.library.sma_cross import SmaCross
from trading.strategy.live import AccountView, Decision, LiveRun, WorkingOrder

SYMBOLS = 20
STEP_S = 0.02
SPEED = 200
OPENING_LOTS = 2_000
RESTING_MOST = 60
"""Open orders a trader lets stand before it cancels the oldest."""


class Market(threading.Thread):
    """Quotes and prints of every symbol on the tape, `STEP_S` apart; a seeded walk."""

    def __init__(self, bus: RedisBus, instruments: list[Instrument], seed: int) -> None:
        super().__init__(daemon=True)
        self._bus, self._instruments = bus, instruments
        self._chance = np.random.default_rng(seed)
        self.middle = {instrument.symbol: 10_000 + 500 * n for n, instrument in enumerate(instruments)}
        self._seqs = dict.fromkeys(self.middle, 0)
        self._start_ns = time.time_ns()
        self._over = threading.Event()

    def run(self) -> None:
        for step in count():
            if self._over.wait(STEP_S):
                return
            rows = [row for instrument in self._instruments for row in self._rows(instrument, step)]
            self._bus.publish_ticks(np.concatenate(rows))

    def close(self) -> None:
        self._over.set()
        self.join()

    def _row(self, instrument: Instrument, step: int, kind: int) -> Ticks:
        row = np.zeros(1, dtype=TICK)
        self._seqs[instrument.symbol] += 1
        row["instrument_id"], row["kind"], row["seq"] = instrument.id, kind, self._seqs[instrument.symbol]
        row["ts_ns"] = self._start_ns + int(step * STEP_S * SPEED * 1e9)
        return row

    def _rows(self, instrument: Instrument, step: int) -> Iterator[Ticks]:
        chance = self._chance
        if chance.random() < 0.4:
            self.middle[instrument.symbol] += int(chance.integers(-4, 5))
        middle = self.middle[instrument.symbol]
        quote = self._row(instrument, step, QUOTE)
        quote["bid_ticks"], quote["ask_ticks"] = (
            middle - int(chance.integers(0, 3)),
            middle + int(chance.integers(1, 4)),
        )
        quote["bid_lots"], quote["ask_lots"] = chance.integers(20, 400, 2)
        yield quote
        if chance.random() < 0.3:
            trade = self._row(instrument, step, TRADE)
            trade["trade_ticks"], trade["trade_lots"] = middle + int(chance.integers(-4, 5)), chance.integers(1, 200)
            yield trade


class Brokers:
    """One broker process at work and one that waits; `kill` ends the one at work where it stands."""

    def __init__(self, floor: TradingFloor, environment: dict[str, str], logs: Path) -> None:
        self._floor, self._environment, self._logs = floor, environment, logs
        self.started: list[subprocess.Popen[bytes]] = []
        self.killed = 0

    def start(self) -> None:
        with (self._logs / f"broker-{len(self.started)}.log").open("wb") as log:
            command = [sys.executable, "-m", "trading.processes.broker"]
            self.started.append(subprocess.Popen(command, env=self._environment, stdout=log, stderr=log))

    def at_work(self) -> subprocess.Popen[bytes] | None:
        """The process that holds the lease."""
        found = self._floor.query("select holder from broker_lease where expires_at > now()")
        pid = int(found[0][0].split(":")[1]) if found else 0
        return next((broker for broker in self.started if broker.pid == pid and broker.poll() is None), None)

    def has_worked(self) -> bool:
        """Whether the broker with the lease has committed something and another one waits."""
        rows = self._floor.query(
            "select (select epoch from input_log order by first_seq desc limit 1) = epoch from broker_lease"
        )
        return rows == [(True,)] and self.at_work() is not None

    def kill(self) -> None:
        """SIGKILL; the dead one's lease is taken away, so that the day need not wait for its end."""
        broker = self.at_work()
        assert broker is not None
        os.kill(broker.pid, signal.SIGKILL)
        broker.wait()
        self.killed += 1
        self._floor.query("update broker_lease set expires_at = '-infinity'")
        self.start()

    def stop(self) -> list[int]:
        """End all in good order; their statuses."""
        running = [broker for broker in self.started if broker.poll() is None]
        for broker in running:
            broker.terminate()
        return [broker.wait(20) for broker in running]

    def close(self) -> None:
        for broker in self.started:
            if broker.poll() is None:
                broker.kill()
                broker.wait()


@dataclass
class Trader:
    """Somebody who trades at random on one portfolio through the desk."""

    day: "Day"
    actor: Actor
    portfolio: int
    chance: random.Random
    resting: list[int] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def open(self) -> None:
        """Buy something of everything, so that there is something to sell."""
        for instrument in self.day.instruments:
            self.send("opening", instrument, Side.BUY, OPENING_LOTS, OrderType.MARKET)

    def move(self) -> None:
        """One order, or a change of one that may still be open."""
        if self.resting and (len(self.resting) > RESTING_MOST or self.chance.random() < 0.15):
            order_id = self.resting.pop(
                0 if len(self.resting) > RESTING_MOST else self.chance.randrange(len(self.resting))
            )
            answer = desk.cancel(self.day.floor.floor, self.actor, self.portfolio, order_id)
            self.asked["cancel" if answer is None else "cancel, over"] += 1
            return
        instrument = self.chance.choice(self.day.instruments)
        side = self.chance.choice((Side.BUY, Side.SELL))
        lots = self.chance.randint(1, 60)
        middle = self.day.market.middle[instrument.symbol]
        away = -1 if side is Side.BUY else 1
        kind = self.chance.choices(("market", "limit", "marketable", "ioc", "day"), (25, 35, 15, 10, 15))[0]
        if kind == "market":
            self.send(kind, instrument, side, lots, OrderType.MARKET)
            return
        near = -self.chance.randint(2, 8) if kind in ("marketable", "ioc") else self.chance.randint(1, 25)
        tif = TimeInForce(kind) if kind in ("ioc", "day") else TimeInForce.GTC
        self.send(kind, instrument, side, lots, OrderType.LIMIT, middle + away * near, tif)

    def send(
        self,
        kind: str,
        instrument: Instrument,
        side: Side,
        lots: int,
        type_: OrderType,
        limit: int | None = None,
        tif: TimeInForce = TimeInForce.GTC,
    ) -> None:
        price = None if limit is None else f"{instrument.price(limit):f}"
        ticket = Ticket(instrument.symbol, side, type_, f"{instrument.quantity(lots):f}", price, tif)
        answer = desk.submit(self.day.floor.floor, self.actor, self.portfolio, ticket, self.day.key())
        if isinstance(answer, Refusal):
            self.refused[answer.code] += 1
            return
        self.accepted[kind] += 1
        if type_ is not OrderType.MARKET and tif is not TimeInForce.IOC:
            self.resting.append(answer.order_id)


class LiveStrategy(threading.Thread):
    """A moving-average cross on bars of the tape, which it reads itself; orders through desk and broker's protocol."""

    def __init__(self, day: "Day", bus: RedisBus, actor: Actor, portfolio: int) -> None:
        super().__init__(daemon=True)
        self._day, self._bus, self._actor, self._portfolio = day, bus, actor, portfolio
        self._brokerage = PaperBrokerage(day.floor.floor, actor, portfolio)
        self._position = bus.tape_end()
        self._over = threading.Event()
        self.decisions: list[Decision] = []
        self.orders: dict[str, int] = {}
        self.failed: list[BaseException] = []

    def fresh(self) -> "LiveRun[Any]":
        """The strategy before its first tick."""
        symbols = tuple(instrument.symbol for instrument in self._day.instruments)
        by_symbol = {instrument.symbol: instrument for instrument in self._day.instruments}
        return LiveRun(SmaCross(symbols, fast=2, slow=5), by_symbol)

    def run(self) -> None:
        live = self.fresh()
        try:
            while True:
                last = self._over.is_set()
                read = self._bus.read_tape(self._position, 100)
                if last and len(read.ticks) == 0:
                    return
                self._position = read.position
                for decision in live.feed(read.ticks, self._account):
                    self.decisions.append(decision)
                    self._carry_out(decision)
        except BaseException as error:
            self.failed.append(error)

    def close(self) -> None:
        self._over.set()
        self.join()

    def _account(self) -> AccountView:
        symbols = {instrument.id: instrument.symbol for instrument in self._day.instruments}
        (cash,) = self._brokerage.account()
        return AccountView(
            cash.total,
            cash.available,
            {symbols[holding.instrument_id]: holding.quantity_lots for holding in self._brokerage.positions()},
            tuple(
                WorkingOrder(
                    order.order_id,
                    symbols[order.instrument_id],
                    (order.quantity_lots - order.filled_lots) * (1 if order.side is Side.BUY else -1),
                )
                for order in self._brokerage.open_orders()
            ),
        )

    def _carry_out(self, decision: Decision) -> None:
        for order_id in decision.cancels:
            self._brokerage.cancel(order_id)
        for sent in decision.tickets:
            answer = desk.submit(self._day.floor.floor, self._actor, self._portfolio, sent.ticket, sent.client_id)
            if isinstance(answer, Acceptance):
                self.orders[sent.client_id] = answer.order_id


class Day:
    """Opens at construction; `trade` runs it to its end."""

    def __init__(
        self, database: Database, redis_url: str, environment: dict[str, str], folder: Path, seed: int, traders: int = 4
    ) -> None:
        self.chance = random.Random(seed)
        self.floor = TradingFloor(database, folder / "lake", "0")
        self.floor.store.close()
        self.floor.query("update broker_lease set expires_at = '-infinity'")
        self._buses = [RedisBus(redis_url) for _ in range(3)]
        self.redis_url = redis_url
        self.floor.floor = replace(self.floor.floor, bus=self._buses[0], clock=SystemClock())
        plain = [i for i in self.floor.floor.desk.instruments("SIM") if float(i.tick_size) == 0.01 and i.lot_size == 1]
        self.instruments = plain[:SYMBOLS]
        self._keys = count(1)
        self.traders = [
            Trader(self, *self.floor.add_trader(f"trader{n}", "50000000.00"), random.Random(seed + n))
            for n in range(traders)
        ]
        self.floor.query(
            "insert into risk_limit (portfolio_id, version, max_order_notional, max_open_orders, price_band_ppm)"
            " select id, 2, 100000000000, 100000, 200000 from portfolio"
        )
        self.market = Market(self._buses[1], self.instruments, seed)
        self.strategy = LiveStrategy(self, self._buses[2], *self.floor.add_trader("robot", "5000000.00"))
        self.brokers = Brokers(self.floor, environment, folder)

    def key(self) -> str:
        return f"day-{next(self._keys)}"

    @property
    def accepted(self) -> int:
        return sum(trader.accepted.total() for trader in self.traders)

    def trade(self, orders: int, kills: int) -> None:
        """Open, trade until ``orders`` are accepted and ``kills`` brokers are dead, let the last one finish, close."""
        self.strategy.start()
        self.market.start()
        self.brokers.start()
        self.brokers.start()
        self.until(lambda: bool(self.floor.query("select 1 from input_log limit 1")), "a first input")
        over = threading.Event()
        failed: list[BaseException] = []
        threads = [
            threading.Thread(target=self._trade, args=(self.traders[n::2], orders, kills, over, failed), daemon=True)
            for n in range(2)
        ]
        for thread in threads:
            thread.start()
        while (self.accepted < orders or self.brokers.killed < kills) and not failed:
            if self.brokers.killed < kills and self.brokers.has_worked():
                time.sleep(self.chance.random())
                self.brokers.kill()
            time.sleep(0.02)
        over.set()
        for thread in threads:
            thread.join()
        self.until(self._all_sequenced, "every command to be sequenced")
        self.market.close()
        self.strategy.close()
        self.until(self._all_sequenced, "the strategy's last commands to be sequenced")
        assert self.brokers.stop()[-1] == 0
        assert not failed, failed
        assert not self.strategy.failed, self.strategy.failed

    def _trade(
        self, traders: list[Trader], orders: int, kills: int, over: threading.Event, failed: list[BaseException]
    ) -> None:
        try:
            for trader in traders:
                trader.open()
            while not over.is_set():
                for trader in traders:
                    trader.move()
                if self.accepted * (kills + 1) > orders * (self.brokers.killed + 1):
                    time.sleep(STEP_S)  # ahead of the kills
        except BaseException as error:
            failed.append(error)

    def _all_sequenced(self) -> bool:
        return not self.floor.query("select 1 from command where input_seq is null limit 1")

    def tape(self) -> Ticks:
        """Every tick that was published, as the tape has recorded them."""
        with redis.Redis.from_url(self.redis_url, protocol=2) as client:
            return unpack(b"".join(fields[b"b"] for _, fields in client.xrange(STREAM)))

    def until(self, what: Callable[[], bool], words: str, timeout_s: float = 60.0) -> None:
        begun = time.monotonic()
        while not what():
            assert time.monotonic() - begun < timeout_s, f"waited in vain for {words}"
            time.sleep(0.02)

    def close(self) -> None:
        self.brokers.close()
        if self.market.is_alive():
            self.market.close()
        if self.strategy.is_alive():
            self.strategy.close()
        for bus in self._buses:
            bus.close()
        self.floor.close()


@contextmanager
def recorded_day(
    database: Database, redis_url: str, environment: dict[str, str], folder: Path, orders: int, kills: int, seed: int
) -> Iterator[Day]:
    """A day that is over: its floor is quiet and can be looked at."""
    day = Day(database, redis_url, environment, folder, seed)
    try:
        day.trade(orders, kills)
        yield day
    finally:
        day.close()
