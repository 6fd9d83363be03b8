"""The simulated venue ``SIM``: fair prices, participants who trade in an engine of their own, and the tape of it.

`Simulator.advance` goes on to a time and returns the records of the tape that happened since. It reads no clock: the
same seed and the same times give the same bytes, and a state that was saved with `dump` goes on to the same bytes
after `load`. The engine in it belongs to the simulation alone; users' orders never reach it.

Each step moves the fair prices (`simulator_prices`), lets an instrument's participants act with a chance that makes
``ticks_per_s`` updates a second (`participants`), gives the engine all of it as one batch, and tells the tape what
came of it (`simulator_tape`): trades, depth, quotes. An update of every instrument comes at once at the start, and a
snapshot of its depth at least every second.
"""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import Event
from trading.market import participants
from trading.market.backhistory import Listed
from trading.market.participants import ACCOUNT, SLOTS, Acting, Crowd
from trading.market.profiles import Profile
from trading.market.scenarios import Effects, Scenario, effects, running
from trading.market.sessions import HoursMode, is_open
from trading.market.simulator_prices import Floats, Ints, PriceModel, Prices
from trading.market.simulator_tape import Depth, Rows, Update, depth_of, records, trades_of
from trading.market.ticks import TICK, Ticks

SPREAD_MEMORY_S = 5.0
SPREAD_SIGMA = 0.25
SPREAD_SHARE = 1.1
"""The makers' spread as a share of the profile's: who rests inside it makes it smaller, a trade wider."""
TREND_S = 30.0
SNAPSHOT_NS = 1_000_000_000
DAY_S = 86_400.0
TRADED_SHARE = 0.045
"""Mean lots traded in an update as a share of the usual size; measured, see its test."""
_FILL = int(Event.FILL)
_UNKNOWN, _CLOSED, _OPEN = -1, 0, 1
"""What the tape has last said of a session; of one that has never closed it says nothing."""


