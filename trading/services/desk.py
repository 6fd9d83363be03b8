"""The desk: a ticket comes in, orders with their holds or a refusal with a code go out; open orders change or end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading.domain.errors import Invalid, Unavailable
from trading.domain.fees import Line
from trading.domain.instruments import Instrument
from trading.domain.margin import Mark
from trading.domain.orders import Acceptance, Change, Effect, GroupRole, Refusal, Side, Terms, Ticket
from trading.market.ticks import Ticks
from trading.services import margin_desk
from trading.services.access import CLERK, Actor, Reach, Role, operation
from trading.services.changes import decide_change
from trading.services.floor import Floor
from trading.services.ports.desk import DeskContext
from trading.services.tickets import NO_MARKS, BestQuote, decide, judge

QUOTE_MAX_AGE_NS = 5_000_000_000
"""A market order needs a quote at most this old, like the engine's fills."""

READ_AGAIN_S = 0.005
"""Orders that follow each other faster than this are judged on the same reading of the quotes."""

CLERKS_KEYS = ("schedule:", "parent:")
"""How the keys begin under which the clerk sends orders."""

_OWN = {Role.TRADER: Reach.OWN}
_EVERYONE = dict.fromkeys(Role, Reach.NO_PORTFOLIO)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would cost now, by the same code that accepts it. Money in the instrument's currency.

    ``refusals`` are all for which it would be refused; where there are none it would be accepted. ``charges`` are the
    lines of fees and taxes at the estimated price. In a margin portfolio ``initial_requirement`` is what the order
    reserves, its fee included, and buying power is told before and after it (None where a position has no live price);
    in a cash portfolio the three are None.
    """

    instrument: Instrument
    estimated_price: Decimal
    estimated_notional: int
    fee_at_most: int
    charges: Sequence[Line]
    protection_price: Decimal
    cash_hold: int
    cash_available: int
    cash_after_hold: int
    effect: Effect
    initial_requirement: int | None = None
    buying_power: int | None = None
    buying_power_after: int | None = None
    refusals: tuple[Refusal, ...] = ()


@operation(_OWN)
def submit(floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket, key: str) -> Acceptance | Refusal:
    """Accept or refuse a ticket, once for each ``key`` of this user; a retry gets the first answer.

    A bracket or a pair is one ticket: all its orders are accepted or none. Raises `Conflict` (key in flight or used for
    another body), `Halted`, `Unavailable`.
    """
    check_key(actor, key)
    instrument_id = floor.desk.instrument_id(ticket.symbol, ticket.venue)
    ticks, now_ns = (
        ticks_for(floor, portfolio_id, [] if instrument_id is None else [instrument_id]),
        floor.clock.now_ns(),
    )
    answer = floor.desk.submit(
        actor.user_id,
        portfolio_id,
        key,
        ticket,
        lambda context: decide(
            context, ticket, best_quote(ticks, context.instrument.id, now_ns), now_ns, marks_of(context, ticks, now_ns)
        ),
        now_ns,
        actor.origin,
    )
    if isinstance(answer, Acceptance):
        tell_accepted(floor, portfolio_id, answer)
    return answer


@operation(_OWN)
def preview(floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket) -> Preview | Refusal:
    """What `submit` would do now, without doing it; of a bracket the price is the entry's.

    A refusal is the answer only where a cost can't be worked out.
    """
    context = floor.desk.context(actor.user_id, portfolio_id, ticket.symbol, ticket.venue)
    if context is None:
        return Refusal("unknown_instrument", f"{ticket.symbol[:20]!r} is not traded on {ticket.venue[:10]}.")
    now_ns = floor.clock.now_ns()
    ticks = ticks_for(floor, portfolio_id, [context.instrument.id])
    quote, marks = best_quote(ticks, context.instrument.id, now_ns), marks_of(context, ticks, now_ns)
    judged = judge(context, ticket, quote, now_ns, marks)
    if not judged.orders:
        return judged.refusals[0]
    main = next((order for order in judged.orders if order.role is GroupRole.ENTRY), judged.orders[0])
    instrument, buy = context.instrument, main.side is Side.BUY
    price = _likely_ticks(main.terms, buy, 0 if quote is None else quote.opposite(buy))
    held = sum(order.cash_hold for order in judged.orders)
    notional = instrument.notional(price * main.quantity_lots)
    charges = instrument.fee.lines(main.side, main.quantity_lots, notional)
    before, after = margin_desk.buying_powers(context, marks, held)
    return Preview(
        instrument=instrument,
        estimated_price=instrument.price(price),
        estimated_notional=notional,
        fee_at_most=max(main.fee_at_most, sum(line.amount for line in charges)),
        charges=charges,
        protection_price=instrument.price(main.terms.protection_ticks),
        cash_hold=held,
        cash_available=context.cash_available,
        cash_after_hold=context.cash_available - held,
        effect=main.effect,
        initial_requirement=None if context.margin is None else held,
        buying_power=before,
        buying_power_after=after,
        refusals=judged.refusals,
    )


def refusals_of(answer: Preview | Refusal) -> tuple[Refusal, ...]:
    """All for which an order would be refused."""
    return (answer,) if isinstance(answer, Refusal) else answer.refusals


@operation(_OWN)
def modify(
    floor: Floor, actor: Actor, portfolio_id: int, order_id: int, change: Change, key: str
) -> Acceptance | Refusal:
    """Ask for new terms of an open order, once for each ``key``; they are in force once the broker has sequenced them.

    A fill may overtake the change; the exchange may refuse it then, and what was held for it goes back. Only a change
    that leaves the price and does not raise the quantity keeps its place in the queue. Raises like `submit`.
    """
    check_key(actor, key)
    ticks, now_ns = newest_ticks(floor), floor.clock.now_ns()
    answer = floor.desk.change(
        actor.user_id,
        portfolio_id,
        order_id,
        key,
        change,
        lambda context, standing: decide_change(
            context,
            standing,
            change,
            best_quote(ticks, context.instrument.id, now_ns),
            now_ns,
            marks_of(context, ticks, now_ns),
        ),
        now_ns,
        actor.origin,
    )
    if isinstance(answer, Acceptance):
        floor.bus.wake_broker()
    return answer


@operation(_OWN)
def cancel(floor: Floor, actor: Actor, portfolio_id: int, order_id: int) -> Refusal | None:
    """Ask for a cancel; None when asked. It is over once the broker has sequenced it; a fill may overtake it."""
    code = floor.desk.cancel(actor.user_id, portfolio_id, order_id, floor.clock.now_ns(), actor.origin)
    if code is None:
        floor.bus.wake_broker()
        return None
    reasons = {
        "unknown_order": "There is no such order in this portfolio.",
        "order_over": "This order is already over; there is nothing left to cancel.",
    }
    return Refusal(code, reasons[code])


@operation(_EVERYONE)
def instruments(floor: Floor, actor: Actor) -> Sequence[Instrument]:
    """What is traded on SIM, by symbol."""
    return floor.desk.instruments("SIM")


def tell_accepted(floor: Floor, portfolio_id: int, *answers: Acceptance | Refusal) -> None:
    """Wake the broker for orders that are committed, and tell screens of them."""
    accepted = [answer for answer in answers if isinstance(answer, Acceptance)]
    event = {"v": 1, "topic": "order", "portfolio_id": portfolio_id, "state": "accepted"}
    floor.bus.wake_broker([event | {"order_id": order_id} for each in accepted for order_id in each.order_ids])


def check_key(actor: Actor, key: str) -> None:
    """`Invalid` with code ``bad_key`` for a key that cannot be kept, or that only the clerk may use."""
    if not 1 <= len(key) <= 200:
        raise Invalid("the idempotency key must have 1 to 200 characters", "bad_key")
    if key.startswith(CLERKS_KEYS) and actor.origin != CLERK:
        raise Invalid(f"keys that begin with {' or '.join(CLERKS_KEYS)} are the floor's own", "bad_key")


def _likely_ticks(terms: Terms, buy: bool, best: int) -> int:
    """Where an order would trade as things stand: a stop at its stop, a limit at the better of limit and market."""
    if terms.limit_ticks is None:
        return terms.stop_ticks or best or terms.protection_ticks
    if terms.stop_ticks is not None or not best:
        return terms.limit_ticks
    return min(terms.limit_ticks, best) if buy else max(terms.limit_ticks, best)


def ticks_for(floor: Floor, portfolio_id: int, ids: Sequence[int]) -> Mapping[int, Ticks]:
    """The newest quotes that orders are judged on: their own instruments', on margin those of all positions too."""
    return newest_ticks(floor, None if floor.desk.is_margin(portfolio_id) else ids)


