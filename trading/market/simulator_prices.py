"""The fair prices of the simulated venue ``SIM``: pure, seeded, vectorised over instruments.

What the venue's market makers quote around. `PriceModel.move` takes prices and a time and gives the next prices;
`PriceModel.path` does a long stretch at once, for bars of a time without ticks. Both read no clock and keep nothing:
each step draws from a counter-based generator (Philox, keyed by the seed, counted by the step), so no generator needs
to be saved with a state.

The model, for each instrument, with time in days:

* log volatility is an Ornstein-Uhlenbeck process with a memory of `VOL_MEMORY_DAYS`, so calm and wild weeks cluster
  (the exponential OU model of Scott 1987; its mean keeps the daily variance at the profile's);
* returns are Gaussian given that volatility, correlated through one market factor, plus jumps of a Poisson process
  (Merton 1976), whose variance is taken out of the Gaussian part;
* within a day volatility follows the profile's shape: `DayClock` turns time into days of variance. With real hours a
  stock's session holds its share of a day's variance, the night the rest, so that it opens with a gap;
* a weak pull towards the profile's price keeps a long simulation in a plausible range.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trading.market.profiles import Profile, shipped_shapes
from trading.market.sessions import DAY_NS, FX_WEEK, HoursMode, Sessions, is_around_the_clock, sessions

VOL_MEMORY_DAYS = 12.0
VOL_COMMON_SHARE = 0.6
"""Correlation of any instrument's volatility shocks with the market's."""
REVERSION_DAYS = 240.0
MIN_SIGMA_SHARE = 0.5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prices:
    """Where the fair prices stand; one entry an instrument, in the model's order.

    ``log_price`` is the natural logarithm of the price in currency, ``log_vol`` the deviation of log volatility from
    its mean, ``step`` counts the moves.
    """

    step: int
    ts_ns: int
    log_price: Floats
    log_vol: Floats


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


class DayClock:
    """Days of variance by time, for instruments that may differ in calendar, shape of the day and overnight share."""

    def __init__(self, profiles: Sequence[Profile], mode: HoursMode) -> None:
        self.mode = mode
        kinds = [(profile.calendar, profile.shape) for profile in profiles]
        self._kinds = list(dict.fromkeys(kinds))
        self._kind = np.array([self._kinds.index(kind) for kind in kinds])
        night = [
            0.0 if is_around_the_clock(profile.calendar, mode) else profile.overnight_share for profile in profiles
        ]
        self._night = np.array(night)
        self._cumulative = {}
        for name, weights in shipped_shapes().items():
            variance = np.square(weights)
            self._cumulative[name] = np.concatenate(([0.0], np.cumsum(variance) / variance.sum()))

    def elapsed(self, ts_ns: Ints) -> Floats:
        """Days of variance between each two of the times (n + 1,) in order, for every instrument: (n, instruments)."""
        day, night = (np.empty((len(self._kinds), len(ts_ns) - 1)) for _ in range(2))
        for i, (calendar, shape) in enumerate(self._kinds):
            in_day, in_night = self._passed(calendar, shape, ts_ns)
            day[i], night[i] = np.diff(in_day), np.diff(in_night)
        days: Floats = day[self._kind].T * (1 - self._night) + night[self._kind].T * self._night
        return days

    def _passed(self, calendar: str, shape: str, ts_ns: Ints) -> tuple[Floats, Floats]:
        """Sessions and nights passed since some day, as numbers that grow; their unit is a whole one."""
        weights = self._cumulative[shape]
        if is_around_the_clock(calendar, self.mode):
            days = _day(weights, ts_ns)
            return days, days
        known = sessions(calendar, int(ts_ns[-1]))
        if calendar == FX_WEEK:
            days = _open_days(weights, known, ts_ns)
            return days, days
        opens, closes = known.day_open_ns, known.day_close_ns
        i = np.searchsorted(closes, ts_ns, side="right")
        # The night before session i runs from the last close to its open.
        slept = np.clip((ts_ns - closes[i - 1]) / (opens[i] - closes[i - 1]), 0, 1)
        traded = np.clip((ts_ns - opens[i]) / (closes[i] - opens[i]), 0, 1)
        return i + _at(weights, traded), i + slept


def _at(weights: Floats, fraction: Floats) -> Floats:
    """Share of a day's variance that has passed at a fraction of the day."""
    # Straight lines between equally spaced points, as `numpy.interp` has them, in a third of its time for few points.
    at = fraction * (len(weights) - 1)
    i = np.minimum(at.astype(np.int64), len(weights) - 2)
    share: Floats = weights[i] + (at - i) * (weights[i + 1] - weights[i])
    return share


