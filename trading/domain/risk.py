"""Limits before the trade, as pure functions: numbers in, a refusal or nothing out."""

from trading.domain.money import div_half_even
from trading.domain.orders import Refusal

_MILLION = 1_000_000
PRICE_MAX_TICKS = 2**46
"""Prices beyond this are not a price but a slip; the exchange refuses them too."""


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


def notional_breach(notional: int, most: int) -> Refusal | None:
    """An order larger than the portfolio's limit."""
    if notional > most:
        return Refusal(
            "max_order_notional",
            "The order is larger than this portfolio's limit for one order.",
            {"notional": str(notional), "limit": str(most)},
        )
    return None


def open_orders_breach(open_orders: int, new_orders: int, most: int) -> Refusal | None:
    """Too many open orders."""
    if open_orders + new_orders > most:
        return Refusal(
            "max_open_orders",
            f"This portfolio already has {open_orders} open orders. Cancel one first.",
            {"open_orders": str(open_orders), "limit": str(most)},
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
