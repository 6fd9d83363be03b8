"""Proves the ledger, holds, orders, fills and positions consistent, on a live floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.desk import Checked

_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class Report:
    """``breaks`` are ``{"check", "subject", "expected", "found"}``; ``counts`` how many rows were looked at."""

    ok: bool
    breaks: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]


@operation(_STAFF)
def run(floor: Floor, actor: Actor, scope: str = "verify") -> Report:
    """Recompute every invariant in one snapshot and keep the result. A difference of one minor unit is a break."""
    return _report(floor, floor.verify.all(), scope)


@operation(_STAFF)
def run_new(floor: Floor, actor: Actor) -> Report:
    """Check what is new since the last time the books were found sound; all of them where they never were.

    Trusts what was checked before: a row of the past that was changed since is found by `run`.
    """
    checked = floor.verify.new()
    return run(floor, actor) if checked is None else _report(floor, checked, "new")


def _report(floor: Floor, checked: Checked, scope: str) -> Report:
    now_ns = floor.clock.now_ns()
    floor.verify.record(scope, now_ns, checked.breaks, checked.counts)
    if not checked.breaks:
        floor.verify.keep_mark(checked.mark, now_ns)
    return Report(not checked.breaks, checked.breaks, checked.counts)
