"""Proves the ledger, holds, orders, fills and positions consistent, on a live floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor


@dataclass(frozen=True, slots=True)
class Report:
    """``breaks`` are ``{"check", "subject", "expected", "found"}``; ``counts`` how many rows were looked at."""

    ok: bool
    breaks: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]


@operation({Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO})
def run(floor: Floor, actor: Actor, scope: str = "verify") -> Report:
    """Recompute every invariant in one snapshot and keep the result. A difference of one minor unit is a break."""
    breaks, counts = floor.verify.breaks()
    floor.verify.record(scope, floor.clock.now_ns(), breaks, counts)
    return Report(not breaks, breaks, counts)
