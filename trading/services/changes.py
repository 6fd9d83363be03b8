"""Judging new terms for an open order: what they need beyond what is held, or a refusal. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trading.domain import risk
from trading.domain.errors import Invalid
from trading.domain.ledger import OpenOrder, shared_hold
from trading.domain.margin import Mark
from trading.domain.orders import (
    CONDITIONAL,
    TERMINAL,
    Change,
    Effect,
    GroupRole,
    OrderState,
    OrderType,
    Refusal,
    Side,
    Terms,
)
from trading.services.order_limits import change_refusals
from trading.services.ports.desk import Alteration, DeskContext, Standing
from trading.services.tickets import (
    NO_MARKS,
    NO_QUOTE,
    Asked,
    BestQuote,
    cover_refusal,
    invalid,
    numbers_refusal,
    portfolio_refusal,
    price_refusal,
    prices_asked,
    size_refusal,
    terms_of,
    unused_refusal,
)

_WAITING = frozenset({OrderState.ACCEPTED, OrderState.PENDING_TRIGGER})


def decide_change(
    context: DeskContext,
    standing: Standing,
    change: Change,
    quote: BestQuote | None,
    now_ns: int,
    marks: Mapping[int, Mark] = NO_MARKS,
) -> Alteration | Refusal:
    """Judge new terms by the rules for new orders, and on what the order and its group have done so far.

    What the new terms need more is held before the exchange sees them; what they need less goes back when it has.
    """
    order, lots = standing.order, standing.order.quantity_lots
    try:
        asked = prices_asked(
            order.instrument,
            change.quantity,
            change.limit_price,
            change.stop_price,
            change.trail,
            change.trail_percent,
        )
    except Invalid as error:
        return invalid(error)
    lots = lots if asked.lots is None else asked.lots
    buy = order.side is Side.BUY
    best = (quote or NO_QUOTE).opposite(buy)
    refusal = (
        _state_refusal(standing)
        or portfolio_refusal(context, standing.effect is Effect.OPEN, standing.strategy)
        or size_refusal(context, lots)
        or _lots_refusal(standing, lots)
        or unused_refusal(order.terms.type, asked)
        or numbers_refusal(asked)
        or _trigger_refusal(order, asked)
        or _price_refusal(context, order, asked, best)
    )
    if refusal is not None:
        return refusal
    terms = _new_terms(order.terms, buy, asked, best, context.limits.price_band_ppm)
    after = replace(order, terms=terms, quantity_lots=lots)
    if after == order:
        return Refusal("nothing_changed", "These are the terms the order has.")
    breaches = change_refusals(context, order, standing.effect, terms, lots, best, now_ns)
    refusal = _group_refusal(after, standing.mates) or next(breaches, None)
    if refusal is not None:
        return refusal
    sharing = [mate for mate in standing.mates if mate.holder_id == order.holder_id]
    needs = [each.needed for each in (after, *sharing)]
    cash, asset = shared_hold(order.instrument, order.side, needs, order.margin)
    cash, asset = max(cash - order.cash.left, 0), max(asset - order.asset.left, 0)
    return cover_refusal(context, cash, asset, order.side, marks) or Alteration(terms, lots, cash, asset)


def _state_refusal(standing: Standing) -> Refusal | None:
    if standing.order.state in TERMINAL:
        return Refusal("order_over", "This order is already over; there is nothing left to change.")
    if standing.order.state is OrderState.CANCEL_PENDING:
        return Refusal("cancel_pending", "This order is being cancelled.")
    if standing.change_waits:
        return Refusal("change_pending", "A change of this order is still on its way. Try again in a moment.")
    return None


def _lots_refusal(standing: Standing, lots: int) -> Refusal | None:
    order = standing.order
    if lots != order.quantity_lots and standing.mates:
        return Refusal(
            "linked_quantity", "The quantity of linked orders follows their fills; cancel them to change it."
        )
    if lots <= order.filled_lots:
        filled = order.instrument.quantity(order.filled_lots)
        return Refusal("below_filled", f"{filled:f} have traded already.", {"filled": f"{filled:f}"})
    return None


def _trigger_refusal(order: OpenOrder, asked: Asked) -> Refusal | None:
    moves = asked.stop is not None or asked.trail is not None or asked.trail_ppm is not None
    if moves and order.state not in _WAITING:
        return Refusal("already_triggered", "Its stop price has been met; only price and quantity can change now.")
    return None


def _price_refusal(context: DeskContext, order: OpenOrder, asked: Asked, best: int) -> Refusal | None:
    """The rules for new orders, on the prices that change; a limit is judged beside the stop it will have."""
    kind, buy = order.terms.type, order.side is Side.BUY
    if kind is OrderType.STOP_LIMIT and order.state in _WAITING and asked.limit is not None and asked.stop is None:
        breach = risk.price_band_breach(buy, asked.limit, order.terms.stop_ticks or best, context.limits.price_band_ppm)
        return breach
    if kind is OrderType.MARKET or (
        kind is OrderType.TRAILING_STOP and asked.trail is None and asked.trail_ppm is None
    ):
        return None  # its quantity changes and nothing else
    return price_refusal(context, kind, buy, asked, best)


def _new_terms(terms: Terms, buy: bool, asked: Asked, best: int, band_ppm: int) -> Terms:
    trails = asked.trail is not None or asked.trail_ppm is not None
    if trails:
        return terms_of(terms.type, buy, asked, best, band_ppm)
    if asked.limit is None and asked.stop is None:
        return terms
    limit = asked.limit if asked.limit is not None else terms.limit_ticks
    stop = asked.stop if asked.stop is not None else terms.stop_ticks
    worst = limit if limit is not None else risk.protection_ticks(buy, stop or best, band_ppm)
    return replace(terms, protection_ticks=worst, limit_ticks=limit, stop_ticks=stop)


def _group_refusal(order: OpenOrder, mates: Sequence[OpenOrder]) -> Refusal | None:
    """The prices of a group still lie where only one of them can trade first."""
    if order.role is GroupRole.OCO:
        pair = [*mates, order]
        limits = [each.terms.limit_ticks for each in pair if each.terms.type is OrderType.LIMIT]
        stops = [each.terms.stop_ticks for each in pair if each.terms.type in CONDITIONAL and each.state in _WAITING]
        if limits and stops and order.terms.type is not OrderType.TRAILING_STOP:
            return risk.oco_breach(order.side is Side.BUY, limits[0] or 0, stops[0] or 0)
        return None
    if order.role is None:
        return None
    buy = (order.side is Side.BUY) == (order.role is GroupRole.ENTRY)  # the entry's side
    roles = {each.role: each.terms for each in (*mates, order)}
    take, stop = roles.get(GroupRole.TAKE_PROFIT), roles.get(GroupRole.STOP_LOSS)
    take_ticks = None if take is None else take.limit_ticks
    stop_ticks = None if stop is None else stop.stop_ticks
    entry = roles.get(GroupRole.ENTRY)
    price = None if entry is None else entry.limit_ticks or entry.stop_ticks
    if price is not None:
        return risk.exits_breach(buy, price, price, take_ticks, stop_ticks)
    # The entry is over or has no price of its own: what is left to say is that the exits do not cross.
    if not (take_ticks and stop_ticks):
        return None
    return risk.exits_breach(buy, take_ticks if buy else stop_ticks, 0, take_ticks, stop_ticks)
