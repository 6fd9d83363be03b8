"""When a trade settles: so many business days of its market after the day of the trade (T+n).

n: US equities 1 (SEC Rule 15c6-1(a) since 28 May 2024), spot FX and metals 2 (the convention of the FX market, "spot
date"), crypto 0. Business days: sessions of the exchange by `exchange_calendars`; Monday to Friday for FX and metals,
without the holidays of the two currencies; every day for crypto. The day of a trade is its UTC day; what settles on a
day is settled from its first moment, UTC. These calendars hold also where the venue itself trades around the clock.
"""

from typing import Final

import numpy as np

from trading.market.sessions import CONTINUOUS, DAY_NS, FX_WEEK, sessions

DAYS: Final = {"equity": 1, "etf": 1, "crypto": 0, "fx": 2, "metal": 2}
"""Business days until settlement by asset class; 1 for a class not named here."""
LOOK_BACK_DAYS: Final = 15
"""Longer than any two business days with their holidays take."""


def value_day(calendar: str, days: int, day: int) -> int:
    """The day (days since 1970 UTC) on which a trade of ``day`` settles ``days`` business days later.

    >>> value_day("FX", 2, 0)  # Thursday 1 January 1970: Monday the 5th
    4
    """
    if days == 0 or calendar == CONTINUOUS:
        return day + days
    if calendar == FX_WEEK:
        start = np.datetime64(day, "D")
        found = np.busday_offset(np.busday_offset(start, 0, roll="backward"), days)
        return int(found.astype("datetime64[D]").astype(int))
    business = np.unique(sessions(calendar, day * DAY_NS).day_open_ns // DAY_NS)
    return int(business[np.searchsorted(business, day, side="right") + days - 1])


def settles_ns(asset_class: str, calendar: str, trade_ns: int) -> int:
    """The moment from which the proceeds of a trade at ``trade_ns`` have settled."""
    return value_day(calendar, DAYS.get(asset_class, 1), trade_ns // DAY_NS) * DAY_NS


def cutoff_ns(asset_class: str, calendar: str, now_ns: int) -> int:
    """What was traded from this moment on has not settled at ``now_ns``."""
    today = now_ns // DAY_NS
    for day in range(today - LOOK_BACK_DAYS, today + 1):
        if settles_ns(asset_class, calendar, day * DAY_NS) > now_ns:
            return day * DAY_NS
    return (today + 1) * DAY_NS