class Simulator:
    """A running venue. ``ticks_per_s`` is the mean rate of updates of each instrument; the rest as in `PriceModel`."""

    def __init__(
        self,
        instrument_ids: Sequence[int],
        profiles: Sequence[Profile],
        *,
        seed: int,
        start_ns: int,
        ticks_per_s: float = 4.0,
        speed: float = 1.0,
        hours: HoursMode = "always",
    ) -> None:
        if len(instrument_ids) != len(profiles):
            raise ValueError("as many profiles as instruments")
        if not ticks_per_s > 0:
            raise ValueError("ticks_per_s must be positive")
        self.model = PriceModel(profiles, seed=seed, speed=speed, hours=hours)
        self.symbols = tuple(profile.symbol for profile in profiles)
        self.instrument_ids = np.array(instrument_ids, dtype=np.int32)
        self.ticks_per_s, self.hours = ticks_per_s, hours
        self.spread_ticks = np.array([float(profile.spread_ticks) for profile in profiles])
        self.size_lots = np.array([float(profile.size_lots) for profile in profiles])
        self._gap = np.maximum(1, np.rint(0.5 * self.spread_ticks)).astype(np.int64)
        self._calendars = list(dict.fromkeys(self.model.calendars))
        self._calendar = np.array([self._calendars.index(calendar) for calendar in self.model.calendars])
        self.scenarios: tuple[Scenario, ...] = ()
        self._begin(self.model.start(start_ns))

    def _begin(self, prices: Prices) -> None:
        """Stand at these prices with empty books."""
        n = len(self.symbols)
        self.prices = prices
        self.lost = np.zeros(n, dtype=bool)
        """Instruments whose next record says that something before it may be missing."""
        self._engine = CompiledEngine(n, orders=2 * n * SLOTS)
        self._crowd = Crowd.of(n)
        self._depth = Depth.empty(n)
        self._log_spread = np.zeros(n)
        self._trading = np.zeros(n, dtype=bool)
        self._told = np.full(n, _UNKNOWN)
        self._sized = np.ones((n, 2))
        self._snapshot_ns = np.zeros(n, dtype=np.int64)

    def move_to(self, prices: Prices) -> None:
        """Prices were moved by other means than ticks; what was missed is marked on the next records."""
        self.prices = prices
        self.lost[:] = True

    @property
    def listed(self) -> Listed:
        """What makes bars of a time without ticks."""
        return Listed(self.model, self.instrument_ids, self.ticks_per_s * TRADED_SHARE * self.size_lots)

    # A step -----------------------------------------------------------------------------------------------------------

    def advance(self, ts_ns: int) -> Ticks:
        """Go on to ``ts_ns`` (UTC); at most one update an instrument, in order of time.

        Asked for a time that is not later, it does nothing and answers no record.
        """
        before = self.prices
        elapsed_ns = ts_ns - before.ts_ns
        if elapsed_ns <= 0:
            return np.empty(0, dtype=TICK)
        found = self._effects(before.ts_ns, ts_ns)
        moved = self.model.move(before, ts_ns)
        self.prices = replace(moved, log_price=moved.log_price + found.shift)
        random = np.random.Generator(np.random.Philox(key=[self.model.seed, 0], counter=[0, 2, 0, before.step]))
        n = len(self.symbols)
        self._feel(before, elapsed_ns / 1e9, found, random.standard_normal(n))
        uniform = random.random((2, n))
        left = self._sessions(ts_ns, found)
        opens = self._trading & (self._told == _CLOSED) & ~found.muted
        closes = ~self._trading & (self._told != _CLOSED) & ~found.muted
        old = self._snapshot_ns < ts_ns - SNAPSHOT_NS + 2 * elapsed_ns
        due = (uniform[0] < self.ticks_per_s * elapsed_ns / 1e9) | old | self.lost | opens
        due &= self._trading
        events = self._trade(np.flatnonzero(due), left, ts_ns, found, random)
        depth, last = depth_of(self._orders, n), self._depth
        self._depth = depth
        told = np.flatnonzero((due & ~found.muted) | closes)
        update = Update(
            place=told,
            ts_ns=ts_ns - (uniform[1][told] * elapsed_ns).astype(np.int64),
            snapshot=((old | self.lost | opens) & self._trading)[told],
            lost=self.lost[told],
            opened=opens[told],
            closed=closes[told],
            trades=_heard(trades_of(events), found.muted),
        )
        self._told[told] = np.where(self._trading[told], _OPEN, _CLOSED)
        ticks = records(update, last, depth, self.instrument_ids)
        self._snapshot_ns[told[update.snapshot]] = ts_ns
        self.lost[told] = False
        self.lost |= found.muted
        return ticks[np.argsort(ticks["ts_ns"], kind="stable")]

    def _effects(self, from_ns: int, to_ns: int) -> Effects:
        found = effects(self.scenarios, self.symbols, from_ns, to_ns)
        self.scenarios = running(self.scenarios, to_ns)
        sized = np.stack([found.spread, found.size], axis=1)
        # Who quotes for other conditions than a moment ago quotes anew.
        self._crowd.renew |= (np.abs(np.log(sized / self._sized)) > 0.1).any(axis=1)
        self._sized = np.where(self._crowd.renew[:, None], sized, self._sized)
        return found

    def _feel(self, before: Prices, seconds: float, found: Effects, normal: Floats) -> None:
        """Makers change their mind about the spread, followers about the trend."""
        memory = np.exp(-seconds / SPREAD_MEMORY_S)
        self._log_spread = memory * self._log_spread + SPREAD_SIGMA * np.sqrt(1 - memory**2) * normal
        kept = np.exp(-seconds / TREND_S)
        # A trend of one is a usual move of its time.
        usual = self.model.sigma * np.sqrt(TREND_S / 2 / DAY_S * self.model.speed)
        change = (self.prices.log_price - before.log_price - found.shift) / usual
        self._crowd.trend = kept * self._crowd.trend + change + np.clip(found.shift / usual, -3, 3)

    def _sessions(self, ts_ns: int, found: Effects) -> NDArray[np.intp]:
        """Open and close; the instruments whose book must be emptied because they have closed."""
        trades = np.array([is_open(calendar, self.hours, ts_ns) for calendar in self._calendars])[self._calendar]
        trades &= ~found.halted
        left = np.flatnonzero(self._trading & ~trades)
        self._crowd.renew |= trades & ~self._trading
        self._trading = trades
        return left

    def _trade(
        self, place: NDArray[np.intp], closed: NDArray[np.intp], ts_ns: int, found: Effects, random: np.random.Generator
    ) -> Rows:
        """Everybody acts; the engine's events of it."""
        wide = SPREAD_SHARE * self.spread_ticks * np.exp(self._log_spread - SPREAD_SIGMA**2 / 2)
        wide *= found.spread * np.exp(0.5 * self.prices.log_vol)
        acting = Acting(
            place=place,
            fair=self.model.ticks(self.prices.log_price)[place],
            spread=wide[place],
            size=(self.size_lots * found.size)[place],
            gap=self._gap[place],
        )
        inputs = participants.decide(self._crowd, acting, random)
        if len(closed):
            inputs = np.concatenate([participants.withdraw(self._crowd, closed), inputs])
        inputs["seq"] = self._engine.seq + 1 + np.arange(len(inputs))
        inputs["ts_ns"] = ts_ns
        events = self._engine.apply(inputs)
        self._book(events)
        self._mirror()
        return events

    def _book(self, events: Rows) -> None:
        """Fills change what participants hold; a taker's slot and a maker's are told by the orders' ids."""
        fills = events[events["kind"] == _FILL]
        bought = np.where(fills["side"] == 0, fills["qty"], -fills["qty"])
        for name, lots in (("order_id", bought), ("maker_id", -bought)):
            np.add.at(self._crowd.position, (fills["symbol"], ACCOUNT[(fills[name] - 1) % SLOTS]), lots)

    def _mirror(self) -> None:
        """What is open now."""
        self._orders = self._engine.open_orders()
        crowd, slot = self._crowd, self._orders["order_id"] - 1
        crowd.left = np.zeros_like(crowd.left)
        crowd.left.reshape(-1)[slot] = self._orders["qty"]
        crowd.price.reshape(-1)[slot] = self._orders["price"]

    # Saving -----------------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything as a JSON object; floats survive exactly."""
        table = np.concatenate(
            [column.reshape(len(self.symbols), -1).astype(object) for column in self._columns()], axis=1
        )
        return {
            "v": 2,
            "step": self.prices.step,
            "ts_ns": self.prices.ts_ns,
            "instruments": dict(zip(self.symbols, table.tolist(), strict=True)),
            "scenarios": [each.to_json() for each in self.scenarios],
            "engine": base64.b64encode(zlib.compress(self._engine.save(), 1)).decode(),
        }

    def _columns(self) -> list[NDArray[Any]]:
        """All that is kept for an instrument. A state of version 1 has the first three."""
        crowd = self._crowd
        return [
            *(self.prices.log_price, self.prices.log_vol, self._log_spread),
            *(self.lost, self._trading, self._told, self._snapshot_ns, self._sized),
            *(crowd.bid, crowd.ask, crowd.step_back, crowd.position, crowd.directions, crowd.trend, crowd.renew),
        ]

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on where `dump` was taken. An instrument that is new since then starts at its profile's price.

        Where the books do not fit (other instruments, another revision of the engine, a state of version 1), they
        are quoted anew.
        """
        self._begin(replace(self.model.start(int(saved["ts_ns"])), step=int(saved["step"])))
        known = saved["instruments"]
        whole = saved["v"] == 2
        columns = self._columns() if whole else self._columns()[:3]
        for i, symbol in enumerate(self.symbols):
            row = known.get(symbol)
            begin = 0
            for column in columns if row is not None else ():
                size = column[i].size
                column[i] = np.reshape(row[begin : begin + size], column[i].shape)
                begin += size
        self.scenarios = tuple(Scenario(**each) for each in saved.get("scenarios", ()))
        if not whole:
            self.lost |= bool(saved["lost"])
        if not whole or tuple(known) != self.symbols or not self._restored(saved["engine"]):
            self._crowd.renew[:] = True
            self._snapshot_ns[:] = 0

    def _restored(self, packed: str) -> bool:
        try:
            engine = CompiledEngine.load(zlib.decompress(base64.b64decode(packed)))
        except (ValueError, zlib.error):
            return False
        self._engine = engine
        self._mirror()
        self._depth = depth_of(self._orders, len(self.symbols))
        return True


def _heard(trades: tuple[Ints, Ints, Ints, Ints], muted: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Ints]:
    place, price, lots, aggressor = trades
    heard = ~muted[place]
    return place[heard], price[heard], lots[heard], aggressor[heard]
