"""Play recorded records of one instrument at any speed: pause, seek, go on. Pure: the clock is an argument.

A `Recording` holds records of the tape (`trading.market.ticks`) at their historic times. `Playback` is a value that
says where in it one stands; `advance` gives the records that are due and the next value.

The tape's time is the time of publishing, since the engine's time cannot go back: a record carries the moment at which
it was due at the playback's speed. Its historic time is `position_ns`, which the replay's status tells. After a start
or a seek the first record says GAP (and that the session is open), and what holds there is told: the last quote, and
the whole book where there is depth. Depth is told whole again at least every second of publishing. While paused nothing
is published, so that the instrument is not live after five seconds; nothing is lost by it, and going on is no gap.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import Invalid
from trading.market.ticks import DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TICK, Ticks

SPEED_MAX = 100_000.0
DUE_MAX = 4_096
"""Records that one `advance` gives at most, but for what belongs to one moment. Where more are due the replay falls
behind its speed rather than the floor behind the replay."""
SNAPSHOT_NS = 1_000_000_000

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """Records of one instrument by historic time (UTC); all of one update have one time. At least one."""

    ticks: Ticks
    ts_ns: Ints
    quotes: Ints
    resets: Ints

    @classmethod
    def of(cls, ticks: Ticks) -> "Recording":
        """Look once through the records. `Invalid` where there are none or they go back in time."""
        ts_ns = np.ascontiguousarray(ticks["ts_ns"])
        if len(ts_ns) == 0:
            raise Invalid("there is nothing to replay", "no_rows")
        if (np.diff(ts_ns) < 0).any():
            raise Invalid("the records go back in time", "bad_order")
        kind = ticks["kind"]
        return cls(ticks, ts_ns, np.flatnonzero(kind & QUOTE), np.flatnonzero(kind & RESET))

    @property
    def first_ns(self) -> int:
        """Historic time of the first record."""
        return int(self.ts_ns[0])

    @property
    def last_ns(self) -> int:
        """Historic time of the last record."""
        return int(self.ts_ns[-1])


@dataclass(frozen=True, slots=True)
class Playback:
    """``at`` is the next record. Historic time ``from_ns`` was played at ``since_ns`` of the clock.

    ``resync`` says that the next records come after a jump. ``published_ns`` is the time of the last one on the tape,
    ``snapshot_ns`` that of the last whole book.
    """

    at: int
    from_ns: int
    since_ns: int
    speed: float
    paused: bool
    resync: bool = True
    published_ns: int = 0
    snapshot_ns: int = 0


def begin(recording: Recording, now_ns: int, *, from_ns: int | None, speed: float, paused: bool) -> Playback:
    """A playback that starts at ``from_ns``, or with the first record."""
    start_ns = recording.first_ns if from_ns is None else from_ns
    return seek(recording, Playback(0, start_ns, now_ns, checked_speed(speed), paused), start_ns, now_ns)


def checked_speed(speed: float) -> float:
    """The speed itself; `Invalid` where nothing could be played at it."""
    if not 0 < speed <= SPEED_MAX:
        raise Invalid(f"the speed must be above 0 and at most {SPEED_MAX:g}", "bad_speed")
    return speed


def position_ns(recording: Recording, playback: Playback, now_ns: int) -> int:
    """The historic time that is played now, at most that of the last record."""
    if playback.paused:
        return min(playback.from_ns, recording.last_ns)
    return min(playback.from_ns + int((now_ns - playback.since_ns) * playback.speed), recording.last_ns)


def pause(recording: Recording, playback: Playback, now_ns: int) -> Playback:
    """Stand still."""
    return replace(playback, from_ns=position_ns(recording, playback, now_ns), since_ns=now_ns, paused=True)


def play(recording: Recording, playback: Playback, now_ns: int) -> Playback:
    """Go on from where it stands."""
    return replace(playback, from_ns=position_ns(recording, playback, now_ns), since_ns=now_ns, paused=False)


def at_speed(recording: Recording, playback: Playback, speed: float, now_ns: int) -> Playback:
    """Go on, or stand still, at another speed."""
    here_ns = position_ns(recording, playback, now_ns)
    return replace(playback, from_ns=here_ns, since_ns=now_ns, speed=checked_speed(speed))


def seek(recording: Recording, playback: Playback, to_ns: int, now_ns: int) -> Playback:
    """Jump: records at ``to_ns`` and later come next. `Invalid` where the recording does not reach there."""
    if not recording.first_ns <= to_ns <= recording.last_ns:
        raise Invalid("that time is not in the recording", "bad_time")
    at = int(np.searchsorted(recording.ts_ns, to_ns, side="left"))
    return replace(playback, at=at, from_ns=to_ns, since_ns=now_ns, resync=True)


def is_over(recording: Recording, playback: Playback) -> bool:
    """Whether every record has been played."""
    return playback.at >= len(recording.ts_ns)


def wait_ns(recording: Recording, playback: Playback, now_ns: int) -> int | None:
    """How long nothing is due; None where nothing will be, as it stands."""
    if playback.paused or is_over(recording, playback):
        return None
    ahead_ns = int(recording.ts_ns[playback.at]) - position_ns(recording, playback, now_ns)
    return max(0, int(ahead_ns / playback.speed))


def advance(recording: Recording, playback: Playback, now_ns: int) -> tuple[Playback, Ticks]:
    """The records that are due by ``now_ns``, with the tape's times, and where the playback stands then."""
    if playback.paused or is_over(recording, playback):
        return playback, np.empty(0, dtype=TICK)
    at, due_ns = playback.at, position_ns(recording, playback, now_ns)
    window = recording.ts_ns[at : at + DUE_MAX]
    end = at + int(np.searchsorted(window, due_ns, side="right"))
    behind = end - at == DUE_MAX
    if behind:
        # Never a part of what belongs to one moment.
        end = int(np.searchsorted(recording.ts_ns, window[-1], side="right"))
    due = recording.ticks[at:end].copy()
    low_ns = min(max(playback.published_ns, playback.since_ns), now_ns)
    due_at_ns = playback.since_ns + ((due["ts_ns"] - playback.from_ns) / playback.speed).astype(np.int64)
    due["ts_ns"] = np.clip(due_at_ns, low_ns, now_ns)
    before = _before(recording, playback, now_ns)
    before["ts_ns"] = due["ts_ns"][0] if len(due) else now_ns
    records = np.concatenate([before, due]) if len(before) else due
    if playback.resync and len(records):
        records = _after_a_gap(records)
        playback = replace(playback, resync=False)
    if ((records["kind"] & RESET) != 0).any():
        playback = replace(playback, snapshot_ns=now_ns)
    if behind and end < len(recording.ts_ns):
        playback = replace(playback, from_ns=int(window[-1]), since_ns=now_ns)
    published_ns = int(records["ts_ns"][-1]) if len(records) else playback.published_ns
    return replace(playback, at=end, published_ns=published_ns), records


