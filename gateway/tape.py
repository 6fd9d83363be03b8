"""The newest quote of each instrument for many screens: one reader of the bus, conflated for each client.

The displayed levels of an instrument are read only while a screen shows its ladder.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog

from trading.domain.errors import TradefloorError
from trading.domain.instruments import Instrument
from trading.market.depth import levels
from trading.market.ticks import Ticks
from trading.services import desk
from trading.services.access import SYSTEM
from trading.services.floor import Floor

_LOG = structlog.get_logger(__name__)
PERIOD_S = 0.15
"""Between two looks at the bus: a screen gets at most seven updates a second, more than an eye can follow."""
STALE_AFTER_S = 2.7
"""Without any tick for this long the screens are told, so that they say so before three seconds are over."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote in units of the instrument, with the tape's sequence number."""

    seq: int
    payload: dict[str, Any]


class Tape:
    """Looks at the bus while somebody watches. ``monotonic_s`` is the clock that staleness is measured with."""

    def __init__(self, floor: Floor, monotonic_s: Callable[[], float]) -> None:
        self._floor = floor
        self._monotonic_s = monotonic_s
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None
        self._moved_s: float | None = None
        self._instruments: dict[int, Instrument] = {}
        self.quotes: dict[int, Quote] = {}
        self.books: dict[str, Quote] = {}
        self._ladders: Counter[str] = Counter()
        self.changed = asyncio.Event()

    @property
    def stale(self) -> bool:
        """Whether the last tick is older than `STALE_AFTER_S`, or there was none."""
        return self._moved_s is None or self._monotonic_s() - self._moved_s > STALE_AFTER_S

    async def watch(self) -> None:
        """Count a watcher in; the first one starts the reader."""
        self._watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="tape")

    def leave(self) -> None:
        """Count a watcher out; the last one stops the reader."""
        self._watchers -= 1
        if self._watchers == 0 and self._task is not None:
            self._task.cancel()
            self._task = None

    def show_ladder(self, symbol: str) -> None:
        """Count a screen in that shows the ladder of ``symbol``."""
        self._ladders[symbol] += 1

    def hide_ladder(self, symbol: str) -> None:
        """Count it out; nobody reads the levels of an instrument that nobody looks at."""
        self._ladders[symbol] -= 1
        if self._ladders[symbol] <= 0:
            del self._ladders[symbol]
            self.books.pop(symbol, None)

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except TradefloorError as error:
                _LOG.warning("tape_not_read", code=error.code)
            await asyncio.sleep(PERIOD_S)

    async def _look(self) -> None:
        ticks = await asyncio.to_thread(self._floor.bus.last_ticks)
        if any(instrument_id not in self._instruments for instrument_id in ticks):
            instruments = await asyncio.to_thread(desk.instruments, self._floor, SYSTEM)
            self._instruments = {instrument.id: instrument for instrument in instruments}
        moved = False
        for instrument_id, tick in ticks.items():
            known = self.quotes.get(instrument_id)
            instrument = self._instruments.get(instrument_id)
            # A restarted source may count from a lower number: any other number is news.
            if len(tick) == 0 or instrument is None or (known is not None and known.seq == int(tick["seq"][0])):
                continue
            self.quotes[instrument_id] = Quote(int(tick["seq"][0]), _payload(instrument, tick[0]))
            moved = True
        if moved:
            self._moved_s = self._monotonic_s()
        await self._look_at_books()
        self.changed.set()
        self.changed.clear()

    async def _look_at_books(self) -> None:
        shown = {key: each for key, each in self._instruments.items() if each.symbol in self._ladders}
        if not shown:
            return
        for instrument_id, snapshot in (await asyncio.to_thread(self._floor.bus.last_books, tuple(shown))).items():
            instrument, seq = shown[instrument_id], int(snapshot["seq"][-1])
            known = self.books.get(instrument.symbol)
            if known is None or known.seq != seq:
                self.books[instrument.symbol] = Quote(seq, _ladder(instrument, snapshot))


def decimals(step: Decimal) -> int:
    """Decimal places that show a tick or lot size in full."""
    return max(0, -int(step.normalize().as_tuple().exponent))


def _payload(instrument: Instrument, tick: Any) -> dict[str, Any]:
    def side(name: str) -> tuple[str | None, str]:
        ticks, lots = int(tick[f"{name}_ticks"]), int(tick[f"{name}_lots"])
        price = f"{instrument.price(ticks):.{decimals(instrument.tick_size)}f}" if ticks > 0 else None
        return price, f"{instrument.quantity(lots).normalize():f}"

    bid, bid_size = side("bid")
    ask, ask_size = side("ask")
    return {
        "id": instrument.id,
        "symbol": instrument.symbol,
        "bid": bid,
        "ask": ask,
        "bid_size": bid_size,
        "ask_size": ask_size,
        "ts_ms": int(tick["ts_ns"]) // 1_000_000,
    }


def _ladder(instrument: Instrument, snapshot: Ticks) -> dict[str, Any]:
    """Sizes stay numbers: the ladder draws them as bars."""
    places = decimals(instrument.tick_size)
    bids, asks = (
        [[f"{instrument.price(ticks):.{places}f}", float(instrument.quantity(lots))] for ticks, lots in side]
        for side in levels(snapshot)
    )
    return {"symbol": instrument.symbol, "bids": bids, "asks": asks}
