"""Limits before the trade, as pure functions: numbers in, a refusal or nothing out."""

from trading.domain.money import div_half_even
from trading.domain.orders import Refusal

_MILLION = 1_000_000


def protection_ticks(buy: bool, best_ticks: int, band_ppm: int) -> int:
    """The worst price a market order may trade at: the best opposite price moved by the band, at least one tick.

    Rounded inward (towards the best price), so that the order never reaches beyond the band.
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


def open_orders_breach(open_orders: int, most: int) -> Refusal | None:
    """Too many open orders."""
    if open_orders >= most:
        return Refusal(
            "max_open_orders",
            f"This portfolio already has {open_orders} open orders. Cancel one first.",
            {"open_orders": str(open_orders), "limit": str(most)},
        )
    return None
