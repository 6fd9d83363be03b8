"""The paper broker: stamps one gapless input sequence, runs the engine, settles, commits.

It holds the lease while it works. Whatever fails, memory is thrown away and rebuilt from snapshot and log: what is
committed is the truth, and the same inputs give the same fills again. While the database takes one batch, the next is
prepared; what `advance` returns is durable and may be told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trading.domain import actions
from trading.domain.errors import Inconsistent
from trading.domain.ledger import FloorAccounts, OpenOrder
from trading.domain.margin import Mark
from trading.exchange.codec import chain_hash, encode, events_hash
from trading.exchange.engine import ENGINE_REV, Engine
from trading.exchange.messages import Body, Event, Filled, Gap, Input, Run, Timer, Working
from trading.market.ticks import Ticks
from trading.services.action_rows import Acted
from trading.services.command_inputs import (
    CommandQueue,
    DayEnd,
    Delay,
    action_of,
    adjustment,
    body_of,
    no_delay,
    order_ids,
    reentry,
    utc_day_end,
)
from trading.services.floor_state import FloorState
from trading.services.margin_keeper import MarginKeeper
from trading.services.ports.broker import Batch, BrokerStore, Command
from trading.services.settlement import Settlement

FILLS_MAX = 50
"""A batch closes at this many fills."""
QUIET_COMMIT_NS = 100_000_000
"""Ticks without effects are logged at least this often."""
Steps = list[tuple[int, int, Sequence[Event]]]
"""Input number, time and what the input caused, of inputs that caused anything."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What has become durable, and what screens may therefore be told, with the outbox ids of that."""

    inputs: int
    fills: int
    events: Sequence[Mapping[str, Any]]
    outbox: Sequence[int]


