"""The compiled engine beside the plain one on the same stream: the same events, the same queues, the rules kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from invariants import Watch
from oracle import Oracle
from oracle_state import Event as Told
from streams import Step, Stream

from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import (
    EVENT,
    INPUT,
    Accepted,
    Cancelled,
    Event,
    Fill,
    Flag,
    Kind,
    Link,
    Model,
    Modified,
    Op,
    Rejected,
    Sized,
    Trigger,
    Triggered,
)
from trading.exchange.compiled.settle import EVENTS_SPARE

CODES: dict[Event, Any] = {
    Event.ACCEPTED: Accepted,
    Event.REJECTED: Rejected,
    Event.FILL: Fill,
    Event.CANCELLED: Cancelled,
    Event.MODIFIED: Modified,
    Event.TRIGGERED: Triggered,
    Event.SIZED: Sized,
}
WORDS: dict[str, Any] = {"op": Op, "kind": Kind, "trigger": Trigger, "link_kind": Link}
WRONG = 9  # the number of a word that is none
UNSET = 2**62
PLACES = ("book", "waits", "pending", "held")
LISTED = (
    "symbol", "side", "where", "order_id", "owner", "kind", "price", "qty", "expires_ns", "stop", "trail", "mark",
    "arrival", "ahead", "planned", "trigger", "latched", "sibling_id", "entry_id", "leg_id",
)  # fmt: skip


def rows(steps: Sequence[Step]) -> np.ndarray[Any, Any]:
    """`INPUT` rows of steps; what a step does not say is 0."""
    found = np.zeros(len(steps), INPUT)
    for row, step in zip(found, steps, strict=True):
        for name, value in step.items():
            if name in WORDS:
                row[name] = WRONG if value == "?" else WORDS[name][value.upper()]
            elif name == "more":
                row["flags"] |= Flag.MORE * value
            elif name == "reset":
                row["flags"] |= Flag.RESET * value
            else:
                row[name] = value
    return found


def told(events: np.ndarray[Any, Any]) -> list[Told]:
    """Events in the oracle's words."""
    found = []
    for _, seq, order_id, maker_id, price, qty, left, symbol, kind, code, side, _ in events.tolist():
        event = Event(kind)
        word = CODES[event](code).name.lower() if event in CODES else "now" if event == Event.RESTED else ""
        found.append((seq, event.name.lower(), word, symbol, side, order_id, maker_id, price, qty, left))
    return found


def queues(engine: CompiledEngine) -> list[tuple[int, ...]]:
    """The open orders of the engine, in the order in which it lists them."""
    orders = engine.open_orders()
    return list(zip(*(orders[name].tolist() for name in LISTED), strict=True))


def queues_of_oracle(oracle: Oracle) -> list[tuple[int, ...]]:
    """The same of the plain engine."""
    found = []
    for o in oracle.listed():
        unset = UNSET if o.side == 0 else -UNSET
        trails = o.trigger in ("trail_ticks", "trail_ppm")
        stop = 0 if o.trigger == "none" else unset if o.stop is None else o.stop
        mark = 0 if not trails else unset if o.mark is None else o.mark
        arrival = o.arrival if o.where in ("pending", "held") or o.planned else 0
        ahead = 0 if o.where != "book" else -1 if o.ahead is None else o.ahead
        legs = [leg.id for leg in o.legs if leg.entry is o and leg.where != "over"]
        found.append(
            (o.symbol, o.side, PLACES.index(o.where), o.id, o.owner, int(Kind[o.kind.upper()]), o.price, o.qty,
             o.expires, stop, o.trail if trails else 0, mark, arrival, ahead, o.planned,
             int(Trigger[o.trigger.upper()]), int(o.latched), o.sibling.id if o.sibling else 0,
             o.entry.id if o.entry else 0, legs[0] if legs else 0)
        )  # fmt: skip
    return found


def first_difference(found: Sequence[Any], expected: Sequence[Any]) -> str:
    """Where two lists part, in words."""
    at = next((i for i, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other), None)
    at = min(len(found), len(expected)) if at is None else at
    return f"at {at} after {expected[max(0, at - 3) : at]}: {found[at : at + 3]} is not {expected[at : at + 3]}"


class TightEngine(CompiledEngine):
    """Is given room for events by and by, so that it stops and goes on all the time, and has no more than it asks for.

    There is more behind it, so that one event too many is seen and not a wild write.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hold("events", np.zeros(1 << 16, EVENT))

    def stream(self, inputs: Any) -> Any:
        self._core["events_cap"] = EVENTS_SPARE
        return super().stream(inputs)

    def _grow_events(self) -> None:
        self._check_room()
        self._core["events_cap"] += 4

    def _check_room(self) -> None:
        assert self._core["n_events"] <= self._core["events_cap"], "more events than there was room for"

    def _taken(self) -> Any:
        self._check_room()
        return super()._taken()


class Pair:
    """Both engines, given the same inputs."""

    def __init__(
        self,
        symbols: int,
        model: Model,
        waits: bool = False,
        orders: int = 4,
        made: type[CompiledEngine] = CompiledEngine,
    ) -> None:
        self.engine = made(symbols, model=model, waits=waits, orders=orders)
        self.oracle = Oracle(symbols, model.name.lower(), waits)
        self.watch = Watch()
        self.told: list[Told] = []  # by both, of what was given last

    def give(self, steps: Sequence[Step], what: str = "") -> int:
        """Hold both to the same events and queues and to the rules; returns the number of events."""
        expected = [event for step in steps for event in self.oracle.apply(step)]
        caused = self.engine.apply(rows(steps))
        found = told(caused)
        assert found == expected, f"{what}: events differ {first_difference(found, expected)}"
        open_orders, should = queues(self.engine), queues_of_oracle(self.oracle)
        assert open_orders == should, f"{what}: queues differ {first_difference(open_orders, should)}"
        self.told = found
        self.watch.take(caused["seq"].tolist(), found, [dict(zip(LISTED, row, strict=True)) for row in open_orders])
        return len(caused)

    def reload(self) -> None:
        """Go on from the saved state."""
        state = self.engine.save()
        self.engine = CompiledEngine.load(state)
        assert self.engine.save() == state


def compare(
    seed: int,
    count: int,
    model: Model,
    *,
    batch: int,
    save_every: int = 0,
    made: type[CompiledEngine] = CompiledEngine,
) -> int:
    """Run both on ``count`` inputs in batches; returns the number of events."""
    stream = Stream(seed)
    pair = Pair(stream.symbols, model, waits=seed % 4 == 2, made=made)
    events = done = 0
    while done < count:
        inputs = [stream.step() for _ in range(min(batch, count - done))]
        events += pair.give([row for rows_ in inputs for row in rows_], f"seed {seed}, to input {stream.seq}")
        done += len(inputs)
        if save_every and done % save_every == 0:
            pair.reload()
    return events
