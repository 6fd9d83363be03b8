"""Simple moving-average cross: long while the fast average of closes is above the slow one, else flat.

The rule is as old as trading; its best-known test is Brock, Lakonishok and LeBaron, "Simple Technical Trading Rules and
the Stochastic Properties of Stock Returns", Journal of Finance 47 (1992).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trading.domain.errors import Invalid
from trading.strategy.sdk import Bar, Context, Step, Target

State = Mapping[str, tuple[float, ...]]
"""The newest closes of each symbol, at most ``slow`` of them."""


@dataclass(frozen=True, slots=True)
class SmaCross:
    """``fast`` and ``slow`` count bars. Equity is shared equally: each symbol's weight is ``1 / len(symbols)``."""

    symbols: tuple[str, ...]
    fast: int = 20
    slow: int = 100
    name: str = "sma_cross"

    def __post_init__(self) -> None:
        if not 0 < self.fast < self.slow:
            raise Invalid(f"fast {self.fast} must be shorter than slow {self.slow}", "bad_windows")

    def start(self) -> State:
        """No closes seen yet."""
        return {}

    def on_bar(self, context: Context, state: State, bar: Bar) -> Step[State]:  # noqa: ARG002 - the SDK's signature
        """Flat until ``slow`` bars have been seen; then the whole share or nothing."""
        closes = (*state.get(bar.symbol, ()), bar.close)[-self.slow :]
        after = {**state, bar.symbol: closes}
        if len(closes) < self.slow:
            return Step(after)
        fast = sum(closes[-self.fast :]) / self.fast
        slow = sum(closes) / self.slow
        weight = 1.0 / len(self.symbols) if fast > slow else 0.0
        relation = "above" if weight else "not above"
        return Step(after, (Target(bar.symbol, weight, f"SMA{self.fast} {relation} SMA{self.slow}"),))
