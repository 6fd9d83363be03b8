"""Proceeds trade at once and leave when they have settled."""

from decimal import Decimal

import pytest
from trading_floor import TradingFloor

from trading.domain.errors import Invalid
from trading.services import ledger, settled
from trading.services.access import SYSTEM


@pytest.fixture
def sold(rich: TradingFloor) -> TradingFloor:
    """All 100 AAPL sold at 99.99; 98,999.50 - the deposit's rest and the proceeds - are there. START_NS is a Monday."""
    rich.accepted("sell", "100")
    rich.run_broker()
    return rich


def test_proceeds_of_a_sale_stay_until_the_next_session_and_the_refusal_says_so(sold: TradingFloor) -> None:
    cash = sold.cash()[0]
    proceeds = settled.unsettled(sold.floor, sold.floor.queries, sold.portfolio)["USD"].amount
    assert proceeds == Decimal("9998.00")  # 9,999.00 less the fee
    free = cash - proceeds
    with pytest.raises(Invalid, match=f"only {free:,} USD can be withdrawn.* settles on 2026-09-22") as refused:
        ledger.withdraw(sold.floor, SYSTEM, sold.portfolio, str(free + Decimal("0.01")), "k")
    assert refused.value.code == "not_settled"
    ledger.withdraw(sold.floor, SYSTEM, sold.portfolio, str(free), "k2")
    sold.clock.advance(86_400)
    assert settled.unsettled(sold.floor, sold.floor.queries, sold.portfolio) == {}
    ledger.withdraw(sold.floor, SYSTEM, sold.portfolio, str(proceeds), "k")
    assert sold.cash()[0] == 0
    sold.check()


def test_unsettled_proceeds_buy_again_at_once(sold: TradingFloor) -> None:
    ledger.withdraw(sold.floor, SYSTEM, sold.portfolio, str(sold.cash()[0] - Decimal("9998.00")), "k")
    sold.accepted("buy", "50")
    sold.run_broker()
    assert sold.shares() == (50, 0)


def test_a_withdrawal_that_was_made_answers_its_key_whatever_came_after(sold: TradingFloor) -> None:
    first = ledger.withdraw(sold.floor, SYSTEM, sold.portfolio, "80000.00", "k")
    sold.quote("99.99", "100.00")
    sold.accepted("buy", "99")
    sold.run_broker()
    sold.accepted("sell", "99")
    sold.run_broker()
    assert ledger.withdraw(sold.floor, SYSTEM, sold.portfolio, "80000.00", "k") == first
