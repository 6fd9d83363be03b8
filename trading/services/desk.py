"""The desk: a ticket comes in, an order with its holds or a refusal with a code goes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading.domain import risk
from trading.domain.errors import Invalid, Unavailable
from trading.domain.instruments import Instrument
from trading.domain.money import INT64_MAX
from trading.domain.orders import Acceptance, Effect, OrderType, Refusal, Side, Ticket
from trading.market.ticks import Ticks
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.desk import Decision, DeskContext

QUOTE_MAX_AGE_NS = 5_000_000_000
"""A market order needs a quote at most this old, like the engine's fills."""

_OWN = {Role.TRADER: Reach.OWN}
_EVERYONE = dict.fromkeys(Role, Reach.NO_PORTFOLIO)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would cost now, by the same code that accepts it. Money in the instrument's currency."""

    instrument: Instrument
    estimated_price: Decimal
    estimated_notional: int
    fee_at_most: int
    protection_price: Decimal
    cash_hold: int
    cash_available: int
    cash_after_hold: int


@dataclass(frozen=True, slots=True)
class BestQuote:
    """Best bid and ask in ticks, 0 where a side is empty."""

    bid_ticks: int
    ask_ticks: int


@operation(_OWN)
def submit(floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket, key: str) -> Acceptance | Refusal:
    """Accept or refuse a ticket, once for each ``key`` of this user; a retry gets the first answer.

    Raises `Conflict` (key in flight or used for another body), `Halted`, `Unavailable`.
    """
    if not 1 <= len(key) <= 200:
        raise Invalid("the idempotency key must have 1 to 200 characters", "bad_key")
    ticks, now_ns = _ticks(floor), floor.clock.now_ns()
    answer = floor.desk.submit(
        actor.user_id,
        portfolio_id,
        key,
        ticket,
        lambda context: decide(context, ticket, _best(ticks, context.instrument.id, now_ns)),
        now_ns,
        actor.origin,
    )
    if isinstance(answer, Acceptance):
        floor.bus.wake_broker()
    return answer


@operation(_OWN)
def preview(floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket) -> Preview | Refusal:
    """What `submit` would do now, without doing it."""
    context = floor.desk.context(actor.user_id, portfolio_id, ticket.symbol, ticket.venue)
    if context is None:
        return Refusal("unknown_instrument", f"{ticket.symbol[:20]!r} is not traded on {ticket.venue[:10]}.")
    quote = _best(_ticks(floor), context.instrument.id, floor.clock.now_ns())
    judged = decide(context, ticket, quote)
    if isinstance(judged, Refusal):
        return judged
    instrument = context.instrument
    best = 0 if quote is None else (quote.ask_ticks if judged.side is Side.BUY else quote.bid_ticks)
    price = best or judged.protection_ticks
    if judged.limit_ticks is not None:
        better = min if judged.side is Side.BUY else max
        price = better(judged.limit_ticks, best) if best else judged.limit_ticks
    return Preview(
        instrument=instrument,
        estimated_price=instrument.price(price),
        estimated_notional=instrument.notional(price * judged.quantity_lots),
        fee_at_most=judged.fee_at_most,
        protection_price=instrument.price(judged.protection_ticks),
        cash_hold=judged.cash_hold,
        cash_available=context.cash_available,
        cash_after_hold=context.cash_available - judged.cash_hold,
    )


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


