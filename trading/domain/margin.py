"""Margin: what positions and open orders require, what is left of it, when a call is made and what is closed. Pure.

All of it is reckoned for one currency: the cash in it and the positions priced in it. Money is minor units, a share of
a value is parts per million (ppm). Requirements are rounded up, values half-even.

Worked example (the defaults): 10,000.00 of cash, 100 shares bought at 150.00. Cash is -5,000.00, the shares are worth
15,000.00, equity is 10,000.00. Initial requirement 50 % = 7,500.00, excess 2,500.00, buying power 5,000.00. At a bid
of 66.00 equity is 1,600.00 and maintenance 25 % = 1,650.00: a margin call. At 62.00 equity is 1,200.00, below the
close-out level 80 % of 1,550.00 = 1,240.00: positions are closed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trading.domain.instruments import Instrument
from trading.domain.orders import Side

PPM = 1_000_000
SHORT_MARKUP_PPM = 1_030_000
"""A short sale is reserved at no less than 3 % above the ask (Alpaca, "Margin and Short Selling")."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a market asks, in ppm of the market value; ``close_out_ppm`` is the part of the maintenance requirement
    below which positions are closed, ``close_band_ppm`` how far through the market that may trade."""

    initial_ppm: int
    maintenance_long_ppm: int
    maintenance_short_ppm: int
    close_out_ppm: int
    close_band_ppm: int = 100_000

    def maintenance_ppm(self, lots: int) -> int:
        """Of a position with this sign."""
        return self.maintenance_long_ppm if lots > 0 else self.maintenance_short_ppm


def policy_of(row: Mapping[str, Any]) -> Policy:
    """A policy by the names of its figures, as rows of ``margin_policy`` have them."""
    return Policy(
        row["initial_ppm"],
        row["maintenance_long_ppm"],
        row["maintenance_short_ppm"],
        row["close_out_ppm"],
        row["close_band_ppm"],
    )


REG_T = Policy(500_000, 250_000, 300_000, 800_000)
"""Initial: Regulation T, 12 CFR 220.12. Maintenance: FINRA rule 4210(c). The close-out level and its
band are the floor's own."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest best bid and ask in ticks, 0 where none is known."""

    bid_ticks: int
    ask_ticks: int

    def closing(self, lots: int) -> int:
        """Where a position with this sign would be closed: longs at the bid, shorts at the ask."""
        return self.bid_ticks if lots > 0 else self.ask_ticks


@dataclass(frozen=True, slots=True)
class Holding:
    """A position, negative when short. ``basis`` is what a long cost or what a short brought, fees included."""

    instrument: Instrument
    lots: int
    policy: Policy
    basis: int = 0

    def value(self, mark: Mark) -> int:
        """Market value, negative for a short."""
        return self.instrument.notional(mark.closing(self.lots) * self.lots)

    def unrealised(self, mark: Mark) -> int:
        """Profit or loss if it were closed at the mark, before the fee of closing."""
        return self.value(mark) - self.basis if self.lots > 0 else self.value(mark) + self.basis


@dataclass(frozen=True, slots=True)
class Worth:
    """A margin account at the market: ``value`` of positions (shorts negative), and what is required of its equity."""

    cash: int
    value: int = 0
    initial: int = 0
    maintenance: int = 0
    close_out: int = 0

    @property
    def equity(self) -> int:
        """Cash and what the positions are worth."""
        return self.cash + self.value

    @property
    def excess(self) -> int:
        """Equity beyond the initial requirement, negative where there is less."""
        return self.equity - self.initial

    @property
    def cushion(self) -> int:
        """Equity beyond the maintenance requirement; below zero there is a margin call."""
        return self.equity - self.maintenance


@dataclass(frozen=True, slots=True)
class Close:
    """What is to be closed next."""

    holding: Holding
    lots: int


