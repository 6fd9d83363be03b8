"""The monitoring loop's view of a broker's account: what the broker shows, what is recorded, where the two differ.

A cycle fetches, compares, folds executions into FIFO books, brings the record up to date and then repairs. Everything
here is pure: values in, values out. Quantities are lots, prices ticks, money minor units, times ns UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from trading.domain.brokerage import Balance, BrokerOrder, Execution, Holding
from trading.domain.instruments import Instrument
from trading.domain.money import div_half_even
from trading.domain.orders import TERMINAL, OrderState, OrderType, Side, TimeInForce
from trading.domain.positions import FillId, Lot, close_fifo, open_lot


class Step(StrEnum):
    """The steps of a cycle, in their order. All but the first can be switched off."""

    FETCH = "fetch"
    COMPARE = "compare"
    PNL = "pnl"
    ORDERS = "orders"
    PROTECT = "protect"
    REPRICE = "reprice"
    DROP = "drop"
    REENTER = "reenter"
    REPLACE = "replace"


class Purpose(StrEnum):
    """What an order is for: to open a position, to close one, or one of its two protections."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"


PROTECTIONS = frozenset({Purpose.STOP_LOSS, Purpose.TAKE_PROFIT})


class FairSource(StrEnum):
    """Where the price comes from that resting entries are moved to."""

    OFF = "off"
    MID = "mid"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the loop may do about one instrument of an account; nothing is done that is not stated here.

    ``stop_loss_ppm`` and ``take_profit_ppm`` are distances from the position's average cost (fees included) in parts
    per million. Resting entries are kept ``fair_edge_ticks`` away from the fair price on their own side, are moved by
    ``move_least_ticks`` or more, and never further than ``move_most_ppm`` from the limit they were first seen with.
    ``reentries_max`` is how often an entry that expired is entered again, ``replacements_max`` how often a rejected
    one is placed again. It is about what happens after ``since_ts_ns``.
    """

    instrument_id: int
    stop_loss_ppm: int | None = None
    take_profit_ppm: int | None = None
    fair_source: FairSource = FairSource.OFF
    fair_edge_ticks: int = 0
    move_least_ticks: int = 1
    move_most_ppm: int = 10_000
    reentries_max: int = 0
    replacements_max: int = 0
    since_ts_ns: int = 0


@dataclass(frozen=True, slots=True)
class Book:
    """FIFO lots of one instrument, all long or all short, folded up to execution number ``through``."""

    instrument_id: int
    through: int = 0
    lots: tuple[Lot, ...] = ()
    realised: int = 0
    fees: int = 0

    @property
    def short(self) -> bool:
        """Whether lots are owed."""
        return bool(self.lots) and self.lots[0].short

    @property
    def position_lots(self) -> int:
        """Lots held, negative when short."""
        total = sum(lot.remaining_lots for lot in self.lots)
        return -total if self.short else total

    @property
    def cost(self) -> int:
        """What the open lots cost, or brought in when short."""
        return sum(lot.remaining_cost for lot in self.lots)


@dataclass(frozen=True, slots=True)
class Place:
    """An order to be sent; with ``oco_limit_ticks`` a stop and a limit order of which one trades.

    ``instead_of`` are orders that must be over first: they hold what this one needs.
    """

    instrument_id: int
    side: Side
    type: OrderType
    quantity_lots: int
    time_in_force: TimeInForce
    limit_ticks: int | None = None
    stop_ticks: int | None = None
    oco_limit_ticks: int | None = None
    instead_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """A new limit for a resting order."""

    order_id: str
    from_ticks: int
    to_ticks: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """The end of an order that protects nothing any more."""

    order_id: str


Deed = Place | Move | Cancel


class Outcome(StrEnum):
    """What became of something asked of the broker."""

    PENDING = "pending"
    TAKEN = "taken"
    REFUSED = "refused"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Write:
    """Something asked of the broker, once for its ``key``. ``cause`` is why; the same cause may come ``number`` times.

    ``attempt`` counts the orders of one line: an order, what was placed in its stead, and so on.
    """

    key: str
    cause: str
    number: int
    step: Step
    deed: Deed
    purpose: Purpose
    attempt: int = 0
    outcome: Outcome = Outcome.PENDING
    order_id: str = ""
    code: str = ""
    reason: str = ""
    dropped: bool = False
    settled_ts_ns: int = 0


@dataclass(frozen=True, slots=True)
class RecordedOrder:
    """An order as it is kept here. ``first_limit_ticks`` is the limit it was first seen with."""

    order: BrokerOrder
    purpose: Purpose
    attempt: int
    first_limit_ticks: int | None
    seen_ts_ns: int
    over_ts_ns: int | None = None
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What the broker showed. ``orders`` are the open ones and those that were asked for by id, ``executions`` those
    behind the recorded cursor; ``settled`` is false where the account would not stand still while it was read.
    """

    orders: tuple[BrokerOrder, ...]
    executions: tuple[Execution, ...]
    positions: tuple[Holding, ...]
    balances: tuple[Balance, ...]
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded: orders that are open or ended lately, how many executions and where they end, books, writes."""

    cursor: str = ""
    executions: int = 0
    orders: Mapping[str, RecordedOrder] = field(default_factory=dict)
    books: Mapping[int, Book] = field(default_factory=dict)
    unfolded: tuple[tuple[int, Execution], ...] = ()
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Something the broker has otherwise than it is recorded. ``repairable`` ones are gone after the cycle."""

    kind: str
    subject: str
    recorded: str
    broker: str
    repairable: bool = True


