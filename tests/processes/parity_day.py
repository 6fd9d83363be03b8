"""A day on a real floor at high speed: desk services, broker processes that are killed, a tape, and a live strategy.

The desk runs on the real clock, PostgreSQL and Valkey; brokers are processes, of which one waits as a standby. The
tape's own time runs `parity_market.SPEED` times faster, so that a minute's bar closes every second.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from parity_market import STEP_S, Market
from parity_trader import Trader, patiently
from shared_servers import Database
from trading_floor import TradingFloor

from trading.adapters.brokers.paper import PaperBrokerage
from trading.adapters.clock import SystemClock
from trading.adapters.redis_bus import RedisBus
from trading.domain.orders import Acceptance, Side
from trading.services import desk, halt
from trading.services.access import SYSTEM, Actor
from trading.strategy.library.sma_cross import SmaCross
from trading.strategy.live import AccountView, Decision, LiveRun, WorkingOrder

SYMBOLS = 20
TRADERS = 4
SEED = 20261120
TRADER_CASH, ROBOT_CASH = Decimal("50000000.00"), Decimal("5000000.00")
LATENCY = "lognormal:5,50"


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
        while sum(broker.poll() is None for broker in self.started) < 2:
            self.start()

    def stop(self) -> list[int]:
        """End all in good order; their statuses."""
        running = [broker for broker in self.started if broker.poll() is None]
        for broker in running:
            broker.terminate()
        return [broker.wait(20) for broker in running]

    def last_words(self) -> str:
        """What ended them, where none is alive; empty while one is."""
        if not self.started or any(broker.poll() is None for broker in self.started):
            return ""
        return (self._logs / f"broker-{len(self.started) - 1}.log").read_text()[-1000:]

    def close(self) -> None:
        for broker in self.started:
            if broker.poll() is None:
                broker.kill()
                broker.wait()


class LiveStrategy(threading.Thread):
    """A moving-average cross on bars of the tape, which it reads itself; orders through desk and broker's protocol."""

    def __init__(self, day: "Day", bus: RedisBus, actor: Actor, portfolio: int) -> None:
        super().__init__(daemon=True)
        self._day, self._bus, self._actor, self.portfolio = day, bus, actor, portfolio
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
                for decision in live.feed(read.ticks, lambda: patiently(self._account)):
                    self.decisions.append(decision)
                    patiently(lambda decided=decision: self._carry_out(decided))
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
            answer = desk.submit(self._day.floor.floor, self._actor, self.portfolio, sent.ticket, sent.client_id)
            if isinstance(answer, Acceptance):
                self.orders[sent.client_id] = answer.order_id


class Day:
    """Opens at construction; `trade` runs it to its end."""

    def __init__(
        self, database: Database, redis_url: str, environment: dict[str, str], folder: Path, orders: int, kills: int
    ) -> None:
        self.orders, self.kills = orders, kills
        self.chance = random.Random(SEED)
        self.floor = TradingFloor(database, folder / "lake", "0")
        self.floor.store.close()
        self.floor.query("update broker_lease set expires_at = '-infinity'")
        self._buses = [RedisBus(redis_url) for _ in range(3)]
        self.floor.floor = replace(self.floor.floor, bus=self._buses[0], clock=SystemClock())
        shares = [i for i in self.floor.floor.desk.instruments("SIM") if i.tick_size == Decimal("0.01")]
        self.instruments = [i for i in shares if i.lot_size == 1][:SYMBOLS]
        assert len(self.instruments) == SYMBOLS
        self.market = Market(self._buses[1], self.instruments, SEED)
        keys = count(1)
        self.traders = [
            Trader(
                self.floor.floor,
                self.market,
                self.instruments,
                lambda: f"day-{next(keys)}",
                *self.floor.add_trader(f"trader{n}", str(TRADER_CASH)),
                random.Random(SEED + n),
            )
            for n in range(TRADERS)
        ]
        self.strategy = LiveStrategy(self, self._buses[2], *self.floor.add_trader("robot", str(ROBOT_CASH)))
        self.floor.query(
            "insert into risk_limit (tier, version, max_order_notional, max_open_orders, price_band_ppm)"
            " values ('standard', 2, 100000000000, 100000, 200000)"
        )
        own = {**environment, "TRADEFLOOR_BROKER_LATENCY": LATENCY, "TRADEFLOOR_SEED": str(SEED)}
        self.brokers = Brokers(self.floor, own, folder)
        self._over = threading.Event()
        self._failed: list[BaseException] = []

    @property
    def accepted(self) -> int:
        return sum(trader.accepted.total() for trader in self.traders)

    def trade(self) -> None:
        """Trade until enough orders are accepted and enough brokers are dead, let the last one finish, close."""
        for each in (self.strategy, self.market, self.brokers, self.brokers):
            each.start()
        self.until(lambda: bool(self.floor.query("select 1 from input_log limit 1")), "a first input", 150)
        threads = [threading.Thread(target=self._keep_trading, args=(self.traders[n::2],)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            while (self.accepted < self.orders or self.brokers.killed < self.kills) and not self._failed:
                if self.brokers.killed < self.kills and self.brokers.has_worked():
                    time.sleep(self.chance.random())
                    self._trouble()
                    self.brokers.kill()
                time.sleep(0.2)
                braked = self.floor.query("select reason from halt_state where scope = 'floor' and mode = 'halted'")
                assert not braked, braked
                assert not self.brokers.last_words(), self.brokers.last_words()
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
        assert not self._failed, self._failed
        self.until(self._all_sequenced, "every command to be sequenced")
        self.market.close()
        self.strategy.close()
        self.until(self._all_sequenced, "the strategy's last commands to be sequenced")
        statuses = self.brokers.stop()
        assert 0 in statuses
        assert set(statuses) <= {0, -signal.SIGTERM}, statuses  # one may only just have begun
        assert not self.strategy.failed, self.strategy.failed

    def _keep_trading(self, traders: list[Trader]) -> None:
        try:
            for trader in traders:
                trader.open()
            while not self._over.is_set():
                for trader in traders:
                    trader.move()
                if self.accepted * (self.kills + 1) > self.orders * (self.brokers.killed + 1):
                    time.sleep(STEP_S)  # ahead of the kills
        except BaseException as error:
            self._failed.append(error)

    def _trouble(self) -> None:
        """Now and then the kill switch, for one instrument or one trader, for a moment."""
        if self.brokers.killed % 3 == 1:
            one = self.chance.choice((f"instrument:{self.instruments[3].id}", f"user:{self.traders[-1].actor.user_id}"))
            for mode in ("halted", "running"):
                halt.set_mode(self.floor.floor, SYSTEM, one, mode, "a drill")
                time.sleep(0.1)

    def _all_sequenced(self) -> bool:
        return not self.floor.query("select 1 from command where input_seq is null limit 1")

    def until(self, what: Callable[[], bool], words: str, timeout_s: float = 60.0) -> None:
        begun = time.monotonic()
        while not what():
            assert time.monotonic() - begun < timeout_s, f"waited in vain for {words}"
            assert not self.brokers.last_words(), self.brokers.last_words()
            time.sleep(0.1)

    def close(self) -> None:
        self.brokers.close()
        if self.market.is_alive():
            self.market.close()
        if self.strategy.is_alive():
            self.strategy.close()
        for bus in self._buses:
            bus.close()
        self.floor.close()
