"""Backtest on bars: a strategy's targets traded through the exchange engine that paper trading uses.

A bar is shown to the exchange as what it was at its open: a quote around the opening price whose sizes are a share of
the bar's volume. Orders are decided at a bar's close, wait, and meet the next bar's opening quote. So a signal made on
bar N trades at the open of bar N+1, never on data older than the order; what a bar displays is used once; nothing
trades beyond its protection price; the rest of an order waits for the next bar. Fees, rounding and lots are the
ledger's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trading.backtest.account import Account
from trading.backtest.actions import CorporateAction, corporate_actions
from trading.backtest.metrics import measure
from trading.backtest.result import BacktestResult, BarFill, Costs
from trading.domain.errors import Invalid
from trading.domain.instruments import Instrument
from trading.domain.money import Asset, minor_to_decimal
from trading.domain.positions import FillId
from trading.domain.risk import protection_ticks
from trading.exchange.engine import Engine
from trading.exchange.messages import (
    Body,
    Cancel,
    Closed,
    Direction,
    Event,
    Filled,
    Gap,
    Input,
    Submit,
    Tick,
)
from trading.ml.features import adjusted
from trading.strategy.sdk import Bar, Context, S, Strategy, Target
from trading.strategy.sizing import PPM, affordable_lots, change, target_lots

_QUOTE = 1
BAR_COLUMNS = ("ts", "open", "high", "low", "close", "volume", "adj_close")


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar of one symbol: raw prices in ticks for fills, adjusted ones in ``bar`` for the strategy."""

    open_ticks: int
    close_ticks: int
    volume_lots: int
    action: CorporateAction | None
    bar: Bar | None