class PaperBroker:
    """One epoch of the one broker of a floor. Not safe for threads."""

    def __init__(self, store: BrokerStore, epoch: int, delay: Delay = no_delay, day_end: DayEnd = utc_day_end) -> None:
        self._store = store
        self._day_end = day_end
        self.epoch = epoch
        self.queue = CommandQueue(delay)
        self.committed_seq = 0
        self._state = FloorState(Engine())
        self.settlement = Settlement({}, store.lots, self._accounts_of)
        self._margin = MarginKeeper(self, store)
        self._accounts: dict[int, FloorAccounts] = {}
        self._tick_seqs: dict[int, int] = {}
        self._pending: list[Input | Run] = []
        self._pending_since_ns = 0
        self._steps: Steps = []
        self._sequenced: list[dict[str, Any]] = []
        self._fills = 0
        self._acted: list[Acted] = []
        self._sent: tuple[Batch, int] | None = None  # on its way to the database, with its number of fills
        self._done = Committed(0, 0, [], [])

    @property
    def engine(self) -> Engine:
        """The engine as it is now."""
        return self._state.engine

    # Restoring ------------------------------------------------------------------------------------------------------

    def restore(self, now_ns: int, keep_alive: Callable[[], None] = lambda: None) -> None:
        """Snapshot, then the log behind it, comparing outputs and the chain with what was committed.

        A floor whose log is another engine revision's goes on with a new engine, see `_begin_revision`. ``keep_alive``
        is called after each chunk: a long replay must not lose the lease. Raises `Inconsistent` where the engine says
        something else now than it said then.
        """
        cursor, chain = self._store.cursor()
        snapshot = self._store.newest_snapshot(ENGINE_REV)
        state = None if snapshot is None else FloorState.load(snapshot[1])
        for chunk in self._store.log_after(0 if state is None else state.engine.seq, ENGINE_REV):
            state = state or FloorState(Engine(chunk.first_seq - 1))
            steps = state.replay(chunk)
            if events_hash(steps) != chunk.out_hash or state.chain != chunk.state_hash:
                raise Inconsistent(f"replay of inputs {chunk.first_seq} to {chunk.last_seq} differs from what was done")
            keep_alive()
        begins = state is None
        state = state or FloorState(Engine(cursor))
        if state.engine.seq != cursor or not (begins or state.chain == chain):
            raise Inconsistent(f"the log ends at input {state.engine.seq}, the cursor is at {cursor}")
        self._state, self.committed_seq = state, cursor
        self._pending, self._steps, self._sequenced, self._fills, self._acted = [], [], [], 0, []
        self._tick_seqs, self._sent, self._done = {}, None, Committed(0, 0, [], [])
        self.queue = CommandQueue(self.queue.delay)
        self.settlement = Settlement({}, self._store.lots, self._accounts_of)
        self._margin = MarginKeeper(self, self._store)
        self._load(self._store.open_orders())
        if begins and cursor:
            self._begin_revision(now_ns)
        self._margin.read(now_ns)
        booked, resting = set(self.settlement.orders), set(state.engine.orders)
        if not resting <= booked:
            raise Inconsistent(
                f"orders {sorted(resting - booked)[:5]} rest in the engine but are not open in the database"
            )

    def _begin_revision(self, now_ns: int) -> None:
        """The first start of an engine revision: every open order enters again, as recorded inputs, in one batch.

        What the database says of the orders stays as it is; what a halt or an expiry does to them is settled.
        """
        for body in reentry(self._store.standings(), self._store.halted(), now_ns, self._day_end):
            self.sequence(now_ns, body)
        self._cut(now_ns, self.engine.seq, lambda event: not isinstance(event, Working))
        self.wait()
        self.snapshot(now_ns)

    # Going on -------------------------------------------------------------------------------------------------------

    def advance(
        self, now_ns: int, ticks: Ticks, commands: Sequence[Command], gap: str = "", *, more: bool = False
    ) -> Committed:
        """Sequence what came in, apply it, and commit when there are effects or enough time has passed.

        Where ``more`` is waiting, the last batch may still be on its way when this returns: a later call tells of it.
        Whatever this raises, call `restore` before the next `advance`.
        """
        try:
            self._take(now_ns, ticks, commands, gap)
            if not more:
                self.wait()
        except Exception:
            with suppress(Exception):  # the connection must be free again; what this may hide, the database knows
                self._store.end_commit()
            raise
        return self._committed()

    def _take(self, now_ns: int, ticks: Ticks, commands: Sequence[Command], gap: str) -> None:
        self.queue.put(now_ns, commands)
        due = self.queue.take(now_ns)
        read = [command.order for command in due if command.order is not None]
        wanted = order_ids([command for command in due if command.order is None])
        if any(command.kind == "modify" for command in due):
            self.wait()  # the accounting of an order that has been open must be read behind its last batch
        self._load({order.id: order for order in read if order.id not in self.settlement.orders})
        if wanted:
            self._load(self._store.open_orders(wanted))
        self._margin.keep(now_ns)
        if gap:
            self.sequence(now_ns, Gap(gap))
        expiry_ns = self.engine.next_expiry_ns()
        if expiry_ns is not None and expiry_ns <= now_ns:
            self.sequence(now_ns, Timer())
            self._margin.look(now_ns)
        for command in due:
            if command.kind == "action":
                self._act(now_ns, command)
                continue
            if self._margin.turn_away(now_ns, command):
                continue
            delay_ns = self.queue.delay(command)
            body = body_of(command, now_ns, self.engine.orders, self._day_end, delay_ns)
            self.sequence(now_ns, body, command.id)
            self._margin.look(now_ns)
        for run in _whole(ticks, self._tick_seqs):
            if isinstance(run, Gap):
                self.sequence(now_ns, run)
            else:
                self._apply_ticks(now_ns, run)
        quiet_over = bool(self._pending) and now_ns - self._pending_since_ns >= QUIET_COMMIT_NS
        if self._steps or self._sequenced or self._margin.has_rows or quiet_over:
            self._cut(now_ns, self.engine.seq)

    def _act(self, now_ns: int, command: Command) -> None:
        """A corporate action is decided on what the database has, in a batch of its own."""
        self.flush(now_ns)
        self.wait()
        action = action_of(command)
        holdings = self._store.holdings(action.instrument_id)
        resting = [key for key, order in self.engine.orders.items() if order.instrument_id == action.instrument_id]
        orders = [self.settlement.orders[key] for key in resting]
        units = [each.instrument for each in holdings] + [each.instrument for each in orders]
        instrument, effects, made = (units[0] if units else None), [], actions.adjust(action, orders)
        if instrument is not None:
            accounts = self._store.action_accounts(instrument.asset.id, instrument.currency.id)
            effects = [actions.apply(action, holding, accounts) for holding in holdings]
        self.sequence(now_ns, adjustment(action, instrument, made), command.id)
        self._acted.append(Acted(action.id, self.engine.seq, now_ns, effects, made.changed))
        self.flush(now_ns)
        self._margin.read(now_ns)

    def _load(self, orders: Mapping[int, OpenOrder]) -> None:
        """Take the accounting of orders that are new here or that the desk holds more for."""
        self.settlement.load(orders)
        self._margin.load(orders)

    def _committed(self) -> Committed:
        """What has become durable since this was asked last."""
        done, self._done = self._done, Committed(0, 0, [], [])
        return done

    @property
    def on_its_way(self) -> bool:
        """Whether a batch has been sent and not been heard of."""
        return self._sent is not None

    def snapshot(self, now_ns: int) -> None:
        """Keep the engine's state; inputs that are pending are committed first, since a busy tape always has some."""
        self.flush(now_ns)
        self.wait()
        self._store.save_snapshot(
            self.epoch, self.engine.seq, ENGINE_REV, now_ns, self._state.save(), self.engine.state_hash()
        )

    def marks(self) -> Mapping[int, Mark]:
        """Best bid and ask by instrument."""
        return self.engine.marks()

    # Batches --------------------------------------------------------------------------------------------------------

    def sequence(self, now_ns: int, body: Body, command_id: int | None = None) -> None:
        """Sequence one input."""
        step = Input(self.engine.seq + 1, now_ns, body)
        events = self.engine.apply(step)
        self._log(now_ns, step)
        if command_id is not None:
            self._sequenced.append({"id": command_id, "input_seq": step.seq})
        if events:
            self._note(now_ns, step.seq, events)

    def _apply_ticks(self, now_ns: int, ticks: Ticks) -> None:
        """Sequence ticks. The engine takes them at once, or up to each at which margin has to be looked at.

        The log may be cut between any two.
        """
        while len(ticks):
            many = self._margin.stop(ticks)
            now, ticks = ticks[:many], ticks[many:]
            run = Run(self.engine.seq + 1, now_ns, now)
            caused = self.engine.apply_run(run)
            self._log(now_ns, run)
            for seq, events in caused:
                self._note(now_ns, seq, events)
            self._margin.taken(now_ns, now)

    def _log(self, now_ns: int, step: Input | Run) -> None:
        if not self._pending:
            self._pending_since_ns = now_ns
        self._pending.append(step)

    def _note(self, now_ns: int, seq: int, events: Sequence[Event]) -> None:
        self._steps.append((seq, now_ns, events))
        self._margin.note(events)
        self._fills += sum(isinstance(event, Filled) for event in events)
        if self._fills >= FILLS_MAX:
            self._cut(now_ns, seq)

    def flush(self, now_ns: int) -> None:
        """Send what is pending: its fills are in the books then."""
        if self._pending:
            self._cut(now_ns, self.engine.seq)

    def _cut(self, now_ns: int, last_seq: int, settles: Callable[[Event], bool] | None = None) -> None:
        """Send all pending inputs up to one, with their effects: of all events, or of those that ``settles``."""
        inputs, self._pending = _split(self._pending, last_seq)
        steps, commands, fills, acted = self._steps, self._sequenced, self._fills, self._acted
        self._steps, self._sequenced, self._fills, self._acted = [], [], 0, []
        packed, out_hash = encode(inputs), events_hash((seq, events) for seq, _, events in steps)
        self._state.chain = chain_hash(self._state.chain, out_hash, packed)
        batch = Batch(
            epoch=self.epoch,
            engine_rev=ENGINE_REV,
            first_seq=inputs[0].seq,
            last_seq=last_seq,
            ts_ns=now_ns,
            inputs=packed,
            out_hash=out_hash,
            state_hash=self._state.chain,
            commands=commands,
        )
        if settles is not None:
            steps = [(seq, ts_ns, list(filter(settles, events))) for seq, ts_ns, events in steps]
        self._margin.rows(batch)
        groups = self._store.group_ids(fills + sum(len(action.effects) for action in acted))
        self.settlement.settle(batch, steps, groups, acted)
        self.wait()
        self._store.begin_commit(batch)
        self._sent = batch, fills

    def wait(self) -> None:
        """Wait for the batch that is on its way: what is durable may be told, and its commands come no more."""
        if self._sent is None:
            return
        batch, fills = self._sent
        ids = self._store.end_commit()
        self._sent = None
        self.committed_seq = batch.last_seq
        self.queue.known.difference_update(command["id"] for command in batch.commands)
        done = self._done
        self._done = Committed(
            done.inputs + batch.last_seq - batch.first_seq + 1,
            done.fills + fills,
            [*done.events, *batch.outbox],
            [*done.outbox, *ids],
        )

    def _accounts_of(self, order: OpenOrder) -> FloorAccounts:
        known = self._accounts.get(order.instrument.id)
        if known is None:
            known = self._store.floor_accounts(order.instrument.asset.id, order.instrument.currency.id)
            self._accounts[order.instrument.id] = known
        return known


def _whole(ticks: Ticks, seqs: dict[int, int]) -> Iterator[Ticks | Gap]:
    """Runs of ticks in which none is missing, and a gap before each one that does not follow; keeps ``seqs``."""
    first = 0
    numbers = zip(ticks["instrument_id"].tolist(), ticks["seq"].tolist(), strict=True)
    for at, (instrument_id, seq) in enumerate(numbers):
        before = seqs.get(instrument_id)
        seqs[instrument_id] = seq
        if before is not None and seq != before + 1:
            if at > first:
                yield ticks[first:at]
            yield Gap(f"ticks of instrument {instrument_id} were lost")
            first = at
    if first < len(ticks):
        yield ticks[first:]


def _split(steps: list[Input | Run], last_seq: int) -> tuple[list[Input | Run], list[Input | Run]]:
    """Inputs up to one, and those behind it. Only the last run can reach beyond."""
    last = steps[-1]
    if not isinstance(last, Run) or last.seq + len(last.ticks) - 1 <= last_seq:
        return steps, []
    many = last_seq + 1 - last.seq
    first, rest = Run(last.seq, last.ts_ns, last.ticks[:many]), Run(last_seq + 1, last.ts_ns, last.ticks[many:])
    return [*steps[:-1], first], [rest]
