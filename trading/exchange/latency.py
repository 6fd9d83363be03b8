"""How long an order is on its way to the market: nothing, always the same, or drawn from a distribution.

A draw belongs to the seed and the command, so a restart finds the delay that the command had before. The delay is
written into the log with the input that it delayed; a replay reads it there and draws nothing.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from trading.domain.errors import Invalid
from trading.exchange.draws import draw_unit

DELAY_MS_MAX = 60_000.0
_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)
_MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Log-normal by median and 99th percentile in milliseconds; equal ones are a fixed delay, zeros none.

    Delays of computers and networks are skewed to the right and never negative, as a log-normal is: its logarithm has
    mean ``ln(median)`` and standard deviation ``ln(p99 / median) / z(0.99)``. No draw exceeds `DELAY_MS_MAX`.
    """

    median_ms: float = 0.0
    p99_ms: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.median_ms <= self.p99_ms <= DELAY_MS_MAX or self.median_ms == self.p99_ms == 0):
            raise Invalid("a latency needs 0 < median <= p99 <= 60,000 ms, or none at all", "bad_latency")

    def delay_ns(self, command_id: int) -> int:
        """The delay of one command in nanoseconds, the same whenever it is asked."""
        if self.median_ms == self.p99_ms:
            return round(self.median_ms * _MS_NS)
        z = _NORMAL.inv_cdf(draw_unit(self.seed, "latency", command_id))
        drawn_ms = self.median_ms * math.exp(z * math.log(self.p99_ms / self.median_ms) / _Z99)
        return round(min(drawn_ms, DELAY_MS_MAX) * _MS_NS)


def parse_latency(text: str, seed: int = 0) -> Latency:
    """``none``, ``fixed:MS`` or ``lognormal:MEDIAN_MS,P99_MS``; else `Invalid`, code ``bad_latency``."""
    name, _, numbers = text.strip().partition(":")
    try:
        values = [float(number) for number in numbers.split(",")] if numbers else []
    except ValueError:
        values = []
    if name == "none" and not numbers:
        return Latency(seed=seed)
    if name == "fixed" and len(values) == 1:
        return Latency(values[0], values[0], seed)
    if name == "lognormal" and len(values) == 2:
        return Latency(values[0], values[1], seed)
    raise Invalid(f"{text[:60]!r} is not none, fixed:MS or lognormal:MEDIAN_MS,P99_MS", "bad_latency")