def part(amount: int, ppm: int) -> int:
    """A share of an amount that is not negative, rounded up."""
    return -(-amount * ppm // PPM)


def assess(cash: int, holdings: Sequence[Holding], marks: Mapping[int, Mark]) -> Worth | None:
    """An account at ``marks`` (by instrument id); None where a position has none: it can't be judged then."""
    value = initial = maintenance = close_out = 0
    for holding in holdings:
        mark = marks.get(holding.instrument.id)
        if mark is None or mark.closing(holding.lots) <= 0:
            return None
        worth, policy = holding.value(mark), holding.policy
        required = part(abs(worth), policy.maintenance_ppm(holding.lots))
        value += worth
        initial += part(abs(worth), policy.initial_ppm)
        maintenance += required
        close_out += part(required, policy.close_out_ppm)
    return Worth(cash, value, initial, maintenance, close_out)


def short_reserve_ticks(ask_ticks: int) -> int:
    """The least at which each lot of a short sale is reserved: the ask and 3 %, rounded up."""
    return part(ask_ticks, SHORT_MARKUP_PPM)


def available(worth: Worth, held: int) -> int:
    """What a new opening order may reserve: the excess that open orders do not hold; never below zero."""
    return max(worth.excess - held, 0)


def buying_power(worth: Worth, held: int, policy: Policy) -> int:
    """The largest value that may be opened in a market of this policy, before fees (Alpaca: excess x leverage).

    >>> buying_power(Worth(cash=-500_000, value=1_500_000, initial=750_000), 0, REG_T)
    500000
    """
    return available(worth, held) * PPM // policy.initial_ppm


def withdrawable(worth: Worth, held: int) -> int:
    """Cash that may leave: no more than is there, and no more than the excess that open orders do not hold.

    >>> withdrawable(Worth(cash=300_000, value=500_000, initial=250_000), 50_000)
    300000
    """
    return max(min(worth.cash, worth.excess - held), 0)


def next_close(
    cash: int, holdings: Sequence[Holding], marks: Mapping[int, Mark], tradable: Collection[int]
) -> Close | None:
    """The position to close next, and as few lots as bring the account back to its maintenance requirement.

    The worst first: the largest unrealised loss, as LEAN's ``DefaultMarginCallModel`` does it ("order by losers
    first"); of equal ones the larger requirement, then the older instrument. Only instruments that are ``tradable`` now
    are looked at. None where equity covers maintenance or nothing can be closed; ValueError where a mark is missing.

    Worked example: AAPL 100 at a loss of 900.00 and MSFT 500 at a gain: AAPL is closed, of it alone what is needed.
    """
    worth = assess(cash, holdings, marks)
    if worth is None:
        raise ValueError("a position has no mark")
    candidates = [holding for holding in holdings if holding.instrument.id in tradable]
    if not candidates or worth.cushion >= 0:
        return None

    def badness(holding: Holding) -> tuple[int, int, int]:
        mark = marks[holding.instrument.id]
        required = part(abs(holding.value(mark)), holding.policy.maintenance_ppm(holding.lots))
        return holding.unrealised(mark), -required, holding.instrument.id

    worst = min(candidates, key=badness)
    others = [holding for holding in holdings if holding is not worst]
    low, high = 1, abs(worst.lots)
    while low < high:  # the cushion after a close grows with what is closed
        lots = (low + high) // 2
        if _cushion_after(cash, worst, lots, others, marks) >= 0:
            high = lots
        else:
            low = lots + 1
    return Close(worst, low)


def _cushion_after(cash: int, holding: Holding, lots: int, others: Sequence[Holding], marks: Mapping[int, Mark]) -> int:
    """The cushion after ``lots`` of a position were closed at its mark, their fee paid."""
    mark = marks[holding.instrument.id]
    signed = lots if holding.lots > 0 else -lots
    traded = holding.instrument.notional(mark.closing(holding.lots) * signed)
    side = Side.SELL if holding.lots > 0 else Side.BUY
    fee = holding.instrument.fee.at_most(side, lots, abs(traded))
    left = replace(holding, lots=holding.lots - signed)
    after = assess(cash + traded - fee, [*others, left] if left.lots else others, marks)
    if after is None:
        raise ValueError("a position has no mark")
    return after.cushion


def quiet_band(cash: int, holdings: Sequence[Holding], marks: Mapping[int, Mark]) -> dict[int, Mark]:
    """Prices within which no position can bring the account below maintenance: ticks inside need no look.

    For each instrument the lowest bid (of a long) and the highest ask (of a short) that are still quiet, 0 on the side
    that does not matter, whatever the others do within theirs: the cushion is shared out evenly. Without a cushion
    every move down or up matters.
    """
    worth = assess(cash, holdings, marks)
    bands: dict[int, Mark] = {}
    if worth is None:
        return bands
    # Each value and requirement is rounded by itself, twice in a comparison.
    share = max(worth.cushion - 4 * len(holdings), 0) // max(len(holdings), 1)
    for holding in holdings:
        lots, mark = abs(holding.lots), marks[holding.instrument.id]
        # A short's requirement grows with its loss; a long's shrinks, which is left aside.
        weight = PPM if holding.lots > 0 else PPM + holding.policy.maintenance_short_ppm
        numerator, denominator = holding.instrument.value_ratio
        move = share * PPM * denominator // (lots * numerator * weight)
        price = mark.closing(holding.lots)
        bands[holding.instrument.id] = Mark(price - move, 0) if holding.lots > 0 else Mark(0, price + move)
    return bands
