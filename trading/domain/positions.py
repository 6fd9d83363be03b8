"""FIFO lots: what was opened when and for how much, and what closing it realises. A short is opened by a sale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trading.domain.money import div_half_even


@dataclass(frozen=True, slots=True)
class FillId:
    """A fill's identity: order, input and count within the input."""

    order_id: int
    input_seq: int
    n: int


@dataclass(frozen=True, slots=True)
class Lot:
    """What one opening fill opened; ``remaining_*`` is what is left.

    ``cost`` in minor units is what was paid, notional plus fee; of a ``short`` lot what was received, notional less fee
    (below zero where the fee was more).
    """

    opened_by: FillId
    acquired_ts_ns: int
    quantity_lots: int
    remaining_lots: int
    cost: int
    remaining_cost: int
    short: bool = False


@dataclass(frozen=True, slots=True)
class LotClose:
    """A part of a lot that was closed: what was paid for it and what was received.

    Of a long the cost is the lot's and the proceeds are its share of the sale's; of a short it is the other way round.
    """

    opened_by: FillId
    quantity_lots: int
    cost: int
    proceeds: int

    @property
    def realised(self) -> int:
        """Realised profit or loss in minor units."""
        return self.proceeds - self.cost


def open_lot(fill: FillId, ts_ns: int, quantity_lots: int, notional: int, fee: int, *, short: bool = False) -> Lot:
    """The lot of an opening fill: of a purchase, or of a ``short`` sale."""
    cost = notional - fee if short else notional + fee
    return Lot(fill, ts_ns, quantity_lots, quantity_lots, cost, cost, short)


def close_fifo(lots: Sequence[Lot], quantity_lots: int, amount: int) -> tuple[list[Lot], list[LotClose]]:
    """Close ``quantity_lots`` out of ``lots``, oldest first; returns the lots left and what was closed.

    ``amount`` is what a sale brought (notional less fee), or what buying shorts back cost (notional plus fee). The
    lot's side of a part is prorated half-even on what remains, so that a lot's parts sum to its cost; ``amount`` is
    prorated on the running total, so that the parts sum to it. Raises ValueError when there is less than is closed.
    """
    left, shared, done = quantity_lots, 0, 0
    after: list[Lot] = []
    closes: list[LotClose] = []
    for at, lot in enumerate(lots):
        if left == 0:
            after += lots[at:]
            break
        taken = min(left, lot.remaining_lots)
        own = div_half_even(lot.remaining_cost * taken, lot.remaining_lots)
        left -= taken
        done += taken
        share = div_half_even(amount * done, quantity_lots) - shared
        shared += share
        cost, proceeds = (share, own) if lot.short else (own, share)
        closes.append(LotClose(lot.opened_by, taken, cost, proceeds))
        if taken < lot.remaining_lots:
            after.append(
                replace(lot, remaining_lots=lot.remaining_lots - taken, remaining_cost=lot.remaining_cost - own)
            )
    if left:
        raise ValueError(f"{left} lots more closed than held")
    return after, closes
