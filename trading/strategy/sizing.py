"""From a target weight to whole lots: the same arithmetic for the backtest and for live trading, in integers."""

from dataclasses import dataclass
from decimal import Decimal

from trading.domain.instruments import Instrument
from trading.domain.orders import Side

PPM = 1_000_000


def target_lots(instrument: Instrument, equity: int, weight: float, price_ticks: int) -> int:
    """Lots that ``weight`` of ``equity`` (minor units) buys at ``price_ticks``, rounded down.

    The weight is taken to a millionth, so that the same weight gives the same lots on every machine.
    """
    budget = equity * round(weight * PPM) // PPM
    return max(0, most_lots(instrument, budget, price_ticks))


@dataclass(frozen=True, slots=True)
class Change:
    """What brings a position to where it is wanted: cancel what works or not, and lots to send, negative to sell."""

    cancel: bool
    lots: int


def change(wanted: int, held: int, working: int, rebalance_ppm: int) -> Change:
    """The change from ``held`` lots with ``working`` signed open ones to ``wanted``.

    Nothing while what is held and works is within ``rebalance_ppm`` of what is wanted: small corrections cost fees.
    """
    if _near(wanted, held + working, rebalance_ppm):
        return Change(False, 0)
    return Change(working != 0, 0 if _near(wanted, held, rebalance_ppm) else wanted - held)


def _near(wanted: int, have: int, rebalance_ppm: int) -> bool:
    return wanted == have or (wanted > 0 and abs(wanted - have) * PPM < wanted * rebalance_ppm)


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
        if notional + instrument.fee.at_most(Side.BUY, lots, notional) <= cash:
            low = lots
        else:
            high = lots - 1
    return low
