"""The paper broker's process, ``python -m trading.processes.broker``: status 0 when told to stop, 3 when fenced."""

import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

import structlog

from trading.adapters.clock import SystemClock
from trading.adapters.embedded import connections
from trading.adapters.postgres.broker_store import PostgresBroker
from trading.adapters.redis_bus import RedisBus, TapeBatch, TapePosition, no_ticks
from trading.config import Settings
from trading.domain.errors import Fenced, Halted, Stale, TradefloorError, Unavailable
from trading.exchange.engine import warm_up
from trading.exchange.latency import Latency
from trading.market.sessions import HoursMode
from trading.processes import logs
from trading.processes.stopping import stop_when_told
from trading.services.command_inputs import delay_by
from trading.services.paper_broker import PaperBroker
from trading.services.ports.clock import Clock
from trading.services.venue_days import VenueDays

LEASE_TTL_S = 3.0
LEASE_RENEW_S = 1.0
POLL_S = 0.05
SNAPSHOT_S = 30.0
MARK_S = 60.0
REPORT_S = 2.0
OUTBOX_S = 0.25
OUTBOX_MAX = 500
FENCED_STATUS = 3
COMMANDS_MAX = 500

log = structlog.get_logger("broker")


@dataclass
class Timers:
    """When each periodic duty was last done, in monotonic seconds."""

    last_s: dict[str, float] = field(default_factory=dict)

    def due(self, name: str, every_s: float) -> bool:
        """Whether ``every_s`` have passed; counts as done from now."""
        now = time.monotonic()
        if now - self.last_s.get(name, 0.0) < every_s:
            return False
        self.last_s[name] = now
        return True