def opening_quote(key: int, seq: int, ts_ns: int, row: _Row, costs: Costs) -> Tick:
    """What a bar offers at its open: the half spread on each side of the price, a share of its volume as size."""
    half = max(1, row.open_ticks * costs.half_spread_ppm // PPM)
    lots = row.volume_lots * costs.volume_share_ppm // PPM
    bid = row.open_ticks - half
    return Tick(
        instrument_id=key,
        kind=_QUOTE,
        aggressor=0,
        seq=seq,
        ts_ns=ts_ns,
        bid_ticks=max(bid, 0),
        ask_ticks=row.open_ticks + half,
        bid_lots=lots if bid > 0 else 0,
        ask_lots=lots,
        trade_ticks=0,
        trade_lots=0,
    )


class _Run:
    """One backtest in progress: the exchange, the account, and what the strategy remembers."""

    def __init__(self, instruments: Mapping[str, Instrument], cash: int, costs: Costs) -> None:
        self.costs = costs
        self.keys = {symbol: key for key, symbol in enumerate(sorted(instruments), start=1)}
        self.account = Account(instruments, cash)
        self.exchange = Engine()
        self.marks: dict[str, int] = {}
        self.fills: list[BarFill] = []

    def feed(self, ts_ns: int, body: Body) -> None:
        """One input to the exchange; its events go to the account."""
        for event in self.exchange.apply(Input(self.exchange.seq + 1, ts_ns, body)):
            self._take(ts_ns, event)

    def _take(self, ts_ns: int, event: Event) -> None:
        if isinstance(event, Filled):
            fill = FillId(event.order_id, self.exchange.seq, event.n)
            self.fills.append(self.account.fill(fill, event.price_ticks, event.lots, ts_ns))
        elif isinstance(event, Closed):
            self.account.end_order(event.order_id)

    def opens(self, ts_ns: int, rows: Mapping[str, _Row]) -> None:
        """Splits and dividends first, then the opening quotes, which fill what waits; then the quotes are over."""
        for symbol, row in rows.items():
            if row.action is not None:
                self._act(ts_ns, symbol, row.action, row.open_ticks)
        for symbol, row in rows.items():
            seq = self.exchange.seq + 1
            self.feed(ts_ns, opening_quote(self.keys[symbol], seq, ts_ns, row, self.costs))
            self.marks[symbol] = row.close_ticks
        self.feed(ts_ns, Gap("the opening quotes are over"))

    def _act(self, ts_ns: int, symbol: str, action: CorporateAction, open_ticks: int) -> None:
        order = self.account.working.get(symbol)
        self.account.apply_action(symbol, action, open_ticks)
        if order is not None and action.ratio != 1:
            self.feed(ts_ns, Cancel(order.book.id))
            if action.ratio > 1:  # the order keeps its notional; a reverse split cancels it
                limit = max(1, int(order.protection_ticks / action.ratio))
                self._send(ts_ns, symbol, int(order.signed_remaining * action.ratio), limit, order.reason)

    def wants(self, ts_ns: int, target: Target, equity: int) -> None:
        """Turn a target into an order for what is missing, unless a working order is already on its way there."""
        instrument = self.account.instruments.get(target.symbol)
        price = self.marks.get(target.symbol)
        if instrument is None or price is None:
            raise Invalid(f"no bar of {target.symbol} has been seen", "unknown_symbol")
        held = self.account.position(target.symbol)
        wanted = target_lots(instrument, equity, target.weight, price)
        order = self.account.working.get(target.symbol)
        needed = change(wanted, held, order.signed_remaining if order is not None else 0, self.costs.rebalance_ppm)
        if needed.cancel and order is not None:
            self.feed(ts_ns, Cancel(order.book.id))
        missing, buying = needed.lots, needed.lots > 0
        limit = protection_ticks(buying, price, self.costs.band_ppm)
        if buying:
            missing = min(missing, affordable_lots(instrument, self.account.available(), limit))
        self._send(ts_ns, target.symbol, missing, limit, target.reason)

    def _send(self, ts_ns: int, symbol: str, signed_lots: int, limit: int, reason: str) -> None:
        if signed_lots == 0:
            return
        order = self.account.open_order(symbol, signed_lots, limit, reason)
        direction: Direction = 1 if signed_lots > 0 else -1
        order_id, key = order.book.id, self.keys[symbol]
        self.feed(ts_ns, Submit(order_id, 1, 1, key, direction, True, "gtc", abs(signed_lots), limit))


def run(
    strategy: Strategy[S],
    bars: Mapping[str, pd.DataFrame],
    instruments: Mapping[str, Instrument],
    *,
    cash: int,
    currency: Asset,
    costs: Costs | None = None,
    periods_per_year: float = 252.0,
) -> BacktestResult:
    """Run a strategy over bars, in a cash account that starts with ``cash`` minor units.

    ``bars``: a frame a symbol, ordered by ``ts`` without duplicates: ts (datetime64[ns, UTC], bar start), raw open,
    high, low, close, volume, adj_close where known; every further column is a signal of that name, NaN where it was not
    known. Raises `Invalid` where a symbol has no bars or no instrument, or an instrument another currency.
    """
    for symbol in strategy.symbols:
        if symbol not in bars or symbol not in instruments or bars[symbol].empty:
            raise Invalid(f"{symbol} has no bars or no instrument", "unknown_symbol")
        if instruments[symbol].currency != currency:
            raise Invalid(f"{symbol} is not traded in {currency.code}", "other_currency")
    chosen = {symbol: instruments[symbol] for symbol in strategy.symbols}
    trade = _Run(chosen, cash, costs or Costs())
    state = strategy.start()
    curve: list[tuple[int, int, int, int]] = []
    for ts_ns, rows in _timeline({symbol: bars[symbol] for symbol in sorted(chosen)}, chosen):
        trade.opens(ts_ns, rows)
        worth = trade.account.value(trade.marks)
        equity = trade.account.cash + worth
        curve.append((ts_ns, equity, trade.account.cash, worth))
        context = _context(trade.account, ts_ns, equity, currency)
        for row in rows.values():
            if row.bar is None:
                continue
            step = strategy.on_bar(context, state, row.bar)
            state = step.state
            for target in step.targets:
                trade.wants(ts_ns, target, equity)
    return _result(strategy.name, trade, curve, bars, currency, periods_per_year)


def _context(account: Account, ts_ns: int, equity: int, currency: Asset) -> Context:
    held = {symbol: account.position(symbol) for symbol in account.instruments}
    positions = {symbol: account.instruments[symbol].quantity(lots) for symbol, lots in held.items() if lots}
    return Context(
        ts_ns, minor_to_decimal(equity, currency.scale), minor_to_decimal(account.cash, currency.scale), positions
    )


def _timeline(
    bars: Mapping[str, pd.DataFrame], instruments: Mapping[str, Instrument]
) -> Iterator[tuple[int, Mapping[str, _Row]]]:
    """Rows of all symbols by time, then by symbol."""
    by_time: dict[int, dict[str, _Row]] = {}
    for symbol, frame in bars.items():
        for ts_ns, row in _rows(symbol, frame, instruments[symbol]):
            by_time.setdefault(ts_ns, {})[symbol] = row
    for ts_ns in sorted(by_time):
        yield ts_ns, by_time[ts_ns]


def _rows(symbol: str, frame: pd.DataFrame, instrument: Instrument) -> Iterator[tuple[int, _Row]]:
    tick, lot = float(instrument.tick_size), float(instrument.lot_size)
    opens, closes = (_ticks(frame[name], tick) for name in ("open", "close"))
    volume = np.floor(np.nan_to_num(frame["volume"].to_numpy(dtype=float)) / lot).astype(np.int64)
    actions = {action.ts_ns: action for action in corporate_actions(frame)}
    basis = adjusted(frame)
    names = [name for name in frame.columns if name not in BAR_COLUMNS]
    signals = [dict(zip(names, values, strict=True)) for values in frame[names].to_numpy(dtype=float)]
    prices = basis[["open", "high", "low", "close", "volume"]].to_numpy(dtype=float)
    times = frame["ts"].dt.as_unit("ns").astype("int64").to_numpy()
    for i in range(len(frame)):
        ts_ns = int(times[i])
        known = {name: float(value) for name, value in signals[i].items() if value == value}  # NaN is not itself
        first, high, low, last, traded = (float(value) for value in prices[i])
        # A bar that cannot be adjusted is traded and marked, but a strategy would see a move that was none.
        bar = Bar(symbol, ts_ns, first, high, low, last, traded, known) if last == last else None
        yield ts_ns, _Row(int(opens[i]), int(closes[i]), int(volume[i]), actions.get(ts_ns), bar)


def _ticks(prices: pd.Series, tick: float) -> NDArray[np.int64]:
    """Whole ticks, half-even: research data may be finer than a tick (old fractional quotes), orders never are."""
    # 599.985 / 0.01 is 59998.49999999999: the half is restored before it is rounded.
    ticks: NDArray[np.float64] = np.rint(np.round(prices.to_numpy(dtype=float) / tick, 6))
    return np.maximum(1, ticks).astype(np.int64)


def _result(
    name: str,
    trade: _Run,
    curve: list[tuple[int, int, int, int]],
    bars: Mapping[str, pd.DataFrame],
    currency: Asset,
    periods_per_year: float,
) -> BacktestResult:
    equity = pd.DataFrame(curve, columns=["ts", "equity", "cash", "positions"])
    times = equity["ts"].to_numpy(dtype=np.int64)
    equity["ts"] = _utc(equity["ts"])
    chosen = {symbol: bars[symbol] for symbol in sorted(trade.account.instruments)}
    equity["benchmark"] = buy_and_hold(chosen, equity["ts"], curve[0][1])
    metrics = measure(
        times,
        equity["equity"].to_numpy(dtype=np.int64),
        [fill.notional for fill in trade.fills],
        [fill.fee for fill in trade.fills],
        trade.account.profits,
        periods_per_year=periods_per_year,
    )
    return BacktestResult(name, currency, equity, _fill_table(trade), _action_table(trade), metrics)


def _fill_table(trade: _Run) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "ts": [fill.ts_ns for fill in trade.fills],
            "order_id": [fill.order_id for fill in trade.fills],
            "symbol": [fill.symbol for fill in trade.fills],
            "side": [str(fill.side) for fill in trade.fills],
            "price": [float(trade.account.instruments[f.symbol].price(f.price_ticks)) for f in trade.fills],
            "price_ticks": [fill.price_ticks for fill in trade.fills],
            "quantity_lots": [fill.quantity_lots for fill in trade.fills],
            "notional": [fill.notional for fill in trade.fills],
            "fee": [fill.fee for fill in trade.fills],
            "reason": [fill.reason for fill in trade.fills],
        }
    )
    return table.assign(ts=_utc(table["ts"]))


