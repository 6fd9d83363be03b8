"""When trades settle, by known calendars."""

from datetime import UTC, date, datetime, timedelta

import pytest

from trading.market.value_dates import cutoff_ns, settles_ns

EQUITY, FX, CRYPTO = ("equity", "XNYS"), ("fx", "FX"), ("crypto", "24/7")


def ns(day: str, hour: int = 15) -> int:
    return int(datetime.fromisoformat(f"{day}T{hour:02}:00:00+00:00").timestamp()) * 10**9


@pytest.mark.parametrize(
    ("market", "traded", "settles"),
    [
        (EQUITY, "2024-07-01", "2024-07-02"),  # Monday: Tuesday
        (EQUITY, "2024-07-03", "2024-07-05"),  # before Independence Day
        (EQUITY, "2024-07-05", "2024-07-08"),  # Friday: Monday
        (EQUITY, "2024-07-06", "2024-07-08"),  # a Saturday, where the venue trades around the clock
        (FX, "2024-07-04", "2024-07-08"),  # Thursday: Monday
        (FX, "2024-07-05", "2024-07-09"),  # Friday: Tuesday
        (FX, "2024-07-07", "2024-07-09"),  # a Sunday counts as the Friday before
        (CRYPTO, "2024-07-06", "2024-07-06"),
    ],
)
def test_proceeds_settle_by_the_calendar_of_their_market(market: tuple[str, str], traded: str, settles: str) -> None:
    assert settles_ns(*market, ns(traded)) == ns(settles, 0)


@pytest.mark.parametrize("market", [EQUITY, FX, CRYPTO])
def test_the_cutoff_parts_what_has_settled_from_what_has_not(market: tuple[str, str]) -> None:
    for day in range(60):
        now = ns((date(2024, 6, 1) + timedelta(days=day)).isoformat())
        cut = cutoff_ns(*market, now)
        for back in range(15):
            traded = now - back * 86_400 * 10**9
            assert (traded >= cut) == (settles_ns(*market, traded) > now), datetime.fromtimestamp(now / 1e9, UTC)