class BrokerProcess:
    """The loop around `PaperBroker`: lease, tape, commands, duties."""

    def __init__(
        self,
        store: PostgresBroker,
        bus: RedisBus,
        clock: Clock,
        stop: threading.Event,
        latency: Latency,
        hours: HoursMode,
    ) -> None:
        self._store, self._bus, self._clock, self._stop = store, bus, clock, stop
        self._delay = delay_by(latency)
        self._days = VenueDays(store.calendars, hours)
        self._timers = Timers()
        self._gap = ""
        self._position: TapePosition | None = None
        self._inputs = self._fills = 0
        self._outages = {"times": 0, "last_s": 0.0, "last_ts_ns": 0}
        self._published: list[int] = []
        self._last_tick_ns = 0

    def run(self) -> None:
        """Until stopped. Raises `Fenced` when another broker has taken over."""
        warm_up()  # a lease that is held must not run out over it
        epoch = self._wait_for_lease()
        if epoch is None:
            return
        broker = PaperBroker(self._store, epoch, self._delay, self._days)
        self._restore(broker, "the broker was started")
        log.info("broker open", epoch=epoch, input_seq=broker.engine.seq)
        while not self._stop.is_set():
            try:
                self._turn(broker)
            except (Halted, Stale) as error:
                self._restore(broker, f"restored after {error.code}")
            except Unavailable as error:
                self._sit_out(broker, error)
            except Fenced:
                raise
            except Exception as error:
                self._brake(broker, error)

    def _turn(self, broker: PaperBroker) -> None:
        read = self._read_tape(broker)
        ticks = no_ticks() if read is None else read.ticks
        commands = []
        if (read is not None and read.woken) or broker.on_its_way or self._timers.due("poll", POLL_S):
            commands = list(self._store.waiting_commands(COMMANDS_MAX, broker.queue.known))
        gap, self._gap = self._gap, ""
        more = len(commands) == COMMANDS_MAX
        done = broker.advance(self._clock.now_ns(), ticks, commands, gap, more=more)
        self._inputs += done.inputs
        self._fills += done.fills
        if len(ticks):
            self._last_tick_ns = int(ticks["ts_ns"][-1])
        self._bus.publish_events(done.events)
        self._published += done.outbox
        self._duties(broker)

    def _keep_lease(self, broker: PaperBroker) -> None:
        if self._timers.due("lease", LEASE_RENEW_S):
            self._store.renew_lease(broker.epoch, LEASE_TTL_S)

    def _duties(self, broker: PaperBroker) -> None:
        now_ns = self._clock.now_ns()
        self._keep_lease(broker)
        if self._timers.due("outbox", OUTBOX_S):
            # What the desk wrote, and what a broker that died did not come to; what is published here is marked by it.
            self._bus.publish_events(self._store.publish_outbox(OUTBOX_MAX, self._published))
            self._published = []
        if self._timers.due("snapshot", SNAPSHOT_S):
            broker.snapshot(now_ns)
        if self._timers.due("seal", 1.0):
            self._store.seal(self._clock.now())
        if self._timers.due("mark", MARK_S):
            self._store.mark_equity(now_ns, broker.marks())
        if self._timers.due("report", REPORT_S):
            self._store.report(
                {
                    "v": 1,
                    "epoch": broker.epoch,
                    "input_seq": broker.committed_seq,
                    "inputs": self._inputs,
                    "fills": self._fills,
                    "open_orders": len(broker.engine.orders),
                    "last_tick_ts_ns": self._last_tick_ns,
                    "halted": sorted(broker.engine.halted),
                    "outages": self._outages,
                }
            )

    def _read_tape(self, broker: PaperBroker) -> TapeBatch | None:
        """The next ticks; None while the bus is away, which is a gap in what the broker has seen.

        Comes back at once for ticks and for commands, and when a command on its way is due.
        """
        due_ns = broker.queue.next_due_ns()
        wait_ms = int(POLL_S * 1000)
        if due_ns is not None:
            wait_ms = max(1, min(wait_ms, (due_ns - self._clock.now_ns()) // 1_000_000))
        try:
            if self._position is None:
                self._position = self._bus.tape_end()
            read = self._bus.read_tape(self._position, wait_ms)
        except Unavailable:
            if self._position is not None:
                self._gap = "the tape was lost"
                log.warning("tape lost")
            self._position = None
            self._stop.wait(POLL_S)
            return None
        self._position = read.position
        return read

    def _restore(self, broker: PaperBroker, why: str) -> None:
        """Rebuild memory until it works; what happened meanwhile is a recorded gap."""
        while not self._stop.is_set():
            try:
                self._store.renew_lease(broker.epoch, LEASE_TTL_S)
                broker.restore(self._clock.now_ns(), lambda: self._keep_lease(broker))
                self._gap, self._position = why, None
                log.info("restored", why=why, input_seq=broker.engine.seq)
                return
            except Unavailable:
                self._stop.wait(0.5)

    def _sit_out(self, broker: PaperBroker, error: Unavailable) -> None:
        """A server that is away or says nothing: ask until it answers. What was on its way is found out then."""
        begun_s = time.monotonic()
        log.warning("server away", reason=str(error))
        self._stop.wait(0.5)
        self._restore(broker, "a server was away")
        away_s = round(time.monotonic() - begun_s, 1)
        self._outages = {"times": self._outages["times"] + 1, "last_s": away_s, "last_ts_ns": self._clock.now_ns()}

    def _brake(self, broker: PaperBroker, error: Exception) -> None:
        """An effect that the database does not take: stop the floor, keep the evidence, go on without fills."""
        log.error("batch refused, floor halted", error=repr(error), input_seq=broker.committed_seq)
        if "floor" in broker.engine.halted:
            raise error
        reason = "The broker met a booking that the ledger refuses. Trading stops until an admin has looked at its log."
        self._store.halt_floor(reason, self._clock.now_ns())
        self._restore(broker, "a batch was refused")

    def _wait_for_lease(self) -> int | None:
        holder, away = f"{socket.gethostname()}:{os.getpid()}", False
        while not self._stop.is_set():
            try:
                epoch = self._store.take_lease(holder, LEASE_TTL_S)
                if epoch is not None:
                    return epoch
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("database away", reason=str(error))
                away = True
            self._stop.wait(0.2)
        return None


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    logs.configure()
    settings, stop = Settings(), stop_when_told()
    store = PostgresBroker(connections.dsn(settings, "tf_broker"))
    bus = RedisBus(connections.redis_url(settings))
    try:
        BrokerProcess(store, bus, SystemClock(), stop, settings.latency, settings.sim_hours).run()
    except Fenced as error:
        log.error("fenced", reason=str(error))
        return FENCED_STATUS
    except TradefloorError as error:
        log.error("broker stopped", code=error.code, reason=str(error))
        return 1
    finally:
        store.close()
        bus.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
