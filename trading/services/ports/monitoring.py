"""Broker accounts, what is recorded of them, and how a broker is reached."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from trading.domain.brokerage import Execution
from trading.domain.monitoring import Book, Known, Plan, RecordedOrder, Step, Write
from trading.services.ports.brokerage import Brokerage

if TYPE_CHECKING:
    from trading.services.floor import Floor


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """An account at a broker, filed under the portfolio whose owner may see and switch it.

    ``adapter`` is ``paper`` (the portfolio itself at the floor's own broker) or ``remote`` (elsewhere, at ``base_url``,
    with the key called ``key_name`` in the floor's secrets). A cycle runs every ``cycle_s`` while it is enabled.
    """

    id: int
    portfolio_id: int
    portfolio: str
    owner_id: int
    owner: str
    owner_disabled: bool
    name: str
    adapter: str
    base_url: str
    key_name: str
    enabled: bool
    steps: frozenset[Step]
    cycle_s: int
    started_ts_ns: int


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step of a cycle found and did. ``state`` is done, off, skipped or failed."""

    step: Step
    state: str
    found: int = 0
    done: int = 0
    took_ms: int = 0
    error: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CycleReport:
    """One cycle. ``by`` is who asked for it, empty for the clock; ``asked`` how often the broker was asked to act."""

    account_id: int
    ts_ns: int
    took_ms: int
    by: str
    asked: int
    steps: Sequence[StepReport]

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return all(step.state in ("done", "off") for step in self.steps)


class MonitoringStore(Protocol):
    """Rows of the monitoring loop; every deed writes its audit row with it."""

    def accounts(self, owner_id: int | None = None) -> Sequence[BrokerAccount]:
        """All accounts, or those of one owner, by id."""
        ...

    def account(self, portfolio_id: int, account_id: int) -> BrokerAccount | None:
        """One account of a portfolio."""
        ...

    def open_account(
        self, portfolio_id: int, name: str, adapter: str, base_url: str, key_name: str, actor_id: int, origin: str
    ) -> int:
        """A new account, switched off, all steps on. `Invalid` with code ``name_taken``."""
        ...

    def switch(
        self, account_id: int, enabled: bool, steps: Collection[Step], cycle_s: int, actor_id: int, origin: str
    ) -> None:
        """Turn the account and its steps on or off."""
        ...

    def plans(self, account_id: int) -> Mapping[int, Plan]:
        """Stated plans by instrument."""
        ...

    def set_plan(self, account_id: int, plan: Plan, actor_id: int, origin: str) -> None:
        """State what may be done about an instrument."""
        ...

    def clear_plan(self, account_id: int, instrument_id: int, actor_id: int, origin: str) -> bool:
        """Take it back; false where there was none."""
        ...

    def locked(self, account_id: int) -> AbstractContextManager[bool]:
        """Hold the account for one cycle; false where another cycle has it. The lock goes with the connection."""
        ...

    def started(self, account_id: int, ts_ns: int) -> None:
        """Remember when the last cycle began."""
        ...

    def known(self, account_id: int, since_ns: int) -> Known:
        """What is recorded: all that is open or pending, and what ended since ``since_ns``."""
        ...

    def record_books(self, account_id: int, books: Sequence[Book]) -> None:
        """Keep books that have been folded further than the kept ones."""
        ...

    def record_orders(
        self, account_id: int, orders: Sequence[RecordedOrder], first_number: int, executions: Sequence[Execution]
    ) -> None:
        """Keep orders as they are, and executions once each; the cursor moves with them, in one transaction."""
        ...

    def begin_write(self, account_id: int, write: Write, ts_ns: int) -> Write:
        """Keep what is about to be asked, with its audit row; what is kept under that key already is returned."""
        ...

    def settle_write(self, account_id: int, write: Write, order: RecordedOrder | None) -> None:
        """Keep the broker's answer, and the order it speaks of."""
        ...

    def drop(self, account_id: int, order_ids: Sequence[str], keys: Sequence[str]) -> None:
        """Take rejected orders off the list of what is worked on."""
        ...

    def keep_cycle(self, report: CycleReport) -> None:
        """A row for the cycle and one for each of its steps."""
        ...

    def cycles(self, account_id: int, limit: int) -> Sequence[CycleReport]:
        """Newest cycles."""
        ...

    def working(self, account_id: int, limit: int) -> Sequence[RecordedOrder]:
        """Recorded orders that were not dropped, newest first."""
        ...

    def books(self, account_id: int) -> Sequence[Book]:
        """Recorded books, by instrument."""
        ...

    def fair_ticks(self, instrument_ids: Sequence[int], now_ns: int) -> Mapping[int, int]:
        """Prices that a model has stated and that still hold."""
        ...

    def state_fair_price(
        self, instrument_id: int, price_ticks: int, source: str, until_ts_ns: int, actor_id: int, origin: str
    ) -> None:
        """State a model's price until a moment."""
        ...


class Brokers(Protocol):
    """Opens the broker behind an account."""

    def checked_address(self, base_url: str) -> str:
        """A remote broker's address; `Invalid` where a key must not be sent to it."""
        ...

    def open(self, floor: "Floor", account: BrokerAccount) -> AbstractContextManager[Brokerage]:
        """A broker for one cycle, in the name of the account's owner.

        `Unavailable` with code ``no_key`` where the floor's secrets have no such key.
        """
        ...