def _day(weights: Floats, ts_ns: Ints) -> Floats:
    whole, rest = np.divmod(ts_ns, DAY_NS)
    days: Floats = whole + _at(weights, rest / DAY_NS)
    return days


def _open_days(weights: Floats, known: Sessions, ts_ns: Ints) -> Floats:
    """UTC days of variance in which the market was open."""
    opens, closes = _day(weights, known.open_ns), _day(weights, known.close_ns)
    before = np.concatenate(([0.0], np.cumsum(closes - opens)))
    i = np.searchsorted(known.close_ns, ts_ns, side="right")
    days: Floats = before[i] + np.maximum(_day(weights, ts_ns) - opens[i], 0.0)
    return days


class PriceModel:
    """The model with its parameters; immutable. ``speed`` is how many seconds of movement pass in a second.

    ``part`` tells models of different instruments apart that share a market: they draw the same common shocks and
    different ones of their own.
    """

    def __init__(
        self, profiles: Sequence[Profile], *, seed: int, speed: float = 1.0, hours: HoursMode = "always", part: int = 0
    ) -> None:
        if not profiles:
            raise ValueError("at least one profile")
        if not speed > 0:
            raise ValueError("speed must be positive")
        self.profiles = tuple(profiles)
        self.seed, self.speed, self.part = seed, speed, part
        self.clock = DayClock(profiles, hours)
        self.calendars = tuple(profile.calendar for profile in profiles)

        def column(name: str) -> Floats:
            return np.array([float(getattr(profile, name)) for profile in profiles])

        self.tick_size = column("tick_size")
        self.anchor = np.log(column("start_price"))
        self.jump_rate, self.jump_sigma = column("jumps_per_day"), column("jump_volatility")
        self.vol_of_vol = column("vol_of_vol")
        total = column("daily_volatility")
        floor = MIN_SIGMA_SHARE * total
        self.sigma = np.maximum(np.sqrt(np.maximum(total**2 - self.jump_rate * self.jump_sigma**2, 0.0)), floor)
        # Jumps are each instrument's own: the Gaussian part alone carries the measured correlation.
        self.rho = np.clip(column("market_correlation") * total / self.sigma, -0.95, 0.95)

    def start(self, ts_ns: int) -> Prices:
        """Every instrument at its profile's price."""
        return Prices(0, ts_ns, self.anchor.copy(), np.zeros(len(self.profiles)))

    def ticks(self, log_price: Floats) -> Floats:
        """Prices in ticks, not rounded."""
        prices: Floats = np.exp(log_price) / self.tick_size
        return prices

    def move(self, prices: Prices, ts_ns: int) -> Prices:
        """The prices at ``ts_ns``, which is later."""
        n = len(self.profiles)
        common, own = self._draws(0, prices.step)
        normal, market = own.standard_normal((3, n)), common.standard_normal(2)
        days = self.clock.elapsed(np.array([prices.ts_ns, ts_ns], dtype=np.int64))[0] * self.speed
        log_vol = self._next_log_vol(prices.log_vol, days, normal[0], market[0])
        move = self._moves(log_vol, days, normal[1], market[1])
        jumps = own.poisson(self.jump_rate * days)
        if jumps.any():
            move = move + np.sqrt(jumps) * self.jump_sigma * normal[2]
        pull = (self.anchor - prices.log_price) * -np.expm1(-days / REVERSION_DAYS)
        return Prices(prices.step + 1, ts_ns, prices.log_price + move + pull, log_vol)

    def _draws(self, stream: int, step: int) -> tuple[np.random.Generator, np.random.Generator]:
        """Generators of what is common to all instruments and of what is each one's own."""
        return (
            np.random.Generator(np.random.Philox(key=[self.seed, 0], counter=[0, 0, stream, step])),
            np.random.Generator(np.random.Philox(key=[self.seed, 1 + self.part], counter=[0, 0, stream, step])),
        )

    def _next_log_vol(self, log_vol: Floats, days: Floats, own: Floats, common: float) -> Floats:
        memory = np.exp(-days / VOL_MEMORY_DAYS)
        shock = VOL_COMMON_SHARE * common + np.sqrt(1 - VOL_COMMON_SHARE**2) * own
        following: Floats = memory * log_vol + self.vol_of_vol * np.sqrt(1 - memory**2) * shock
        return following

    def _moves(self, log_vol: Floats, days: Floats, own: Floats, market: Floats | float) -> Floats:
        """Gaussian log returns. ``E[exp(2 h)] = exp(2 s^2)`` for h ~ N(0, s^2), hence the correction of the mean."""
        sigma = self.sigma * np.exp(log_vol - self.vol_of_vol**2) * np.sqrt(days)
        moves: Floats = sigma * (self.rho * market + np.sqrt(1 - self.rho**2) * own)
        return moves

    def path(self, prices: Prices, to_ns: int, step_ns: int, *, stream: int, block: int = 16) -> Path:
        """The fair price from ``prices`` to ``to_ns`` in steps of ``step_ns`` (the last one may be shorter).

        Volatility is held for ``block`` steps. ``stream`` separates the draws of different stretches.
        """
        steps = -(-(to_ns - prices.ts_ns) // step_ns)
        if steps <= 0:
            raise ValueError("a path goes forward in time")
        ts_ns = np.minimum(prices.ts_ns + step_ns * np.arange(steps + 1, dtype=np.int64), to_ns)
        n, blocks = len(self.profiles), -(-steps // block)
        common, own = self._draws(stream + 1, prices.step)
        days = self.clock.elapsed(ts_ns) * self.speed
        held = np.add.reduceat(days, np.arange(0, steps, block), axis=0)
        shared, shocks = common.standard_normal(blocks), own.standard_normal((blocks, n))
        log_vol = np.empty((steps, n))
        current = prices.log_vol
        for i in range(blocks):
            current = self._next_log_vol(current, held[i], shocks[i], shared[i])
            log_vol[i * block : (i + 1) * block] = current
        moves = self._moves(log_vol, days, own.standard_normal((steps, n)), common.standard_normal((steps, 1)))
        jumps = own.poisson(self.jump_rate * days)
        where = np.nonzero(jumps)
        moves[where] += np.sqrt(jumps[where]) * self.jump_sigma[where[1]] * own.standard_normal(len(where[0]))
        log_price = np.cumsum(moves, axis=0, out=moves)
        strength = -np.expm1(-held / REVERSION_DAYS)
        drift = np.zeros(n)
        for i in range(blocks):
            rows = log_price[i * block : (i + 1) * block]
            rows += prices.log_price + drift
            drift = drift + (self.anchor - rows[-1]) * strength[i]
        return Path(ts_ns[1:], log_price, log_vol)


def at_end(prices: Prices, path: Path) -> Prices:
    """Where a path leads."""
    return replace(prices, ts_ns=int(path.ts_ns[-1]), log_price=path.end_log_price, log_vol=path.end_log_vol)