def _before(recording: Recording, playback: Playback, now_ns: int) -> Ticks:
    """What is told again before the next records: after a jump all that holds there, else the book once a second."""
    if playback.resync:
        return np.concatenate([_last_quote(recording, playback.at), snapshot(recording, playback.at)])
    if len(recording.resets) and now_ns - playback.snapshot_ns >= SNAPSHOT_NS:
        return snapshot(recording, playback.at)
    return np.empty(0, dtype=TICK)


def _after_a_gap(records: Ticks) -> Ticks:
    """Say GAP, and that the session is open, with the first quote, or in a record of its own before anything else."""
    if records["kind"][0] & (QUOTE | DEPTH) != QUOTE:
        bare = np.zeros(1, dtype=TICK)
        bare["instrument_id"], bare["ts_ns"] = records["instrument_id"][0], records["ts_ns"][0]
        records = np.concatenate([bare, records])
    records["kind"][0] |= GAP | OPENED
    return records


def _last_quote(recording: Recording, at: int) -> Ticks:
    place = int(np.searchsorted(recording.quotes, at)) - 1
    if place < 0:
        return np.empty(0, dtype=TICK)
    at = int(recording.quotes[place])
    quote = recording.ticks[at : at + 1].copy()
    quote["kind"], quote["aggressor"], quote["trade_ticks"], quote["trade_lots"] = QUOTE, 0, 0, 0
    return quote


def snapshot(recording: Recording, at: int) -> Ticks:
    """The book as it stands before record ``at``, told whole; nothing where no snapshot came before."""
    place = int(np.searchsorted(recording.resets, at)) - 1
    if place < 0:
        return np.empty(0, dtype=TICK)
    part = recording.ticks[recording.resets[place] : at]
    part = part[(part["kind"] & DEPTH) != 0]
    sides: dict[str, list[tuple[int, int]]] = {}
    for side, best_first in (("bid", -1), ("ask", 1)):
        levels: dict[int, int] = {}
        for ticks, lots in zip(part[f"{side}_ticks"].tolist(), part[f"{side}_lots"].tolist(), strict=True):
            if lots >= 0:
                levels[ticks] = lots
        sides[side] = sorted(
            ((ticks, lots) for ticks, lots in levels.items() if lots > 0), key=lambda level: best_first * level[0]
        )
    return depth_records(int(part["instrument_id"][0]), sides["bid"], sides["ask"], reset=True)


def depth_records(
    instrument_id: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]], *, reset: bool
) -> Ticks:
    """One update of levels (price in ticks, total lots) as DEPTH records at time 0; a reset needs no level."""
    count = max(len(bids), len(asks), 1 if reset else 0)
    records = np.zeros(count, dtype=TICK)
    records["instrument_id"], records["kind"] = instrument_id, DEPTH | MORE
    records["bid_lots"], records["ask_lots"] = -1, -1
    for side, levels in (("bid", bids), ("ask", asks)):
        for place, (ticks, lots) in enumerate(levels):
            records[f"{side}_ticks"][place], records[f"{side}_lots"][place] = ticks, lots
    if count:
        records["kind"][-1] &= ~np.uint8(MORE)
        records["kind"][0] |= RESET if reset else 0
    return records