def compare(known: Known, seen: Seen, books: Mapping[int, Book]) -> list[Difference]:
    """Every difference. ``books`` have the executions seen now in them: a position they do not explain is no repair's.

    An account that would not stand still says nothing about its positions.
    """
    found = []
    for order in seen.orders:
        recorded = known.orders.get(order.order_id)
        if recorded is None:
            found.append(Difference("unknown_order", f"order {order.order_id}", "nothing", _terms(order)))
        elif recorded.order != order:
            found.append(Difference("order_changed", f"order {order.order_id}", _terms(recorded.order), _terms(order)))
    for run in seen.executions:
        text = f"{run.side} {run.quantity_lots} at {run.price_ticks} ticks"
        found.append(Difference("unknown_fill", f"order {run.order_id}", "nothing", text))
    if seen.settled:
        held = {holding.instrument_id: holding.quantity_lots for holding in seen.positions}
        for instrument_id in sorted(held.keys() | books.keys()):
            own = books[instrument_id].position_lots if instrument_id in books else 0
            if own != held.get(instrument_id, 0):
                subject, there = f"instrument {instrument_id}", held.get(instrument_id, 0)
                found.append(Difference("position", subject, f"{own} lots", f"{there} lots", repairable=False))
    return found


def _terms(order: BrokerOrder) -> str:
    prices = [f"{name} {ticks}" for name, ticks in (("limit", order.limit_ticks), ("stop", order.stop_ticks)) if ticks]
    return " ".join([order.state, order.side, f"{order.filled_lots}/{order.quantity_lots}", *prices])


# FIFO ---------------------------------------------------------------------------------------------------------------


def fold_books(known: Known, seen: Seen, instruments: Mapping[int, Instrument]) -> dict[int, Book]:
    """The books with every execution that is recorded or seen now."""
    numbered = [*known.unfolded, *enumerate(seen.executions, known.executions + 1)]
    books = dict(known.books)
    for number, run in numbered:
        book = books.get(run.instrument_id, Book(run.instrument_id))
        if number > book.through:
            books[run.instrument_id] = fold(book, instruments[run.instrument_id], number, run)
    return books


def fold(book: Book, instrument: Instrument, number: int, run: Execution) -> Book:
    """One execution into a book: against its lots, oldest first, what is left opens a lot on the other side.

    Cash of a fill is rounded half-even; where one fill closes and opens, fee and cash are shared by lots.
    """
    buys = run.side is Side.BUY
    cash = instrument.notional(run.price_ticks * run.quantity_lots)
    closing = min(run.quantity_lots, abs(book.position_lots)) if book.lots and buys is book.short else 0
    closing_cash = div_half_even(cash * closing, run.quantity_lots)
    closing_fee = div_half_even(run.fee * closing, run.quantity_lots)
    lots, realised = list(book.lots), book.realised
    if closing:
        moved = closing_cash + closing_fee if buys else closing_cash - closing_fee
        lots, closed = close_fifo(lots, closing, moved)
        realised += sum(part.realised for part in closed)
    opening = run.quantity_lots - closing
    if opening:
        # The books number an execution by its place in the account's list: orders of other brokers have no number.
        fill, fee = FillId(0, number, 0), run.fee - closing_fee
        lots.append(open_lot(fill, run.ts_ns, opening, cash - closing_cash, fee, short=not buys))
    return Book(book.instrument_id, number, tuple(lots), realised, book.fees + run.fee)


