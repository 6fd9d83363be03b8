"""Trade on a model's out-of-sample probability that the price will be higher after the label's horizon."""

from collections.abc import Mapping
from dataclasses import dataclass

from trading.domain.errors import Invalid
from trading.strategy.sdk import Bar, Context, Step, Target

State = Mapping[str, bool]
"""Which symbols the strategy wants to hold."""


@dataclass(frozen=True, slots=True)
class ModelSignals:
    """Enter at ``enter`` or above, leave at ``leave`` or below, else stay: the gap between them saves fees.

    A bar without the signal leaves the position as it is.
    """

    symbols: tuple[str, ...]
    signal: str = "probability_up"
    enter: float = 0.55
    leave: float = 0.5
    name: str = "model_signals"

    def __post_init__(self) -> None:
        if not 0.0 <= self.leave <= self.enter <= 1.0:
            raise Invalid("thresholds must satisfy 0 <= leave <= enter <= 1", "bad_thresholds")

    def start(self) -> State:
        """Nothing wanted."""
        return {}

    def on_bar(self, context: Context, state: State, bar: Bar) -> Step[State]:  # noqa: ARG002 - the SDK's signature
        """The symbol's equal share of equity, or nothing."""
        probability = bar.signals.get(self.signal)
        if probability is None:
            return Step(state)
        held = state.get(bar.symbol, False)
        wanted = probability > self.leave if held else probability >= self.enter
        weight = 1.0 / len(self.symbols) if wanted else 0.0
        target = Target(bar.symbol, weight, f"{self.signal} {probability:.3f}")
        return Step({**state, bar.symbol: wanted}, (target,))
