"""The kill switch: running, reducing only, halted; for the floor, a user or an instrument."""

import re
from collections.abc import Sequence
from typing import Any

from trading.domain.errors import Invalid
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

MODES = ("running", "reducing", "halted")
_SCOPE = re.compile(r"^(floor|user:[0-9]{1,18}|instrument:[0-9]{1,9})$")


@operation({Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO})
def set_mode(floor: Floor, actor: Actor, scope: str, mode: str, reason: str) -> None:
    """Switch a scope; in force for every order and fill that commits after this returns.

    Raises `Invalid` for an unknown scope or mode, or when stopping without a reason.
    """
    if not _SCOPE.match(scope):
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
    """Scopes that are not running now: scope, mode, reason, set_by, ts_ns."""
    return floor.halt.current()
