"""People's data: all of it handed out, a person erased, and how long what need not be kept is kept.

The ledger and the audit trail are kept for ever; erasing a person leaves them, under a pseudonym.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from trading.domain.errors import Conflict, Invalid, NotFound, TradefloorError
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

IN_MEMORY_BYTES = 32 * 1024 * 1024
CHUNK = 2_000
CHUNKS_MAX = 200
"""Chunks that one run deletes of each kind; the next run goes on."""

_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}
_EVERYONE = {Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO, Role.OBSERVER: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class Policy:
    """How long something is kept after it ended, and the least that is safe, in days."""

    what: str
    days: int
    days_min: int


POLICIES = {
    "sessions": Policy("sessions", 30, 1),
    "login_attempts": Policy("login_attempts", 30, 1),
    # A retry with a key that is gone would be a second order.
    "idempotency_keys": Policy("idempotency_keys", 30, 7),
    "outbox": Policy("outbox", 7, 1),
    "access_marks": Policy("access_marks", 7, 1),
    "monitor_cycles": Policy("monitor_cycles", 30, 1),
    "process_logs": Policy("process_logs", 30, 1),
}
DAYS_MAX = 3_650

_WHY_NOT: dict[str, tuple[type[TradefloorError], str]] = {
    "unknown_user": (NotFound, "no such user"),
    "already_erased": (Conflict, "this person has been erased already"),
    "own_login": (Invalid, "you cannot erase your own login"),
    "not_confirmed": (Invalid, "type the login's name exactly as it is to confirm"),
    "last_admin": (Invalid, "this is the last admin of the floor; make another one first"),
    "open_orders": (Invalid, "orders still open: {count}; cancel them first"),
    "balances_left": (Invalid, "accounts that still hold cash or shares: {count}; close and pay out first"),
}


@operation(_ADMIN)
def export_person(floor: Floor, actor: Actor, user_id: int) -> bytes:
    """A zip with every row about a person as JSON lines, a file for each table. Raises `NotFound`."""
    return _export(floor, actor, user_id)


@operation(_EVERYONE)
def export_own(floor: Floor, actor: Actor) -> bytes:
    """The same about oneself."""
    return _export(floor, actor, actor.user_id)


@operation(_ADMIN)
def erase_person(floor: Floor, actor: Actor, user_id: int, confirmation: str) -> str:
    """Take a person's names, origins and sessions away; returns the pseudonym.

    ``confirmation`` is the login's name, typed. Refused while orders are open or anything is left on the accounts:
    ``open_orders``, ``balances_left``; also ``not_confirmed``, ``own_login``, ``last_admin``, ``already_erased``.
    """
    done = floor.compliance.erase_person(user_id, confirmation.strip(), actor.user_id, actor.origin)
    if done.refused:
        kind, reason = _WHY_NOT[done.refused]
        raise kind(reason.format(count=done.count), done.refused)
    return done.pseudonym


@operation(_ADMIN)
def retention(floor: Floor, actor: Actor) -> Mapping[str, Policy]:
    """What is deleted after how many days."""
    days = floor.compliance.retention()
    return {what: Policy(what, days.get(what, own.days), own.days_min) for what, own in POLICIES.items()}


@operation(_ADMIN)
def set_retention(floor: Floor, actor: Actor, what: str, days: int) -> None:
    """Keep something for another number of days. `Invalid` with code ``bad_retention``."""
    if what not in POLICIES:
        raise Invalid(f"nothing called {what[:40]!r} is deleted", "bad_retention")
    if not POLICIES[what].days_min <= days <= DAYS_MAX:
        raise Invalid(f"{what} are kept for {POLICIES[what].days_min} to {DAYS_MAX} days", "bad_retention")
    floor.compliance.set_retention({**floor.compliance.retention(), what: days}, actor.user_id, actor.origin)


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def prune(floor: Floor, actor: Actor) -> Mapping[str, int]:
    """Delete what is over and older than its policy says, in small transactions; returns rows by kind.

    Files of processes are deleted by whoever knows their folder.
    """
    gone = {}
    for what, policy in retention(floor, actor).items():
        if what == "process_logs":
            continue
        before = floor.clock.now() - timedelta(days=policy.days)
        rows = 0
        for _ in range(CHUNKS_MAX):
            some = floor.compliance.prune(what, before, CHUNK, actor.origin)
            rows += some
            if some < CHUNK:
                break
        if rows:
            gone[what] = rows
    return gone


def _export(floor: Floor, actor: Actor, user_id: int) -> bytes:
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as file:
        floor.compliance.export_person(user_id, file, actor.user_id, actor.origin)
        file.seek(0)
        return file.read()
