"""Splits and dividends: entered by an admin, shown before they happen, booked when the ex-date's session opens."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from io import StringIO

from trading.domain import actions as domain
from trading.domain.errors import Conflict, Invalid, NotFound, Unavailable
from trading.domain.instruments import Instrument
from trading.domain.money import minor_to_decimal, parse_decimal, to_units
from trading.market.sessions import CONTINUOUS, session_open_ns
from trading.services.access import SYSTEM, Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.actions import ActionRow

_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}
_EVERYONE = dict.fromkeys(Role, Reach.NO_PORTFOLIO)
_RATIO_MOST = 10_000
_PPM_OF_PERCENT = Decimal("0.0001")
FILE_COLUMNS = ("symbol", "ex_date", "split_ratio", "cash_dividend")
_NOBODY = domain.ActionAccounts(0, 0, 0, 0)


Prepare = Callable[[ActionRow, int], None]


def _nothing(_action: ActionRow, _reference_ticks: int) -> None:
    """Nothing has to be prepared."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What an action would do to one portfolio as things stand; cash after tax, in units of the currency."""

    portfolio_id: int
    portfolio: str
    owner: str
    quantity_before: Decimal
    quantity_after: Decimal
    cash: Decimal
    tax: Decimal
    open_orders: int


@dataclass(frozen=True, slots=True)
class Preview:
    """An action, the price at which fractions would be paid (None where none is known), and whom it touches."""

    action: ActionRow
    reference_price: Decimal | None
    touched: Sequence[Touched]


@operation(_ADMIN)
def enter_split(
    floor: Floor,
    actor: Actor,
    symbol: str,
    ex_date: date,
    new: int,
    old: int,
    *,
    reference_price: str | None = None,
    source: str = "",
    venue: str = "SIM",
) -> int:
    """A split of ``new`` shares for ``old`` ones; 1 for 10 is a reverse split. Returns its id.

    ``reference_price`` is the price before the split at which fractions are paid; the last quote where it is None.
    Raises `Invalid`, `NotFound`, and `Conflict` where the day has a split already.
    """
    if not (1 <= new <= _RATIO_MOST and 1 <= old <= _RATIO_MOST) or new == old:
        raise Invalid(
            f"a split gives between 1 and {_RATIO_MOST} new shares for old ones, and not as many", "bad_ratio"
        )
    ratio, instrument = Fraction(new, old), _instrument(floor, symbol, venue)
    ticks = None if reference_price is None else _price(instrument, reference_price)
    terms = {"numerator": ratio.numerator, "denominator": ratio.denominator, "dividend": "0", "tax_ppm": 0}
    return _enter(floor, actor, instrument, "split", ex_date, {**terms, "reference_ticks": ticks}, source)


@operation(_ADMIN)
def enter_dividend(
    floor: Floor,
    actor: Actor,
    symbol: str,
    ex_date: date,
    dividend: str,
    *,
    tax_percent: str = "0",
    source: str = "",
    venue: str = "SIM",
) -> int:
    """A cash dividend of so much a share, of which ``tax_percent`` is withheld from those who get it. Returns its id.

    Raises like `enter_split`.
    """
    instrument, amount = _instrument(floor, symbol, venue), parse_decimal(dividend, "dividend")
    if not 0 < amount < 10**9 or amount != round(amount, 9):
        raise Invalid("a dividend is more than zero and has at most nine decimals", "bad_dividend")
    tax_ppm = to_units(tax_percent, _PPM_OF_PERCENT, "tax in percent")
    if not 0 <= tax_ppm <= 1_000_000:
        raise Invalid("the tax is between 0 and 100 percent", "bad_tax")
    terms = {"numerator": 1, "denominator": 1, "dividend": f"{amount:f}", "tax_ppm": tax_ppm, "reference_ticks": None}
    return _enter(floor, actor, instrument, "dividend", ex_date, terms, source)


@operation(_ADMIN)
def enter_file(floor: Floor, actor: Actor, text: str, source: str, venue: str = "SIM") -> tuple[int, int]:
    """Enter the rows of a CSV file with `FILE_COLUMNS`; returns how many are new and how many were known.

    A row may be a split, a dividend, or both. Raises `Invalid` with the line that is no action; what came before it
    stays.
    """
    rows = csv.DictReader(StringIO(text))
    if not set(FILE_COLUMNS) <= set(rows.fieldnames or ()):
        raise Invalid(f"the file needs the columns {', '.join(FILE_COLUMNS)}", "missing_column")
    new = known = 0
    for row in rows:
        try:
            for is_new in _enter_row(floor, actor, row, source, venue):
                new, known = new + is_new, known + (not is_new)
        except (Invalid, ValueError) as error:
            raise Invalid(f"line {rows.line_num}: {error}", "bad_row") from None
    return new, known


def _enter_row(floor: Floor, actor: Actor, row: Mapping[str, str], source: str, venue: str) -> Iterator[bool]:
    """Whether each action of a row was new."""
    symbol, ex_date = row["symbol"], date.fromisoformat(row["ex_date"])
    ratio = Fraction(parse_decimal(row["split_ratio"], "split_ratio")).limit_denominator(100)
    cash = parse_decimal(row["cash_dividend"], "cash_dividend")
    if ratio != 1:
        try:
            enter_split(floor, actor, symbol, ex_date, ratio.numerator, ratio.denominator, source=source, venue=venue)
            yield True
        except Conflict:
            yield False
    if cash:
        try:
            enter_dividend(floor, actor, symbol, ex_date, f"{cash:f}", source=source, venue=venue)
            yield True
        except Conflict:
            yield False


@operation(_ADMIN)
def cancel(floor: Floor, actor: Actor, action_id: int) -> None:
    """Take back an action that has not been booked; raises `Conflict` where it has."""
    if not floor.actions.cancel(actor.user_id, action_id, actor.origin):
        raise Conflict("this action is not pending any more", "not_pending")


