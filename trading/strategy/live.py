"""A strategy on live ticks: ticks to bars, bars to the strategy of the backtest, its targets to tickets. No I/O.

What a `LiveRun` does depends on the ticks in their order and on the account as it was when a bar closed, which each
`Decision` carries. So the recorded ticks and the recorded decisions give the same tickets again, and a restart is a
rerun. Bars close by ticks alone, never by the clock, and how ticks were batched changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from trading.domain.errors import Inconsistent
from trading.domain.instruments import Instrument
from trading.domain.money import minor_to_decimal
from trading.domain.orders import OrderType, Side, Ticket, TimeInForce
from trading.domain.risk import protection_ticks
from trading.market.bars import FRAME_NAMES, BarBuilder, Bars
from trading.market.ticks import Ticks
from trading.strategy.sdk import Bar, Context, S, Strategy
from trading.strategy.sizing import affordable_lots, change, target_lots


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An open order of the strategy; ``signed_lots`` may still fill, negative for a sale."""

    order_id: str
    symbol: str
    signed_lots: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """The strategy's account as the broker told it: cash and what is free of it in minor units, lots by symbol."""

    cash: int
    available: int
    lots: Mapping[str, int] = field(default_factory=dict)
    working: Sequence[WorkingOrder] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A ticket and the key to send it under, which names bar and symbol: sent again, it is the same order."""

    client_id: str
    ticket: Ticket
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What one closed bar led to: orders to cancel, then tickets. ``ts_ns`` is the bar's start, UTC."""

    symbol: str
    ts_ns: int
    account: AccountView
    cancels: tuple[str, ...]
    tickets: tuple[Sent, ...]


class LiveRun(Generic[S]):
    """One strategy on one account of one currency; at most one order a symbol. Not safe for threads.

    ``band_ppm`` is how far a buy's price may run: cash is counted at that price. ``frame`` is one of
    `trading.market.bars.FRAMES`.
    """

    def __init__(
        self,
        strategy: Strategy[S],
        instruments: Mapping[str, Instrument],
        frame: str = "M1",
        *,
        rebalance_ppm: int = 50_000,
        band_ppm: int = 50_000,
    ) -> None:
        self.strategy = strategy
        self._by_id = {instruments[symbol].id: instruments[symbol] for symbol in strategy.symbols}
        self._by_symbol = {instrument.symbol: instrument for instrument in self._by_id.values()}
        self._frame, self._name = FRAME_NAMES.index(frame), frame
        self._rebalance_ppm, self._band_ppm = rebalance_ppm, band_ppm
        self._builder = BarBuilder()
        self._state = strategy.start()
        self._marks: dict[str, int] = {}

    def feed(self, ticks: Ticks, account: Callable[[], AccountView]) -> Iterator[Decision]:
        """Take ticks in their order of arrival; a decision for each bar they close, before the next is looked at.

        ``account`` is asked once for each such bar.
        """
        closed: Bars = self._builder.add(ticks)
        for row in closed.tolist():
            instrument_id, frame, _, ts_ns, *values = row
            if frame == self._frame and instrument_id in self._by_id:
                yield self._on_bar(self._by_id[instrument_id], ts_ns, values, account())

    def _on_bar(self, instrument: Instrument, ts_ns: int, values: Sequence[int], account: AccountView) -> Decision:
        self._marks[instrument.symbol] = values[3]
        first, high, low, last = (float(instrument.price(ticks)) for ticks in values[:4])
        bar = Bar(instrument.symbol, ts_ns, first, high, low, last, float(instrument.quantity(values[4])))
        equity = self._equity(account)
        held = {symbol: self._by_symbol[symbol].quantity(lots) for symbol, lots in account.lots.items() if lots}
        scale = instrument.currency.scale
        context = Context(ts_ns, minor_to_decimal(equity, scale), minor_to_decimal(account.cash, scale), held)
        step = self.strategy.on_bar(context, self._state, bar)
        self._state = step.state
        wishes = _Wishes(account)
        for target in step.targets:
            wanted, price = self._by_symbol[target.symbol], self._marks.get(target.symbol)
            if price is None:  # no bar of it yet, so nothing to size it by
                continue
            key = f"{self.strategy.name}/{self._name}/{ts_ns}/{instrument.symbol}/{target.symbol}"
            self._bring(wanted, target_lots(wanted, equity, target.weight, price), price, wishes, key, target.reason)
        return Decision(instrument.symbol, ts_ns, account, tuple(wishes.cancels), tuple(wishes.tickets))

    def _bring(self, instrument: Instrument, wanted: int, price: int, wishes: "_Wishes", key: str, reason: str) -> None:
        """What works towards another target is cancelled first; the new order waits for a bar on which it is gone."""
        working = [order for order in wishes.account.working if order.symbol == instrument.symbol]
        held, open_lots = wishes.account.lots.get(instrument.symbol, 0), sum(order.signed_lots for order in working)
        needed = change(wanted, held, open_lots, self._rebalance_ppm)
        if working:
            wishes.cancels += [order.order_id for order in working if needed.cancel]
            return
        lots = needed.lots
        if lots > 0:
            limit = protection_ticks(True, price, self._band_ppm)
            lots = min(lots, affordable_lots(instrument, wishes.free, limit))
            notional = instrument.notional(limit * lots)
            wishes.free -= notional + instrument.fee.at_most(Side.BUY, lots, notional)
        if lots:
            side, quantity = Side.BUY if lots > 0 else Side.SELL, f"{instrument.quantity(abs(lots)):f}"
            ticket = Ticket(
                instrument.symbol, side, OrderType.MARKET, quantity, None, TimeInForce.GTC, instrument.venue
            )
            wishes.tickets.append(Sent(key, ticket, reason))

    def _equity(self, account: AccountView) -> int:
        """Cash and positions at the closes seen so far; what has had no bar yet counts nothing."""
        worth = (
            self._by_symbol[symbol].notional(self._marks[symbol] * lots)
            for symbol, lots in account.lots.items()
            if symbol in self._marks
        )
        return account.cash + sum(worth)


def rerun(run: LiveRun[S], ticks: Ticks, recorded: Sequence[Decision]) -> Iterator[Decision]:
    """The decisions of a fresh ``run`` on recorded ticks with the accounts of recorded decisions.

    Raises `Inconsistent` where more bars close than decisions were recorded.
    """
    accounts = iter([decision.account for decision in recorded])

    def next_account() -> AccountView:
        found = next(accounts, None)
        if found is None:
            raise Inconsistent("the recorded ticks close more bars than decisions were recorded")
        return found

    yield from run.feed(ticks, next_account)


class _Wishes:
    """What one bar leads to as it grows; ``free`` is cash that no ticket of this bar needs."""

    def __init__(self, account: AccountView) -> None:
        self.account, self.free = account, account.available
        self.cancels: list[str] = []
        self.tickets: list[Sent] = []
