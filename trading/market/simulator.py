"""The price process of the simulated venue ``SIM``: pure, seeded, vectorised over instruments.

`Simulator.advance` takes a state and a time and gives the next state and the ticks in between. It reads no clock and
keeps nothing: the same seed and the same times give the same bytes. Each step draws from a counter-based generator
(Philox, keyed by the seed, counted by the step), so a state needs no generator to be saved with it.

SIM trades around the clock in this release: there are no sessions and no holidays, a day has 24 hours.

The model, for each instrument, with time in days:

* log volatility is an Ornstein-Uhlenbeck process with a memory of `VOL_MEMORY_DAYS`, so calm and wild weeks cluster
  (the exponential OU model of Scott 1987; its mean keeps the daily variance at the profile's);
* returns are Gaussian given that volatility, correlated through one market factor, plus jumps of a Poisson process
  (Merton 1976), whose variance is taken out of the Gaussian part;
* a weak pull towards the profile's price keeps a long simulation in a plausible range;
* the spread is a mean-reverting number of ticks that widens with volatility; sizes are log-normal; a share of the
  updates carries a trade at the bid or the ask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading.market.profiles import Profile
from trading.market.ticks import GAP, QUOTE, TICK, TRADE, Ticks

DAY_NS = 86_400_000_000_000
VOL_MEMORY_DAYS = 12.0
VOL_COMMON_SHARE = 0.6
"""Correlation of any instrument's volatility shocks with the market's."""
REVERSION_DAYS = 240.0
SPREAD_MEMORY_S = 5.0
SPREAD_SIGMA = 0.35
SIZE_SIGMA = 0.6
TRADE_SHARE = 0.25
"""Share of updates that carry a trade."""
TRADE_OF_SIZE = 0.15
"""Mean size of a trade as a share of the usual size at the best price."""
MIN_SIGMA_SHARE = 0.5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class State:
    """Where the simulated market stands; one entry an instrument, in the simulator's order.

    ``log_price`` is the fair price (natural logarithm, in currency), ``log_vol`` and ``log_spread`` the deviations of
    volatility and spread from their means, ``seq`` the number of the last tick. ``lost`` marks the next tick of every
    instrument as following a gap.
    """

    step: int
    ts_ns: int
    log_price: Floats
    log_vol: Floats
    log_spread: Floats
    seq: Ints
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """Fair prices of a stretch of time: ``ts_ns`` (steps,), the others (steps, instruments)."""

    ts_ns: Ints
    log_price: Floats
    log_vol: Floats

    @property
    def end_log_price(self) -> Floats:
        """Logarithm of the last fair price of each instrument."""
        last: Floats = self.log_price[-1]
        return last

    @property
    def end_log_vol(self) -> Floats:
        """The last deviation of log volatility."""
        last: Floats = self.log_vol[-1]
        return last


class Simulator:
    """The model with its parameters; immutable.

    ``ticks_per_s`` is the mean rate of updates of each instrument, ``speed`` how many seconds of price movement pass
    in one second of the clock.
    """

    def __init__(
        self,
        instrument_ids: Sequence[int],
        profiles: Sequence[Profile],
        *,
        seed: int,
        ticks_per_s: float = 8.0,
        speed: float = 1.0,
    ) -> None:
        if len(instrument_ids) != len(profiles) or not profiles:
            raise ValueError("as many profiles as instruments, and at least one")
        if not (ticks_per_s > 0 and speed > 0):
            raise ValueError("ticks_per_s and speed must be positive")
        self.profiles = tuple(profiles)
        self.symbols = tuple(profile.symbol for profile in profiles)
        self.instrument_ids = np.array(instrument_ids, dtype=np.int32)
        self.seed = seed
        self.ticks_per_s = ticks_per_s
        self.speed = speed

        def column(name: str) -> Floats:
            return np.array([float(getattr(profile, name)) for profile in profiles])

        self.tick_size = column("tick_size")
        self.anchor = np.log(column("start_price"))
        self.jump_rate, self.jump_sigma = column("jumps_per_day"), column("jump_volatility")
        self.vol_of_vol = column("vol_of_vol")
        self.spread_ticks, self.size_lots = column("spread_ticks"), column("size_lots")
        total = column("daily_volatility")
        floor = MIN_SIGMA_SHARE * total
        self.sigma = np.maximum(np.sqrt(np.maximum(total**2 - self.jump_rate * self.jump_sigma**2, 0.0)), floor)
        # Jumps are each instrument's own: the Gaussian part alone carries the measured correlation.
        self.rho = np.clip(column("market_correlation") * total / self.sigma, -0.95, 0.95)

    def volume_per_s(self) -> Floats:
        """Mean lots traded in a second, for each instrument."""
        return self.ticks_per_s * TRADE_SHARE * TRADE_OF_SIZE * self.size_lots

    def start(self, ts_ns: int) -> State:
        """Every instrument at its profile's price, nothing published yet."""
        n = len(self.profiles)
        return State(0, ts_ns, self.anchor.copy(), np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.int64))

    # Ticks ------------------------------------------------------------------------------------------------------------

    def advance(self, state: State, ts_ns: int) -> tuple[State, Ticks]:
        """Move to ``ts_ns`` (UTC): the next state and at most one tick an instrument, in order of time.

        Asked for a time that is not later, it answers the same state and no tick. The very first ticks of a state
        come for every instrument, so that nobody waits for a first quote.
        """
        elapsed_ns = ts_ns - state.ts_ns
        if elapsed_ns <= 0:
            return state, np.empty(0, dtype=TICK)
        n = len(self.profiles)
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, state.step]))
        normal = random.standard_normal((9, n))
        uniform = random.random((4, n))
        days = elapsed_ns / DAY_NS * self.speed
        log_vol = self._next_log_vol(state.log_vol, days, normal[0], normal[7, 0])
        move = self._moves(log_vol, days, normal[1], normal[8, 0])
        jumps = random.poisson(self.jump_rate * days)
        if jumps.any():
            move = move + np.sqrt(jumps) * self.jump_sigma * normal[3]
        pull = (self.anchor - state.log_price) * -np.expm1(-days / REVERSION_DAYS)
        memory = np.exp(-elapsed_ns / 1e9 / SPREAD_MEMORY_S)
        log_spread = memory * state.log_spread + SPREAD_SIGMA * np.sqrt(1 - memory**2) * normal[4]
        moved = replace(
            state,
            step=state.step + 1,
            ts_ns=ts_ns,
            log_price=state.log_price + move + pull,
            log_vol=log_vol,
            log_spread=log_spread,
        )
        quiet_s = elapsed_ns / 1e9
        due = (uniform[0] < self.ticks_per_s * quiet_s) | (state.seq == 0) | state.lost
        ticks = self._ticks(moved, np.flatnonzero(due), elapsed_ns, np.sign(move), normal, uniform)
        seq = state.seq + due
        ticks["seq"] = seq[due]
        if state.lost:
            ticks["kind"] |= GAP
        return replace(moved, seq=seq, lost=False), ticks[np.argsort(ticks["ts_ns"], kind="stable")]

    def _ticks(
        self, state: State, due: NDArray[np.intp], elapsed_ns: int, direction: Floats, normal: Floats, uniform: Floats
    ) -> Ticks:
        """Quotes of the instruments ``due``, some with a trade; ``seq`` is still 0."""
        ticks = np.zeros(len(due), dtype=TICK)
        fair = np.exp(state.log_price[due]) / self.tick_size[due]
        wide = self.spread_ticks[due] * np.exp(state.log_spread[due] - SPREAD_SIGMA**2 / 2 + 0.5 * state.log_vol[due])
        spread = np.maximum(1, np.rint(wide)).astype(np.int64)
        bid = np.maximum(1, np.floor(fair - spread / 2 + 0.5)).astype(np.int64)
        size = self.size_lots[due]
        bid_lots, ask_lots = (_lots(size, SIZE_SIGMA, normal[row][due]) for row in (5, 6))
        ticks["instrument_id"] = self.instrument_ids[due]
        ticks["ts_ns"] = state.ts_ns - (uniform[1][due] * elapsed_ns).astype(np.int64)
        ticks["bid_ticks"], ticks["ask_ticks"] = bid, bid + spread
        ticks["bid_lots"], ticks["ask_lots"] = bid_lots, ask_lots
        traded = uniform[2][due] < TRADE_SHARE
        # Buyers lift the ask a little more often while the price rises.
        buyer = uniform[3][due] < 0.5 + 0.15 * direction[due]
        lots = np.minimum(_lots(size * TRADE_OF_SIZE, 0.9, normal[2][due]), np.where(buyer, ask_lots, bid_lots))
        ticks["kind"] = np.where(traded, QUOTE | TRADE, QUOTE)
        ticks["aggressor"] = np.where(traded, np.where(buyer, 1, -1), 0)
        ticks["trade_ticks"] = np.where(traded, np.where(buyer, bid + spread, bid), 0)
        ticks["trade_lots"] = np.where(traded, lots, 0)
        return ticks

    def _next_log_vol(self, log_vol: Floats, days: float, own: Floats, common: float) -> Floats:
        memory = np.exp(-days / VOL_MEMORY_DAYS)
        shock = VOL_COMMON_SHARE * common + np.sqrt(1 - VOL_COMMON_SHARE**2) * own
        following: Floats = memory * log_vol + self.vol_of_vol * np.sqrt(1 - memory**2) * shock
        return following

    def _moves(self, log_vol: Floats, days: float, own: Floats, market: Floats | float) -> Floats:
        """Gaussian log returns. ``E[exp(2 h)] = exp(2 s^2)`` for h ~ N(0, s^2), hence the correction of the mean."""
        sigma = self.sigma * np.exp(log_vol - self.vol_of_vol**2) * np.sqrt(days)
        moves: Floats = sigma * (self.rho * market + np.sqrt(1 - self.rho**2) * own)
        return moves

    # Stretches of time without ticks ----------------------------------------------------------------------------------

    def path(self, state: State, to_ns: int, step_ns: int, *, stream: int, block: int = 16) -> Path:
        """The fair price from ``state`` to ``to_ns`` in steps of ``step_ns`` (the last one may be shorter).

        Volatility is held for ``block`` steps. ``stream`` separates the draws of different stretches.
        """
        whole, rest = divmod(to_ns - state.ts_ns, step_ns)
        steps = int(whole + (rest > 0))
        if steps <= 0:
            raise ValueError("a path goes forward in time")
        ts_ns = np.minimum(state.ts_ns + step_ns * np.arange(1, steps + 1, dtype=np.int64), to_ns)
        n = len(self.profiles)
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, stream + 1, state.step]))
        days = step_ns / DAY_NS * self.speed
        log_vol = np.empty((steps, n))
        blocks = -(-steps // block)
        shocks = random.standard_normal((blocks, n + 1))
        current = state.log_vol
        for i in range(blocks):
            current = self._next_log_vol(current, days * block, shocks[i, 1:], shocks[i, 0])
            log_vol[i * block : (i + 1) * block] = current
        moves = self._moves(log_vol, days, random.standard_normal((steps, n)), random.standard_normal((steps, 1)))
        jumps = random.poisson(self.jump_rate * days, (steps, n))
        where = np.nonzero(jumps)
        moves[where] += np.sqrt(jumps[where]) * self.jump_sigma[where[1]] * random.standard_normal(len(where[0]))
        if rest:
            moves[-1] *= np.sqrt(rest / step_ns)
        log_price = np.cumsum(moves, axis=0, out=moves)
        strength = -np.expm1(-days * block / REVERSION_DAYS)
        drift = np.zeros(n)
        for i in range(blocks):
            rows = log_price[i * block : (i + 1) * block]
            rows += state.log_price + drift
            drift = drift + (self.anchor - rows[-1]) * strength
        return Path(ts_ns, log_price, log_vol)

    # Saving -----------------------------------------------------------------------------------------------------------

    def dump(self, state: State) -> dict[str, Any]:
        """The state as a JSON object; floats survive exactly."""
        rows = zip(
            self.symbols,
            state.log_price.tolist(),
            state.log_vol.tolist(),
            state.log_spread.tolist(),
            state.seq.tolist(),
            strict=True,
        )
        return {
            "v": 1,
            "step": state.step,
            "ts_ns": state.ts_ns,
            "lost": state.lost,
            "instruments": {symbol: list(values) for symbol, *values in rows},
        }

    def load(self, saved: Mapping[str, Any]) -> State:
        """The state out of `dump`. An instrument that is new since then starts at its profile's price."""
        fresh = self.start(int(saved["ts_ns"]))
        known = saved["instruments"]
        columns = [fresh.log_price, fresh.log_vol, fresh.log_spread, fresh.seq]
        for i, symbol in enumerate(self.symbols):
            if symbol in known:
                for column, value in zip(columns, known[symbol], strict=True):
                    column[i] = value
        return replace(fresh, step=int(saved["step"]), lost=bool(saved["lost"]))


def _lots(mean: Floats, sigma: float, normal: Floats) -> Ints:
    lots: Ints = np.maximum(1, np.rint(mean * np.exp(sigma * normal - sigma**2 / 2))).astype(np.int64)
    return lots
