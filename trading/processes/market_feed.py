"""The way of records out of the market process: their numbers, the bus, the bars, the lake.

Every source of prices (the simulator, a replay) hands its records to the one `Feed`. It gives them their numbers, which
rise by one for each record of an instrument, publishes them and builds the bars of what was traded. An instrument that
a replay has taken over is heard from the replay alone.

Closed bars wait here for the lake; what is not there yet is part of the saved state and of the tail that screens read.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from trading.adapters.redis_bus import RedisBus, TapePosition, no_ticks
from trading.domain.errors import Unavailable
from trading.market.bars import FRAME_NAMES, BarBuilder, Bars, pack_bars
from trading.market.profiles import VENUE
from trading.market.ticks import Ticks
from trading.processes import market_archive as archive
from trading.services.ports.clock import Clock

if TYPE_CHECKING:
    from trading.services.ports.lake import LakeStore

log = structlog.get_logger()

CLOSE_GRACE_NS = 1_000_000_000
"""A minute is closed by the clock this long after its end."""
RETRY_FLUSH_S = 60.0
PENDING_MAX = 5_000
"""More bars than this do not wait for their hour."""
RESERVE = 1_000_000
"""Numbers that are skipped where nobody knows how many were used."""
REREAD_MS = 1_000
"""The tape is read again from this long before the last save: the server's clock names its entries."""


