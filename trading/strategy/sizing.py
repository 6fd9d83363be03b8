"""From a target weight to whole lots: the same arithmetic for the backtest and for live trading, in integers."""

from decimal import Decimal

from trading.domain.instruments import Instrument

PPM = 1_000_000


def target_lots(instrument: Instrument, equity: int, weight: float, price_ticks: int) -> int:
    """Lots that ``weight`` of ``equity`` (minor units) buys at ``price_ticks``, rounded down.

    The weight is taken to a millionth, so that the same weight gives the same lots on every machine.
    """
    budget = equity * round(weight * PPM) // PPM
    return max(0, most_lots(instrument, budget, price_ticks))


def most_lots(instrument: Instrument, budget: int, price_ticks: int) -> int:
    """The most lots whose notional at ``price_ticks`` stays within ``budget`` minor units, fees not counted."""
    if budget <= 0 or price_ticks <= 0:
        return 0
    value = instrument.tick_size * instrument.lot_size * Decimal(10) ** instrument.currency.scale
    numerator, denominator = value.as_integer_ratio()
    lots = budget * denominator // (price_ticks * numerator)
    # The notional is rounded half-even: half a minor unit too much is possible.
    while lots > 0 and instrument.notional(price_ticks * lots) > budget:
        lots -= 1
    return min(lots, instrument.max_order_lots)


def affordable_lots(instrument: Instrument, cash: int, price_ticks: int) -> int:
    """The most lots that ``cash`` pays for at ``price_ticks`` with fees, as one order."""
    low, high = 0, most_lots(instrument, cash, price_ticks)
    while low < high:  # cost grows with the lots: halve the range
        lots = (low + high + 1) // 2
        notional = instrument.notional(price_ticks * lots)
        if notional + instrument.fee.total(lots, notional) <= cash:
            low = lots
        else:
            high = lots - 1
    return low
