"""Judging tickets: from what was typed and what was read to orders with their holds, or a refusal. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from trading.domain import risk
from trading.domain.errors import Invalid
from trading.domain.instruments import Instrument
from trading.domain.ledger import OnMargin, hold_needed, shared_hold
from trading.domain.margin import Mark
from trading.domain.money import to_units
from trading.domain.orders import (
    CONDITIONAL,
    PPM_STEP,
    PRICED,
    STOPPED,
    Effect,
    GroupRole,
    OrderType,
    Refusal,
    Side,
    Terms,
    Ticket,
    TimeInForce,
)
from trading.services import margin_desk, order_exits
from trading.services.order_limits import limit_refusals
from trading.services.ports.desk import Decision, DeskContext

GTD_MAX_NS = 366 * 86_400_000_000_000
"""A good-till-date order may wait a year at most."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP: "stop",
    OrderType.STOP_LIMIT: "stop-limit",
    OrderType.TRAILING_STOP: "trailing stop",
}
_AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_PRICED_YET = frozenset(
    {
        "portfolio_archived",
        "halted",
        "reversal_is_two_orders",
        "opens_other_way",
        "too_large",
        "bad_strategy",
        "expires_past",
        "expires_too_far",
        "stop_side",
        "price_band",
    }
)
"""Refusals of a ticket whose cost can be worked out all the same."""
_STRATEGY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class BestQuote:
    """Best bid and ask in ticks, 0 where a side is empty."""

    bid_ticks: int
    ask_ticks: int

    def opposite(self, buy: bool) -> int:
        """The price an order of this side would meet."""
        return self.ask_ticks if buy else self.bid_ticks


