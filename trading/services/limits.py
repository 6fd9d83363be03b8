"""Limits, tiers, restricted instruments and the drawdown breaker: who may set them, and what one's own are.

What an order is judged on is read by the desk in the order's own transaction (`trading.services.order_limits`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from trading.domain.errors import Invalid, Unavailable
from trading.domain.instruments import Instrument
from trading.domain.money import INT64_MAX
from trading.domain.risk import DAY_NS
from trading.market.ticks import Ticks
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.risk import Counts, Figures, LimitVersion, Restriction, WorthState

BAN_MODES = ("free", "no_opening", "no_trading")
_SCOPE = re.compile(r"(tier:[a-z][a-z0-9_-]{0,30}|(user|portfolio):[0-9]{1,18}|instrument:[0-9]{1,9})")
_SMALL = ("max_open_orders", "max_orders_per_minute")
_PPM = ("price_band_ppm", "max_drawdown_ppm")
_OF_TIERS = ("max_order_notional", "max_open_orders", "price_band_ppm")
_NOT_OF_INSTRUMENTS = (*_SMALL, "max_daily_loss", "max_drawdown_ppm", "instruments")

_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}
_READS = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}


@dataclass(frozen=True, slots=True)
class Use:
    """One limit and how much of it is used now. ``unit`` is ``lots``, ``money``, ``orders`` or ``ppm``.

    ``used`` is None for limits of a single order, which nothing uses up. ``scope`` says whose the limit is, ``of`` what
    uses it, such as the symbol of the largest position.
    """

    name: str
    limit: int
    used: int | None
    unit: str
    scope: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """What a portfolio may and has used, and what is restricted; ``tripped_ppm`` as in `WorthState`."""

    tier: str
    uses: Sequence[Use]
    bans: Sequence[Restriction]
    tripped_ppm: int | None


@operation(_ADMIN)
def current(floor: Floor, actor: Actor) -> Sequence[LimitVersion]:
    """Limits in force, by scope."""
    return floor.risk.current()


@operation(_ADMIN)
def history(floor: Floor, actor: Actor, scope: str) -> Sequence[LimitVersion]:
    """All versions of a scope's limits, newest first."""
    return floor.risk.history(_checked_scope(scope))


@operation(_ADMIN)
def set_limits(floor: Floor, actor: Actor, scope: str, figures: Figures, reason: str) -> LimitVersion:
    """Replace all limits of a scope by a new version, in force for the next order. A new tier is made by it.

    Raises `Invalid` for figures that cannot be, without a reason, or for a tier without the figures it must have.
    """
    _checked_scope(scope)
    _check_reason(reason)
    _check_figures(floor, scope, figures)
    return floor.risk.set(actor.user_id, scope, figures, reason.strip()[:500], actor.origin)


@operation(_ADMIN)
def tiers(floor: Floor, actor: Actor) -> Sequence[str]:
    """Names of the tiers."""
    return floor.risk.tiers()


@operation(_ADMIN)
def tier_of(floor: Floor, actor: Actor, user_id: int) -> str:
    """The tier of a user."""
    return floor.risk.tier_of(user_id)


@operation(_ADMIN)
def set_tier(floor: Floor, actor: Actor, user_id: int, tier: str, reason: str) -> None:
    """Give a user another tier; its limits apply to the next order. Raises `NotFound`, `Invalid` without a reason."""
    _check_reason(reason)
    floor.risk.set_tier(actor.user_id, user_id, tier, reason.strip()[:500], actor.origin)


@operation(_ADMIN)
def restrict(floor: Floor, actor: Actor, instrument_id: int, ban: str, reason: str) -> None:
    """Put an instrument on the compliance list or take it off: ``no_opening``, ``no_trading``, ``free``.

    Raises `NotFound`; `Invalid` for another word or without a reason. Open orders stay; the kill switch ends those.
    """
    if ban not in BAN_MODES:
        raise Invalid(f"unknown restriction {ban[:20]!r}", "unknown_restriction")
    _check_reason(reason)
    floor.risk.restrict(actor.user_id, instrument_id, ban, reason.strip()[:500], actor.origin)


@operation(dict.fromkeys(Role, Reach.NO_PORTFOLIO))
def restrictions(floor: Floor, actor: Actor) -> Sequence[Restriction]:
    """Instruments that are restricted now, and why."""
    return floor.risk.restrictions()


@operation(_ADMIN)
def restriction_history(floor: Floor, actor: Actor, instrument_id: int) -> Sequence[Restriction]:
    """All that was said of an instrument, newest first."""
    return floor.risk.restriction_history(instrument_id)


@operation(_ADMIN)
def worth(floor: Floor, actor: Actor) -> Sequence[WorthState]:
    """Worth, day's start, peak and breaker of every portfolio, as of its newest mark."""
    return floor.risk.worth()