def _action_table(trade: _Run) -> pd.DataFrame:
    actions = trade.account.actions
    table = pd.DataFrame(
        {
            "ts": [action.ts_ns for action in actions],
            "symbol": [action.symbol for action in actions],
            "ratio": [str(action.ratio) for action in actions],
            "dividend": [str(action.dividend) for action in actions],
            "cash": [action.cash for action in actions],
        }
    )
    return table.assign(ts=_utc(table["ts"]))


def _utc(ts_ns: pd.Series) -> pd.Series:
    return pd.to_datetime(ts_ns.astype("int64"), unit="ns", utc=True).dt.as_unit("ns")


def buy_and_hold(bars: Mapping[str, pd.DataFrame], ts: pd.Series, cash: int) -> pd.Series:
    """The start in equal parts of all symbols, each bought at its first close, dividends reinvested, no costs.

    A part waits as cash until its symbol's first bar. Minor units at each ``ts``, int64.
    """
    part = cash / len(bars)
    total = np.zeros(len(ts))
    for frame in bars.values():
        close = pd.Series(adjusted(frame)["close"].to_numpy(dtype=float), index=pd.DatetimeIndex(frame["ts"]))
        growth = close.reindex(pd.DatetimeIndex(ts)).ffill() / close.iloc[0]
        total += part * growth.fillna(1.0).to_numpy()
    return pd.Series(np.rint(total).astype(np.int64), index=ts.index)
