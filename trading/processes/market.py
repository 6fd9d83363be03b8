"""The market process: ``python -m trading.processes.market`` runs the simulated venue ``SIM``.

One thread makes ticks and hands them to the `trading.processes.market_feed.Feed`, which publishes them and builds bars;
a second one does what may wait: writing the lake, and the process's health row. The first quotes come before anything
else, the venue's past is written behind them.

Every two seconds the state (prices, open bars, bars not yet in the lake) is saved to ``data/market/state.json``. After
a kill the next start reads from the tape what was published since that save, so neither a trade nor a tick number is
used twice; where the tape is gone too, numbers jump and the first ticks say that something may be missing. The time of
a stop is then simulated up to now and its bars are made from it, so a chart has no hole.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from trading.adapters.clock import SystemClock
from trading.adapters.embedded import connections
from trading.adapters.postgres.pool import Pool, open_pool
from trading.adapters.redis_bus import RedisBus
from trading.config import Settings
from trading.domain.errors import TradefloorError
from trading.market.backhistory import first_history, missed
from trading.market.bars import Bars
from trading.market.profiles import VENUE, Profile
from trading.market.simulator import Simulator
from trading.market.ticks import QUOTE
from trading.processes import logs, market_rows, market_scenarios, replays
from trading.processes import market_archive as archive
from trading.processes.market_feed import Feed
from trading.processes.replays import Replays
from trading.processes.stopping import stop_when_told
from trading.services.ports.clock import Clock

if TYPE_CHECKING:
    from trading.services.ports.lake import LakeStore

log = structlog.get_logger()

SAVE_S = 2.0
STATUS_S = 2.0
BARS_S = 1.0
FILL_FROM_NS = 10_000_000_000
"""A shorter stop is bridged by the next ticks alone."""
STOP_S = 4.0
"""How long the last flush may take; what it does not manage is in the saved state."""


HISTORY_AT_ONCE = 13
"""Instruments whose past is made at a time: all at once would take half a gigabyte."""


class MarketSettings(BaseSettings):
    """``TRADEFLOOR_TICKS_PER_S`` updates a second of each instrument; ``TRADEFLOOR_SIM_SPEED`` speed of prices."""

    model_config = SettingsConfigDict(env_prefix="TRADEFLOOR_", extra="ignore")

    ticks_per_s: float = Field(default=4.0, gt=0, le=200)
    sim_speed: float = Field(default=1.0, gt=0, le=1000)


class Market:
    """The running venue: everything here belongs to the main thread, but what ``_later`` does."""

    def __init__(
        self,
        simulator: Simulator,
        units: Mapping[int, archive.Units],
        bus: RedisBus,
        open_lake: "Callable[[], LakeStore]",
        pool: Pool,
        clock: Clock,
        folder: Path,
    ) -> None:
        self.simulator, self.units, self.pool, self.clock = simulator, units, pool, clock
        self._path, self._requests = folder / "state.json", folder / market_scenarios.FOLDER
        self._later = ThreadPoolExecutor(max_workers=1, thread_name_prefix="market-later")
        self.feed = Feed(units, bus, open_lake, clock, self._later)
        self.replays = Replays(self.feed, bus, folder / replays.FOLDER, self._on_replays)
        self._history: Future[Bars] | None = None
        self._with_history: set[str] = set()
        self._lag_ns = 0

    @property
    def step_s(self) -> float:
        """Time between two steps, in which an instrument has one update at most: short enough to seem random."""
        return float(min(0.25, max(0.005, 0.4 / self.simulator.ticks_per_s)))

    # Start ------------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Continue the saved state, or start the venue where there is none."""
        saved = self._saved()
        now_ns = self.clock.now_ns()
        self.simulator.lost[:] = True
        if saved is not None:
            self._resume(saved, now_ns)
        fresh = [unit.symbol for unit in self.units.values() if unit.symbol not in self._with_history]
        if fresh:
            log.info("market.first_start", symbols=fresh)
            self.feed.hold_bars()
            self._history = self._later.submit(self._write_history, fresh, self.simulator.prices.ts_ns)
        self.save()

    def _saved(self) -> dict[str, Any] | None:
        try:
            saved: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.error("market.state_unreadable", error=str(error))
            return None
        if any(saved["ids"].get(unit.symbol, key) != key for key, unit in self.units.items()):
            # Another database than the one this state was saved beside: its bars are named by other ids.
            log.warning("market.state_of_another_floor")
            return None
        return saved

    def _resume(self, saved: Mapping[str, Any], now_ns: int) -> None:
        known = archive.in_lake_until_ns(market_rows.newest_in_lake(self.pool), self.units)
        if not known:
            # The lake was emptied, or the process was killed before the venue's past was written: start again.
            log.warning("market.lake_is_empty")
            return
        self.simulator.load(saved["state"])
        self._with_history = set(saved["with_history"])
        self.feed.load(saved)
        if not saved["clean"]:
            self._catch_up(int(saved["state"]["ts_ns"]), set(saved.get("taken", ())))
        log.info(
            "market.resumed", clean=saved["clean"], stopped_s=round((now_ns - self.simulator.prices.ts_ns) / 1e9, 1)
        )
        fresh = np.array([symbol not in self._with_history for symbol in self.simulator.symbols])
        stopped_ns = now_ns - self.simulator.prices.ts_ns
        if stopped_ns >= FILL_FROM_NS or (fresh.any() and stopped_ns > 1):
            self._fill(now_ns - 1)
        self.feed.drop_known(known)
        if fresh.any():
            # Their past will end at the first price.
            prices, anchor = self.simulator.prices, self.simulator.model.anchor
            self.simulator.move_to(replace(prices, log_price=np.where(fresh, anchor, prices.log_price)))

    def _fill(self, to_ns: int) -> None:
        """Simulate the time since the last tick without making ticks, and make its bars."""
        filled = missed(self.simulator.listed, self.simulator.prices, to_ns)
        known = [key for key, unit in self.units.items() if unit.symbol in self._with_history]
        closed, minutes = (bars[np.isin(bars["instrument_id"], known)] for bars in (filled.closed, filled.minutes))
        self.simulator.move_to(filled.prices)
        self.feed.fill(closed, minutes, to_ns)
        self.save()

    def _catch_up(self, saved_ns: int, taken: Set[int]) -> None:
        """Go on at the prices that were published after the last save, but for those of a replay."""
        ticks = self.feed.catch_up(saved_ns)
        reserve = int(self.simulator.ticks_per_s * SAVE_S * 5) + 100
        prices = self.simulator.prices
        log_price, ts_ns = prices.log_price.copy(), prices.ts_ns
        quotes = ticks[((ticks["kind"] & QUOTE) != 0) & (ticks["bid_ticks"] > 0) & (ticks["ask_ticks"] > 0)]
        for i, instrument_id in enumerate(self.simulator.instrument_ids.tolist()):
            own = quotes[quotes["instrument_id"] == instrument_id]
            if len(own) and instrument_id not in taken:
                middle = (float(own["bid_ticks"][-1]) + float(own["ask_ticks"][-1])) / 2
                log_price[i] = np.log(middle * self.simulator.model.tick_size[i])
        if len(ticks):
            ts_ns = max(ts_ns, int(ticks["ts_ns"].max()))
        self.simulator.move_to(replace(prices, step=prices.step + reserve, ts_ns=ts_ns, log_price=log_price))

    def _write_history(self, symbols: list[str], until_ns: int) -> Bars:
        """In the second thread: the past of some instruments. Whole days go to the lake; returns M1 of the running one.

        It takes the place of whatever the lake had of them: bars of a state that was lost would not fit to it.
        """
        places = [place for place, symbol in enumerate(self.simulator.symbols) if symbol in symbols]
        files, minutes = 0, []
        for part in self.simulator.listed.parts(places, HISTORY_AT_ONCE):
            history = first_history(part, until_ns)
            minutes.append(history.minutes)
            files += archive.write_all(self.feed.lake(), history.closed, self.units, "back-history", replace=True)
        found = np.concatenate(minutes)
        log.info("market.history_written", files=files)
        running: Bars = found[np.argsort(found["ts_ns"], kind="stable")]
        return running

    # Running ----------------------------------------------------------------------------------------------------------

    def run(self, stop: Event) -> None:
        """Make ticks until ``stop``; then flush and save."""
        due = dict.fromkeys(("bars", "save", "status"), time.monotonic())
        following = time.monotonic()
        while not stop.is_set():
            self.replays.step(self.clock.now_ns())
            if time.monotonic() < following:
                stop.wait(min(following - time.monotonic(), self.replays.wait_s))
                continue
            self.step()
            moment = time.monotonic()
            for name, every_s, act in (
                ("bars", BARS_S, self.keep_bars),
                ("save", SAVE_S, self.save),
                ("status", STATUS_S, self._report),
            ):
                if moment >= due[name]:
                    due[name] = moment + every_s
                    act()
            # A step that was missed is not made up for: prices move by the time that has passed.
            following = max(following + self.step_s, time.monotonic())
        self.close()

    def step(self) -> None:
        """One step of the simulation: its ticks to the bus, its trades to the bars."""
        now_ns = self.clock.now_ns()
        if now_ns - self.simulator.prices.ts_ns >= FILL_FROM_NS and not self.feed.holding:
            # The process or the machine slept.
            self._fill(now_ns - 1)
        self.feed.publish(self.simulator.advance(now_ns))
        self._lag_ns = self.clock.now_ns() - now_ns

    def _on_replays(self, given_back: frozenset[int]) -> None:
        """Other instruments are replayed than before: a kill must not find the old ones in the state."""
        self.simulator.lost[np.isin(self.simulator.instrument_ids, list(given_back))] = True
        self.save()

    def keep_bars(self) -> None:
        """Every second: take over the past once it is written, what was asked to happen, then what the feed keeps."""
        self._adopt_history()
        asked = market_scenarios.take(self._requests, self.simulator.symbols, self.simulator.prices.ts_ns)
        if asked:
            self.simulator.scenarios += asked
            self.save()
        if self.feed.keep():
            self.save()

    def _adopt_history(self) -> None:
        if self._history is None or not self._history.done():
            return
        failure = self._history.exception()
        if failure is not None:
            # Without a past there are no bars: end, and let the next start try again.
            log.error("market.history_failed", error=str(failure))
            raise failure
        minutes, self._history = self._history.result(), None
        self._with_history = {unit.symbol for unit in self.units.values()}
        self.feed.adopt(minutes)
        self.save()

    def idle(self, timeout_s: float = 60.0) -> None:
        """Wait until the second thread has done what it was given; raises TimeoutError."""
        end_s = time.monotonic() + timeout_s
        if self._history is not None:
            self._history.exception(timeout=timeout_s)
        self.feed.idle(end_s)

    def close(self) -> None:
        """Save, then flush what is pending and save again; safe to be killed in between."""
        self.replays.close()
        self.save(clean=not self.feed.holding)
        end_s = time.monotonic() + STOP_S
        try:
            self.idle(STOP_S)
            self._adopt_history()
            self.feed.finish_flush()
            self.feed.flush_everything()
            self.idle(max(0.0, end_s - time.monotonic()))
            self.feed.finish_flush()
        except TimeoutError:
            log.warning("market.last_flush_too_slow")
        self.save(clean=not self.feed.holding)
        self._later.shutdown(wait=False, cancel_futures=True)
        log.info("market.stopped", pending=self.feed.bars_pending)

    # State and health -------------------------------------------------------------------------------------------------

    def save(self, clean: bool = False) -> None:
        """Write the state beside the old one and put it in its place. ``clean`` says that no tick follows it."""
        saved = {
            "v": 1,
            "clean": clean,
            "ids": {unit.symbol: instrument_id for instrument_id, unit in self.units.items()},
            "state": self.simulator.dump(),
            "with_history": sorted(self._with_history),
            **self.feed.dump(),
        }
        staged = self._path.with_suffix(".tmp")
        try:
            with staged.open("w") as file:
                json.dump(saved, file)
                if clean:
                    file.flush()
                    os.fsync(file.fileno())
            staged.replace(self._path)
        except OSError as error:
            log.error("market.state_not_saved", error=str(error))

    def _report(self) -> None:
        detail = {
            "v": 1,
            "venue": VENUE,
            "instruments": len(self.units),
            "ticks_published": self.feed.published,
            "ticks_not_heard": self.feed.unheard,
            "last_tick_ts_ns": self.simulator.prices.ts_ns,
            "lag_ms": round(self._lag_ns / 1e6, 2),
            "bars_pending": self.feed.bars_pending,
            "late_trades": self.feed.late_trades,
            # Time does not go back on the tape: behind it, the venue waits for the clock.
            "clock_behind_s": round(max(0, self.simulator.prices.ts_ns - self.clock.now_ns()) / 1e9, 1),
            "history_written": not self.feed.holding,
            "scenarios": [each.to_json() for each in self.simulator.scenarios],
        }
        if self._history is None and not self.feed.flushing:
            self._later.submit(market_rows.write_detail, self.pool, detail)


