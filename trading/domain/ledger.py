"""What each event posts. A transfer moves an amount of one asset from its debit account to its credit account."""

from dataclasses import dataclass, replace

from trading.domain.instruments import Instrument
from trading.domain.orders import OrderState, Side


@dataclass(frozen=True, slots=True)
class Transfer:
    """One row of the ledger."""

    debit_id: int
    credit_id: int
    asset_id: int
    amount: int
    kind: str


@dataclass(frozen=True, slots=True)
class Hold:
    """What is left of an order's reservation on one account, in minor units."""

    account_id: int
    left: int


@dataclass(frozen=True, slots=True)
class FloorAccounts:
    """The floor's own accounts that a fill of one instrument touches."""

    market_cash: int
    market_asset: int
    fees: int


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """The accounting of an order that can still fill. Totals are cumulative over its fills."""

    id: int
    portfolio_id: int
    instrument: Instrument
    side: Side
    quantity_lots: int
    filled_lots: int
    price_lots_sum: int
    notional: int
    fee: int
    state: OrderState
    cash: Hold
    asset: Hold


@dataclass(frozen=True, slots=True)
class HoldUse:
    """How a hold changes: used by a fill, released to the account."""

    leg: str
    account_id: int
    used: int
    released: int
    resolved: bool


@dataclass(frozen=True, slots=True)
class Posting:
    """All that one fill (or the end of an order) does to the ledger.

    ``balances`` maps account ids to (change of posted, change of held).
    """

    order: OpenOrder
    notional: int
    fee: int
    transfers: tuple[Transfer, ...]
    uses: tuple[HoldUse, ...]
    balances: dict[int, tuple[int, int]]


def post_fill(order: OpenOrder, price_ticks: int, lots: int, floor: FloorAccounts) -> Posting:
    """Post one fill: cash against shares, the fee, and the hold's part; a completed order's holds are released.

    Cash and fee are rounded half-even on the order's cumulative totals, so that many small fills cost what one would.
    Raises ValueError when the fill is larger than what is open.
    """
    filled = order.filled_lots + lots
    if lots <= 0 or filled > order.quantity_lots:
        raise ValueError(f"order {order.id}: fill of {lots} with {order.quantity_lots - order.filled_lots} open")
    price_lots_sum = order.price_lots_sum + price_ticks * lots
    notional_total = order.instrument.notional(price_lots_sum)
    fee_total = order.instrument.fee.total(filled, notional_total)
    notional, fee = notional_total - order.notional, fee_total - order.fee
    complete = filled == order.quantity_lots
    state = OrderState.FILLED if complete else OrderState.PARTIALLY_FILLED
    if not complete and order.state is OrderState.CANCEL_PENDING:
        state = OrderState.CANCEL_PENDING  # the fill overtook the cancel, which is still to come
    cash, asset, currency = order.cash.account_id, order.asset.account_id, order.instrument.currency.id
    shares = order.instrument.asset.id
    if order.side is Side.BUY:
        trade = (
            Transfer(cash, floor.market_cash, currency, notional, "trade"),
            Transfer(floor.market_asset, asset, shares, lots, "trade"),
        )
        posted_cash, posted_asset, used_cash, used_asset = -notional - fee, lots, notional + fee, 0
    else:
        trade = (
            Transfer(floor.market_cash, cash, currency, notional, "trade"),
            Transfer(asset, floor.market_asset, shares, lots, "trade"),
        )
        posted_cash, posted_asset, used_cash, used_asset = notional - fee, -lots, min(fee, order.cash.left), lots
    transfers = (*trade, Transfer(cash, floor.fees, currency, fee, "fee"))
    after = replace(
        order,
        filled_lots=filled,
        price_lots_sum=price_lots_sum,
        notional=notional_total,
        fee=fee_total,
        state=state,
        cash=replace(order.cash, left=order.cash.left - used_cash),
        asset=replace(order.asset, left=order.asset.left - used_asset),
    )
    uses, after = _use(after, used_cash, used_asset, release=complete)
    held = {use.account_id: -use.used - use.released for use in uses}
    balances = {
        cash: (posted_cash, held.get(cash, 0)),
        asset: (posted_asset, held.get(asset, 0)),
    }
    kept = tuple(transfer for transfer in transfers if transfer.amount > 0)
    return Posting(after, notional, fee, kept, uses, balances)


def post_end(order: OpenOrder, state: OrderState) -> Posting:
    """An order ends without (further) fills: what its holds still reserve goes back."""
    uses, after = _use(replace(order, state=state), 0, 0, release=True)
    balances = {use.account_id: (0, -use.released) for use in uses}
    return Posting(after, 0, 0, (), uses, balances)


def _use(order: OpenOrder, cash: int, asset: int, *, release: bool) -> tuple[tuple[HoldUse, ...], OpenOrder]:
    uses = []
    for leg, hold, used in (("cash", order.cash, cash), ("asset", order.asset, asset)):
        released = hold.left if release else 0
        if hold.left < 0:
            raise ValueError(f"order {order.id}: the {leg} hold is short by {-hold.left}")
        # A hold that never was (a buy holds no shares) has nothing left and nothing used.
        if used or released or (release and hold.left):
            uses.append(HoldUse(leg, hold.account_id, used, released, resolved=release or hold.left == 0))
    if release:
        order = replace(order, cash=replace(order.cash, left=0), asset=replace(order.asset, left=0))
    return tuple(uses), order
