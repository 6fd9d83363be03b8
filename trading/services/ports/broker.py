"""What the paper broker keeps in the database. Only the holder of the lease writes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from trading.domain.actions import ActionAccounts, Position
from trading.domain.ledger import FloorAccounts, OpenOrder
from trading.domain.margin import Holding, Mark
from trading.domain.positions import Lot

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """Something a service asked for, not sequenced yet; of one new order ``order`` is its accounting."""

    id: int
    kind: str
    order_id: int | None
    payload: Mapping[str, Any]
    order: OpenOrder | None = None


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A row of the input log. ``state_hash`` is the chain of hashes over all inputs and outputs up to its end."""

    first_seq: int
    last_seq: int
    inputs: bytes
    out_hash: bytes
    state_hash: bytes
    engine_rev: int


@dataclass(frozen=True, slots=True)
class Standing:
    """An open order as it was accepted, with what is left of its quantity, for an engine that does not have it yet.

    ``payload`` is one of a submit command.
    """

    payload: Mapping[str, Any]
    accepted_ts_ns: int


@dataclass(slots=True)
class Batch:
    """A run of inputs and all their effects, committed in one statement. Rows are named like the tables' columns.

    ``over`` are the orders whose holds nothing needs any more: the database gives back all that is left of them.
    """

    epoch: int
    engine_rev: int
    first_seq: int
    last_seq: int
    ts_ns: int
    inputs: bytes
    out_hash: bytes
    state_hash: bytes
    commands: list[Row] = field(default_factory=list)
    fills: list[Row] = field(default_factory=list)
    transfers: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    holds: list[Row] = field(default_factory=list)
    over: list[int] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    lots: list[Row] = field(default_factory=list)
    lot_closes: list[Row] = field(default_factory=list)
    actions: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    margin_events: list[Row] = field(default_factory=list)
    margin_orders: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class MarginAccount:
    """A margin portfolio's cash and positions in one currency, and where it stands: ``met``, ``call``, ``close_out``.

    ``holdings`` by instrument id (without their basis), ``asset_accounts`` likewise; ``cash_account`` is the id.
    """

    portfolio_id: int
    owner_id: int
    currency_id: int
    cash_account: int
    cash: int
    state: str
    holdings: dict[int, Holding]
    asset_accounts: dict[int, int]


@dataclass(frozen=True, slots=True)
class ReplayStart:
    """Where the log in the database can be replayed from: a state (empty = a new engine) and the input it is after."""

    seq: int
    state: bytes


@dataclass(frozen=True, slots=True)
class BookedFill:
    """A fill as the ledger has it."""

    order_id: int
    input_seq: int
    n: int
    price_ticks: int
    quantity_lots: int
    liquidity: str


class LogStore(Protocol):
    """The input log as the night reads it."""

    def replay_start(self) -> ReplayStart | None:
        """The state before the running engine revision's oldest chunk in the database; None where it is not kept."""
        ...

    def snapshots(self, after_seq: int, up_to_seq: int) -> Mapping[int, bytes]:
        """Hashes of the running revision's states by input, behind one input up to another."""
        ...

    def chunks(self, after_seq: int, up_to_seq: int) -> Iterator[LogChunk]:
        """Chunks behind one input up to another, in order."""
        ...

    def last_seq(self) -> int:
        """The newest committed input, 0 where there is none."""
        ...

    def fills(self, after_seq: int, up_to_seq: int) -> Sequence[BookedFill]:
        """Fills by input and count."""
        ...

    def snapshot_before(self, ts_ns: int) -> int | None:
        """The newest snapshot that is older than a time: the log may be archived up to it."""
        ...

    def drop_archived(self, file_id: int, last_seq: int) -> int:
        """Drop what a lake file covers; returns the number of chunks."""
        ...