def decide(context: DeskContext, ticket: Ticket, quote: BestQuote | None) -> Decision | Refusal:
    """Judge a ticket on what was read: units, halts, limits, protection price, holds. Pure.

    A buy holds protection price x quantity + the most its fee can be; a sell holds its shares and the fee that does
    not depend on the price, the rest of the fee comes out of the proceeds.
    """
    instrument = context.instrument
    try:
        lots = instrument.quantity_to_lots(ticket.quantity)
        limit = None if ticket.limit_price is None else instrument.price_to_ticks(ticket.limit_price)
    except Invalid as error:
        return Refusal(error.code, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    buy = ticket.side is Side.BUY
    best = 0 if quote is None else (quote.ask_ticks if buy else quote.bid_ticks)
    refusal = (
        _portfolio_refusal(context, buy)
        or _size_refusal(context, lots)
        or _price_refusal(context, ticket, limit, best, buy)
        or risk.open_orders_breach(context.open_orders, context.limits.max_open_orders)
    )
    if refusal is not None:
        return refusal
    band = context.limits.price_band_ppm
    protection = limit if limit is not None else risk.protection_ticks(buy, best, band)
    # The price the order's size is judged at: the worst a buy can pay; for a sell the better of market and limit.
    notional = instrument.notional(lots * (protection if buy else max(best, protection)))
    if notional > INT64_MAX // 4:
        return Refusal("out_of_range", "The order's value is out of range.")
    fee = instrument.fee.total(lots, notional)
    cash_hold = notional + fee if buy else instrument.fee.total(lots, 0)
    refusal = risk.notional_breach(notional, context.limits.max_order_notional) or _cover_refusal(
        context, buy, lots, cash_hold
    )
    return refusal or Decision(
        side=ticket.side,
        type=ticket.type,
        effect=Effect.OPEN if buy else Effect.CLOSE,
        time_in_force=ticket.time_in_force,
        quantity_lots=lots,
        limit_ticks=limit,
        protection_ticks=protection,
        cash_hold=cash_hold,
        asset_hold=0 if buy else lots,
        fee_at_most=fee,
    )


def _portfolio_refusal(context: DeskContext, buy: bool) -> Refusal | None:
    if context.portfolio_archived:
        return Refusal("portfolio_archived", "This portfolio is archived; choose another.")
    if context.portfolio_kind != "cash":
        return Refusal("kind_not_open", "Orders are taken in cash portfolios only.")
    for scope, mode in sorted(context.halts.items()):
        if mode == "halted" or (mode == "reducing" and buy):
            what = "halted" if mode == "halted" else "limited to closing positions"
            return Refusal("halted", f"Trading is {what} ({scope}).", {"scope": scope, "mode": mode})
    return None


def _size_refusal(context: DeskContext, lots: int) -> Refusal | None:
    if lots <= 0:
        return Refusal("not_positive", "The quantity must be more than zero.")
    if lots > context.instrument.max_order_lots:
        most = context.instrument.quantity(context.instrument.max_order_lots)
        return Refusal("too_large", f"One order may be at most {most:,f}.", {"most": f"{most:f}"})
    return None


def _price_refusal(context: DeskContext, ticket: Ticket, limit: int | None, best: int, buy: bool) -> Refusal | None:
    if ticket.type is OrderType.LIMIT:
        if limit is None:
            return Refusal("limit_missing", "A limit order needs a limit price.")
        if limit <= 0:
            return Refusal("not_positive", "The limit price must be more than zero.")
        return risk.price_band_breach(buy, limit, best, context.limits.price_band_ppm) if best else None
    if limit is not None:
        return Refusal("limit_not_used", "A market order has no limit price.")
    if best <= 0:
        return Refusal("no_quote", "There is no live price right now. Use a limit order or try again in a moment.")
    return None


def _cover_refusal(context: DeskContext, buy: bool, lots: int, cash_hold: int) -> Refusal | None:
    if not buy and context.position_lots - context.position_held < lots:
        free = context.instrument.quantity(context.position_lots - context.position_held)
        return Refusal(
            "insufficient_position",
            f"Only {free:f} {context.instrument.symbol} can be sold; the rest is not held or is in open orders.",
            {"available": f"{free:f}"},
        )
    if cash_hold > context.cash_available:
        return Refusal(
            "insufficient_cash",
            "Not enough cash: the order would hold more than is available.",
            {"needed": str(cash_hold), "available": str(context.cash_available)},
        )
    return None


def _ticks(floor: Floor) -> Mapping[int, Ticks]:
    """The newest quotes, or none while the bus is away: limit orders are still taken then."""
    try:
        return floor.bus.last_ticks()
    except Unavailable:
        return {}


def _best(ticks: Mapping[int, Ticks], instrument_id: int, now_ns: int) -> BestQuote | None:
    found = ticks.get(instrument_id)
    if found is None or now_ns - int(found["ts_ns"][0]) > QUOTE_MAX_AGE_NS:
        return None
    row = found[0]
    bid = int(row["bid_ticks"]) if row["bid_lots"] > 0 else 0
    ask = int(row["ask_ticks"]) if row["ask_lots"] > 0 else 0
    return BestQuote(bid, ask)