def marks_of(context: DeskContext, ticks: Mapping[int, Ticks], now_ns: int) -> Mapping[int, Mark]:
    """Live prices by which a margin portfolio is valued; none are needed for a cash portfolio."""
    if context.margin is None:
        return NO_MARKS
    ids = {context.instrument.id, *(holding.instrument.id for holding in context.margin.holdings)}
    quotes = {instrument_id: best_quote(ticks, instrument_id, now_ns) for instrument_id in ids}
    return {key: Mark(quote.bid_ticks, quote.ask_ticks) for key, quote in quotes.items() if quote is not None}


def newest_ticks(floor: Floor, ids: Sequence[int] | None = None) -> Mapping[int, Ticks]:
    """The newest quotes, or none while the bus is away: limit orders are still taken then."""
    try:
        return floor.bus.last_ticks(ids, READ_AGAIN_S)
    except Unavailable:
        return {}


def best_quote(ticks: Mapping[int, Ticks], instrument_id: int, now_ns: int) -> BestQuote | None:
    """The quote of an instrument; None where there is none or it is too old."""
    found = ticks.get(instrument_id)
    if found is None or now_ns - int(found["ts_ns"][0]) > QUOTE_MAX_AGE_NS:
        return None
    row = found[0]
    bid = int(row["bid_ticks"]) if row["bid_lots"] > 0 else 0
    ask = int(row["ask_ticks"]) if row["ask_lots"] > 0 else 0
    return BestQuote(bid, ask)