class BrokerStore(Protocol):
    """Raises `Fenced` when another broker has the lease, `Halted` when the kill switch met a fill, `Stale` when the
    cursor moved, `Unavailable` when the server is away (the result is then unknown: read the cursor)."""

    def take_lease(self, holder: str, ttl_s: float) -> int | None:
        """The new epoch, None while another's lease runs."""
        ...

    def renew_lease(self, epoch: int, ttl_s: float) -> None:
        """Keep the lease."""
        ...

    def cursor(self) -> tuple[int, bytes]:
        """Last committed input and the chain of hashes up to it."""
        ...

    def newest_snapshot(self, engine_rev: int) -> tuple[int, bytes] | None:
        """Input and canonical state."""
        ...

    def log_after(self, seq: int, engine_rev: int) -> Iterator[LogChunk]:
        """Chunks of an engine revision behind an input, in order."""
        ...

    def waiting_commands(self, limit: int, known: Collection[int] = ()) -> Sequence[Command]:
        """Commands without an input number other than those known, halts first, then by id."""
        ...

    def standings(self) -> Sequence[Standing]:
        """Open orders whose submission has been sequenced."""
        ...

    def halted(self) -> Mapping[str, Sequence[int]]:
        """Scopes that are halted, with the open orders of those that the engine does not know."""
        ...

    def calendars(self) -> Mapping[int, str]:
        """The trading calendar of each instrument that has one."""
        ...

    def open_orders(self, ids: Sequence[int] | None = None) -> Mapping[int, OpenOrder]:
        """Accounting of open orders: of all, or of those named."""
        ...

    def lots(self, portfolio_id: int, instrument_id: int) -> list[Lot]:
        """Open lots, oldest first."""
        ...

    def holdings(self, instrument_id: int) -> Sequence[Position]:
        """Who holds an instrument, with all open lots, by portfolio."""
        ...

    def action_accounts(self, asset_id: int, currency_id: int) -> ActionAccounts:
        """The floor's own accounts that a corporate action touches."""
        ...

    def floor_accounts(self, asset_id: int, currency_id: int) -> FloorAccounts:
        """The floor's own accounts for an instrument."""
        ...

    def group_ids(self, count: int) -> Sequence[int]:
        """New transfer group ids."""
        ...

    def order_id(self) -> int:
        """The id of a new order."""
        ...

    def margin_accounts(self, portfolio_ids: Sequence[int], *, alive: bool) -> Sequence[MarginAccount]:
        """Margin accounts of the portfolios named; with ``alive`` all with a position, debt or a call in force too."""
        ...

    def margin_changes(self, cash_accounts: Sequence[int]) -> tuple[int, Mapping[int, int]]:
        """How many policies there have ever been, and the cash of these accounts."""
        ...

    def begin_commit(self, batch: Batch) -> None:
        """Send a batch, all of it or nothing; `end_commit` says what became of it. One at a time."""
        ...

    def end_commit(self) -> Sequence[int]:
        """Wait until the batch that was sent is durable; raises what it met. Answers with the ids of its outbox.

        Nothing, and none, where none was sent.
        """
        ...

    def save_snapshot(self, epoch: int, seq: int, engine_rev: int, ts_ns: int, state: bytes, state_hash: bytes) -> None:
        """Keep a canonical state."""
        ...

    def publish_outbox(self, limit: int, published: Sequence[int] = ()) -> Sequence[Mapping[str, Any]]:
        """Marks events that were published, by id; returns others that are not published yet, now marked too."""
        ...

    def seal(self, now: datetime) -> None:
        """Seal finished transfers into the hash chain."""
        ...

    def mark_equity(self, ts_ns: int, marks: Mapping[int, Mark]) -> None:
        """A mark for each portfolio that ever had cash; ``marks`` by instrument id."""
        ...

    def report(self, detail: Mapping[str, Any]) -> None:
        """The broker's own numbers for the health page."""
        ...

    def halt_floor(self, reason: str, ts_ns: int) -> None:
        """The broker's emergency brake."""
        ...
