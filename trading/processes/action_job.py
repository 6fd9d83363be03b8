"""The clerk's part in splits and dividends: the simulated venue stands still while one is booked, its price follows.

Around a booking the instrument is halted on SIM for some seconds, as a real one would be between two sessions: quotes
from before it must not meet orders from behind it. The price then goes on from where the action puts it.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trading.config import Settings
from trading.processes import market_scenarios
from trading.services import actions
from trading.services.floor import Floor
from trading.services.ports.actions import ActionRow

LOOK_S = 5.0
HALT_S = 8.0
SETTLE_S = 2.0
"""The venue takes a request within a second; the broker has its last ticks well before this."""
_STEP_MOST = math.log(5)
"""One jump of the venue's price; a larger one is made of several."""
_DONE = "booked"


def job(settings: Settings) -> Callable[[Floor, int], str]:
    """Books what is due, with the venue's price."""
    folder = settings.data_dir / "market"
    return lambda floor, now_ns: actions.book_due(floor, now_ns, lambda action, ticks: _move(folder, action, ticks))


def _move(folder: Path, action: ActionRow, reference_ticks: int) -> None:
    """Halt the instrument and move its price, once for each action, then wait until the halt is on the tape."""
    done = folder / _DONE / str(action.id)
    if action.venue != "SIM" or done.exists():
        return
    requests = folder / market_scenarios.FOLDER
    market_scenarios.put(requests, "halt", action.symbol, None, HALT_S)
    time.sleep(SETTLE_S)
    done.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    done.touch()
    for size in jumps(action, reference_ticks):
        market_scenarios.put(requests, "gap", action.symbol, size, 0.0)


def jumps(action: ActionRow, reference_ticks: int) -> Iterator[float]:
    """The jumps that take the price from before the action to behind it, as parts of the price."""
    factor = action.denominator / action.numerator
    if action.dividend:
        price = float(reference_ticks * action.tick_size)
        factor = max(0.01, 1.0 - float(action.dividend) / price) if price else 1.0
    steps = math.ceil(abs(math.log(factor)) / _STEP_MOST)
    for _ in range(steps):
        yield math.expm1(math.log(factor) / steps)
