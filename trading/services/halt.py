"""The kill switch: running, reducing only, halted; for the floor, a user, a strategy, an instrument or a portfolio.

Scopes are ``floor``, ``user:ID``, ``strategy:NAME``, ``instrument:ID`` and ``portfolio:ID``. The database refuses
orders and fills in a halted scope; the engine cancels what is open there. See also `trading.processes.halt_file`.
"""

import re
from collections.abc import Sequence
from typing import Any

from trading.domain.errors import Invalid, NotFound
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

MODES = ("running", "reducing", "halted")
_SCOPE = re.compile(
    r"floor|(user|portfolio):[0-9]{1,18}|instrument:[0-9]{1,9}|strategy:[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
)


@operation({Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO})
def set_mode(floor: Floor, actor: Actor, scope: str, mode: str, reason: str) -> None:
    """Switch a scope; in force for every order and fill that commits after this returns.

    Raises `Invalid` for an unknown scope or mode, or when stopping without a reason; `Conflict` with code ``halt_file``
    where the file HALT keeps the floor halted.
    """
    if not _SCOPE.fullmatch(scope):
        raise Invalid(f"unknown scope {scope[:40]!r}", "unknown_scope")
    if mode not in MODES:
        raise Invalid(f"unknown mode {mode[:20]!r}", "unknown_mode")
    if mode != "running" and not reason.strip():
        raise Invalid("say why: the reason is shown to every trader", "reason_missing")
    floor.halt.set(actor.user_id, scope, mode, reason.strip()[:500], floor.clock.now_ns(), actor.origin)
    floor.bus.wake_broker()


@operation(
    {
        Role.ADMIN: Reach.NO_PORTFOLIO,
        Role.TRADER: Reach.NO_PORTFOLIO,
        Role.OBSERVER: Reach.NO_PORTFOLIO,
        Role.SYSTEM: Reach.NO_PORTFOLIO,
    }
)
def current(floor: Floor, actor: Actor) -> Sequence[dict[str, Any]]:
    """Scopes that are not running now: scope, name, mode, reason, set_by, ts_ns, by_file.

    Who is no admin is not told of other people and their portfolios.
    """
    stops = floor.halt.current()
    if actor.role in (Role.ADMIN, Role.SYSTEM) or all(_is_public(stop["scope"]) for stop in stops):
        return stops
    seen = floor.people.portfolios_of if actor.role is Role.TRADER else floor.people.portfolios_granted_to
    own = {f"user:{actor.user_id}", *(f"portfolio:{each.id}" for each in seen(actor.user_id))}
    return [stop for stop in stops if _is_public(stop["scope"]) or stop["scope"] in own]


def _is_public(scope: str) -> bool:
    return not scope.startswith(("user:", "portfolio:"))


@operation({Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO})
def scope_of(floor: Floor, actor: Actor, words: str) -> str:
    """A scope as people write it: ``user:tina`` and ``instrument:AAPL`` besides numbers. Raises `NotFound`."""
    kind, _, name = words.strip().partition(":")
    if kind == "user" and not name.isdigit():
        found = floor.people.user_by_name(name.lower())
        if found is None:
            raise NotFound(f"there is no user {name[:40]!r}")
        return f"user:{found[0].id}"
    if kind == "instrument" and not name.isdigit():
        instrument_id = floor.desk.instrument_id(name.upper(), "SIM")
        if instrument_id is None:
            raise NotFound(f"there is no instrument {name[:40]!r}")
        return f"instrument:{instrument_id}"
    return words.strip()