@operation({Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY})
def reset_drawdown(floor: Floor, actor: Actor, portfolio_id: int, reason: str) -> None:
    """Let a portfolio open positions again after its drawdown breaker tripped; its peak is what it is worth now.

    Raises `Invalid` without a reason, or where the breaker has not tripped.
    """
    _check_reason(reason)
    if not floor.risk.reset_drawdown(actor.user_id, portfolio_id, reason.strip()[:500], actor.origin):
        raise Invalid("the drawdown breaker of this portfolio has not tripped", "not_tripped")


@operation(_READS)
def own(floor: Floor, actor: Actor, portfolio_id: int) -> OwnLimits:
    """The strictest limits of a portfolio, and what is used of them; an instrument's own come on top."""
    now_ns = floor.clock.now_ns()
    counts = floor.risk.counts(portfolio_id, now_ns)
    return OwnLimits(
        counts.tier,
        _uses(floor, counts, now_ns),
        floor.risk.restrictions(),
        None if counts.worth is None else counts.worth.tripped_ppm,
    )


def _uses(floor: Floor, counts: Counts, now_ns: int) -> Sequence[Use]:
    limits, worth = counts.limits, counts.worth
    lots, lots_of, money, money_of = _largest(floor, counts.positions)
    loss = max(0, worth.day_equity - worth.equity) if worth and worth.day_ns == now_ns - now_ns % DAY_NS else 0
    found = (
        ("max_order_lots", None, "lots", ""),
        ("max_order_notional", None, "money", ""),
        ("price_band_ppm", None, "ppm", ""),
        ("max_position_lots", lots, "lots", lots_of),
        ("max_position_notional", money, "money", money_of),
        ("max_open_orders", counts.open_orders, "orders", ""),
        ("max_user_open_orders", counts.user_open_orders, "orders", ""),
        ("max_orders_per_minute", counts.orders_in_minute, "orders", ""),
        ("max_user_orders_per_minute", counts.user_orders_in_minute, "orders", ""),
        ("max_daily_loss", loss, "money", ""),
        ("max_drawdown_ppm", 0 if worth is None else worth.drawdown_ppm, "ppm", ""),
    )
    return [
        Use(name, limit, used, unit, limits.scopes.get(name, ""), of)
        for name, used, unit, of in found
        if (limit := getattr(limits, name)) is not None
    ]


def _largest(floor: Floor, positions: dict[int, int]) -> tuple[int, str, int, str]:
    """The largest position in lots and the most valuable one at its newest bid, with their symbols."""
    if not positions:
        return 0, "", 0, ""
    instruments = {each.id: each for each in floor.desk.instruments("SIM") if each.id in positions}
    try:
        ticks = floor.bus.last_ticks(list(instruments))
    except Unavailable:
        ticks = {}
    sized = [(abs(positions[key]), each.symbol) for key, each in instruments.items()]
    valued = [(_value(each, abs(positions[key]), ticks.get(key)), each.symbol) for key, each in instruments.items()]
    return *max(sized, default=(0, "")), *max(valued, default=(0, ""))


def _value(instrument: Instrument, lots: int, newest: Ticks | None) -> int:
    return 0 if newest is None else instrument.notional(lots * int(newest[0]["bid_ticks"]))


def _checked_scope(scope: str) -> str:
    if not _SCOPE.fullmatch(scope):
        raise Invalid(f"unknown scope {scope[:40]!r}", "unknown_scope")
    return scope


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Invalid("say why: the reason is kept with the change", "reason_missing")


def _check_figures(floor: Floor, scope: str, figures: Figures) -> None:
    for each in fields(Figures):
        value = getattr(figures, each.name)
        if value is None or each.name == "instruments":
            continue
        most = 999_999 if each.name in _PPM else 2**31 - 1 if each.name in _SMALL else INT64_MAX // 4
        if not 1 <= value <= most:
            raise Invalid(f"{each.name} must lie between 1 and {most}", "bad_limit")
    if scope.startswith("tier:") and any(getattr(figures, name) is None for name in _OF_TIERS):
        raise Invalid(f"a tier must say {', '.join(_OF_TIERS)}", "limit_missing")
    if scope.startswith("instrument:") and replace(figures, **dict.fromkeys(_NOT_OF_INSTRUMENTS)) != figures:
        raise Invalid(f"an instrument has no {', '.join(_NOT_OF_INSTRUMENTS)}", "limit_not_used")
    if figures.instruments is not None:
        known = {instrument.id for instrument in floor.desk.instruments("SIM")}
        if unknown := set(figures.instruments) - known:
            raise Invalid(f"there are no instruments {sorted(unknown)[:5]}", "unknown_instrument")
