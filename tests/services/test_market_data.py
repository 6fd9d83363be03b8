"""What screens are told of prices."""

from trading_floor import TradingFloor

from trading.services import market_data


def aapl(floor: TradingFloor) -> market_data.Quote:
    return next(each for each in market_data.quotes(floor.floor, floor.trader) if each.symbol == "AAPL")


def test_a_quote_is_stale_once_it_is_older_than_the_bound(floor: TradingFloor) -> None:
    assert aapl(floor).stale, "there is none"
    floor.quoted("99.99", "100.00")
    floor.clock.advance(market_data.STALE_S)
    assert not aapl(floor).stale
    floor.clock.advance(0.001)
    assert aapl(floor).stale
    floor.quoted("99.99", "100.00")
    assert not aapl(floor).stale
