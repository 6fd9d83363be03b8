"""Returns by hand: 100 becomes 110, then 1,000 more comes in, then everything gains a tenth."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trading.services.performance import EquityPoint, drawdowns, growth, monthly_returns


def point(day: str, equity: str, flow: str = "0") -> EquityPoint:
    ts_ns = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 10**9
    return EquityPoint(ts_ns, Decimal(equity), Decimal(equity), Decimal(0), Decimal(flow))


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss() -> None:
    points = [
        point("2026-01-05", "100", "100"),
        point("2026-01-20", "110"),
        point("2026-01-21", "1110", "1000"),
        point("2026-02-10", "1221"),
        point("2026-02-11", "221", "-1000"),
    ]
    assert growth(points) == pytest.approx([1, 1.1, 1.1, 1.21, 1.21])
    assert [(each.year, each.month) for each in monthly_returns(points)] == [(2026, 1), (2026, 2)]
    assert [each.value for each in monthly_returns(points)] == pytest.approx([0.1, 0.1])


def test_months_chain_to_the_whole() -> None:
    points = [point("2025-12-31", "200"), point("2026-01-31", "150"), point("2026-02-28", "180")]
    whole = 1.0
    for each in monthly_returns(points):
        whole *= 1 + each.value
    assert whole == pytest.approx(0.9)
    assert drawdowns(points) == pytest.approx([0, -0.25, -0.1])


def test_nothing_and_a_portfolio_that_starts_empty_have_no_return() -> None:
    assert growth([]) == monthly_returns([]) == drawdowns([]) == []
    assert growth([point("2026-01-01", "0"), point("2026-01-02", "500", "500")]) == pytest.approx([1, 1])
    assert growth([point("2026-01-01", "0"), point("2026-01-02", "0")]) == [1, 1]
