"""Proves the ledger, holds, orders, fills and positions consistent, on a live floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.desk import Checked, Head

HOUR_NS = 3_600_000_000_000
HEAD_BLOCKS = 1_000
"""So many blocks are sealed at most until the head is written again."""
_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class Report:
    """``breaks`` are ``{"check", "subject", "expected", "found"}``; ``counts`` how many rows were looked at."""

    ok: bool
    breaks: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]


@operation(_STAFF)
def run(floor: Floor, actor: Actor, scope: str = "verify") -> Report:
    """Recompute every invariant in one snapshot and keep the result. A difference of one minor unit is a break.

    Every head of the ledger's chain that was kept outside the database must still be in it.
    """
    heads = floor.heads.heads()
    return _report(floor, floor.verify.all(), heads, scope)


@operation(_STAFF)
def run_new(floor: Floor, actor: Actor, quiet: bool = False) -> Report:
    """Check what is new since the last time the books were found sound; all of them where they never were.

    Trusts what was checked before: a row of the past that was changed since is found by `run`. A ``quiet`` one that
    finds nothing is kept once an hour.
    """
    heads = floor.heads.heads()[-1:]
    checked = floor.verify.new()
    return run(floor, actor) if checked is None else _report(floor, checked, heads, "new", quiet)


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def keep_head(floor: Floor, actor: Actor, at_once: bool = False) -> int | None:
    """Write the newest block's hash outside the database: each hour, after `HEAD_BLOCKS` blocks, or ``at_once``.

    Returns the block, None where there was nothing to write.
    """
    newest, heads, now_ns = floor.verify.newest_block(), floor.heads.heads(), floor.clock.now_ns()
    if newest is None:
        return None
    block_id, hashed = newest
    last = heads[-1] if heads else Head(0, "", 0)
    due = at_once or now_ns - last.at_ns >= HOUR_NS or block_id - last.block_id >= HEAD_BLOCKS
    if not due or block_id <= last.block_id:
        return None
    floor.heads.append(Head(block_id, hashed, now_ns))
    return block_id


def _report(floor: Floor, checked: Checked, heads: Sequence[Head], scope: str, quiet: bool = False) -> Report:
    now_ns = floor.clock.now_ns()
    breaks = [*checked.breaks, *_lost_heads(floor, heads)]
    floor.verify.record(scope, now_ns, breaks, checked.counts, now_ns - HOUR_NS if quiet else None)
    if not breaks:
        floor.verify.keep_mark(checked.mark, now_ns)
    return Report(not breaks, breaks, checked.counts)


def _lost_heads(floor: Floor, heads: Sequence[Head]) -> list[dict[str, str]]:
    """Kept heads that the database's chain does not have: it was rewritten, or its end cut off."""
    there = floor.verify.block_hashes([head.block_id for head in heads])
    return [
        {
            "check": "ledger_head",
            "subject": f"block:{head.block_id}",
            "expected": head.hash,
            "found": there.get(head.block_id, "none"),
        }
        for head in heads
        if there.get(head.block_id) != head.hash
    ]
