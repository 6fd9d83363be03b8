"""The simulated venue's own past: bars up to the moment its ticks begin, and over the time it was shut.

`first_history` is written once, at the first start: daily bars for three years, M5 and longer for 60 days, M1 and
longer for 5 days, all from the simulator's model, so that the close of the last bar is the price of the first tick.
`missed` makes the bars of a stop in the same way, starting at the price where the simulation stopped.

Everything is grouped by whole UTC days, so each frame's bars agree with the finer ones wherever those exist. Days that
are not whole (the running one, and that of a stop) come as M1 alone: a `trading.market.bars.BarBuilder`, which knows
what was traded before, takes them with `merge` and goes on from there.
"""

from dataclasses import dataclass, replace

import numpy as np

from trading.market.bars import BAR, FRAME_NAMES, FRAMES, MINUTE_NS, Bars, no_bars, roll_up
from trading.market.simulator import DAY_NS, Floats, Path, Simulator, State

YEARS_NS = 3 * 365 * DAY_NS
M5_DAYS_NS = 60 * DAY_NS
M1_DAYS_NS = 5 * DAY_NS
STEP_NS = {"D1": 1800 * 10**9, "M5": 75 * 10**9, "M1": 10 * 10**9}
"""How finely the price is simulated inside bars of a base frame."""
VOLUME_SIGMA = 0.35


@dataclass(frozen=True, slots=True)
class History:
    """``closed``: every frame of whole days, by frame, instrument, time. ``minutes``: M1 of the other days, by time.

    The last of the minutes may be running still. ``state`` continues where the bars end.
    """

    closed: Bars
    minutes: Bars
    state: State


def first_history(simulator: Simulator, to_ns: int) -> History:
    """Three years up to ``to_ns`` (UTC), ending at each profile's price; ``state`` is the simulator's own start."""
    begin = simulator.start(to_ns // DAY_NS * DAY_NS - YEARS_NS)
    paths, _ = _paths(simulator, begin, to_ns)
    # The model has no memory of its level but a weak pull, so the whole past may be shifted to end at the first price.
    shift = simulator.anchor - paths[-1][1].end_log_price
    moved = [(base, replace(path, log_price=path.log_price + shift)) for base, path in paths]
    closed, minutes = _collect(simulator, moved, begin, begin.log_price + shift, to_ns)
    return History(closed, minutes, replace(simulator.start(to_ns), log_vol=moved[-1][1].end_log_vol))


def missed(simulator: Simulator, state: State, to_ns: int) -> History:
    """The time from ``state`` to ``to_ns``, in which no tick was made; the next tick is marked as after a gap."""
    paths, end = _paths(simulator, state, to_ns)
    closed, minutes = _collect(simulator, paths, state, state.log_price, to_ns)
    return History(closed, minutes, replace(end, step=state.step + 1, lost=True))


def _paths(simulator: Simulator, begin: State, to_ns: int) -> tuple[list[tuple[str, Path]], State]:
    """Stretches with their base frames, coarse first; a day that has begun before is told in minutes to its end."""
    midnight = to_ns // DAY_NS * DAY_NS
    cuts = [("D1", midnight - M5_DAYS_NS), ("M5", midnight - M1_DAYS_NS), ("M1", to_ns)]
    if begin.ts_ns % DAY_NS:
        cuts.insert(0, ("M1", min(to_ns, (begin.ts_ns // DAY_NS + 1) * DAY_NS)))
    paths: list[tuple[str, Path]] = []
    state = begin
    for base, end_ns in cuts:
        if end_ns > state.ts_ns:
            block = max(1, 2 * 3600 * 10**9 // STEP_NS[base])
            path = simulator.path(state, end_ns, STEP_NS[base], stream=len(paths), block=block)
            paths.append((base, path))
            state = replace(state, ts_ns=end_ns, log_price=path.end_log_price, log_vol=path.end_log_vol)
    return paths, state


def _collect(
    simulator: Simulator, paths: list[tuple[str, Path]], begin: State, log_price: Floats, to_ns: int
) -> tuple[Bars, Bars]:
    """Bars of all frames of whole days, and M1 of those days at either end that are not."""
    whole_from_ns = -(-begin.ts_ns // DAY_NS) * DAY_NS
    whole_to_ns = to_ns // DAY_NS * DAY_NS
    closed: dict[str, list[Bars]] = {frame: [no_bars()] for frame in FRAME_NAMES}
    minutes = [no_bars()]
    for base, path in paths:
        bars = _bars(simulator, path, log_price, base)
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


def _bars(simulator: Simulator, path: Path, log_price: Floats, base: str) -> Bars:
    """Bars of one frame out of a path that begins at ``log_price``, by instrument, then time."""
    length_ns = FRAMES[base] * MINUTE_NS
    # A price at the very end of a bucket belongs to it: steps are (start, end].
    bucket = (path.ts_ns - 1) // length_ns
    first = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
    last = np.append(first[1:], len(bucket)) - 1
    prices = np.maximum(1, np.rint(np.exp(path.log_price) / simulator.tick_size)).astype(np.int64)
    before = np.maximum(1, np.rint(np.exp(log_price) / simulator.tick_size)).astype(np.int64)
    close = prices[last]
    open_ = np.concatenate((before[None, :], close[:-1]))
    began_ns = np.concatenate(([path.ts_ns[0] - STEP_NS[base]], path.ts_ns[last[:-1]]))
    seconds = np.maximum(1, (path.ts_ns[last] - began_ns) / 1e9)
    random = np.random.Generator(np.random.Philox(key=simulator.seed, counter=[0, 1, 0, int(path.ts_ns[-1])]))
    noise = np.exp(VOLUME_SIGMA * random.standard_normal(close.shape) - VOLUME_SIGMA**2 / 2)
    volume = simulator.volume_per_s() * seconds[:, None] * noise * np.exp(0.5 * path.log_vol[last])
    bars = np.zeros((len(simulator.instrument_ids), len(first)), dtype=BAR)
    bars["instrument_id"] = simulator.instrument_ids[:, None]
    bars["frame"] = FRAME_NAMES.index(base)
    bars["ts_ns"] = bucket[first] * length_ns
    bars["open"] = open_.T
    bars["high"] = np.maximum(np.maximum.reduceat(prices, first, axis=0), open_).T
    bars["low"] = np.minimum(np.minimum.reduceat(prices, first, axis=0), open_).T
    bars["close"] = close.T
    bars["volume"] = np.maximum(1, np.rint(volume)).astype(np.int64).T
    return bars.reshape(-1)
