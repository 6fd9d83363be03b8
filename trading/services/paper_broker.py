"""The paper broker: stamps one gapless input sequence, runs the engine, settles, commits.

It holds the lease while it works. Whatever fails, memory is thrown away and rebuilt from snapshot and log: what is
committed is the truth, and the same inputs give the same fills again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading.domain.errors import Inconsistent
from trading.domain.ledger import FloorAccounts, OpenOrder
from trading.exchange.codec import decode, encode, events_hash
from trading.exchange.engine import ENGINE_REV, Engine
from trading.exchange.messages import (
    BUY,
    SELL,
    Body,
    Cancel,
    Direction,
    Event,
    Filled,
    Gap,
    Halt,
    Input,
    Submit,
    Tick,
    Timer,
)
from trading.services.ports.broker import Batch, BrokerStore, Command
from trading.services.settlement import Settlement

FILLS_MAX = 50
"""A batch closes at this many fills."""
QUIET_COMMIT_NS = 100_000_000
"""Ticks without effects are logged at least this often."""
DAY_NS = 86_400_000_000_000
_DIRECTIONS: Mapping[str, Direction] = {"buy": BUY, "sell": SELL}


@dataclass(frozen=True, slots=True)
class Committed:
    """What one call of `PaperBroker.advance` committed."""

    inputs: int
    fills: int
    effects: bool


class PaperBroker:
    """One epoch of the one broker of a floor. Not safe for threads."""

    def __init__(self, store: BrokerStore, epoch: int) -> None:
        self._store = store
        self.epoch = epoch
        self.engine = Engine()
        self._settlement = Settlement({}, store.lots, self._accounts_of)
        self._accounts: dict[int, FloorAccounts] = {}
        self._pending: list[Input] = []
        self._pending_since_ns = 0
        self._tick_seqs: dict[int, int] = {}

    @property
    def committed_seq(self) -> int:
        """The last input that is committed."""
        return self.engine.seq - len(self._pending)

    # Restoring ------------------------------------------------------------------------------------------------------

    def restore(self, keep_alive: Callable[[], None] = lambda: None) -> None:
        """Snapshot, then the log behind it, comparing outputs and state with what was committed.

        ``keep_alive`` is called after each chunk: a long replay must not lose the lease.
        Raises `Inconsistent` where the engine says something else now than it said then.
        """
        cursor, _ = self._store.cursor()
        snapshot = self._store.newest_snapshot(ENGINE_REV)
        engine = Engine.load(snapshot[1]) if snapshot else Engine()
        for chunk in self._store.log_after(engine.seq):
            events: list[Event] = []
            for step in decode(chunk.inputs):
                events += engine.apply(step)
            if events_hash(b"", events) != chunk.out_hash or engine.state_hash() != chunk.state_hash:
                raise Inconsistent(f"replay of inputs {chunk.first_seq} to {chunk.last_seq} differs from what was done")
            keep_alive()
        if engine.seq != cursor:
            raise Inconsistent(f"the log ends at input {engine.seq}, the cursor is at {cursor}")
        self.engine, self._pending = engine, []
        self._settlement = Settlement(self._store.open_orders(), self._store.lots, self._accounts_of)
        held, resting = set(self._settlement.orders), set(engine.orders)
        if not resting <= held:
            raise Inconsistent(
                f"orders {sorted(resting - held)[:5]} rest in the engine but are not open in the database"
            )

    # Going on -------------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int, ticks: Sequence[Tick], commands: Sequence[Command], gap: str = "") -> Committed:
        """Sequence what came in, apply it, and commit when there are effects or enough time has passed.

        Whatever this raises, call `restore` before the next `advance`.
        """
        bodies: list[tuple[Body, int | None]] = []
        if gap:
            bodies.append((Gap(gap), None))
        due = self.engine.next_expiry_ns()
        if due is not None and due <= now_ns:
            bodies.append((Timer(), None))
        bodies += [(self._body(command, now_ns), command.id) for command in commands]
        self._load_orders(commands)
        for tick in ticks:
            expected = self._tick_seqs.get(tick.instrument_id)
            if expected is not None and tick.seq != expected + 1:
                bodies.append((Gap(f"ticks of instrument {tick.instrument_id} were lost"), None))
            self._tick_seqs[tick.instrument_id] = tick.seq
            bodies.append((tick, None))
        done = Committed(0, 0, False)
        steps: list[tuple[int, int, Sequence[Event]]] = []
        sequenced: list[dict[str, Any]] = []
        fills = 0
        for body, command_id in bodies:
            step = Input(self.engine.seq + 1, now_ns, body)
            events = self.engine.apply(step)
            if not self._pending:
                self._pending_since_ns = now_ns
            self._pending.append(step)
            if command_id is not None:
                sequenced.append({"id": command_id, "input_seq": step.seq})
            if events:
                steps.append((step.seq, now_ns, list(events)))
                fills += sum(isinstance(event, Filled) for event in events)
            if fills >= FILLS_MAX:
                done = _sum(done, self._commit(now_ns, steps, sequenced))
                steps, sequenced, fills = [], [], 0
        quiet_over = bool(self._pending) and now_ns - self._pending_since_ns >= QUIET_COMMIT_NS
        if steps or sequenced or quiet_over:
            done = _sum(done, self._commit(now_ns, steps, sequenced))
        return done

    def snapshot(self, now_ns: int) -> None:
        """Keep the engine's state as of the last committed input; does nothing while inputs are pending."""
        if not self._pending:
            self._store.save_snapshot(
                self.epoch, self.engine.seq, ENGINE_REV, now_ns, self.engine.save(), self.engine.state_hash()
            )

    def bids(self) -> Mapping[int, int]:
        """Bid ticks by instrument, for marks."""
        return {key: book.bid_ticks for key, book in self.engine.books.items() if book.bid_ticks > 0}

    def _commit(
        self, now_ns: int, steps: Sequence[tuple[int, int, Sequence[Event]]], commands: list[dict[str, Any]]
    ) -> Committed:
        events = [event for _, _, step_events in steps for event in step_events]
        batch = Batch(
            epoch=self.epoch,
            engine_rev=ENGINE_REV,
            first_seq=self._pending[0].seq,
            last_seq=self._pending[-1].seq,
            ts_ns=now_ns,
            inputs=encode(self._pending),
            out_hash=events_hash(b"", events),
            state_hash=self.engine.state_hash(),
            commands=commands,
        )
        fills = sum(isinstance(event, Filled) for event in events)
        self._settlement.settle(batch, steps, self._store.group_ids(fills))
        self._store.commit(batch)
        done = Committed(len(self._pending), fills, bool(events))
        self._pending = []
        return done

    def _load_orders(self, commands: Sequence[Command]) -> None:
        ids = [c.order_id for c in commands if c.kind == "submit" and c.order_id is not None]
        if ids:
            self._settlement.orders.update(self._store.open_orders(ids))

    def _accounts_of(self, order: OpenOrder) -> FloorAccounts:
        known = self._accounts.get(order.instrument.id)
        if known is None:
            known = self._store.floor_accounts(order.instrument.asset.id, order.instrument.currency.id)
            self._accounts[order.instrument.id] = known
        return known

    def _body(self, command: Command, now_ns: int) -> Body:
        payload = command.payload
        if command.kind == "submit":
            return Submit(
                order_id=payload["order_id"],
                portfolio_id=payload["portfolio_id"],
                user_id=payload["user_id"],
                instrument_id=payload["instrument_id"],
                direction=_DIRECTIONS[payload["side"]],
                market=payload["type"] == "market",
                tif=payload["tif"],
                quantity_lots=payload["quantity_lots"],
                limit_ticks=payload["protection_ticks"],
                # SIM trades around the clock; its day ends at 00:00 UTC.
                expires_ns=(now_ns // DAY_NS + 1) * DAY_NS if payload["tif"] == "day" else None,
            )
        if command.kind == "cancel":
            return Cancel(payload["order_id"])
        return Halt(payload["scope"], payload["mode"])


def _sum(a: Committed, b: Committed) -> Committed:
    return Committed(a.inputs + b.inputs, a.fills + b.fills, a.effects or b.effects)
