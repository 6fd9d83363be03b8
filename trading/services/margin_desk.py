"""What margin adds to judging a ticket: does it open or close, what does it reserve, does equity cover it. Pure."""

from collections.abc import Mapping

from trading.domain import margin
from trading.domain.ledger import OnMargin
from trading.domain.margin import Mark
from trading.domain.orders import Effect, Refusal, Side
from trading.services.ports.desk import DeskContext

CLOSES = OnMargin(opens=False)


def effect_of(context: DeskContext, side: Side) -> Effect:
    """In a cash portfolio a purchase opens and a sale closes; on margin what goes against the position closes."""
    buy = side is Side.BUY
    if context.margin is None:
        return Effect.OPEN if buy else Effect.CLOSE
    against = context.position_lots < 0 if buy else context.position_lots > 0
    return Effect.CLOSE if against else Effect.OPEN


def crossing_refusal(context: DeskContext, side: Side, effect: Effect, lots: int) -> Refusal | None:
    """One order never takes a position through zero, and open orders never open in both directions."""
    if context.margin is None:
        return None
    if effect is Effect.CLOSE and lots > abs(context.position_lots):
        has, asked = context.instrument.quantity(abs(context.position_lots)), context.instrument.quantity(lots)
        return Refusal(
            "reversal_is_two_orders",
            f"The position is {has:f}: an order of {asked:f} would turn it round. Send two: close it, then open.",
            {"position": f"{has:f}", "quantity": f"{asked:f}"},
        )
    other = Side.SELL if side is Side.BUY else Side.BUY
    if effect is Effect.OPEN and context.margin.opening.get(other, 0):
        return Refusal(
            "opens_other_way",
            f"There are open orders that open with a {other}. Cancel them first, or wait until they have filled.",
            {"orders": str(context.margin.opening[other])},
        )
    return None


def margin_of(context: DeskContext, side: Side, effect: Effect, ask_ticks: int) -> OnMargin | None:
    """What an order reserves; None in a cash portfolio."""
    if context.margin is None:
        return None
    if effect is Effect.CLOSE:
        return CLOSES
    least = 0 if side is Side.BUY else margin.short_reserve_ticks(ask_ticks)
    return OnMargin(True, context.margin.policy.initial_ppm, least)


def cover_refusal(context: DeskContext, marks: Mapping[int, Mark], side: Side, cash: int) -> Refusal | None:
    """Less equity beyond the initial requirement than ``cash``, which an opening order would reserve."""
    own = context.margin
    if own is None:
        return None
    symbols = [each.instrument.symbol for each in own.holdings if _closing(marks, each.instrument.id, each.lots) <= 0]
    if _closing(marks, context.instrument.id, 1 if side is Side.BUY else -1) <= 0:
        symbols.append(context.instrument.symbol)
    worth = None if symbols else margin.assess(own.cash, own.holdings, marks)
    if worth is None:
        names = ", ".join(dict.fromkeys(symbols))
        return Refusal(
            "no_mark",
            f"There is no live price of {names}: what the portfolio is worth is not known. Closing orders are taken.",
            {"symbols": names},
        )
    if cash > worth.excess - own.held:
        return Refusal(
            "insufficient_margin",
            "Not enough margin: the order would reserve more than the equity that is free.",
            {
                "needed": str(cash),
                "available": str(margin.available(worth, own.held)),
                "equity": str(worth.equity),
                "initial_requirement": str(worth.initial),
                "reserved": str(own.held),
                "buying_power": str(margin.buying_power(worth, own.held, own.policy)),
            },
        )
    return None


def buying_powers(context: DeskContext, marks: Mapping[int, Mark], reserved: int) -> tuple[int | None, int | None]:
    """Buying power before and after an order that reserves so much; None in a cash portfolio and without prices."""
    own = context.margin
    worth = None if own is None else margin.assess(own.cash, own.holdings, marks)
    if own is None or worth is None:
        return None, None
    return (
        margin.buying_power(worth, own.held, own.policy),
        margin.buying_power(worth, own.held + reserved, own.policy),
    )


def _closing(marks: Mapping[int, Mark], instrument_id: int, lots: int) -> int:
    mark = marks.get(instrument_id)
    return 0 if mark is None else mark.closing(lots)
