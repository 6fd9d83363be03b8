"""The cash account of a backtest: cash, holds, working orders and FIFO lots, by the rules of the floor's ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from trading.backtest.actions import CorporateAction
from trading.backtest.result import BarFill
from trading.domain.actions import dividend_of, split_lots
from trading.domain.instruments import Instrument
from trading.domain.ledger import FloorAccounts, Hold, OpenOrder, post_end, post_fill
from trading.domain.orders import OrderState, OrderType, Side, Terms
from trading.domain.positions import FillId, Lot, close_fifo, open_lot

_CASH, _ASSET, _FLOOR = 1, 2, FloorAccounts(3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Order:
    """A working order: its accounting, its worst price, and why the strategy wanted it."""

    book: OpenOrder
    symbol: str
    protection_ticks: int
    reason: str

    @property
    def signed_remaining(self) -> int:
        """Lots that may still fill, negative for a sale."""
        left = self.book.quantity_lots - self.book.filled_lots
        return left if self.book.side is Side.BUY else -left


@dataclass(frozen=True, slots=True)
class ActionCash:
    """What a corporate action did to a position: cash in minor units for dividend and fractions of a share."""

    ts_ns: int
    symbol: str
    ratio: Fraction
    dividend: Decimal
    cash: int


class Account:
    """Cash in minor units of one currency; no shorts, no borrowing. At most one working order a symbol."""

    def __init__(self, instruments: Mapping[str, Instrument], cash: int) -> None:
        self.instruments = instruments
        self.cash = cash
        self.working: dict[str, Order] = {}
        self.profits: list[int] = []
        self.actions: list[ActionCash] = []
        self._symbols: dict[int, str] = {}
        self._lots: dict[str, list[Lot]] = {symbol: [] for symbol in instruments}

    def available(self) -> int:
        """Cash that no working order holds."""
        return self.cash - sum(order.book.cash.left for order in self.working.values())

    def position(self, symbol: str) -> int:
        """Lots held."""
        return sum(lot.remaining_lots for lot in self._lots[symbol])

    def value(self, marks: Mapping[str, int]) -> int:
        """Market value of all positions at ``marks`` (ticks by symbol), minor units."""
        held = {symbol: self.position(symbol) for symbol in self.instruments}
        return sum(self.instruments[symbol].notional(marks[symbol] * lots) for symbol, lots in held.items() if lots)

    def open_order(self, symbol: str, signed_lots: int, protection_ticks: int, reason: str) -> Order:
        """Take an order: a buy holds protection price × quantity and its fee, a sale holds the shares."""
        instrument, lots = self.instruments[symbol], abs(signed_lots)
        buying = signed_lots > 0
        worst = instrument.notional(protection_ticks * lots)
        book = OpenOrder(
            id=len(self._symbols) + 1,
            portfolio_id=1,
            instrument=instrument,
            side=Side.BUY if buying else Side.SELL,
            quantity_lots=lots,
            filled_lots=0,
            price_lots_sum=0,
            notional=0,
            fee=0,
            state=OrderState.ACCEPTED,
            cash=Hold(_CASH, worst + instrument.fee.at_most(Side.BUY, lots, worst) if buying else 0),
            asset=Hold(_ASSET, 0 if buying else lots),
            terms=Terms(OrderType.MARKET, protection_ticks),
        )
        order = Order(book, symbol, protection_ticks, reason)
        self._symbols[book.id] = symbol
        self.working[symbol] = order
        return order

    def fill(self, fill: FillId, price_ticks: int, lots: int, ts_ns: int) -> BarFill:
        """Post one fill of a working order; a sale closes the oldest lots first."""
        symbol = self._symbols[fill.order_id]
        order = self.working[symbol]
        posting = post_fill(order.book, price_ticks, lots, _FLOOR)
        self.cash += posting.posted[_CASH]
        if order.book.side is Side.BUY:
            self._lots[symbol].append(open_lot(fill, ts_ns, lots, posting.notional, posting.fee))
        else:
            self._lots[symbol], closes = close_fifo(self._lots[symbol], lots, posting.notional - posting.fee)
            self.profits.extend(close.realised for close in closes)
        if posting.order.state is OrderState.FILLED:
            del self.working[symbol]
        else:
            self.working[symbol] = replace(order, book=posting.order)
        return BarFill(
            ts_ns,
            fill.order_id,
            symbol,
            order.book.side,
            price_ticks,
            lots,
            posting.notional,
            posting.fee,
            order.reason,
        )

    def end_order(self, order_id: int) -> None:
        """A working order is over without (further) fills: its hold goes back."""
        order = self.working.pop(self._symbols[order_id])
        post_end(order.book, OrderState.CANCELLED)

    def apply_action(self, symbol: str, action: CorporateAction, open_ticks: int) -> None:
        """A split multiplies shares and keeps costs, fractions are paid at the open; a dividend is cash a new share."""
        lots = self._lots[symbol]
        held = sum(lot.remaining_lots for lot in lots)
        if not held:
            return
        instrument = self.instruments[symbol]
        exact = held * action.ratio
        paid = instrument.value(open_ticks, exact - int(exact))
        if action.ratio != 1:
            self._lots[symbol] = [lot for lot in split_lots(lots, action.ratio) if lot.remaining_lots]
        paid += dividend_of(instrument, action.dividend, int(exact))
        self.cash += paid
        self.actions.append(ActionCash(action.ts_ns, symbol, action.ratio, action.dividend, paid))
