"""What trading costs: an instrument's schedule of fees and taxes, set by an admin, versioned."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trading.domain.errors import NotFound
from trading.domain.fees import LISTED, FeeSchedule, check
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}
_EVERYONE = dict.fromkeys(Role, Reach.NO_PORTFOLIO)


@dataclass(frozen=True, slots=True)
class ScheduleVersion:
    """A schedule, the instrument version that has it, since when, and whether an admin set it."""

    version: int
    valid_from: datetime
    set_by_admin: bool
    schedule: FeeSchedule


@operation(_ADMIN)
def set_schedule(floor: Floor, actor: Actor, symbol: str, schedule: FeeSchedule, venue: str = "SIM") -> int:
    """Give an instrument a schedule; returns the new version, which orders accepted from now on are charged by.

    Raises `Invalid` (``bad_schedule``) and `NotFound`.
    """
    return floor.actions.set_fees(actor.user_id, _instrument(floor, symbol, venue), check(schedule), actor.origin)


@operation(_ADMIN)
def set_listed(floor: Floor, actor: Actor, symbol: str, name: str, venue: str = "SIM") -> int:
    """`set_schedule` with one of `trading.domain.fees.LISTED`; raises `NotFound`."""
    if name not in LISTED:
        raise NotFound(f"no schedule is called {name[:40]!r}; there are {', '.join(LISTED)}")
    return set_schedule(floor, actor, symbol, LISTED[name], venue)


@operation(_EVERYONE)
def history(floor: Floor, actor: Actor, symbol: str, venue: str = "SIM") -> Sequence[ScheduleVersion]:
    """Schedules of an instrument, the one in force first."""
    return [ScheduleVersion(**row) for row in floor.actions.fee_history(_instrument(floor, symbol, venue))]


def _instrument(floor: Floor, symbol: str, venue: str) -> int:
    found = floor.desk.instrument_id(symbol, venue)
    if found is None:
        raise NotFound(f"{symbol[:20]!r} is not traded on {venue[:10]}")
    return found
