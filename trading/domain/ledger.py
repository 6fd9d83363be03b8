"""What each event posts. A transfer moves an amount of one asset from its debit account to its credit account."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trading.domain.fees import Levy, Line, grown
from trading.domain.instruments import Instrument
from trading.domain.margin import part
from trading.domain.orders import EXITS, GroupRole, OrderState, Side, Terms


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
    """What is left of a reservation on one account, in minor units; 0 where there never was one."""

    account_id: int
    left: int


@dataclass(frozen=True, slots=True)
class FloorAccounts:
    """The floor's own accounts that a fill of one instrument touches."""

    market_cash: int
    market_asset: int
    fees: int
    taxes: int


@dataclass(frozen=True, slots=True)
class OnMargin:
    """An order of a margin portfolio: it opens (or adds to) a position, or it closes one; it never does both.

    One that opens reserves ``reserve_ppm`` of its value as cash, a short sale at ``reserve_ticks`` a lot at least. One
    that closes holds the lots it may close and no cash: getting out must always be possible.
    """

    opens: bool
    reserve_ppm: int = 0
    reserve_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """What an order has traded so far: cumulative lots, price x lots, notional and fee."""

    lots: int = 0
    price_lots_sum: int = 0
    notional: int = 0
    fee: int = 0


NOTHING = Done()


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """The accounting of an order that can still fill. Totals are cumulative over its fills.

    ``maker_price_lots`` is the part of ``price_lots_sum`` that rested in the book.
    ``planned_lots`` of an exit are those that its entry has yet to buy: part of the quantity, not open. Orders that may
    trade in each other's place share one hold, kept under the group's first order; an entry has its own.
    """

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
    terms: Terms
    group_id: int | None = None
    role: GroupRole | None = None
    planned_lots: int = 0
    maker_price_lots: int = 0
    margin: OnMargin | None = None

    @property
    def opens(self) -> bool:
        """Whether it opens a position or adds to one: in a cash portfolio every purchase does and no sale."""
        return self.side is Side.BUY if self.margin is None else self.margin.opens

    @property
    def needed(self) -> tuple[int, int]:
        """Cash and shares that must be held for what it may still trade."""
        terms = self.terms
        return hold_needed(
            self.instrument,
            self.side,
            terms.protection_ticks,
            self.open_lots,
            self.done,
            self.planned_lots,
            self.margin,
        )

    @property
    def open_lots(self) -> int:
        """What may fill now."""
        return self.quantity_lots - self.filled_lots - self.planned_lots

    @property
    def holder_id(self) -> int:
        """The order under which its hold is kept."""
        return self.id if self.group_id is None or self.role is GroupRole.ENTRY else self.group_id

    @property
    def is_exit(self) -> bool:
        """Whether it is sized to the fills of an entry."""
        return self.role in EXITS

    @property
    def done(self) -> Done:
        """What it has traded."""
        return Done(self.filled_lots, self.price_lots_sum, self.notional, self.fee)