@operation(_ADMIN)
def book(floor: Floor, actor: Actor, action_id: int) -> None:
    """Have an action booked now, whatever its day; the broker does it with its next inputs.

    Raises `NotFound`, `Conflict` where it is not pending, `Invalid` (``no_reference``) where no price is known.
    """
    found = _one(floor, action_id)
    reference = _reference_ticks(floor, found)
    if found.kind == "split" and reference is None:
        raise Invalid("there is no price at which fractions could be paid; enter one", "no_reference")
    if not floor.actions.request(actor.user_id, action_id, reference, actor.origin, floor.clock.now_ns()):
        raise Conflict("this action is not pending any more", "not_pending")
    floor.bus.wake_broker()


@operation(_ADMIN)
def bring_forward(floor: Floor, actor: Actor, action_id: int) -> None:
    """Let a pending action be due now: the clerk has it booked within seconds, and the venue's price follows.

    Raises `Conflict` where it is not pending.
    """
    if not floor.actions.bring_forward(actor.user_id, action_id, actor.origin, floor.clock.now_ns()):
        raise Conflict("this action is not pending any more", "not_pending")


@operation(_ADMIN)
def preview(floor: Floor, actor: Actor, action_id: int) -> Preview:
    """Whom an action would touch if it were booked now, by the code that books it. Raises `NotFound`."""
    found = _one(floor, action_id)
    ticks = _reference_ticks(floor, found)
    action = domain.Action(
        found.id,
        found.instrument_id,
        Fraction(found.numerator, found.denominator),
        ticks or 0,
        found.dividend,
        found.tax_ppm,
    )
    touched = []
    for holder in floor.actions.holders(found.instrument_id):
        instrument, scale = holder.holding.instrument, holder.holding.instrument.currency.scale
        before = after = cash = tax = 0
        if holder.holding.lots:
            effect = domain.apply(action, holder.holding, _NOBODY)
            before, after, cash, tax = effect.lots_before, effect.lots_after, effect.cash - effect.tax, effect.tax
        touched.append(
            Touched(
                holder.holding.portfolio_id,
                holder.portfolio,
                holder.owner,
                instrument.quantity(before),
                instrument.quantity(after),
                minor_to_decimal(cash, scale),
                minor_to_decimal(tax, scale),
                holder.open_orders,
            )
        )
    return Preview(found, None if ticks is None else ticks * found.tick_size, touched)


@operation(_EVERYONE)
def listed(floor: Floor, actor: Actor, limit: int = 200) -> Sequence[ActionRow]:
    """Actions to come and those that were, newest ex-date first."""
    return floor.actions.actions(limit)


def book_due(floor: Floor, now_ns: int, prepare: Prepare = _nothing) -> str:
    """The clerk's: have everything booked whose session has opened. Safe to repeat: a booked one is not pending.

    ``prepare`` is called before, with the price in ticks (0 where there is none): the venue's price must follow.
    """
    done, waiting = [], []
    for action in floor.actions.actions(100, due_ts_ns=now_ns):
        ticks = _reference_ticks(floor, action)
        if action.kind == "split" and ticks is None:
            waiting.append(action.symbol)
            continue
        prepare(action, ticks or 0)
        try:
            book(floor, SYSTEM, action.id)
            done.append(action.symbol)
        except Conflict:
            continue
    told = [f"asked for {', '.join(done)}"] if done else []
    return "; ".join([*told, *([f"no price for {', '.join(waiting)}"] if waiting else [])])


def _instrument(floor: Floor, symbol: str, venue: str) -> Instrument:
    for instrument in floor.desk.instruments(venue):
        if instrument.symbol == symbol.upper():
            return instrument
    raise NotFound(f"{symbol[:20]!r} is not traded on {venue[:10]}")


def _price(instrument: Instrument, text: str) -> int:
    ticks = instrument.price_to_ticks(text)
    if ticks <= 0:
        raise Invalid("the price must be more than zero", "not_positive")
    return ticks


def _enter(
    floor: Floor,
    actor: Actor,
    instrument: Instrument,
    kind: str,
    ex_date: date,
    terms: Mapping[str, object],
    source: str,
) -> int:
    midnight_ns = int(datetime.combine(ex_date, time(), UTC).timestamp()) * 10**9
    calendar = floor.actions.calendar(instrument.id) or CONTINUOUS
    row = {
        "instrument_id": instrument.id,
        "kind": kind,
        "ex_date": ex_date.isoformat(),
        "due_ts_ns": session_open_ns(calendar, "real", midnight_ns),
        "source": source.strip()[:200],
        **terms,
    }
    entered = floor.actions.enter(actor.user_id, row, actor.origin, floor.clock.now_ns())
    if entered is None:
        raise Conflict(f"{instrument.symbol} has a {kind} on {ex_date} already", "already_entered")
    return entered


def _one(floor: Floor, action_id: int) -> ActionRow:
    found = floor.actions.actions(1, action_id)
    if not found:
        raise NotFound("there is no such action")
    return found[0]


def _reference_ticks(floor: Floor, action: ActionRow) -> int | None:
    """What was entered, else the middle of the last quote, rounded down to a tick; None where there is neither."""
    if action.reference_ticks is not None:
        return action.reference_ticks
    try:
        ticks = floor.bus.last_ticks([action.instrument_id]).get(action.instrument_id)
    except Unavailable:
        ticks = None
    if ticks is None or not len(ticks):
        return None
    sides = [int(ticks[name][0]) for name in ("bid_ticks", "ask_ticks") if int(ticks[name][0]) > 0]
    return sum(sides) // len(sides) if sides else None
