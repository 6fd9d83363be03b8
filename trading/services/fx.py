"""Conversion between a portfolio's cash accounts: a price is shown, then taken at that price or better, or refused.

The floor's own ``fx`` accounts take the other side; both legs are one transfer group. Listed pairs of the venue alone:
there is no way over a third currency. Nothing converts by itself: an order needs cash of its own currency.
"""

from dataclasses import dataclass
from decimal import Decimal

from trading.domain.errors import Invalid, NotFound
from trading.domain.fx import converted
from trading.domain.instruments import Instrument
from trading.domain.money import Asset, minor_to_decimal, to_units
from trading.services.access import Actor, Reach, Role, operation
from trading.services.desk import best_quote, newest_ticks
from trading.services.floor import Floor
from trading.services.margin import marks
from trading.services.ports.desk import Line, Posting

LIFETIME_NS = 5_000_000_000
"""How long a price that was shown can be taken."""
VENUE = "SIM"

_OWNER = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY}


@dataclass(frozen=True, slots=True)
class Quote:
    """What a conversion would bring now. ``rate`` is the pair's bid where its first currency is sold, else its ask."""

    pair: str
    sell: str
    buy: str
    sold: Decimal
    bought: Decimal
    rate: Decimal
    quoted_ns: int
    expires_ns: int


@dataclass(frozen=True, slots=True)
class _Deal:
    pair: Instrument
    sell: Asset
    buy: Asset
    minor: int
    bought: int
    rate: Decimal
    sells_base: bool


@operation({Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO})
def pairs(floor: Floor, actor: Actor) -> list[tuple[str, str]]:
    """The currencies that can be converted into each other, by two and two."""
    return [(each.symbol.removesuffix(each.currency.code), each.currency.code) for each in _pairs(floor)]


@operation(_OWNER)
def quote(floor: Floor, actor: Actor, portfolio_id: int, sell: str, buy: str, amount: str) -> Quote:
    """The price of selling ``amount`` units of ``sell`` now, to be taken within `LIFETIME_NS`.

    `Invalid`: ``no_pair``, ``no_quote`` (none, or older than 5 s), ``too_small``, and those of amounts.
    """
    deal, now_ns = _deal(floor, sell, buy, amount), floor.clock.now_ns()
    return Quote(
        deal.pair.symbol,
        sell,
        buy,
        minor_to_decimal(deal.minor, deal.sell.scale),
        minor_to_decimal(deal.bought, deal.buy.scale),
        deal.rate,
        now_ns,
        now_ns + LIFETIME_NS,
    )


@operation(_OWNER)
def convert(
    floor: Floor, actor: Actor, portfolio_id: int, sell: str, buy: str, amount: str, rate: str, quoted_ns: int, key: str
) -> int:
    """Convert at the price ``rate`` that was shown at ``quoted_ns``, or a better one; returns the transfer group.

    The same ``key`` converts once. `Invalid`: ``quote_moved`` where the price is worse now or was shown too long ago,
    ``insufficient_cash``, ``halted``, those of `quote`, and where a margin portfolio sells, those of a withdrawal.
    """
    asked = f"{portfolio_id}|{sell}|{buy}|{amount}|{rate}|{quoted_ns}"
    posting = Posting(
        actor.user_id, portfolio_id, "fx.convert", key, (), "", actor.origin, floor.clock.now_ns(), body=asked
    )
    known = floor.ledger.booked(posting)
    if known is not None:
        return known
    deal = _deal(floor, sell, buy, amount)
    shown = to_units(rate, deal.pair.tick_size, "rate") * deal.pair.tick_size
    worse = deal.rate < shown if deal.sells_base else deal.rate > shown
    if worse or not 0 <= posting.ts_ns - quoted_ns <= LIFETIME_NS:
        raise Invalid(f"the price was {shown} and is {deal.rate} now; ask for a new one", "quote_moved")
    lines = (Line(deal.sell.id, -deal.minor, "fx", "fx"), Line(deal.buy.id, deal.bought, "fx", "fx"))
    side = "bid" if deal.sells_base else "ask"
    return floor.ledger.convert(
        Posting(
            actor.user_id,
            portfolio_id,
            "fx.convert",
            key,
            lines,
            f"{deal.pair.symbol} {side} {deal.rate}",
            actor.origin,
            posting.ts_ns,
            body=asked,
        ),
        deal.pair.id,
        marks(floor, portfolio_id),
    )


def _pairs(floor: Floor) -> list[Instrument]:
    """Instruments whose symbol is made of two currencies that the floor keeps accounts in."""
    known = floor.ledger.currencies()
    return [
        each
        for each in floor.desk.instruments(VENUE)
        if each.symbol.endswith(each.currency.code) and each.symbol.removesuffix(each.currency.code) in known
    ]


def _deal(floor: Floor, sell: str, buy: str, amount: str) -> _Deal:
    known = floor.ledger.currencies()
    if sell not in known or buy not in known:
        raise NotFound("the floor keeps no accounts in this currency")
    pair = next((each for each in _pairs(floor) if each.symbol in (sell + buy, buy + sell)), None)
    if pair is None:
        raise Invalid(f"there is no pair of {sell} and {buy} on {VENUE}", "no_pair")
    selling, buying = known[sell], known[buy]
    minor = to_units(amount, Decimal(1).scaleb(-selling.scale), "amount")
    if minor <= 0:
        raise Invalid("amount must be more than zero", "not_positive")
    best = best_quote(newest_ticks(floor, [pair.id]), pair.id, floor.clock.now_ns())
    sells_base = pair.symbol == sell + buy
    ticks = 0 if best is None else best.bid_ticks if sells_base else best.ask_ticks
    if ticks <= 0:
        raise Invalid(f"{pair.symbol} has no price now", "no_quote")
    rate = pair.price(ticks)
    bought = converted(minor, selling.scale, buying.scale, rate, sells_base)
    if bought <= 0:
        raise Invalid(f"{amount} {sell} bring less than the smallest unit of {buy}", "too_small")
    return _Deal(pair, selling, buying, minor, bought, rate, sells_base)
