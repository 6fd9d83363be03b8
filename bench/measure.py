"""What every part shares: a row of the result, rounds in turns, percentiles, the size of a run."""

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
"""Sizes are multiplied by this; below 1 for a quick look whose figures are worth less."""


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


def scaled(size: int, least: int = 1) -> int:
    """``size`` times the run's scale."""
    return max(least, round(size * SCALE))


def in_turns(rounds: int, ours: Callable[[], float], peer: Callable[[], float]) -> tuple[float, float, float]:
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


def percentile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
