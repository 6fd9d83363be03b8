"""Corporate actions: what a split or a cash dividend does to lots, cash and open orders. Pure, in integers.

A split multiplies every position; what is less than a whole lot is paid in cash at the reference price, the last price
before it. Lots keep their acquisition and together their cost. A forward split leaves open orders their notional:
prices of purchases are rounded down, of sales up, to a tick, quantities down to a lot, and a purchase is made smaller
where its fees would need more than is held. A reverse split cancels them (FINRA Rule 5330, as brokers apply it). A
dividend is paid on what is held when the ex-date's session opens, shorts pay it; open buy limits and sell stops are
lowered by it, rounded up to a tick (the same rule).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from trading.domain.instruments import Instrument
from trading.domain.ledger import OpenOrder, Transfer, shared_hold
from trading.domain.money import div_half_even
from trading.domain.orders import CONDITIONAL, GroupRole, OrderState, OrderType, Side, Terms
from trading.domain.positions import Lot

_MILLION = 1_000_000
_WHOLE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Action:
    """A split (``ratio`` new for one old) or a cash dividend (``dividend`` units of currency a share), never both.

    ``reference_ticks`` is the price before a split at which fractions are paid; ``tax_ppm`` is withheld of a dividend.
    """

    id: int
    instrument_id: int
    ratio: Fraction = _WHOLE
    reference_ticks: int = 0
    dividend: Decimal = Decimal(0)
    tax_ppm: int = 0


@dataclass(frozen=True, slots=True)
class ActionAccounts:
    """The floor's own accounts that an action on one instrument touches."""

    shares: int
    cash: int
    dividends: int
    taxes: int


@dataclass(frozen=True, slots=True)
class Position:
    """A position as the ledger has it: its accounts and its open lots, all long or all short."""

    portfolio_id: int
    instrument: Instrument
    cash_account: int
    asset_account: int
    lots: tuple[Lot, ...]


@dataclass(frozen=True, slots=True)
class LotChange:
    """A lot before and after a split."""

    before: Lot
    after: Lot


