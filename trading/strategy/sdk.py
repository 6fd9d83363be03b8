"""All that a strategy's author needs: one object runs in the backtest, in a replay and live.

A strategy is a frozen value (its parameters) with two methods. `Strategy.start` gives the first state and
`Strategy.on_bar` takes the state and one closed bar and returns the next state and the targets it wants. State is a
value, never an attribute: the runner keeps it, stores it, and can run the same day twice with the same result.

::

    @dataclass(frozen=True, slots=True)
    class BuyAboveYesterday:
        symbols: tuple[str, ...]
        name: str = "buy_above_yesterday"

        def start(self) -> dict[str, float]:
            return {}

        def on_bar(self, context, state, bar):
            weight = 1.0 if bar.close > state.get(bar.symbol, bar.close) else 0.0
            return Step({**state, bar.symbol: bar.close}, (Target(bar.symbol, weight),))

A target made on bar N trades from the open of bar N+1. Prices in a `Bar` are adjusted for splits and dividends, because
signals must not see them as moves; the fills that follow are made at raw prices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from trading.domain.errors import Invalid

S = TypeVar("S")
"""A strategy's state: any immutable value."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One closed bar of one symbol: prices adjusted and in units of the quote currency, volume in shares or lots.

    ``ts_ns`` is the bar's start, UTC. ``signals`` are numbers that were known at the bar's close, such as a model's
    out-of-sample probability; a name that is missing was not known.
    """

    symbol: str
    ts_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What the strategy's portfolio is worth when the bar closes: money in the base currency, quantities in units."""

    ts_ns: int
    equity: Decimal
    cash: Decimal
    positions: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Target:
    """The share of equity to hold in a symbol, 0 (nothing) to 1 (everything). ``reason`` is shown beside the order.

    Raises `Invalid` with code ``weight_out_of_range``: cash accounts neither borrow nor sell short.
    """

    symbol: str
    weight: float
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight <= 1.0:  # a NaN fails this too
            raise Invalid(f"weight {self.weight} of {self.symbol} is not between 0 and 1", "weight_out_of_range")


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """What `Strategy.on_bar` returns: the next state, and targets; no target for a symbol leaves it as it is."""

    state: S
    targets: Sequence[Target] = ()


class Strategy(Protocol[S]):
    """A trading strategy. Bars arrive by time, then by symbol; the strategy sees the past and nothing else."""

    @property
    def name(self) -> str:
        """Short and stable: results are stored under it."""
        ...

    @property
    def symbols(self) -> tuple[str, ...]:
        """Which symbols' bars it wants."""
        ...

    def start(self) -> S:
        """The state before the first bar."""
        ...

    def on_bar(self, context: Context, state: S, bar: Bar) -> Step[S]:
        """The next state and targets after one closed bar. Must not do I/O, read a clock or draw random numbers."""
        ...
