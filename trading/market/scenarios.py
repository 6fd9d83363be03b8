"""What can be made to happen on the simulated venue at run time, and what it does to prices, books and the feed.

A `Scenario` is a value: a name, an instrument or all of them, a size, and when it begins and ends (ns UTC). `effects`
says for a stretch of time what all running scenarios do together. The simulator acts on it; open orders and the broker
meet the results on the tape, as they would those of a real venue:

* ``gap``: the fair price jumps by ``size`` (0.05 is 5 % up) at once and stays there.
* ``halt``: trading stops; the book is emptied, CLOSED goes to the tape, at the end OPENED.
* ``spread``: makers quote ``size`` times as wide a spread.
* ``drought``: every order is ``size`` times its usual size (0.05 leaves a twentieth).
* ``feed_loss``: the venue goes on, but nothing of it reaches the tape; behind it comes a gap.
* ``crash``: the fair price falls by ``size`` (0.2 is 20 %) in the first fifth of the time and comes back in the rest,
  with wide spreads and thin books on the way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trading.market.simulator_prices import Floats

SIZES: Final = {"gap": 0.05, "halt": 1.0, "spread": 10.0, "drought": 0.05, "feed_loss": 1.0, "crash": 0.2}
"""The scenarios and their usual sizes."""
SECONDS: Final = {"gap": 0.0, "halt": 60.0, "spread": 60.0, "drought": 60.0, "feed_loss": 10.0, "crash": 120.0}
"""How long each takes unless it is told otherwise."""
_LIMITS: Final = {"gap": (-0.9, 9.0), "spread": (1.0, 1000.0), "drought": (0.001, 1.0), "crash": (0.001, 0.95)}
LONGEST_S: Final = 86_400.0
CRASH_FALL: Final = 0.2
"""Part of a crash's time in which the price falls."""
CRASH_SPREAD, CRASH_SIZE = 4.0, 0.25

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that happens; ``symbol`` None is every instrument."""

    name: str
    symbol: str | None
    size: float
    start_ns: int
    end_ns: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Effects:
    """What scenarios do in a stretch of time, an entry an instrument.

    ``shift`` is added to the logarithm of the fair price, ``spread`` and ``size`` multiply; ``halted`` and ``muted``
    hold at the end of the stretch.
    """

    shift: Floats
    spread: Floats
    size: Floats
    halted: Bools
    muted: Bools


def scenario(name: str, symbol: str | None, size: float | None, seconds: float | None, start_ns: int) -> Scenario:
    """A scenario that begins at ``start_ns``, with usual size and length where None; raises ValueError."""
    if name not in SIZES:
        raise ValueError(f"a scenario is one of {', '.join(SIZES)}")
    size = SIZES[name] if size is None else float(size)
    seconds = SECONDS[name] if seconds is None else float(seconds)
    low, high = _LIMITS.get(name, (-np.inf, np.inf))
    if not (np.isfinite(size) and low <= size <= high):
        raise ValueError(f"the size of {name} is between {low:g} and {high:g}")
    if not 0 <= seconds <= LONGEST_S:
        raise ValueError(f"a scenario takes between 0 and {LONGEST_S:g} seconds")
    return Scenario(name, symbol, size, start_ns, start_ns + int(seconds * 1e9))


def running(scenarios: Iterable[Scenario], ts_ns: int) -> tuple[Scenario, ...]:
    """Those that are not over before ``ts_ns``."""
    return tuple(each for each in scenarios if each.end_ns >= ts_ns)


def effects(scenarios: Sequence[Scenario], symbols: Sequence[str], from_ns: int, to_ns: int) -> Effects:
    """What happens behind ``from_ns`` up to ``to_ns`` (included)."""
    n = len(symbols)
    found = Effects(np.zeros(n), np.ones(n), np.ones(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))
    for each in scenarios:
        who = slice(None) if each.symbol is None else np.array([symbol == each.symbol for symbol in symbols])
        now = each.start_ns <= to_ns < each.end_ns
        if each.name == "gap":
            found.shift[who] += np.log1p(each.size) * (from_ns < each.start_ns <= to_ns)
        elif each.name == "crash":
            found.shift[who] += np.log1p(-each.size) * (_fallen(each, to_ns) - _fallen(each, from_ns))
            found.spread[who] *= 1 + (CRASH_SPREAD - 1) * _fallen(each, to_ns)
            found.size[who] *= 1 - (1 - CRASH_SIZE) * _fallen(each, to_ns)
        elif now and each.name == "spread":
            found.spread[who] *= each.size
        elif now and each.name == "drought":
            found.size[who] *= each.size
        elif now and each.name == "halt":
            found.halted[who] = True
        elif now:
            found.muted[who] = True
    return found


def _fallen(crash: Scenario, ts_ns: int) -> float:
    """How much of a crash's fall there is: from 0 up to 1 and back to 0."""
    length = max(1, crash.end_ns - crash.start_ns)
    done = min(1.0, max(0.0, (ts_ns - crash.start_ns) / length))
    return done / CRASH_FALL if done < CRASH_FALL else (1 - done) / (1 - CRASH_FALL)