class Feed:
    """Numbers, publishes, builds bars, flushes. Everything belongs to the main thread, but what ``later`` does."""

    def __init__(
        self,
        units: Mapping[int, archive.Units],
        bus: RedisBus,
        open_lake: "Callable[[], LakeStore]",
        clock: Clock,
        later: Executor,
    ) -> None:
        self.units, self.bus, self.clock = units, bus, clock
        self._open_lake, self._later = open_lake, later
        self._store: LakeStore | None = None
        self._ids = np.array(sorted(units), dtype=np.int32)
        # Above any number given before, should the saved state be lost: microseconds outrun records.
        self._ts_ns = np.zeros(len(self._ids), dtype=np.int64)
        self._seq = np.full(len(self._ids), clock.now_ns() // 1_000, dtype=np.int64)
        self._builder = BarBuilder()
        self._pending = archive.Pending(since_ns=clock.now_ns())
        self._held: list[Ticks] | None = None
        self._flush: tuple[Future[int], Bars] | None = None
        self.taken: frozenset[int] = frozenset()
        self.published = 0
        self.unheard = 0

    def lake(self) -> "LakeStore":
        """The lake, opened when first asked for: it brings pandas and DuckDB, and the first ticks need neither."""
        if self._store is None:
            self._store = self._open_lake()
        return self._store

    @property
    def flushing(self) -> bool:
        """Whether the second thread is writing bars."""
        return self._flush is not None

    @property
    def bars_pending(self) -> int:
        """Closed bars that the lake has not yet."""
        return len(self._pending)

    @property
    def late_trades(self) -> int:
        """Trades that came after their minute was closed."""
        return self._builder.late

    # Records ----------------------------------------------------------------------------------------------------------

    def publish(self, ticks: Ticks, *, replayed: bool = False) -> None:
        """Number records in their order, put them on the tape, build their bars. ``seq`` is overwritten in place.

        Each source's records are in order of time; where one takes over from another, ``ts_ns`` does not go back.
        Without ``replayed`` those of instruments that a replay has taken over are left out.
        """
        if self.taken and not replayed:
            ticks = ticks[~np.isin(ticks["instrument_id"], list(self.taken))]
        if len(ticks) == 0:
            return
        self._number(ticks)
        heard = self.bus.publish_ticks(ticks)
        self.published += len(ticks)
        self.unheard += 0 if heard else len(ticks)
        if self._held is not None:
            self._held.append(ticks)
        else:
            self._closed(self._builder.add(ticks))

    def _number(self, ticks: Ticks) -> None:
        place = np.searchsorted(self._ids, ticks["instrument_id"])
        order = np.argsort(place, kind="stable")
        grouped = place[order]
        first = np.flatnonzero(np.diff(grouped, prepend=-1))
        count = np.diff(np.append(first, len(grouped)))
        within = np.arange(1, len(grouped) + 1) - np.repeat(first, count)
        ticks["seq"][order] = self._seq[grouped] + within
        self._seq[grouped[first]] += count
        np.maximum(ticks["ts_ns"], self._ts_ns[place], out=ticks["ts_ns"])
        self._ts_ns[grouped[first]] = ticks["ts_ns"][order[first + count - 1]]

    # Bars -------------------------------------------------------------------------------------------------------------

    def hold_bars(self) -> None:
        """Build no bars until `adopt`: what came before these ticks is still being made."""
        self._held = []

    @property
    def holding(self) -> bool:
        """Whether bars wait for `adopt`."""
        return self._held is not None

    def adopt(self, minutes: Bars) -> None:
        """Take M1 bars of the time before, then go on with the ticks that waited for them."""
        held, self._held = self._held or [], None
        self._pending.add(self._builder.merge(minutes))
        for ticks in held:
            self._pending.add(self._builder.add(ticks))
        self._pending.soon(self.clock.now_ns())
        self.show()

    def fill(self, closed: Bars, minutes: Bars, to_ns: int) -> None:
        """Bars of a time without ticks: whole days go to the lake, minutes join the open bars."""
        self._pending.add(self._builder.merge(minutes))
        if len(closed):
            # Whole days: too many bars to wait in memory.
            archive.write_all(self.lake(), closed, self.units, "market, missed days")
        if len(self._pending) > PENDING_MAX:
            self._pending.soon(to_ns)
        self.show()

    def keep(self) -> bool:
        """Every second: close minutes by the clock, show the forming bars, flush; True when bars reached the lake."""
        if self._held is not None:
            return False
        now_ns = self.clock.now_ns()
        self._closed(self._builder.close_until(now_ns - CLOSE_GRACE_NS))
        self.show(closed=False)
        flushed = self.finish_flush()
        if self._flush is None:
            self._begin_flush(now_ns)
        return flushed

    def show(self, *, closed: bool = True) -> None:
        """The forming bars for the charts and, when they changed, the closed ones that are not in the lake yet."""
        self.bus.put_bars(pack_bars(self._builder.forming()), self._pending.packed() if closed else None)

    def _closed(self, bars: Bars) -> None:
        if len(bars):
            self._pending.add(bars)
            self.show()
            self.bus.publish_bars([self._as_json(bar) for bar in bars])

    def _as_json(self, bar: Any) -> dict[str, Any]:
        unit = self.units[int(bar["instrument_id"])]
        prices = {name: float(int(bar[name]) * unit.tick_size) for name in ("open", "high", "low", "close")}
        return {
            "venue": VENUE,
            "symbol": unit.symbol,
            "timeframe": FRAME_NAMES[int(bar["frame"])],
            "ts_ns": int(bar["ts_ns"]),
            **prices,
            "volume": float(int(bar["volume"]) * unit.lot_size),
        }

    # Into the lake ----------------------------------------------------------------------------------------------------

    def flush_everything(self) -> None:
        """Give all closed bars to the second thread."""
        self._begin_flush(self.clock.now_ns(), everything=True)

    def _begin_flush(self, now_ns: int, *, everything: bool = False) -> None:
        bars = self._pending.due(now_ns, everything=everything)
        if len(bars):
            self._flush = (self._later.submit(self._write, bars, not everything), bars)

    def _write(self, bars: Bars, then_compact: bool) -> int:
        files = archive.write_all(self.lake(), bars, self.units, "market")
        if then_compact:
            archive.compact(self.lake(), self.units)
        return files

    def finish_flush(self) -> bool:
        """Forget the bars that the second thread has written; True where there were some."""
        if self._flush is None or not self._flush[0].done():
            return False
        future, bars = self._flush
        self._flush = None
        failure = future.exception()
        if failure is not None:
            # They stay pending.
            self._pending.soon(self.clock.now_ns(), RETRY_FLUSH_S)
            log.error("market.flush_failed", error=str(failure))
            return False
        self._pending.done(bars)
        self.show()
        return True

    def idle(self, end_s: float) -> None:
        """Wait for the second thread until ``end_s`` of the monotonic clock; raises TimeoutError."""
        if self._flush is not None:
            self._flush[0].exception(timeout=max(0.0, end_s - time.monotonic()))

    def drop_known(self, in_lake_until_ns: Mapping[tuple[int, int], int]) -> None:
        """Forget bars that the lake has."""
        self._pending.drop_known(in_lake_until_ns)

    # Saving -----------------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Its part of the saved state."""
        return {
            "builder": self._builder.dump(),
            "pending": self._pending.dump(),
            "seq": dict(zip(map(str, self._ids.tolist()), self._seq.tolist(), strict=True)),
            "taken": sorted(self.taken),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take back what `dump` gave. An instrument that is new since then keeps its own first number."""
        self._builder = BarBuilder.load(saved["builder"])
        self._pending = archive.Pending.load(saved["pending"], self.clock.now_ns())
        known = saved.get("seq", {})
        for place, instrument_id in enumerate(self._ids.tolist()):
            self._seq[place] = known.get(str(instrument_id), self._seq[place])

    def catch_up(self, saved_ns: int) -> Ticks:
        """Take from the tape what was published after the save of ``saved_ns``, or skip numbers where it is gone.

        Returns those records, in their order.
        """
        try:
            position, batches = TapePosition(tape=f"{max(0, saved_ns // 1_000_000 - REREAD_MS)}-0"), [no_ticks()]
            while len((batch := self.bus.read_tape(position, 0)).ticks):
                batches.append(batch.ticks)
                position = batch.position
        except Unavailable:
            batches = [no_ticks()]
        ticks = np.concatenate(batches)
        if len(ticks) == 0:
            self._seq += RESERVE
            return ticks
        ticks = ticks[np.isin(ticks["instrument_id"], self._ids)]
        ticks = ticks[ticks["seq"] > self._seq[np.searchsorted(self._ids, ticks["instrument_id"])]]
        np.maximum.at(self._seq, np.searchsorted(self._ids, ticks["instrument_id"]), ticks["seq"])
        np.maximum.at(self._ts_ns, np.searchsorted(self._ids, ticks["instrument_id"]), ticks["ts_ns"])
        self._pending.add(self._builder.add(ticks))
        return ticks
