"""The night's work on the day's inputs: replay them and compare every fill, then move the log to the lake."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trading.domain.errors import Inconsistent
from trading.exchange.codec import events_hash
from trading.exchange.engine import Engine
from trading.exchange.messages import Filled
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.floor_state import FloorState
from trading.services.ports.broker import BookedFill, LogChunk

KEEP_S = 3600
"""Newer inputs stay in the database."""
_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class Parity:
    """What a replay compared. ``breaks`` are ``{"check", "subject", "expected", "found"}`` as `verify` has them."""

    ok: bool
    first_seq: int
    last_seq: int
    inputs: int
    fills: int
    breaks: tuple[Mapping[str, Any], ...]


@operation(_STAFF)
def replay(floor: Floor, actor: Actor) -> Parity:
    """Put the logged inputs through a fresh engine: outputs, states and fills must be those that were booked.

    Compares bit for bit up to the input that is newest when it starts, on a live floor too: outputs and the chain of
    hashes of every chunk, the whole state at every snapshot. Inputs that another engine revision took are not its.
    """
    start = floor.log.replay_start()
    last = floor.log.last_seq()
    if start is None:
        return Parity(False, 0, last, 0, 0, (_break("replay_start", "log", "a snapshot", "none"),))
    state = FloorState.load(start.state) if start.state else FloorState(Engine(start.seq))
    engine = state.engine
    breaks: list[Mapping[str, Any]] = []
    found: list[BookedFill] = []
    hashes = floor.log.snapshots(start.seq, last)
    for chunk in floor.log.chunks(start.seq, last):
        try:
            steps = state.replay(chunk)
        except ValueError as error:
            breaks.append(_break("inputs", f"input:{chunk.first_seq}", "the next inputs, whole", str(error)))
            break
        found += [
            BookedFill(event.order_id, seq, event.n, event.price_ticks, event.lots, event.liquidity)
            for seq, caused in steps
            for event in caused
            if isinstance(event, Filled)
        ]
        if events_hash(steps) != chunk.out_hash:
            breaks.append(_break("outputs", f"input:{chunk.first_seq}", chunk.out_hash.hex(), "other events"))
        if state.chain != chunk.state_hash:
            breaks.append(_break("chain", f"input:{chunk.last_seq}", chunk.state_hash.hex(), "another chain"))
            state.chain = chunk.state_hash
        kept = hashes.get(chunk.last_seq)
        if kept is not None and kept != engine.state_hash():
            breaks.append(_break("state", f"input:{chunk.last_seq}", kept.hex(), "another state"))
    booked = list(floor.log.fills(start.seq, last))
    for fill in sorted(set(booked) ^ set(found), key=lambda f: (f.input_seq, f.n)):
        kind = "booked, not replayed" if fill in set(booked) else "replayed, not booked"
        breaks.append(_break("fill", f"fill:{fill.order_id}/{fill.input_seq}/{fill.n}", "the same fill", kind))
    if engine.seq != last:
        breaks.append(_break("end", "log", str(last), str(engine.seq)))
    return Parity(not breaks, start.seq + 1, last, engine.seq - start.seq, len(booked), tuple(breaks[:100]))


@operation(_STAFF)
def archive_log(floor: Floor, actor: Actor) -> int:
    """Move closed chunks, older than an hour and behind a snapshot, into the lake; returns how many left the database.

    Each segment is an immutable file that is read back and compared before anything is dropped. May be killed at any
    line: what is in both places is dropped by the next run.
    """
    boundary = floor.log.snapshot_before(floor.clock.now_ns() - KEEP_S * 10**9)
    chunks = [] if boundary is None else list(floor.log.chunks(0, boundary))
    if not chunks or chunks[-1].last_seq != boundary:
        return 0
    series = f"floor/inputs/{chunks[0].first_seq}"
    file = floor.lake.write(
        "log_segments",
        series,
        _frame(chunks),
        meta={"v": 1, "first_seq": chunks[0].first_seq, "last_seq": boundary},
        replace=True,
    )
    again = floor.lake.read("log_segments", series).sort_values("first_seq")
    if list(_chunks(again)) != chunks:
        raise Inconsistent("the archived segment does not read back as it was written; nothing was dropped")
    return floor.log.drop_archived(file.id, boundary)


@operation(_STAFF)
def tidy_lake(floor: Floor, actor: Actor) -> int:
    """Remove files that no manifest row names, and retired ones no reader can still hold; returns how many."""
    return floor.lake.sweep()


def _frame(chunks: list[LogChunk]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "first_seq": [c.first_seq for c in chunks],
            "last_seq": [c.last_seq for c in chunks],
            "inputs": [c.inputs for c in chunks],
            "out_hash": [c.out_hash for c in chunks],
            "state_hash": [c.state_hash for c in chunks],
            "engine_rev": [c.engine_rev for c in chunks],
        }
    )


def _chunks(frame: pd.DataFrame) -> Iterator[LogChunk]:
    for row in frame.itertuples(index=False):
        yield LogChunk(
            int(row.first_seq),
            int(row.last_seq),
            bytes(row.inputs),
            bytes(row.out_hash),
            bytes(row.state_hash),
            int(row.engine_rev),
        )


def _break(check: str, subject: str, expected: str, found: str) -> dict[str, str]:
    return {"check": check, "subject": subject, "expected": expected, "found": found}
