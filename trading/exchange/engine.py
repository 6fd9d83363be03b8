"""The floor's engine: the compiled core, spoken to in messages. No I/O, no clock, no floats.

The state is a value: it can be saved, loaded, hashed and compared, and the same inputs on the same state give the same
events. The rules are the core's (docs/EXCHANGE.md). Added here is what the core does not know: instrument ids, which
it numbers in order of their first appearance, and the quote that a fill was decided on.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any, Final

import numpy as np

from trading.domain.margin import Mark
from trading.exchange import rows
from trading.exchange.adjust import adjusted
from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import INPUT
from trading.exchange.messages import (
    Action,
    Adjusted,
    Body,
    Cancel,
    Closed,
    Event,
    Gap,
    Group,
    Halt,
    Input,
    Margin,
    Modify,
    Run,
    Session,
    Submit,
    Tick,
    TurnAway,
)
from trading.exchange.rows import LevelChange, Record
from trading.exchange.telling import OpenOrder, Quote, Telling

ENGINE_REV: Final = 2
_EVENT: Final = struct.Struct("<7qi4B")
_LENGTH: Final = struct.Struct("<I")


def warm_up() -> None:
    """Load the compiled core, or compile it (some 20 s, once a machine), before time matters."""
    engine = Engine()
    engine.apply(Input(1, 1, Gap("warming up")))
    Engine.load(engine.save()).next_expiry_ns()


class Engine:
    """Books of one floor. Feed it with `apply` and `apply_run`; ``seq`` is the last input it has taken."""

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self.orders: dict[int, OpenOrder] = {}
        self.halted: set[str] = set()
        self._doomed: set[int] = set()  # orders that a halt has ended before they came
        self._core = CompiledEngine(1, waits=True)
        self._symbols: dict[int, int] = {}
        self._deep: set[int] = set()
        self._partial: dict[int, tuple[bool, list[LevelChange]]] = {}  # updates of books that go on in a later tick
        self._quotes: dict[int, Quote] = {}

    def apply(self, step: Input) -> Sequence[Event]:
        """Take the next input; returns what it caused, in order. Raises ValueError where the sequence has a hole."""
        body = step.body
        if isinstance(body, Tick):
            caused = self._ticks(step.seq, step.ts_ns, [astuple(body)])
            return caused[0][1] if caused else []
        self._follows(step.seq)
        if isinstance(body, TurnAway):
            self.seq = step.seq
            self._doomed.discard(body.order_id)
            return [Closed(body.order_id, "rejected", body.reason)]
        doomed = self._refused(body)
        if doomed:
            self.seq = step.seq
            return doomed
        telling = Telling(self.orders, self._quotes, body)
        for event in self._run(self._rows(step)):
            telling.take(event)
        told = telling.done()
        if isinstance(body, Action):
            told += self._adjust(body)
        self.seq = step.seq
        return told

    def apply_run(self, run: Run) -> Sequence[tuple[int, Sequence[Event]]]:
        """Take a run of ticks at once; returns number and events of those inputs that caused any."""
        return self._ticks(run.seq, run.ts_ns, [(*row[:3], *row[4:]) for row in run.ticks.tolist()])

    def next_expiry_ns(self) -> int | None:
        """When a `Timer` is due."""
        return self._core.next_expiry_ns()

    def quote(self, instrument_id: int) -> Quote | None:
        """The newest quote of an instrument."""
        return self._quotes.get(instrument_id)

    def marks(self) -> Mapping[int, Mark]:
        """Best bid and ask of the newest quotes by instrument id."""
        return {key: Mark(quote[2], quote[3]) for key, quote in self._quotes.items()}

    # State as a value ----------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        """Canonical form: equal states give equal bytes, whatever way they were reached."""
        own: dict[str, Any] = {
            "v": 1,
            "rev": ENGINE_REV,
            "seq": self.seq,
            "halted": sorted(self.halted),
            "instruments": list(self._symbols),
            "deep": sorted(self._deep),
            "partial": [[key, *update] for key, update in sorted(self._partial.items())],
            "quotes": [[key, *quote] for key, quote in sorted(self._quotes.items())],
            "orders": [[key, *astuple(order)] for key, order in sorted(self.orders.items())],
            **({"doomed": sorted(self._doomed)} if self._doomed else {}),
        }
        head = json.dumps(own, sort_keys=True, separators=(",", ":")).encode()
        return _LENGTH.pack(len(head)) + head + self._core.save()

    @staticmethod
    def load(state: bytes) -> "Engine":
        """Inverse of `save`. Raises ValueError for another engine revision and for damaged bytes."""
        try:
            end = _LENGTH.size + _LENGTH.unpack_from(state)[0]
            own = json.loads(state[_LENGTH.size : end])
            rev = own["rev"]
        except (struct.error, ValueError, KeyError, TypeError) as error:
            raise ValueError("not a state of this engine") from error
        if rev != ENGINE_REV:
            raise ValueError(f"state of engine revision {rev}, this is {ENGINE_REV}")
        engine = Engine(own["seq"])
        engine.halted, engine._deep = set(own["halted"]), set(own["deep"])
        engine._doomed = set(own.get("doomed", ()))
        engine._symbols = {key: symbol for symbol, key in enumerate(own["instruments"])}
        engine._partial = {
            key: (resets, [tuple(change) for change in changes]) for key, resets, changes in own["partial"]
        }
        engine._quotes = {key: tuple(quote) for key, *quote in own["quotes"]}
        for key, *numbers, legs in own["orders"]:
            order = engine.orders[key] = OpenOrder(*numbers)
            order.legs = tuple(legs)
        engine._core = CompiledEngine.load(state[end:])
        return engine

    def state_hash(self) -> bytes:
        """SHA-256 of `save`."""
        return hashlib.sha256(self.save()).digest()

    # Inputs --------------------------------------------------------------------------------------------------------

    def _follows(self, seq: int) -> None:
        if seq != self.seq + 1:
            raise ValueError(f"input {seq} does not follow {self.seq}")

    def _symbol(self, instrument_id: int) -> int:
        symbol = self._symbols.get(instrument_id)
        if symbol is None:
            symbol = self._symbols[instrument_id] = len(self._symbols)
            self._core.add_symbols(symbol + 1)
        return symbol

    def _rows(self, step: Input) -> list[bytes]:
        """Rows of an input that is no tick."""
        seq, ts_ns, body = self._core.seq + 1, step.ts_ns, step.body
        if isinstance(body, Submit):
            return [rows.submit_row(seq, ts_ns, self._symbol(body.instrument_id), body, more=False)]
        if isinstance(body, Group):
            last = len(body.orders) - 1
            return [
                rows.submit_row(seq + n, ts_ns, self._symbol(order.instrument_id), order, more=n < last)
                for n, order in enumerate(body.orders)
            ]
        if isinstance(body, Cancel):
            return [rows.cancel_row(seq, ts_ns, body.order_id)]
        if isinstance(body, Modify):
            return [rows.modify_row(seq, ts_ns, body)]
        if isinstance(body, Halt):
            return self._halt_rows(seq, ts_ns, body)
        if isinstance(body, Action):
            rest = [rows.cancel_row(seq + n, ts_ns, order_id) for n, order_id in enumerate(body.cancels, 1)]
            return [rows.gap_row(seq, ts_ns, self._symbol(body.instrument_id)), *rest]
        if isinstance(body, Session):
            return [rows.session_row(seq, ts_ns, self._symbol(body.instrument_id), body.open)]
        if isinstance(body, Margin):
            return []
        if isinstance(body, Gap):
            self._partial = {}  # what would have come next may be among what was lost
            return [rows.gap_row(seq, ts_ns)]
        return [rows.time_row(seq, ts_ns)]

    def _adjust(self, action: Action) -> list[Event]:
        """New terms for the orders that are left; prices from before the action are forgotten."""
        instrument_id = action.instrument_id
        self._quotes.pop(instrument_id, None)
        self._partial.pop(instrument_id, None)
        changes = [change for change in action.changes if change[0] in self.orders]
        ratio = (action.numerator, action.denominator)
        state = adjusted(self._core.save(), self._symbol(instrument_id), ratio, action.lowered_ticks, changes)
        self._core = CompiledEngine.load(state)
        for order_id, _, open_lots, planned_lots, _, _ in changes:
            order = self.orders[order_id]
            order.open_lots, order.planned_lots = open_lots, planned_lots
        return [Adjusted(*change) for change in changes]

    def _refused(self, body: Body) -> list[Event]:
        """Orders that come after the halt that ended them."""
        orders = body.orders if isinstance(body, Group) else (body,) if isinstance(body, Submit) else ()
        ids = [order.order_id for order in orders]
        if self._doomed.isdisjoint(ids):
            return []
        self._doomed.difference_update(ids)
        return [Closed(order_id, "rejected", "halted") for order_id in ids]

    def _halt_rows(self, seq: int, ts_ns: int, halt: Halt) -> list[bytes]:
        on = halt.mode == "halted"
        if on:
            self.halted.add(halt.scope)
        else:
            self.halted.discard(halt.scope)
        what, _, number = halt.scope.partition(":")
        if what in ("portfolio", "strategy"):
            self._doomed.update(order_id for order_id in halt.order_ids if order_id not in self.orders)
            ids = [order_id for order_id in halt.order_ids if order_id in self.orders]
            return [rows.cancel_row(seq + n, ts_ns, order_id) for n, order_id in enumerate(ids)]
        symbol = self._symbol(int(number)) if what == "instrument" else rows.ALL_SYMBOLS
        return [rows.halt_row(seq, ts_ns, symbol, int(number) if what == "user" else 0, on)]

    def _ticks(self, seq: int, ts_ns: int, ticks: Sequence[Record]) -> list[tuple[int, Sequence[Event]]]:
        """Apply ticks as inputs from ``seq`` on. Each event is told with the quotes as they were at its tick."""
        self._follows(seq)
        packed: list[bytes] = []
        before = self._core.seq
        last_rows: list[int] = []  # for each tick the number of its last row
        for tick in ticks:
            instrument_id, kind = tick[0], tick[1]
            symbol = self._symbol(instrument_id)
            if kind & rows.RESET:
                self._deep.add(instrument_id)
            deep = instrument_id in self._deep
            rows.tick_rows(packed, before, ts_ns, symbol, deep, tick)
            if kind & rows.GAP:
                self._partial.pop(instrument_id, None)
            if kind & rows.DEPTH and deep:
                self._levels(packed, before, ts_ns, symbol, tick)
            if kind & rows.TRADE:
                packed.append(rows.trade_row(before + len(packed) + 1, ts_ns, symbol, tick))
            last_rows.append(before + len(packed))
        caused: list[tuple[int, Sequence[Event]]] = []
        telling: Telling | None = None
        at = -1
        for event in self._run(packed):
            if telling is None or event[1] > last_rows[at]:
                if telling is not None:
                    caused.append((seq + at, telling.done()))
                while at < 0 or event[1] > last_rows[at]:
                    at += 1
                    self._remember(ticks[at])
                telling = Telling(self.orders, self._quotes, None, ticks[at][10])
            telling.take(event)
        if telling is not None:
            caused.append((seq + at, telling.done()))
        for tick in ticks[at + 1 :]:
            self._remember(tick)
        self.seq += len(ticks)
        return [(number, events) for number, events in caused if events]

    def _levels(self, packed: list[bytes], before: int, ts_ns: int, symbol: int, tick: Record) -> None:
        """A record of an update of a book; the core gets the update with its last record."""
        instrument_id, kind = tick[0], tick[1]
        resets, changes = self._partial.pop(instrument_id, (False, []))
        if kind & rows.RESET:
            resets, changes = True, []
        changes = changes + rows.level_changes(tick)
        if kind & rows.MORE:
            self._partial[instrument_id] = (resets, changes)
        else:
            rows.depth_rows(packed, before, ts_ns, symbol, resets, changes)

    def _remember(self, tick: Record) -> None:
        if tick[1] & rows.QUOTE:
            self._quotes[tick[0]] = tick[3:9]

    def _run(self, packed: list[bytes]) -> Iterator[tuple[int, ...]]:
        """Events of rows as tuples, fields in the order of `EVENT`."""
        if not packed:
            return iter(())
        core = self._core
        events = core.apply_row(packed[0]) if len(packed) == 1 else core.apply(np.frombuffer(b"".join(packed), INPUT))
        return _EVENT.iter_unpack(events.tobytes())