def _await_instruments(pool: Pool, stop: Event) -> tuple[list[int], list[Profile], dict[int, archive.Units]]:
    while not stop.is_set():
        try:
            found = market_rows.instruments(pool)
        except TradefloorError as error:
            log.warning("market.waiting_for_database", error=str(error))
        else:
            if found[0]:
                return found
            log.info("market.waiting_for_instruments")
        stop.wait(0.5)
    return [], [], {}


def main() -> int:
    """Run until SIGTERM or SIGINT; exit status 0."""
    logs.configure()
    settings, own, stop = Settings(), MarketSettings(), stop_when_told()
    pool = open_pool(connections.dsn(settings, "tf_app"), max_size=2, name="tradefloor-market")
    bus = RedisBus(connections.redis_url(settings))
    try:
        ids, profiles, units = _await_instruments(pool, stop)
        if not ids:
            return 0

        def open_lake() -> "LakeStore":
            from trading.adapters.lake import Lake

            return Lake(settings.lake_dir, pool)

        folder, clock = settings.data_dir / "market", SystemClock()
        folder.mkdir(parents=True, exist_ok=True)
        simulator = Simulator(
            ids,
            profiles,
            seed=settings.seed,
            start_ns=clock.now_ns(),
            ticks_per_s=own.ticks_per_s,
            speed=own.sim_speed,
            hours=settings.sim_hours,
        )
        market = Market(simulator, units, bus, open_lake, pool, clock, folder)
        market.open()
        market.run(stop)
    finally:
        bus.close()
        pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