@dataclass(frozen=True, slots=True)
class Effect:
    """What an action does to one holding.

    ``cash`` is what came in (negative: was paid) before ``tax`` was withheld. ``dropped`` is the cost of a position of
    which less than one lot was left: it is gone, and what was paid for the fraction is all that came of it.
    """

    holding: Position
    lots_before: int
    lots_after: int
    cash: int
    tax: int
    dropped: int
    lots: tuple[LotChange, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    posted: Mapping[int, int] = field(default_factory=dict)


def split_lots(lots: Sequence[Lot], ratio: Fraction) -> list[Lot]:
    """Lots after a split: quantities on the running total rounded down, so that they sum to the whole lots left.

    A lot that keeps nothing hands its cost to the next one, the last to the one before it. Where nothing at all is left
    every lot is empty and without cost.
    """
    after: list[Lot] = []
    before, given, carried = 0, 0, 0
    for lot in lots:
        before += lot.remaining_lots
        kept = int(before * ratio) - given
        given += kept
        cost = lot.remaining_cost + carried
        carried = 0 if kept else cost
        after.append(_lot_of(lot, kept, cost if kept else 0))
    last = next((at for at in reversed(range(len(after))) if after[at].remaining_lots), None)
    if carried and last is not None:
        after[last] = _lot_of(lots[last], after[last].remaining_lots, after[last].remaining_cost + carried)
    return after


def _lot_of(lot: Lot, kept: int, cost: int) -> Lot:
    """What was closed of a lot stays closed: its quantity and cost change by what the rest of it changes."""
    return replace(
        lot,
        quantity_lots=lot.quantity_lots + kept - lot.remaining_lots,
        remaining_lots=kept,
        cost=lot.cost + cost - lot.remaining_cost,
        remaining_cost=cost,
    )


def dividend_of(instrument: Instrument, dividend: Decimal, lots: int) -> int:
    """Minor units that a dividend a share is on a number of lots, half-even."""
    a_lot = dividend * instrument.lot_size * Decimal(10) ** instrument.currency.scale
    numerator, denominator = a_lot.as_integer_ratio()
    return div_half_even(lots * numerator, denominator)


def fraction_of(instrument: Instrument, lots: int, ratio: Fraction, reference_ticks: int) -> int:
    """Minor units paid for what is less than a whole new lot, at the price before the split, half-even."""
    exact = lots * ratio
    return instrument.value(reference_ticks, (exact - int(exact)) / ratio)


def apply(action: Action, holding: Position, floor: ActionAccounts) -> Effect:
    """What an action does to a holding, which must have lots."""
    instrument, lots = holding.instrument, list(holding.lots)
    held, sign = sum(lot.remaining_lots for lot in lots), -1 if lots[0].short else 1
    if action.ratio == 1:
        gross = dividend_of(instrument, action.dividend, held)
        tax = div_half_even(gross * action.tax_ppm, _MILLION) if sign > 0 else 0
        moved = [
            _transfer(floor.dividends, holding.cash_account, instrument.currency.id, sign * gross, "dividend"),
            _transfer(holding.cash_account, floor.taxes, instrument.currency.id, tax, "tax"),
        ]
        posted = {holding.cash_account: sign * gross - tax}
        return Effect(holding, sign * held, sign * held, sign * gross, tax, 0, (), _some(moved), posted)
    after = split_lots(lots, action.ratio)
    left = sum(lot.remaining_lots for lot in after)
    cash = sign * fraction_of(instrument, held, action.ratio, action.reference_ticks)
    cost = sum(lot.remaining_cost for lot in lots)
    change = sign * (left - held)
    moved = [
        _transfer(floor.shares, holding.asset_account, instrument.asset.id, change, "split"),
        _transfer(floor.cash, holding.cash_account, instrument.currency.id, cash, "split"),
    ]
    return Effect(
        holding,
        sign * held,
        sign * left,
        cash,
        0,
        0 if left else cost,
        tuple([LotChange(*pair) for pair in zip(lots, after, strict=True)]),
        _some(moved),
        {holding.asset_account: change, holding.cash_account: cash},
    )


def _transfer(debit: int, credit: int, asset: int, amount: int, kind: str) -> Transfer:
    if amount < 0:
        debit, credit = credit, debit
    return Transfer(debit, credit, asset, abs(amount), kind)


def _some(transfers: Sequence[Transfer]) -> tuple[Transfer, ...]:
    return tuple([transfer for transfer in transfers if transfer.amount])


# Open orders --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Orders:
    """What becomes of open orders: those that end, and the others that change, as they are afterwards."""

    cancelled: tuple[int, ...]
    changed: tuple[OpenOrder, ...]


def lowered_ticks(action: Action, instrument: Instrument) -> int:
    """How far a dividend lowers prices: rounded up to a tick, 0 for a split."""
    ticks, rest = divmod(action.dividend, instrument.tick_size)
    return int(ticks) + (rest > 0)


def adjust(action: Action, orders: Sequence[OpenOrder]) -> Orders:
    """What an action makes of the open orders of its instrument, by id."""
    orders = sorted(orders, key=lambda order: order.id)
    if action.ratio < 1:
        return Orders(tuple([order.id for order in orders]), ())
    if action.ratio == 1:
        return _lowered(action, orders)
    changed: dict[int, OpenOrder] = {}
    for holder in dict.fromkeys(order.holder_id for order in orders if not order.is_exit):
        changed.update(_split_sharing([o for o in orders if o.holder_id == holder and not o.is_exit], action.ratio))
    entries = {order.group_id: order for order in changed.values() if order.role is GroupRole.ENTRY}
    cancelled = [order.id for order in changed.values() if order.open_lots <= 0]
    for order in orders:
        if order.is_exit:
            entry = entries.get(order.group_id)
            planned = 0 if entry is None else entry.open_lots
            changed[order.id] = _split(order, action.ratio, int(order.open_lots * action.ratio), planned)
    rest = [order for key, order in sorted(changed.items()) if key not in cancelled]
    return Orders(tuple(cancelled), tuple(rest))


def _split_sharing(orders: Sequence[OpenOrder], ratio: Fraction) -> dict[int, OpenOrder]:
    """One order, or two of which any may trade: as many lots as what is held for them covers, whatever their fees."""
    first = orders[0]
    low, high = 0, max(int(order.open_lots * ratio) for order in orders)

    def of(lots: int) -> list[OpenOrder]:
        return [_split(order, ratio, min(lots, int(order.open_lots * ratio)), 0) for order in orders]

    def fits(lots: int) -> bool:
        cash, _ = shared_hold(first.instrument, first.side, [order.needed for order in of(lots)], first.margin)
        return cash <= first.cash.left

    if first.opens and not fits(high):
        while low < high:
            lots = (low + high + 1) // 2
            low, high = (lots, high) if fits(lots) else (low, lots - 1)
    return {order.id: order for order in of(high)}


def _split(order: OpenOrder, ratio: Fraction, open_lots: int, planned: int) -> OpenOrder:
    terms, buys = order.terms, order.side is Side.BUY

    def price(ticks: int | None) -> int | None:
        return None if ticks is None else max(1, int(ticks / ratio) if buys else -int(-ticks // ratio))

    trail = None if terms.trail is None else max(1, round(terms.trail / ratio))
    after = Terms(
        terms.type,
        price(terms.protection_ticks) or 1,
        price(terms.limit_ticks),
        price(terms.stop_ticks),
        trail,
        terms.trail_ppm,
    )
    margin = order.margin
    if margin is not None:
        margin = replace(margin, reserve_ticks=-int(-margin.reserve_ticks // ratio))
    quantity = order.filled_lots + open_lots + planned
    return replace(order, terms=after, quantity_lots=quantity, planned_lots=planned, margin=margin)


def _lowered(action: Action, orders: Sequence[OpenOrder]) -> Orders:
    cancelled: list[int] = []
    changed: list[OpenOrder] = []
    for order in orders:
        by = lowered_ticks(action, order.instrument)
        if not by or not _is_lowered(order):
            continue
        terms, worst = order.terms, order.terms.protection_ticks - by
        sells = order.side is Side.SELL
        after = replace(
            terms,
            # A stop that sells at the market: its worst price follows as far as there are prices.
            protection_ticks=max(1, worst) if terms.limit_ticks is None else worst,
            limit_ticks=None if terms.limit_ticks is None else terms.limit_ticks - by,
            stop_ticks=terms.stop_ticks - by if sells and terms.stop_ticks is not None else terms.stop_ticks,
        )
        prices = (after.protection_ticks, after.limit_ticks, after.stop_ticks)
        if min(ticks for ticks in prices if ticks is not None) <= 0:
            cancelled.append(order.id)
        else:
            changed.append(replace(order, terms=after))
    return Orders(tuple(cancelled), tuple(changed))


def _is_lowered(order: OpenOrder) -> bool:
    """Purchases with a limit in force, and sales that wait for a stop price."""
    waits = order.state is OrderState.PENDING_TRIGGER
    if order.side is Side.SELL:
        return waits and order.terms.type in CONDITIONAL
    return order.terms.type is OrderType.LIMIT or (order.terms.type is OrderType.STOP_LIMIT and not waits)