def average_ticks(book: Book, instrument: Instrument) -> Fraction | None:
    """Average cost of one lot in ticks, exact, fees included; None without a position."""
    lots = abs(book.position_lots)
    if not lots:
        return None
    unit = Fraction(instrument.tick_size) * Fraction(instrument.lot_size)
    return Fraction(book.cost, lots) / (unit * Fraction(10) ** instrument.currency.scale)


# The record ---------------------------------------------------------------------------------------------------------


def updated_orders(known: Known, seen: Seen, books: Mapping[int, Book], now_ns: int) -> dict[str, RecordedOrder]:
    """The recorded orders as the broker shows them now, new ones among them."""
    ours = {write.key: write for write in known.writes}
    after = dict(known.orders)
    for order in seen.orders:
        recorded = known.orders.get(order.order_id)
        if recorded is None:
            after[order.order_id] = first_seen(order, ours.get(order.client_id), books, now_ns)
        elif recorded.order != order:
            over = now_ns if order.state in TERMINAL and recorded.over_ts_ns is None else recorded.over_ts_ns
            after[order.order_id] = replace(recorded, order=order, over_ts_ns=over)
    return after


def first_seen(order: BrokerOrder, write: Write | None, books: Mapping[int, Book], now_ns: int) -> RecordedOrder:
    """The record of an order that is new here; ``write`` is what asked for it, None where somebody else did."""
    if write is None:
        book = books.get(order.instrument_id)
        position = book.position_lots if book else 0
        closes = position > 0 if order.side is Side.SELL else position < 0
        purpose, attempt = (Purpose.EXIT if closes else Purpose.ENTRY), 0
    else:
        purpose, attempt = write.purpose, write.attempt
        if purpose is Purpose.STOP_LOSS and order.stop_ticks is None:
            purpose = Purpose.TAKE_PROFIT  # the other half of a pair
    over = now_ns if order.state in TERMINAL else None
    return RecordedOrder(order, purpose, attempt, order.limit_ticks, now_ns, over)


def changed_orders(before: Mapping[str, RecordedOrder], after: Mapping[str, RecordedOrder]) -> list[RecordedOrder]:
    """Those that have to be written."""
    return [recorded for order_id, recorded in after.items() if before.get(order_id) != recorded]


def open_orders(orders: Iterable[RecordedOrder]) -> list[RecordedOrder]:
    """Those that are not over, by the broker's id."""
    found = [recorded for recorded in orders if recorded.order.state not in TERMINAL]
    return sorted(found, key=lambda recorded: (len(recorded.order.order_id), recorded.order.order_id))


def to_ask_for(known: Known, open_now: Sequence[BrokerOrder], executions: Sequence[Execution]) -> list[str]:
    """Ids of orders the broker must be asked about one by one.

    Those recorded as open that it no longer lists, and those of executions whose order it does not list.
    """
    listed = {order.order_id for order in open_now}
    gone = {
        order_id
        for order_id, recorded in known.orders.items()
        if recorded.order.state not in TERMINAL and order_id not in listed
    }
    traded = {run.order_id for run in executions} - listed
    return sorted(gone | traded, key=lambda order_id: (len(order_id), order_id))


# As JSON ------------------------------------------------------------------------------------------------------------


def deed_json(deed: Deed) -> dict[str, Any]:
    """A deed as it is kept."""
    return {"v": 1, "do": type(deed).__name__.lower(), **asdict(deed)}


def deed_of(kept: Mapping[str, Any]) -> Deed:
    """A deed out of what `deed_json` made."""
    fields = {name: value for name, value in kept.items() if name not in ("v", "do")}
    match kept["do"]:
        case "place":
            enums = {
                "side": Side(fields["side"]),
                "type": OrderType(fields["type"]),
                "time_in_force": TimeInForce(fields["time_in_force"]),
                "instead_of": tuple(fields["instead_of"]),
            }
            return Place(**{**fields, **enums})
        case "move":
            return Move(**fields)
        case _:
            return Cancel(**fields)


def rejected(recorded: RecordedOrder) -> bool:
    """Whether the broker turned the order down after it had been sent."""
    return recorded.order.state is OrderState.REJECTED
