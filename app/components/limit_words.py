"""Limits in the words of the screens, and what is typed back into figures."""

from dataclasses import fields
from decimal import Decimal

from app import formats
from trading.domain.money import to_units
from trading.services.ports.risk import Figures

CENT, PERCENT_STEP = Decimal("0.01"), Decimal("0.0001")
NAMES = {
    "max_order_lots": "Order size (lots)",
    "max_order_notional": "Order value",
    "max_position_lots": "Position (lots)",
    "max_position_notional": "Position value",
    "max_open_orders": "Open orders",
    "max_user_open_orders": "Open orders, all portfolios",
    "max_orders_per_minute": "Orders in a minute",
    "max_user_orders_per_minute": "Orders in a minute, all portfolios",
    "price_band_ppm": "Price band around the market",
    "max_daily_loss": "Loss in a day",
    "max_drawdown_ppm": "Fall from the peak",
}
MONEY = frozenset({"max_order_notional", "max_position_notional", "max_daily_loss"})
SHARES = frozenset({"price_band_ppm", "max_drawdown_ppm"})
TYPED = tuple(each.name for each in fields(Figures) if each.name != "instruments")
"""Figures that have a field of their own."""


def figure(name: str, value: int | None) -> str:
    """A limit as people read it."""
    if value is None:
        return ""
    if name in MONEY:
        return formats.money(value * CENT, "").strip()
    return f"{value / 10_000:g} %" if name in SHARES else f"{value:,}"


def typed(name: str, value: int | None) -> str:
    """A limit as a form is filled with it."""
    if value is None:
        return ""
    if name in MONEY:
        return f"{value * CENT:f}"
    return f"{(value * PERCENT_STEP).normalize():f}" if name in SHARES else str(value)


def parsed(name: str, text: str) -> int | None:
    """The inverse; None for nothing. Raises `Invalid`."""
    plain = text.replace(",", "").strip()
    step = CENT if name in MONEY else PERCENT_STEP if name in SHARES else Decimal(1)
    return to_units(plain, step, NAMES[name].lower()) if plain else None


def scope(words: str) -> str:
    """A scope as people read it: ``tier basic``."""
    kind, _, name = words.partition(":")
    return {"user": "you", "portfolio": "this portfolio", "instrument": "the instrument"}.get(kind, f"tier {name}")