@dataclass(frozen=True, slots=True)
class HoldUse:
    """How a hold changes: grown by what an entry bought, used by a fill, released to the account; over at the end."""

    holder_id: int
    leg: str
    account_id: int
    used: int = 0
    released: int = 0
    grown: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class Posting:
    """All that one fill (or the end of an order) does to the ledger. ``posted`` maps account ids to changes.

    ``fee`` is fees and taxes together, ``tax`` the taxes in it; ``lines`` name them where the schedule has charges.
    """

    order: OpenOrder
    notional: int = 0
    fee: int = 0
    tax: int = 0
    lines: tuple[Line, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    uses: tuple[HoldUse, ...] = ()
    posted: dict[int, int] = field(default_factory=dict)


def hold_needed(
    instrument: Instrument,
    side: Side,
    worst_ticks: int,
    open_lots: int,
    done: Done = NOTHING,
    planned_lots: int = 0,
    margin: OnMargin | None = None,
) -> tuple[int, int]:
    """Cash and shares (minor units, lots) that cover all that ``open_lots`` may cost at ``worst_ticks`` or better.

    In a cash portfolio a buy needs price x quantity and the most its fees and taxes can be. A sale needs its shares and
    the part of its fees and taxes that does not depend on the price; the rest comes out of the proceeds. On ``margin``
    an order that opens needs its initial requirement and its fees, one that closes the lots it closes.
    """
    if margin is not None:
        return _reserve(instrument, side, worst_ticks, open_lots, done, margin)
    lots = done.lots + open_lots + planned_lots
    if side is Side.BUY:
        notional = instrument.notional(done.price_lots_sum + worst_ticks * open_lots)
        return notional + instrument.fee.at_most(side, lots, notional) - done.notional - done.fee, 0
    if not instrument.fee.charges:
        return max(instrument.fee.total(side, lots, 0) - done.fee, 0), open_lots
    fixed = instrument.fee.total(side, lots, 0) - instrument.fee.total(side, done.lots, 0)
    return fixed + _shortfall(instrument, worst_ticks) * (open_lots + planned_lots), open_lots


def _shortfall(instrument: Instrument, worst_ticks: int) -> int:
    """What rounding may take beyond the proceeds of one lot sold at ``worst_ticks``; its notional is rounded too."""
    return instrument.fee.shortfall(instrument.notional(worst_ticks) - 1)


def _reserve(
    instrument: Instrument, side: Side, worst_ticks: int, open_lots: int, done: Done, margin: OnMargin
) -> tuple[int, int]:
    """Worked example: 100 lots short, limit 99.00, ask 100.00, 50 %: max(99.00, 103.00) x 100 x 50 % = 5,150.00."""
    if not margin.opens:
        return 0, open_lots
    ticks = worst_ticks if side is Side.BUY else max(worst_ticks, margin.reserve_ticks)
    notional = instrument.notional(ticks * open_lots)
    fee = instrument.fee.at_most(side, done.lots + open_lots, done.notional + notional) - done.fee
    return part(notional, margin.reserve_ppm) + max(fee, 0), 0


def shared_hold(
    instrument: Instrument, side: Side, needs: Sequence[tuple[int, int]], margin: OnMargin | None = None
) -> tuple[int, int]:
    """What covers orders of one side of which any may trade any part: the larger need.

    Each of two can trade a part and be charged its own least fee, and each rounds on its own: in a cash portfolio that
    much more is held.
    """
    cash, asset = max(cash for cash, _ in needs), max(asset for _, asset in needs)
    if margin is not None:
        return cash, asset
    return cash + (len(needs) - 1) * (instrument.fee.again(side) + 2), asset


def post_fill(order: OpenOrder, price_ticks: int, lots: int, floor: FloorAccounts, *, rested: bool = False) -> Posting:
    """Post one fill: cash against shares, fees, taxes, and the hold's part. ``rested`` is a fill as the maker.

    Cash, fees and taxes are rounded half-even on the order's cumulative totals, so that many small fills cost what one
    would.
    Raises ValueError when the fill is larger than what is open, or than what is held.
    """
    filled = order.filled_lots + lots
    if lots <= 0 or lots > order.open_lots:
        raise ValueError(f"order {order.id}: fill of {lots} with {order.open_lots} open")
    price_lots_sum = order.price_lots_sum + price_ticks * lots
    maker_price_lots = order.maker_price_lots + (price_ticks * lots if rested else 0)
    notional_total = order.instrument.notional(price_lots_sum)
    notional = notional_total - order.notional
    fee, lines = _charged(order, filled, notional_total, price_lots_sum, maker_price_lots)
    tax = sum(line.amount for line in lines if line.levy is Levy.TAX)
    state = OrderState.FILLED if filled == order.quantity_lots else OrderState.PARTIALLY_FILLED
    if state is not OrderState.FILLED and order.state is OrderState.CANCEL_PENDING:
        state = OrderState.CANCEL_PENDING  # the fill overtook the cancel, which is still to come
    cash, asset, currency = order.cash.account_id, order.asset.account_id, order.instrument.currency.id
    shares = order.instrument.asset.id
    if order.side is Side.BUY:
        trade = (
            Transfer(cash, floor.market_cash, currency, notional, "trade"),
            Transfer(floor.market_asset, asset, shares, lots, "trade"),
        )
        posted = {cash: -notional - fee, asset: lots}
        used_cash, used_asset = notional + fee, 0
    else:
        trade = (
            Transfer(floor.market_cash, cash, currency, notional, "trade"),
            Transfer(asset, floor.market_asset, shares, lots, "trade"),
        )
        posted = {cash: notional - fee, asset: -lots}
        reserve = _shortfall(order.instrument, order.terms.protection_ticks) * (order.open_lots - lots)
        used_cash = max(0, min(fee, order.cash.left, max(order.cash.left - reserve, fee - notional)))
        used_asset = lots
    after = replace(
        order,
        filled_lots=filled,
        price_lots_sum=price_lots_sum,
        notional=notional_total,
        fee=order.fee + fee,
        maker_price_lots=maker_price_lots,
        state=state,
    )
    if order.margin is not None:
        # What was reserved for these lots is from now on required of the position; cash may become debt.
        used_cash = min(max(order.needed[0] - after.needed[0], 0), order.cash.left)
        used_asset = 0 if order.margin.opens else lots
    for leg, hold, used in (("cash", order.cash, used_cash), ("asset", order.asset, used_asset)):
        if used > hold.left:
            raise ValueError(f"order {order.id}: the {leg} hold is short by {used - hold.left}")
    transfers = (
        *trade,
        Transfer(cash, floor.fees, currency, fee - tax, "fee"),
        Transfer(cash, floor.taxes, currency, tax, "tax"),
    )
    after = replace(
        after, cash=Hold(cash, order.cash.left - used_cash), asset=Hold(asset, order.asset.left - used_asset)
    )
    uses = [
        HoldUse(order.holder_id, leg, account, used=used)
        for leg, account, used in (("cash", cash, used_cash), ("asset", asset, used_asset))
        if used
    ]
    kept = tuple([transfer for transfer in transfers if transfer.amount > 0])
    return Posting(after, notional, fee, tax, lines, kept, tuple(uses), posted)


def _charged(
    order: OpenOrder, lots: int, notional: int, price_lots_sum: int, maker_price_lots: int
) -> tuple[int, tuple[Line, ...]]:
    """Fees and taxes that come with the totals after a fill, and their lines where the schedule has charges."""
    fee, made, made_before = order.instrument.fee, None, None
    if fee.maker_ppm is not None:
        value = order.instrument.notional
        made = value(price_lots_sum - maker_price_lots), value(maker_price_lots)
        made_before = value(order.price_lots_sum - order.maker_price_lots), value(order.maker_price_lots)
    if not fee.charges:
        return fee.total(order.side, lots, notional, made) - order.fee, ()
    before = fee.lines(order.side, order.filled_lots, order.notional, made_before)
    lines = grown(before, fee.lines(order.side, lots, notional, made))
    return sum(line.amount for line in lines), lines


def post_end(order: OpenOrder, state: OrderState) -> Posting:
    """An order ends without (further) fills."""
    return Posting(replace(order, state=state))


def post_growth(order: OpenOrder, lots: int) -> Posting:
    """An entry opened ``lots``: they are held for its exits from now on, so that nothing else can close them."""
    after = replace(order, asset=replace(order.asset, left=order.asset.left + lots))
    return Posting(after, uses=(HoldUse(order.holder_id, "asset", order.asset.account_id, grown=lots),))


def post_release(order: OpenOrder, *, cash: int = 0, asset: int = 0) -> Posting:
    """What a hold does not need any more goes back."""
    uses = (
        HoldUse(order.holder_id, "cash", order.cash.account_id, released=cash),
        HoldUse(order.holder_id, "asset", order.asset.account_id, released=asset),
    )
    after = replace(
        order,
        cash=replace(order.cash, left=order.cash.left - cash),
        asset=replace(order.asset, left=order.asset.left - asset),
    )
    return Posting(after, uses=tuple(use for use in uses if use.released))


def post_over(order: OpenOrder) -> Posting:
    """The last order that a hold served is over: what it still reserves goes back. Nothing asks for the order again."""
    cash, asset = order.cash, order.asset
    uses = (
        HoldUse(order.holder_id, "cash", cash.account_id, released=cash.left, over=True),
        HoldUse(order.holder_id, "asset", asset.account_id, released=asset.left, over=True),
    )
    return Posting(order, uses=uses)
