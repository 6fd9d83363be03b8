"""The simulated venue's own past: bars up to the moment its ticks begin, and over the time it was shut.

`first_history` is written once, at the first start: daily bars for three years, M5 and longer for 60 days, M1 and
longer for 5 days, all from the simulator's model, so that the close of the last bar is the price of the first tick.
`missed` makes the bars of a stop in the same way, starting at the price where the simulation stopped.

A bar in which the instrument's market was closed does not exist: with real hours a stock has no bars at night.

Everything is grouped by whole UTC days, so each frame's bars agree with the finer ones wherever those exist. Days that
are not whole (the running one, and that of a stop) come as M1 alone: a `trading.market.bars.BarBuilder`, which knows
what was traded before, takes them with `merge` and goes on from there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trading.market.bars import BAR, FRAME_NAMES, FRAMES, MINUTE_NS, Bars, no_bars, roll_up
from trading.market.sessions import DAY_NS, opens_within
from trading.market.simulator_prices import Floats, Path, PriceModel, Prices, at_end

YEARS_NS = 3 * 365 * DAY_NS
M5_DAYS_NS = 60 * DAY_NS
M1_DAYS_NS = 5 * DAY_NS
STEP_NS = {"D1": 1800 * 10**9, "M5": 75 * 10**9, "M1": 10 * 10**9}
"""How finely the price is simulated inside bars of a base frame."""
VOLUME_SIGMA = 0.35


@dataclass(frozen=True, slots=True)
class Listed:
    """The instruments of a model: their ids, and the mean lots traded in each in a second."""

    model: PriceModel
    instrument_ids: NDArray[np.int32]
    volume_per_s: Floats

    def parts(self, places: Sequence[int], most: int) -> Iterator["Listed"]:
        """The instruments at some places, at most so many at a time, in the same market: less memory for each."""
        whole = self.model
        for number, first in enumerate(range(0, len(places), most), 1):
            own = list(places[first : first + most])
            model = PriceModel(
                [whole.profiles[place] for place in own],
                seed=whole.seed,
                speed=whole.speed,
                hours=whole.clock.mode,
                part=number,
            )
            yield Listed(model, self.instrument_ids[own], self.volume_per_s[own])


@dataclass(frozen=True, slots=True)
class History:
    """``closed``: every frame of whole days, by frame, instrument, time. ``minutes``: M1 of the other days, by time.

    The last of the minutes may be running still. ``prices`` are those where the bars end.
    """

    closed: Bars
    minutes: Bars
    prices: Prices


def first_history(listed: Listed, to_ns: int) -> History:
    """Three years up to ``to_ns`` (UTC), ending at each profile's price, which is the simulator's own start."""
    model = listed.model
    begin = model.start(to_ns // DAY_NS * DAY_NS - YEARS_NS)
    paths, _ = _paths(model, begin, to_ns)
    # The model has no memory of its level but a weak pull, so the whole past may be shifted to end at the first price.
    shift = model.anchor - paths[-1][1].end_log_price
    moved = [(base, replace(path, log_price=path.log_price + shift)) for base, path in paths]
    closed, minutes = _collect(listed, moved, begin, begin.log_price + shift, to_ns)
    return History(closed, minutes, replace(model.start(to_ns), log_vol=moved[-1][1].end_log_vol))


def missed(listed: Listed, prices: Prices, to_ns: int) -> History:
    """The time from ``prices`` to ``to_ns``, in which no tick was made."""
    paths, end = _paths(listed.model, prices, to_ns)
    closed, minutes = _collect(listed, paths, prices, prices.log_price, to_ns)
    return History(closed, minutes, replace(end, step=prices.step + 1))


def _paths(model: PriceModel, begin: Prices, to_ns: int) -> tuple[list[tuple[str, Path]], Prices]:
    """Stretches with their base frames, coarse first; a day that has begun before is told in minutes to its end."""
    midnight = to_ns // DAY_NS * DAY_NS
    cuts = [("D1", midnight - M5_DAYS_NS), ("M5", midnight - M1_DAYS_NS), ("M1", to_ns)]
    if begin.ts_ns % DAY_NS:
        cuts.insert(0, ("M1", min(to_ns, (begin.ts_ns // DAY_NS + 1) * DAY_NS)))
    paths: list[tuple[str, Path]] = []
    prices = begin
    for base, end_ns in cuts:
        if end_ns > prices.ts_ns:
            block = max(1, 2 * 3600 * 10**9 // STEP_NS[base])
            path = model.path(prices, end_ns, STEP_NS[base], stream=len(paths), block=block)
            paths.append((base, path))
            prices = at_end(prices, path)
    return paths, prices


def _collect(
    listed: Listed, paths: list[tuple[str, Path]], begin: Prices, log_price: Floats, to_ns: int
) -> tuple[Bars, Bars]:
    """Bars of all frames of whole days, and M1 of those days at either end that are not."""
    whole_from_ns = -(-begin.ts_ns // DAY_NS) * DAY_NS
    whole_to_ns = to_ns // DAY_NS * DAY_NS
    closed: dict[str, list[Bars]] = {frame: [no_bars()] for frame in FRAME_NAMES}
    minutes = [no_bars()]
    for base, path in paths:
        bars = _bars(listed, path, log_price, base)
        log_price = path.end_log_price
        whole = (bars["ts_ns"] >= whole_from_ns) & (bars["ts_ns"] < whole_to_ns)
        minutes.append(bars[~whole])
        for frame in FRAME_NAMES[FRAME_NAMES.index(base) :]:
            closed[frame].append(roll_up(bars[whole], frame))
    loose = np.concatenate(minutes)
    return (
        np.concatenate([part for frame in FRAME_NAMES for part in closed[frame]]),
        loose[np.argsort(loose["ts_ns"], kind="stable")],
    )


def _bars(listed: Listed, path: Path, log_price: Floats, base: str) -> Bars:
    """Bars of one frame out of a path that begins at ``log_price``, by instrument, then time."""
    model, length_ns = listed.model, FRAMES[base] * MINUTE_NS
    # A price at the very end of a bucket belongs to it: steps are (start, end].
    bucket = (path.ts_ns - 1) // length_ns
    first = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
    last = np.append(first[1:], len(bucket)) - 1
    prices = np.maximum(1, np.rint(model.ticks(path.log_price))).astype(np.int64)
    before = np.maximum(1, np.rint(model.ticks(log_price))).astype(np.int64)
    close = prices[last]
    open_ = np.concatenate((before[None, :], close[:-1]))
    began_ns = np.concatenate(([path.ts_ns[0] - STEP_NS[base]], path.ts_ns[last[:-1]]))
    seconds = np.maximum(1, (path.ts_ns[last] - began_ns) / 1e9)
    random = np.random.Generator(
        np.random.Philox(key=[model.seed, 1 + model.part], counter=[0, 1, 0, int(path.ts_ns[-1])])
    )
    noise = np.exp(VOLUME_SIGMA * random.standard_normal(close.shape) - VOLUME_SIGMA**2 / 2)
    volume = listed.volume_per_s * seconds[:, None] * noise * np.exp(0.5 * path.log_vol[last])
    bars = np.zeros((len(listed.instrument_ids), len(first)), dtype=BAR)
    bars["instrument_id"] = listed.instrument_ids[:, None]
    bars["frame"] = FRAME_NAMES.index(base)
    bars["ts_ns"] = bucket[first] * length_ns
    bars["open"] = open_.T
    bars["high"] = np.maximum(np.maximum.reduceat(prices, first, axis=0), open_).T
    bars["low"] = np.minimum(np.minimum.reduceat(prices, first, axis=0), open_).T
    bars["close"] = close.T
    bars["volume"] = np.maximum(1, np.rint(volume)).astype(np.int64).T
    open_at = {each: opens_within(each, model.clock.mode, bars["ts_ns"][0], length_ns) for each in set(model.calendars)}
    trading: Bars = bars[np.array([open_at[calendar] for calendar in model.calendars])]
    return trading
