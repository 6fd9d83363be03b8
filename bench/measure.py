"""What every part shares: a row of the result, rounds in turns, percentiles, the size of a run."""

import cProfile
import os
import pstats
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
"""Sizes are multiplied by this; below 1 for a quick look whose figures are worth less."""


Figures = tuple[float, float, float]
"""Ours, the peer's, the ratio."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result. ``met`` is judged where the figures are made, for some are better large, some small."""

    name: str
    ours: float
    peer: float
    ratio: float
    target: float
    unit: str
    met: bool
    wanted: str

    def to_json(self) -> dict[str, Any]:
        """The row as it stands in the file, rounded to four places."""
        values = {"ours": self.ours, "peer": self.peer, "ratio": self.ratio}
        return {
            "name": self.name,
            **{k: _short(v) for k, v in values.items()},
            "target": self.target,
            "unit": self.unit,
        }


def at_least(name: str, ours: float, peer: float, ratio: float, target: float, unit: str) -> Row:
    """A ratio that is wanted large."""
    return Row(name, ours, peer, ratio, target, unit, ratio >= target, f"ratio >= {target:g}")


def at_most(name: str, ours: float, peer: float, target: float, unit: str) -> Row:
    """A time that is wanted small beside its peer's."""
    return Row(name, ours, peer, ours / peer, target, unit, ours / peer <= target, f"ratio <= {target:g}")


def worse(found: Sequence[Figures]) -> Figures:
    """Those in which we stand worse."""
    return min(found, key=lambda figures: figures[2])


def say(text: str) -> None:
    """A line for the reader."""
    print(text, flush=True)  # noqa: T201


def scaled(size: int, least: int = 1) -> int:
    """``size`` times the run's scale."""
    return max(least, round(size * SCALE))


def in_turns(rounds: int, ours: Callable[[], float], peer: Callable[[], float]) -> Figures:
    """Run both by turns; returns the median of each and the median of the ratios of neighbours.

    The machine's speed drifts, but hardly between neighbours; who goes first changes from round to round.
    """
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = peer()
            pairs.append((ours(), second))
        else:
            first = ours()
            pairs.append((first, peer()))
    mine, others = zip(*pairs, strict=True)
    ratio = statistics.median(one / other for one, other in pairs)
    return statistics.median(mine), statistics.median(others), ratio


def where_time_goes(title: str, work: Callable[[], object], lines: int = 10) -> None:
    """Run ``work`` once more under the profiler; prints the functions that took most, as parts of the whole."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    stats = pstats.Stats(profiler)
    total_s: float = stats.total_tt  # type: ignore[attr-defined]
    found = sorted(stats.stats.items(), key=lambda entry: -entry[1][2])  # type: ignore[attr-defined]
    say(f"  where the time of {title} goes (profiled):")
    for (path, line, function), (_, calls, own_s, _, _) in found[:lines]:
        place = f"{Path(path).parent.name}/{Path(path).name}:{line} " if line else ""
        say(f"    {100 * own_s / total_s:5.1f} %  {calls:>8,} calls  {place}{function}")


def percentile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
