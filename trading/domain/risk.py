"""Limits before the trade, as pure functions: numbers in, a refusal or nothing out.

A limit is the most that is allowed: exactly at it passes, one over is refused. Refusals carry the ``limit``, what was
``asked`` (what it would come to) and what is there ``now``, in lots, minor units or orders, and whose limit it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from trading.domain.money import div_half_even
from trading.domain.orders import Refusal

_MILLION = 1_000_000
PRICE_MAX_TICKS = 2**46
"""Prices beyond this are not a price but a slip; the exchange refuses them too."""
RATE_WINDOW_NS = 60_000_000_000
"""The window in which orders are counted slides with the clock."""
DAY_NS = 86_400_000_000_000
TICKET_ORDERS_MAX = 3
"""A bracket is three orders; desk_limits looks as far back."""
BAND_PPM = 50_000
"""The price band where no limit names one."""


@dataclass(frozen=True, slots=True)
class LimitSet:
    """What one tier, user, portfolio or instrument may; None says nothing.

    ``scope`` is ``tier:NAME``, ``user:ID``, ``portfolio:ID`` or ``instrument:ID``. Money is minor units: of the order's
    currency for orders and positions, of the portfolio's for the loss of a day. ``allows`` says whether the set's list
    of instruments names the one at hand.
    """

    scope: str
    max_order_lots: int | None = None
    max_order_notional: int | None = None
    max_position_lots: int | None = None
    max_position_notional: int | None = None
    max_open_orders: int | None = None
    max_orders_per_minute: int | None = None
    price_band_ppm: int | None = None
    max_daily_loss: int | None = None
    max_drawdown_ppm: int | None = None
    allows: bool | None = None

    @property
    def of_user(self) -> bool:
        """Whether orders are counted over all portfolios of the user: a tier's and a user's own limits."""
        return self.scope.startswith(("tier:", "user:"))


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The strictest of all limits that apply to an order. ``version`` is the newest of them.

    ``scopes`` names for each figure whose it is. Open orders and orders a minute are kept apart: those of the portfolio
    and those of all portfolios of its user. ``not_allowed`` are the scopes whose list leaves this instrument out.
    """

    version: int
    max_order_notional: int | None = None
    max_open_orders: int | None = None
    price_band_ppm: int = BAND_PPM
    max_order_lots: int | None = None
    max_position_lots: int | None = None
    max_position_notional: int | None = None
    max_orders_per_minute: int | None = None
    max_user_open_orders: int | None = None
    max_user_orders_per_minute: int | None = None
    max_daily_loss: int | None = None
    max_drawdown_ppm: int | None = None
    not_allowed: tuple[str, ...] = ()
    scopes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What limits are compared with beside the position: counted only where a limit asks for it.

    ``buying_lots`` and ``selling_lots`` are on order to open a position in this instrument. ``recent_ns`` are times of
    the portfolio's newest orders, newest first, the last few that a limit of orders a minute reaches back to;
    ``user_recent_ns`` those of all portfolios of the user; ``other_orders`` are open ones of the user's others.
    ``equity`` is the newest mark, ``day_equity`` the worth when its day ``day_ns`` began, moved by what was paid in and
    out since. ``drawdown_ppm`` is set while the drawdown breaker is tripped. ``ban`` is the compliance list's word on
    the instrument: ``no_opening`` or ``no_trading``, and why.
    """

    other_orders: int = 0
    recent_ns: tuple[int, ...] = ()
    user_recent_ns: tuple[int, ...] = ()
    buying_lots: int = 0
    selling_lots: int = 0
    day_ns: int = 0
    day_equity: int = 0
    equity: int = 0
    drawdown_ppm: int | None = None
    ban: tuple[str, str] | None = None


_BY_USER = {"max_open_orders": "max_user_open_orders", "max_orders_per_minute": "max_user_orders_per_minute"}
_FIGURES = tuple(each.name for each in fields(LimitSet) if each.name not in ("scope", "allows"))


def strictest(version: int, sets: Sequence[LimitSet]) -> RiskLimits:
    """Of each figure the lowest that any set names; an instrument must be on every list there is."""
    found: dict[str, int] = {}
    scopes: dict[str, str] = {}
    for each in sets:
        for name in _FIGURES:
            value = getattr(each, name)
            if value is None:
                continue
            what = _BY_USER.get(name, name) if each.of_user else name
            if what not in found or value < found[what]:
                found[what], scopes[what] = value, each.scope
    not_allowed = tuple(each.scope for each in sets if each.allows is False)
    return RiskLimits(version, **found, not_allowed=not_allowed, scopes=scopes)


def whose(scope: str) -> str:
    """A scope in the words of a refusal: ``the limit of this portfolio``."""
    kind, _, name = scope.partition(":")
    return {
        "tier": f"the limit of the tier {name}",
        "user": "the limit set for you",
        "instrument": "the limit of this instrument",
    }.get(kind, "the limit of this portfolio")


def _over(code: str, words: str, limits: RiskLimits, figure: str, asked: int, now: int) -> Refusal | None:
    """A refusal where ``asked`` is more than the figure allows; ``words`` end in front of whose limit it is."""
    limit = getattr(limits, figure)
    if limit is None or asked <= limit:
        return None
    scope = limits.scopes.get(figure, "")
    numbers = {"limit": str(limit), "asked": str(asked), "now": str(now), "scope": scope}
    return Refusal(code, f"{words} {whose(scope)}.", numbers)


# What applies to every order ------------------------------------------------------------------------------------------


def size_breach(limits: RiskLimits, lots: int) -> Refusal | None:
    """An order of more lots than one order may have."""
    return _over("max_order_quantity", "The quantity is more than", limits, "max_order_lots", lots, 0)


def notional_breach(limits: RiskLimits, notional: int) -> Refusal | None:
    """An order worth more than one order may be."""
    return _over("max_order_notional", "The order is worth more than", limits, "max_order_notional", notional, 0)


def open_orders_breach(limits: RiskLimits, exposure: Exposure, open_orders: int, new: int) -> Refusal | None:
    """More orders open at once than the portfolio, or all portfolios of its user, may have."""
    code, everywhere = "max_open_orders", open_orders + exposure.other_orders
    return _over(
        code,
        f"There are {open_orders} open orders already. Cancel one first: more is beyond",
        limits,
        "max_open_orders",
        open_orders + new,
        open_orders,
    ) or _over(
        code,
        f"There are {everywhere} open orders in your portfolios already. Cancel one first: more is beyond",
        limits,
        "max_user_open_orders",
        everywhere + new,
        everywhere,
    )


def rate_breach(limits: RiskLimits, exposure: Exposure, new: int, now_ns: int) -> Refusal | None:
    """More orders within a minute than the portfolio, or all portfolios of its user, may send."""
    for figure, recent_ns in (
        ("max_orders_per_minute", exposure.recent_ns),
        ("max_user_orders_per_minute", exposure.user_recent_ns),
    ):
        within = sum(each > now_ns - RATE_WINDOW_NS for each in recent_ns)
        # Before the oldest that are looked at, all are newer.
        sent = max((getattr(limits, figure) or 0) - TICKET_ORDERS_MAX, 0) + within if within else 0
        words = "Too many orders within a minute, wait a moment: more is beyond"
        refusal = _over("max_order_rate", words, limits, figure, sent + new, sent)
        if refusal is not None:
            return refusal
    return None


# What keeps a portfolio from opening a position -----------------------------------------------------------------------


def ban_breach(exposure: Exposure, opens: bool) -> Refusal | None:
    """An instrument on the compliance list: nobody opens, and where it says so nobody trades at all."""
    if exposure.ban is None:
        return None
    mode, why = exposure.ban
    if mode == "free" or not (opens or mode == "no_trading"):
        return None
    words = "may not be traded" if mode == "no_trading" else "may only be closed"
    return Refusal("restricted", f"The instrument is restricted and {words}: {why}", {"mode": mode})


def opening_lots(exposure: Exposure, buy: bool, position_lots: int) -> int:
    """Long lots for a buy, short ones for a sale, with what is on order already; ``position_lots`` is negative when
    short."""
    held = position_lots if buy else -position_lots
    return max(held, 0) + (exposure.buying_lots if buy else exposure.selling_lots)


def position_breaches(
    limits: RiskLimits, lots: int, now_lots: int, notional: int, now_notional: int
) -> Iterator[Refusal]:
    """A position that could become larger than it may be, when all that is on order has filled."""
    words = "The position could become"
    yield from _each(
        _over("max_position", f"{words} larger than", limits, "max_position_lots", lots, now_lots),
        _over(
            "max_position_notional",
            f"{words} worth more than",
            limits,
            "max_position_notional",
            notional,
            now_notional,
        ),
    )


def opening_breaches(limits: RiskLimits, exposure: Exposure, now_ns: int) -> Iterator[Refusal]:
    """Lists and losses, which keep a portfolio from opening anything and never from closing.

    The loss is since the day's start at 00:00 UTC, realised and unrealised, as the newest mark has it.
    """
    if limits.not_allowed:
        scope = limits.not_allowed[0]
        words = f"This instrument is not among those that {whose(scope)} allows."
        yield Refusal("instrument_not_allowed", words, {"scope": scope})
    if exposure.day_ns == now_ns - now_ns % DAY_NS:
        loss = exposure.day_equity - exposure.equity
        words = "Only closing orders are taken until tomorrow: today's loss is more than"
        yield from _each(_over("max_daily_loss", words, limits, "max_daily_loss", loss, loss))
    if exposure.drawdown_ppm is not None:
        tenths = div_half_even(exposure.drawdown_ppm, 1000)
        words = f"Only closing orders are taken: the portfolio fell {tenths // 10}.{tenths % 10} % below its peak."
        yield Refusal("drawdown", words, {"drawdown_ppm": str(exposure.drawdown_ppm)})


def _each(*refusals: Refusal | None) -> Iterator[Refusal]:
    return (refusal for refusal in refusals if refusal is not None)


# Where prices must lie ------------------------------------------------------------------------------------------------


def protection_ticks(buy: bool, best_ticks: int, band_ppm: int) -> int:
    """The worst price a market order may trade at: the best opposite price moved by the band, at least one tick.

    Of a stop it is the stop price that is moved. Rounded inward (towards that price), so that the order never reaches
    beyond the band.
    """
    move = best_ticks * band_ppm // _MILLION
    return best_ticks + max(move, 1) if buy else max(best_ticks - max(move, 1), 1)


def price_band_breach(buy: bool, limit_ticks: int, best_ticks: int, band_ppm: int) -> Refusal | None:
    """A limit so far through the market that it must be a slip of the finger."""
    worst = protection_ticks(buy, best_ticks, band_ppm)
    if (limit_ticks > worst) if buy else (limit_ticks < worst):
        percent = div_half_even(band_ppm, 10_000)
        return Refusal(
            "price_band",
            f"The limit is more than {percent} % through the market. Check the price.",
            {"limit_ticks": str(limit_ticks), "worst_ticks": str(worst)},
        )
    return None


def trailing_start_ticks(buy: bool, best_ticks: int, trail: int | None, trail_ppm: int | None) -> int:
    """Where a trailing stop starts: the distance away from the best price, at least one tick; may be below zero."""
    offset = trail if trail is not None else max(1, best_ticks * (trail_ppm or 0) // _MILLION)
    return best_ticks + offset if buy else best_ticks - offset


def stop_side_breach(buy: bool, stop_ticks: int, best_ticks: int) -> Refusal | None:
    """A stop that the market has reached already: a buy stop belongs above the ask, a sell stop below the bid."""
    if (stop_ticks > best_ticks) if buy else (stop_ticks < best_ticks):
        return None
    words = "A buy stop must be above the current ask." if buy else "A sell stop must be below the current bid."
    return Refusal("stop_side", words, {"stop_ticks": str(stop_ticks), "best_ticks": str(best_ticks)})


def exits_breach(
    buy: bool, entry_low_ticks: int, entry_high_ticks: int, take_profit_ticks: int | None, stop_loss_ticks: int | None
) -> Refusal | None:
    """For a buy: stop loss < entry < take profit, each at least a tick away; the mirror for a sell.

    The entry may trade anywhere from ``entry_low_ticks`` to ``entry_high_ticks``.
    """
    above, below = (take_profit_ticks, stop_loss_ticks) if buy else (stop_loss_ticks, take_profit_ticks)
    if (above is None or above > entry_high_ticks) and (below is None or below < entry_low_ticks):
        return None
    words = (
        "Stop loss, entry and take profit must rise in this order, a tick apart or more."
        if buy
        else "Take profit, entry and stop loss must rise in this order, a tick apart or more."
    )
    numbers = {"entry_low_ticks": entry_low_ticks, "entry_high_ticks": entry_high_ticks}
    legs = {"take_profit_ticks": take_profit_ticks, "stop_loss_ticks": stop_loss_ticks}
    return Refusal("exit_prices", words, {name: str(value) for name, value in {**numbers, **legs}.items() if value})


def oco_breach(buy: bool, limit_ticks: int, stop_ticks: int) -> Refusal | None:
    """Of two that exclude each other the market must lie between: sell high or stop low, buy low or stop high."""
    if (limit_ticks < stop_ticks) if buy else (limit_ticks > stop_ticks):
        return None
    words = "The limit must be below the stop." if buy else "The limit must be above the stop."
    return Refusal("oco_prices", words, {"limit_ticks": str(limit_ticks), "stop_ticks": str(stop_ticks)})
