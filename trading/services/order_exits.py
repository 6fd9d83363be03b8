"""Take profit and stop loss of an order: where it may have them, and between which prices it may trade itself. Pure."""

from trading.domain.orders import Effect, OrderType, Refusal, Terms, Ticket
from trading.services.ports.desk import DeskContext


def exits_refusal(context: DeskContext, ticket: Ticket, effect: Effect) -> Refusal | None:
    """Exits belong to an order that opens a position."""
    if effect is Effect.OPEN or (ticket.take_profit is None and ticket.stop_loss is None):
        return None
    if context.margin is None:
        return Refusal("exits_not_for_sell", "Take profit and stop loss go with a buy.")
    return Refusal("exits_not_for_close", "Take profit and stop loss go with an order that opens a position.")


def entry_range(buy: bool, terms: Terms, bid_ticks: int, ask_ticks: int) -> tuple[int, int]:
    """Between which prices an entry may trade as things stand, lowest and highest; bid and ask are 0 where unknown."""
    best, other = (ask_ticks, bid_ticks) if buy else (bid_ticks, ask_ticks)
    worst = better = terms.limit_ticks or terms.stop_ticks or best
    if terms.type is OrderType.LIMIT and best:
        better = best
    if terms.type is OrderType.MARKET and other:
        better = other
    if terms.type is OrderType.STOP_LIMIT:
        better = terms.stop_ticks or worst
    return (min(worst, better), worst) if buy else (worst, max(worst, better))
