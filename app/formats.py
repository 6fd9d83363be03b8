"""Figures and times as people read them."""

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

import streamlit as st

from trading.services.queries import OrderLine

_SIGN = {"USD": "$", "EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥"}
_STATES = {
    "new": "New",
    "accepted": "Accepted",
    "working": "Working",
    "partially_filled": "Part filled",
    "filled": "Filled",
    "rejected": "Rejected",
    "cancel_pending": "Cancelling",
    "cancelled": "Cancelled",
    "expired": "Expired",
    "scheduled": "Scheduled",
    "pending_trigger": "Waiting for trigger",
}
_STATE_TONES = {"filled": "up", "rejected": "down", "cancelled": "dim", "expired": "dim", "cancel_pending": "warn"}
TIF_CODES = {"day": "Day", "gtc": "GTC", "gtd": "Until …", "ioc": "IOC", "fok": "FOK"}
TIFS = {
    "day": "Day",
    "gtc": "Good till cancelled",
    "gtd": "Good till date",
    "ioc": "Immediate or cancel",
    "fok": "Fill or kill",
}
TYPES = {
    "market": "Market",
    "limit": "Limit",
    "stop": "Stop",
    "stop_limit": "Stop limit",
    "trailing_stop": "Trailing",
}
ROLES = {"entry": "Entry", "take_profit": "Take profit", "stop_loss": "Stop loss", "oco": "One of two"}


def money(amount: Decimal | None, currency: str = "USD") -> str:
    """``$1,234.50``, ``−$3.10``; a dash for nothing."""
    if amount is None:
        return "–"
    text = f"{abs(amount):,.2f}"
    sign = _SIGN.get(currency)
    return ("−" if amount < 0 else "") + (f"{sign}{text}" if sign else f"{text} {currency}")


def gain(amount: Decimal | None, currency: str = "USD") -> tuple[str, str]:
    """An amount with sign, arrow and tone, so that colour is never the only hint."""
    if amount is None:
        return "–", "dim"
    if amount == 0:
        return money(amount, currency), ""
    return ("▲ +" + money(amount, currency), "up") if amount > 0 else ("▼ " + money(amount, currency), "down")


def percent(value: float, places: int = 2) -> str:
    """``+1.25 %`` for 0.0125."""
    text = f"{value * 100:+.{places}f}"
    return (text[1:] if float(text) == 0 else text.replace("-", "−")) + " %"


def share(value: float | None, places: int = 2) -> tuple[str, str]:
    """A gain in percent with its tone; none where it rounds to nothing."""
    if value is None:
        return "–", "dim"
    text = percent(value, places)
    return text, "up" if text.startswith("+") else "down" if text.startswith("−") else ""


def price(value: Decimal | None, places: int | None = None) -> str:
    """A price with the places it has, at least two."""
    if value is None:
        return "–"
    own = max(2, -int(value.normalize().as_tuple().exponent))
    return f"{value:,.{min(own, 6) if places is None else places}f}"


def quantity(value: Decimal) -> str:
    """``1,250``, ``−5`` or ``0.005``, without trailing zeros."""
    text = f"{value:,f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def zone() -> tzinfo:
    """The viewer's time zone, UTC where the browser does not say."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        return UTC


def moment(ts_ns: int, now_ns: int) -> str:
    """``14:03:22`` today, ``20 Nov 14:03`` before, in the viewer's time zone."""
    when = datetime.fromtimestamp(ts_ns / 1e9, zone())
    today = datetime.fromtimestamp(now_ns / 1e9, zone())
    if when.date() == today.date():
        return f"{when:%H:%M:%S}"
    return f"{when.day} {when:%b %H:%M}" if when.year == today.year else f"{when.day} {when:%b %Y}"


def date_time(ts_ns: int) -> str:
    """``20 Nov 2026 14:03`` in the viewer's time zone."""
    when = datetime.fromtimestamp(ts_ns / 1e9, zone())
    return f"{when.day} {when:%b %Y %H:%M}"


def precise(ts_ns: int) -> str:
    """``14:03:22.481`` in the viewer's time zone: for following one order."""
    when = datetime.fromtimestamp(ts_ns / 1e9, zone())
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}"


def ago(then: datetime | None, now: datetime) -> str:
    """``3 s ago``, ``5 min ago``, ``2 h ago``, ``4 days ago``."""
    if then is None:
        return "never"
    gone = max(timedelta(0), now - then)
    if gone < timedelta(minutes=2):
        return f"{int(gone.total_seconds())} s ago"
    if gone < timedelta(hours=2):
        return f"{int(gone.total_seconds() // 60)} min ago"
    return f"{int(gone.total_seconds() // 3600)} h ago" if gone < timedelta(days=2) else f"{gone.days} days ago"


def state(name: str) -> tuple[str, str]:
    """An order's state in words, with its tone."""
    return _STATES.get(name, name), _STATE_TONES.get(name, "")


def side(name: str) -> tuple[str, str]:
    """Buy or Sell, with its tone."""
    return (name.capitalize(), "up" if name == "buy" else "down")


def terms(line: OrderLine) -> str:
    """How an order is priced: ``Market``, ``Limit 99.50``, ``Stop 95.00, limit 94.50``, ``Trailing 2 %``."""
    words = TYPES.get(line.type, line.type)
    if line.trail is not None:
        return f"{words} {price(line.trail)}"
    if line.trail_percent is not None:
        return f"{words} {quantity(line.trail_percent)} %"
    if line.stop_price is not None:
        limit = "" if line.limit_price is None else f", limit {price(line.limit_price)}"
        return f"Stop {price(line.stop_price)}{limit}"
    if line.limit_price is None:
        return words
    return f"{words} {price(line.limit_price)}" + (", post-only" if line.post_only else "")


def at(seconds: float) -> datetime:
    """Seconds since the epoch as an aware UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def lasted(started_s: float | None, ended_s: float | None, now_s: float) -> str:
    """How long something took, or has taken so far."""
    if started_s is None:
        return "–"
    seconds = int(max(0, (ended_s or now_s) - started_s))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min {seconds % 60} s"