NO_QUOTE = BestQuote(0, 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed, in ticks, lots, parts per million and nanoseconds; None where nothing was."""

    lots: int | None
    limit: int | None
    stop: int | None
    trail: int | None
    trail_ppm: int | None
    take_profit: int | None = None
    stop_loss: int | None = None
    oco_limit: int | None = None
    expires_ns: int | None = None


NO_MARKS: Mapping[int, Mark] = {}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a ticket comes to: its orders, and all that is in the way of them, in the order of asking."""

    orders: tuple[Decision, ...]
    refusals: tuple[Refusal, ...]


def decide(
    context: DeskContext,
    ticket: Ticket,
    quote: BestQuote | None,
    now_ns: int,
    marks: Mapping[int, Mark] = NO_MARKS,
) -> tuple[Decision, ...] | Refusal:
    """Judge a ticket on what was read: units, shape, halts, limits, protection price, holds.

    One decision for each order, as the exchange takes them: exits before their entry, of two that exclude each other
    the stop before the limit. A buy holds worst price x quantity + the most its fee can be; a sale holds its shares and
    the fee that does not depend on the price. Two that exclude each other share one hold. A bracket holds the entry's
    cash and its exits' least fees; what the entry buys is held for the exits when it is bought. In a margin portfolio
    an order that opens reserves its initial requirement, which the equity at ``marks`` must cover.
    """
    judged = judge(context, ticket, quote, now_ns, marks)
    return judged.refusals[0] if judged.refusals else judged.orders


def judge(
    context: DeskContext,
    ticket: Ticket,
    quote: BestQuote | None,
    now_ns: int,
    marks: Mapping[int, Mark] = NO_MARKS,
) -> Judged:
    """As `decide`, with everything that is in the way; orders too wherever they can be worked out."""
    try:
        asked = _asked(context.instrument, ticket)
    except Invalid as error:
        return Judged((), (invalid(error),))
    lots, quote, buy = asked.lots or 0, quote or NO_QUOTE, ticket.side is Side.BUY
    best = quote.opposite(buy)
    effect = margin_desk.effect_of(context, ticket.side)
    margin = margin_desk.margin_of(context, ticket.side, effect, quote.ask_ticks)
    refusals = _given(
        portfolio_refusal(context, effect is Effect.OPEN, ticket.strategy),
        size_refusal(context, lots),
        margin_desk.crossing_refusal(context, ticket.side, effect, lots),
        _strategy_refusal(ticket),
        _shape_refusal(ticket, asked),
        order_exits.exits_refusal(context, ticket, effect),
        numbers_refusal(asked),
        _time_refusal(ticket, asked, now_ns),
        price_refusal(context, ticket.type, buy, asked, best),
    )
    if any(refusal.code not in _PRICED_YET for refusal in refusals):
        return Judged((), refusals)
    band = context.limits.price_band_ppm
    terms = terms_of(ticket.type, buy, asked, best, band)
    if asked.take_profit is not None or asked.stop_loss is not None:
        orders = _bracket(context.instrument, ticket, asked, terms, lots, band, margin)
    elif asked.oco_limit is not None:
        orders = _pair(context.instrument, ticket, asked, terms, lots, margin)
    else:
        orders = (_order(context.instrument, ticket, asked, terms, lots, margin),)
    refusals += _given(_group_refusal(context, ticket, asked, terms, quote))
    refusals += tuple(limit_refusals(context, orders, best, now_ns)) + _given(_cover_refusal(context, orders, marks))
    return Judged(orders, refusals)


def _given(*refusals: Refusal | None) -> tuple[Refusal, ...]:
    return tuple(refusal for refusal in refusals if refusal is not None)


def form_refusal(context: DeskContext, ticket: Ticket) -> Refusal | None:
    """What is wrong with a ticket whatever the market, the cash and the limits are: its units, size and shape."""
    try:
        asked = _asked(context.instrument, ticket)
    except Invalid as error:
        return invalid(error)
    return size_refusal(context, asked.lots or 0) or _shape_refusal(ticket, asked) or numbers_refusal(asked)


# What was typed -----------------------------------------------------------------------------------------------------


def prices_asked(
    instrument: Instrument,
    quantity: str | None,
    limit_price: str | None,
    stop_price: str | None,
    trail: str | None,
    trail_percent: str | None,
    **others: int | None,
) -> Asked:
    """The terms that tickets and changes have in common, and ``others``. Raises `Invalid`."""
    return Asked(
        lots=None if quantity is None else instrument.quantity_to_lots(quantity),
        limit=_ticks(instrument, limit_price, "limit price"),
        stop=_ticks(instrument, stop_price, "stop price"),
        trail=_ticks(instrument, trail, "trail"),
        trail_ppm=None if trail_percent is None else to_units(trail_percent, PPM_STEP, "trail in percent"),
        **others,
    )


def _asked(instrument: Instrument, ticket: Ticket) -> Asked:
    return prices_asked(
        instrument,
        ticket.quantity,
        ticket.limit_price,
        ticket.stop_price,
        ticket.trail,
        ticket.trail_percent,
        take_profit=_ticks(instrument, ticket.take_profit, "take profit"),
        stop_loss=_ticks(instrument, ticket.stop_loss, "stop loss"),
        oco_limit=_ticks(instrument, ticket.oco_limit, "limit price"),
        expires_ns=None if ticket.expires_at is None else time_ns(ticket.expires_at),
    )


def _ticks(instrument: Instrument, text: str | None, what: str) -> int | None:
    return None if text is None else to_units(text, instrument.tick_size, what)


def time_ns(text: str) -> int:
    """An ISO 8601 time as ns since 1970, UTC where it names no offset; raises `Invalid` with code ``bad_time``."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(f"{text[:40]!r} is no time like 2026-12-31T16:00", "bad_time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def invalid(error: Invalid) -> Refusal:
    """Malformed input as a refusal."""
    return Refusal(error.code, f"{str(error)[:1].upper()}{str(error)[1:]}.")


# What is not let through --------------------------------------------------------------------------------------------


def portfolio_refusal(context: DeskContext, opens: bool, strategy: str | None) -> Refusal | None:
    """The portfolio or a halt does not take this order."""
    if context.portfolio_archived:
        return Refusal("portfolio_archived", "This portfolio is archived; choose another.")
    if context.action_waits:
        return Refusal("corporate_action", "A split or dividend is being booked. Try again in a moment.")
    for scope, mode in sorted(context.halts.items()):
        if scope.startswith("strategy:") and scope != f"strategy:{strategy}":
            continue
        if mode == "halted" or (mode == "reducing" and opens):
            what = "halted" if mode == "halted" else "limited to closing positions"
            return Refusal("halted", f"Trading is {what} ({scope}).", {"scope": scope, "mode": mode})
    return None


def _strategy_refusal(ticket: Ticket) -> Refusal | None:
    if ticket.strategy is None or _STRATEGY.fullmatch(ticket.strategy):
        return None
    return Refusal("bad_strategy", "A strategy's name is letters, digits, dots, dashes and underscores, 40 at most.")


def size_refusal(context: DeskContext, lots: int) -> Refusal | None:
    """A quantity out of the instrument's bounds."""
    if lots <= 0:
        return Refusal("not_positive", "The quantity must be more than zero.")
    if lots > context.instrument.max_order_lots:
        most = context.instrument.quantity(context.instrument.max_order_lots)
        return Refusal("too_large", f"One order may be at most {most:,f}.", {"most": f"{most:f}"})
    return None


def unused_refusal(kind: OrderType, asked: Asked) -> Refusal | None:
    """A price that this type of order does not have."""
    name = _NAMES[kind]
    if asked.limit is not None and kind not in PRICED:
        return Refusal("limit_not_used", f"A {name} order has no limit price.")
    if asked.stop is not None and kind not in STOPPED:
        return Refusal("stop_not_used", f"A {name} order has no stop price to set.")
    if (asked.trail is not None or asked.trail_ppm is not None) and kind is not OrderType.TRAILING_STOP:
        return Refusal("trail_not_used", f"A {name} order does not trail.")
    if asked.trail is not None and asked.trail_ppm is not None:
        return Refusal("trail_twice", "Trail by an amount or by percent, not by both.")
    return None


def numbers_refusal(asked: Asked) -> Refusal | None:
    """A price or distance that cannot be one."""
    prices = {
        "limit price": asked.limit,
        "stop price": asked.stop,
        "trail": asked.trail,
        "take profit": asked.take_profit,
        "stop loss": asked.stop_loss,
        "other limit price": asked.oco_limit,
        "trail in percent": asked.trail_ppm,
    }
    for what, ticks in prices.items():
        if ticks is not None and ticks <= 0:
            return Refusal("not_positive", f"The {what} must be more than zero.")
        if ticks is not None and ticks > risk.PRICE_MAX_TICKS:
            return Refusal("out_of_range", f"The {what} is out of range.")
    if asked.trail_ppm is not None and asked.trail_ppm >= 1_000_000:
        return Refusal("trail_too_wide", "A stop can trail by less than 100 % only.")
    return None


def price_refusal(context: DeskContext, kind: OrderType, buy: bool, asked: Asked, best: int) -> Refusal | None:
    """Prices against the market: a limit or stop where it makes no sense, a type that needs a live price."""
    band = context.limits.price_band_ppm
    if kind in (OrderType.MARKET, OrderType.TRAILING_STOP) and best <= 0:
        return Refusal("no_quote", "There is no live price right now. Use a limit order or try again in a moment.")
    if kind is OrderType.TRAILING_STOP:
        if risk.trailing_start_ticks(buy, best, asked.trail, asked.trail_ppm) <= 0:
            return Refusal("trail_too_wide", "The distance is wider than the price.", {"best_ticks": str(best)})
        return None
    refusal = None
    if asked.stop is not None and best:
        refusal = risk.stop_side_breach(buy, asked.stop, best)
    reference = asked.stop if asked.stop is not None else best
    if refusal is None and asked.limit is not None and reference:
        refusal = risk.price_band_breach(buy, asked.limit, reference, band)
    return refusal


def _shape_refusal(ticket: Ticket, asked: Asked) -> Refusal | None:
    """Fields that are missing, and combinations that make no sense."""
    kind, tif, name = ticket.type, ticket.time_in_force, _NAMES[ticket.type]
    bracket = asked.take_profit is not None or asked.stop_loss is not None
    at_once = tif in _AT_ONCE
    rules = (
        (kind in PRICED and asked.limit is None, "limit_missing", f"A {name} order needs a limit price."),
        (kind in STOPPED and asked.stop is None, "stop_missing", f"A {name} order needs a stop price."),
        (
            kind is OrderType.TRAILING_STOP and asked.trail is None and asked.trail_ppm is None,
            "trail_missing",
            "A trailing stop needs a distance, as an amount or in percent.",
        ),
        (kind in CONDITIONAL and at_once, "tif_not_for_type", f"A {name} order waits; it cannot be {tif.upper()}."),
        (
            ticket.post_only and (kind is not OrderType.LIMIT or at_once),
            "post_only_not_for_type",
            "Post-only is for limit orders that may rest.",
        ),
        (tif is TimeInForce.GTD and asked.expires_ns is None, "expires_missing", "Say until when the order is good."),
        (
            tif is not TimeInForce.GTD and asked.expires_ns is not None,
            "expires_not_used",
            "Only a good-till-date order has an end of its own.",
        ),
        (bracket and asked.oco_limit is not None, "oco_with_exits", "Choose a bracket or two orders, not both."),
        (
            asked.oco_limit is not None and kind not in CONDITIONAL,
            "oco_not_for_type",
            "The other of two orders must be a stop or trailing stop.",
        ),
    )
    broken = (Refusal(code, reason) for is_broken, code, reason in rules if is_broken)
    return unused_refusal(kind, asked) or next(broken, None)


def _time_refusal(ticket: Ticket, asked: Asked, now_ns: int) -> Refusal | None:
    if asked.expires_ns is None:
        return None
    if asked.expires_ns <= now_ns:
        return Refusal("expires_past", "The order would end before it begins.")
    if asked.expires_ns > now_ns + GTD_MAX_NS:
        return Refusal("expires_too_far", "An order may wait for a year at most.")
    return None


def _group_refusal(
    context: DeskContext, ticket: Ticket, asked: Asked, terms: Terms, quote: BestQuote
) -> Refusal | None:
    """Exits around their entry, or two that exclude each other, must lie where one of them trades first."""
    buy = ticket.side is Side.BUY
    if asked.take_profit is not None or asked.stop_loss is not None:
        low, high = order_exits.entry_range(buy, terms, quote.bid_ticks, quote.ask_ticks)
        return risk.exits_breach(buy, low, high, asked.take_profit, asked.stop_loss)
    if asked.oco_limit is not None:
        best = quote.opposite(buy)
        breach = risk.oco_breach(buy, asked.oco_limit, terms.stop_ticks or 0)
        if breach is None and best:
            breach = risk.price_band_breach(buy, asked.oco_limit, best, context.limits.price_band_ppm)
        return breach
    return None


def _cover_refusal(context: DeskContext, orders: Sequence[Decision], marks: Mapping[int, Mark]) -> Refusal | None:
    cash, asset = sum(order.cash_hold for order in orders), sum(order.asset_hold for order in orders)
    return cover_refusal(context, cash, asset, orders[-1].side, marks)


def cover_refusal(
    context: DeskContext, cash: int, asset: int, side: Side, marks: Mapping[int, Mark] = NO_MARKS
) -> Refusal | None:
    """Less cash, or on margin less equity, or fewer shares than must be held. ``side`` is that of what opens."""
    if asset > abs(context.position_lots) - context.position_held:
        free = context.instrument.quantity(abs(context.position_lots) - context.position_held)
        word = "bought back" if context.position_lots < 0 else "sold"
        return Refusal(
            "insufficient_position",
            f"Only {free:f} {context.instrument.symbol} can be {word}; the rest is not held or is in open orders.",
            {"available": f"{free:f}"},
        )
    if context.margin is not None:
        return margin_desk.cover_refusal(context, marks, side, cash) if cash else None
    if cash > context.cash_available:
        return Refusal(
            "insufficient_cash",
            "Not enough cash: the order would hold more than is available.",
            {"needed": str(cash), "available": str(context.cash_available)},
        )
    return None


# What is accepted ---------------------------------------------------------------------------------------------------


def terms_of(kind: OrderType, buy: bool, asked: Asked, best: int, band_ppm: int) -> Terms:
    """Terms with the worst price: the limit, or best price or stop moved by the band."""
    if kind is OrderType.TRAILING_STOP:
        stop = risk.trailing_start_ticks(buy, best, asked.trail, asked.trail_ppm)
    else:
        stop = asked.stop or 0
    worst = asked.limit if asked.limit is not None else risk.protection_ticks(buy, stop or best, band_ppm)
    return Terms(kind, worst, asked.limit, stop or None, asked.trail, asked.trail_ppm)


def _order(
    instrument: Instrument, ticket: Ticket, asked: Asked, terms: Terms, lots: int, margin: OnMargin | None
) -> Decision:
    opens = ticket.side is Side.BUY if margin is None else margin.opens
    cash, asset = hold_needed(instrument, ticket.side, terms.protection_ticks, lots, margin=margin)
    return Decision(
        side=ticket.side,
        effect=Effect.OPEN if opens else Effect.CLOSE,
        time_in_force=ticket.time_in_force,
        quantity_lots=lots,
        terms=terms,
        cash_hold=cash,
        asset_hold=asset,
        fee_at_most=instrument.fee.at_most(ticket.side, lots, instrument.notional(lots * terms.protection_ticks)),
        post_only=ticket.post_only,
        expires_ns=asked.expires_ns,
        margin=margin,
        strategy=ticket.strategy,
    )


def _pair(
    instrument: Instrument, ticket: Ticket, asked: Asked, terms: Terms, lots: int, margin: OnMargin | None
) -> tuple[Decision, ...]:
    limit = asked.oco_limit or 0
    stop = _order(instrument, ticket, asked, terms, lots, margin)
    other = _order(instrument, ticket, asked, Terms(OrderType.LIMIT, limit, limit), lots, margin)
    needs = [(each.cash_hold, each.asset_hold) for each in (stop, other)]
    cash, asset = shared_hold(instrument, ticket.side, needs, margin)
    return (
        replace(stop, cash_hold=cash, asset_hold=asset, role=GroupRole.OCO),
        replace(other, cash_hold=0, asset_hold=0, role=GroupRole.OCO),
    )


def _bracket(
    instrument: Instrument,
    ticket: Ticket,
    asked: Asked,
    terms: Terms,
    lots: int,
    band_ppm: int,
    margin: OnMargin | None,
) -> tuple[Decision, ...]:
    legs: list[tuple[GroupRole, Terms]] = []
    side = Side.SELL if ticket.side is Side.BUY else Side.BUY
    if asked.take_profit is not None:
        legs.append((GroupRole.TAKE_PROFIT, Terms(OrderType.LIMIT, asked.take_profit, asked.take_profit)))
    if asked.stop_loss is not None:
        worst = risk.protection_ticks(side is Side.BUY, asked.stop_loss, band_ppm)
        legs.append((GroupRole.STOP_LOSS, Terms(OrderType.STOP, worst, stop_ticks=asked.stop_loss)))
    closes = None if margin is None else margin_desk.CLOSES
    needs = [
        hold_needed(instrument, side, leg.protection_ticks, 0, planned_lots=lots, margin=closes) for _, leg in legs
    ]
    fees, _ = shared_hold(instrument, side, needs, closes)
    exits = (
        Decision(
            side=side,
            effect=Effect.CLOSE,
            time_in_force=TimeInForce.GTC,
            quantity_lots=lots,
            terms=leg,
            cash_hold=0 if n else fees,
            asset_hold=0,
            fee_at_most=instrument.fee.at_most(side, lots, instrument.notional(lots * leg.protection_ticks)),
            role=role,
            margin=closes,
            strategy=ticket.strategy,
        )
        for n, (role, leg) in enumerate(legs)
    )
    return (*exits, replace(_order(instrument, ticket, asked, terms, lots, margin), role=GroupRole.ENTRY))
