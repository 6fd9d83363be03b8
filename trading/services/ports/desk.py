"""Stores behind desk, ledger, kill switch and verification."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from trading.domain.instruments import Instrument
from trading.domain.ledger import OnMargin, OpenOrder
from trading.domain.margin import Holding, Policy
from trading.domain.money import Asset
from trading.domain.orders import (
    Acceptance,
    Change,
    Effect,
    GroupRole,
    OrderType,
    Refusal,
    Side,
    Terms,
    Ticket,
    TimeInForce,
)
from trading.domain.risk import Exposure, RiskLimits

_PLENTY = 2**62


@dataclass(frozen=True, slots=True)
class MarginContext:
    """A margin portfolio in the order's currency: its cash (below zero: debt), what open orders reserve of it, its
    positions, the policy of the order's market, and how many open orders open a position, by side."""

    policy: Policy
    cash: int
    held: int
    holdings: Sequence[Holding]
    opening: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DeskContext:
    """What the desk decides on, read under the portfolio's lock. Money in minor units, positions in lots.

    ``halts`` maps the scopes that may concern this order to their mode: the floor, its user, instrument and portfolio,
    and all strategies that are not running.
    ``action_waits`` says that a split or dividend of the instrument is being booked.
    """

    instrument: Instrument
    portfolio_kind: str
    portfolio_archived: bool
    cash_account: int | None
    cash_available: int
    asset_account: int | None
    position_lots: int
    position_held: int
    open_orders: int
    limits: RiskLimits
    halts: Mapping[str, str]
    exposure: Exposure = field(default_factory=Exposure)
    margin: MarginContext | None = None
    action_waits: bool = False

    def if_covered(self) -> "DeskContext | None":
        """This context with cash, shares and room for open orders without end, to be judged on again later.

        None where the judgement of an order rests on more than that moves with each order or tick: on margin, where a
        limit counts orders a minute, positions or losses, and while a corporate action waits.
        """
        limits = self.limits
        moving = (
            limits.max_orders_per_minute,
            limits.max_user_orders_per_minute,
            limits.max_position_lots,
            limits.max_position_notional,
            limits.max_daily_loss,
            limits.max_drawdown_ppm,
        )
        if (
            self.margin is not None
            or self.portfolio_kind != "cash"
            or self.action_waits
            or any(limit is not None for limit in moving)
        ):
            return None
        return replace(
            self,
            cash_available=_PLENTY,
            position_lots=_PLENTY,
            position_held=0,
            open_orders=0,
            exposure=replace(self.exposure, other_orders=0),
            limits=replace(limits, max_open_orders=None, max_user_open_orders=None),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """An order the desk accepts: its terms, what it holds, and what it is in its group.

    Orders that share a hold have it on the first of them; the others hold nothing.
    """

    side: Side
    effect: Effect
    time_in_force: TimeInForce
    quantity_lots: int
    terms: Terms
    cash_hold: int
    asset_hold: int
    fee_at_most: int
    post_only: bool = False
    expires_ns: int | None = None
    role: GroupRole | None = None
    strategy: str | None = None
    margin: OnMargin | None = None

    @property
    def type(self) -> OrderType:
        """How it is priced."""
        return self.terms.type


Decide = Callable[[DeskContext], Sequence[Decision] | Refusal]
"""Judges inside the transaction; called once, must do no I/O. Orders of a group: exits first, their entry last."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An order that is to change: its accounting with its hold, the other open orders of its group."""

    order: OpenOrder
    effect: Effect
    time_in_force: TimeInForce
    mates: Sequence[OpenOrder]
    change_waits: bool
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Alteration:
    """New terms the desk lets through, the new total, and what must be held beyond what is."""

    terms: Terms
    quantity_lots: int
    extra_cash: int
    extra_asset: int


DecideChange = Callable[[DeskContext, Standing], Alteration | Refusal]
"""Judges a change inside the transaction, like `Decide`."""


class DeskStore(Protocol):
    """One transaction for each call; `Conflict` on a reused key; `Unavailable` when the database cannot be reached."""

    def submit(
        self, user_id: int, portfolio_id: int, key: str, ticket: Ticket, decide: Decide, ts_ns: int, origin: str
    ) -> Acceptance | Refusal:
        """Open the key, lock and read, let ``decide`` judge, write order, holds, event, audit, command and answer."""
        ...

    def context(self, user_id: int, portfolio_id: int, symbol: str, venue: str) -> DeskContext | None:
        """The same reads without locks or writes; None for an unknown instrument."""
        ...

    def change(
        self,
        user_id: int,
        portfolio_id: int,
        order_id: int,
        key: str,
        change: Change,
        decide: DecideChange,
        ts_ns: int,
        origin: str,
    ) -> Acceptance | Refusal:
        """As `submit`, for new terms of an open order: holds what they need more, and asks the broker."""
        ...

    def cancel(self, user_id: int, portfolio_id: int, order_id: int, ts_ns: int, origin: str) -> str | None:
        """Ask the broker to cancel; None when asked, a code when the order is already over or unknown."""
        ...

    def instrument_id(self, symbol: str, venue: str) -> int | None:
        """The id of what is traded there under a symbol; it never changes."""
        ...

    def set_margin_policy(self, admin_id: int, origin: str, policy: Mapping[str, Any]) -> None:
        """A market's next margin policy: the columns of ``margin_policy`` without its version."""
        ...

    def is_margin(self, portfolio_id: int) -> bool:
        """Whether it is a margin portfolio; that never changes."""
        ...

    def instruments(self, venue: str) -> Sequence[Instrument]:
        """Current versions of a venue's instruments, by symbol."""
        ...


@dataclass(frozen=True, slots=True)
class Cutoff:
    """What was sold in a market from ``from_ns`` on has not settled.

    ``calendar`` as `trading.market.sessions` names it; conversions settle as asset class ``fx``, calendar ``FX``.
    """

    asset_class: str
    calendar: str
    from_ns: int


Marks = Mapping[int, tuple[int, int, int]]
"""The newest quote of each instrument, by id: best bid and best ask in ticks, 0 where there is none, and its ns UTC."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a group as its portfolio sees it: ``amount`` in minor units is signed, + comes in.

    ``against`` is the kind of the floor's account on the other side, ``kind`` the transfer's.
    """

    asset_id: int
    amount: int
    against: str
    kind: str


@dataclass(frozen=True, slots=True)
class Posting:
    """Lines that are booked together or not at all, once for each ``key`` of the actor's ``operation``.

    ``body`` is what was asked, where that is not the lines: a key used again must ask the same.
    """

    actor_id: int
    portfolio_id: int
    operation: str
    key: str
    lines: tuple[Line, ...]
    memo: str
    origin: str
    ts_ns: int
    body: str = ""


class LedgerStore(Protocol):
    """Postings that people and the floor make. Each raises `Conflict` on a key that was used for another body."""

    def post(self, posting: Posting) -> int:
        """Book a group; returns its id. `Invalid` with ``insufficient_cash`` or ``insufficient_position``."""
        ...

    def booked(self, posting: Posting) -> int | None:
        """The group that the posting's key was answered with, None where it is new."""
        ...

    def convert(self, posting: Posting, pair_id: int, marks: Marks) -> int:
        """As `post`, unless the kill switch stops the floor, the user, the portfolio or the pair (``halted``).

        What a margin portfolio sells is judged as a withdrawal of it, see `withdraw`.
        """
        ...

    def currencies(self) -> Mapping[str, Asset]:
        """The currencies that the floor keeps accounts in, by code."""
        ...

    def deposit(
        self, admin_id: int, portfolio_id: int, amount: int, key: str, memo: str, origin: str, ts_ns: int
    ) -> int:
        """Move cash in minor units from the outside world to the portfolio; returns the transfer group's id.

        Raises `Invalid` with ``second_admin_needed`` above the currency's limit, where a person asks.
        """
        ...

    def withdraw(
        self,
        admin_id: int,
        portfolio_id: int,
        amount: int,
        key: str,
        memo: str,
        origin: str,
        ts_ns: int,
        cutoffs: Sequence[Cutoff],
        marks: Marks,
    ) -> int:
        """Move cash out; `Invalid` with ``insufficient_cash`` and, by ``cutoffs``, ``not_settled`` too.

        A margin portfolio keeps what its positions at ``marks`` and its open orders require, as they are when the cash
        moves: ``insufficient_margin``, ``no_mark``, ``corporate_action``.
        """
        ...

    def scale(self, portfolio_id: int) -> int | None:
        """Decimal places of the portfolio's base currency; None where there is no such portfolio."""
        ...

    def keep_balances(self, ts_ns: int) -> int:
        """Keep the balance before ``ts_ns`` of each portfolio account that moved since the last; how many."""
        ...


class HaltStore(Protocol):
    """The kill switch: scopes and modes as `trading.services.halt` names them."""

    def set(self, actor_id: int, scope: str, mode: str, reason: str, ts_ns: int, origin: str) -> None:
        """Exclusive lock, the row, its command and audit; commit. Raises `Conflict` where a file keeps it halted."""
        ...

    def current(self) -> Sequence[dict[str, Any]]:
        """Scopes that are not running: scope, name, mode, reason, set_by, ts_ns, by_file."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the books found in one snapshot.

    ``breaks`` are ``{"check", "subject", "expected", "found"}``; ``counts`` how many rows of each table were looked at,
    and ``milliseconds``; ``mark`` is where the snapshot stood.
    """

    breaks: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    mark: Mapping[str, Any]


class VerifyStore(Protocol):
    """Reads for `trading.services.verify`."""

    def all(self) -> Checked:
        """Every invariant over all rows."""
        ...

    def new(self) -> Checked | None:
        """What is new since the last mark that was kept; None where none was."""
        ...

    def keep_mark(self, mark: Mapping[str, Any], ts_ns: int) -> None:
        """The books were sound up to ``mark``."""
        ...

    def record(
        self,
        scope: str,
        ts_ns: int,
        breaks: Sequence[Mapping[str, Any]],
        counts: Mapping[str, int],
        unless_since_ns: int | None = None,
    ) -> None:
        """Keep a result; with ``unless_since_ns`` only where it has breaks or none of its scope was kept since."""
        ...

    def newest_block(self) -> tuple[int, str] | None:
        """Id and hash (hex) of the newest sealed block."""
        ...

    def block_hashes(self, ids: Sequence[int]) -> Mapping[int, str]:
        """Hashes (hex) of the blocks that are there."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """The hash (hex) of a sealed block of the ledger, as it was at ``at_ns``."""

    block_id: int
    hash: str
    at_ns: int


class HeadLog(Protocol):
    """Heads of the ledger's chain, kept outside the database, only ever added to."""

    def heads(self) -> Sequence[Head]:
        """All, oldest first."""
        ...

    def append(self, head: Head) -> None:
        """Add one; it is on the disk when this returns."""
        ...
