"""Orders and changes against the limits that apply to them: everything that is in their way. Pure."""

from collections.abc import Iterator, Sequence

from trading.domain import risk
from trading.domain.ledger import OpenOrder
from trading.domain.money import INT64_MAX
from trading.domain.orders import EXITS, Effect, Refusal, Side, Terms
from trading.services.ports.desk import Decision, DeskContext


def limit_refusals(context: DeskContext, orders: Sequence[Decision], best: int, now_ns: int) -> Iterator[Refusal]:
    """What a ticket's orders run into. Exits only undo what their entry did: they have no size of their own."""
    opens = next((order for order in orders if order.effect is Effect.OPEN), None)
    yield from _given(risk.ban_breach(context.exposure, opens is not None))
    entry = next((order for order in orders if order.role not in EXITS), orders[0])
    yield from _given(risk.size_breach(context.limits, entry.quantity_lots))
    for order in orders:
        notional = context.instrument.notional(order.quantity_lots * size_ticks(order.side, order.terms, best))
        if notional > INT64_MAX // 4:
            yield Refusal("out_of_range", "The order's value is out of range.")
            return
        if order.role not in EXITS:
            yield from _given(risk.notional_breach(context.limits, notional))
    if opens is not None:
        yield from _opening(context, opens.side, opens.terms, opens.quantity_lots, best, now_ns)
    many = len(orders)
    yield from _given(risk.open_orders_breach(context.limits, context.exposure, context.open_orders, many))
    yield from _given(risk.rate_breach(context.limits, context.exposure, many, now_ns))


def change_refusals(
    context: DeskContext, order: OpenOrder, effect: Effect, terms: Terms, lots: int, best: int, now_ns: int
) -> Iterator[Refusal]:
    """What new terms run into. A change that does not raise the quantity opens nothing."""
    more = lots - order.quantity_lots
    opens = effect is Effect.OPEN and more > 0
    yield from _given(risk.ban_breach(context.exposure, opens))
    notional = context.instrument.notional(lots * size_ticks(order.side, terms, best))
    if notional > INT64_MAX // 4:
        yield Refusal("out_of_range", "The order's value is out of range.")
        return
    if not order.is_exit:
        if more > 0:
            yield from _given(risk.size_breach(context.limits, lots))
        yield from _given(risk.notional_breach(context.limits, notional))
    if opens:
        yield from _opening(context, order.side, terms, more, best, now_ns)


def size_ticks(side: Side, terms: Terms, best: int) -> int:
    """The price at which an order's size is judged: the worst a buy can pay, the best a sale is known to get."""
    return terms.protection_ticks if side is Side.BUY else max(best, terms.protection_ticks, terms.stop_ticks or 0)


def _opening(
    context: DeskContext, side: Side, terms: Terms, more_lots: int, best: int, now_ns: int
) -> Iterator[Refusal]:
    """Limits of what may be opened; a position is valued at the order's worst price or the market's, the higher."""
    if context.limits.max_position_lots is not None or context.limits.max_position_notional is not None:
        buy, ticks = side is Side.BUY, max(best, size_ticks(side, terms, best))
        now = risk.opening_lots(context.exposure, buy, context.position_lots)
        worth = context.instrument.notional
        yield from risk.position_breaches(
            context.limits, now + more_lots, now, worth((now + more_lots) * ticks), worth(now * ticks)
        )
    yield from risk.opening_breaches(context.limits, context.exposure, now_ns)


def _given(refusal: Refusal | None) -> Sequence[Refusal]:
    return () if refusal is None else (refusal,)
