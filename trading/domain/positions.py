"""FIFO lots: what was bought when and at what cost, and what a sale realises."""

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
    """What one buying fill opened. ``cost`` is notional plus fee in minor units; ``remaining_*`` is what is left."""

    opened_by: FillId
    acquired_ts_ns: int
    quantity_lots: int
    remaining_lots: int
    cost: int
    remaining_cost: int


@dataclass(frozen=True, slots=True)
class LotClose:
    """A part of a lot that was sold: its cost and its share of the sale's proceeds (notional less fee)."""

    opened_by: FillId
    quantity_lots: int
    cost: int
    proceeds: int

    @property
    def realised(self) -> int:
        """Realised profit or loss in minor units."""
        return self.proceeds - self.cost


def open_lot(fill: FillId, ts_ns: int, quantity_lots: int, notional: int, fee: int) -> Lot:
    """The lot of a buying fill."""
    cost = notional + fee
    return Lot(fill, ts_ns, quantity_lots, quantity_lots, cost, cost)


def close_fifo(lots: Sequence[Lot], quantity_lots: int, proceeds: int) -> tuple[list[Lot], list[LotClose]]:
    """Sell ``quantity_lots`` out of ``lots``, oldest first; returns the lots left and what was closed.

    Cost of a part is prorated half-even on what remains, so that a lot's parts sum to its cost; proceeds are prorated
    on the running total, so that the parts sum to the proceeds. Raises ValueError when there is less than is sold.
    """
    left, shared, done = quantity_lots, 0, 0
    after: list[Lot] = []
    closes: list[LotClose] = []
    for at, lot in enumerate(lots):
        if left == 0:
            after += lots[at:]
            break
        taken = min(left, lot.remaining_lots)
        cost = div_half_even(lot.remaining_cost * taken, lot.remaining_lots)
        left -= taken
        done += taken
        share = div_half_even(proceeds * done, quantity_lots) - shared
        shared += share
        closes.append(LotClose(lot.opened_by, taken, cost, share))
        if taken < lot.remaining_lots:
            after.append(
                replace(lot, remaining_lots=lot.remaining_lots - taken, remaining_cost=lot.remaining_cost - cost)
            )
    if left:
        raise ValueError(f"{left} lots more sold than held")
    return after, closes
