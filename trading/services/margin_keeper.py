"""Margin calls and close-outs, decided by the broker between two inputs and recorded as inputs of their own.

What is decided here depends on cash and policies that no input tells; so a replay takes the recorded inputs (`Margin`,
`Cancel`, `Submit`, `TurnAway`) and decides nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from trading.domain import risk
from trading.domain.ledger import Hold, OnMargin, OpenOrder
from trading.domain.margin import Close
from trading.domain.orders import OrderState, OrderType, Side, Terms
from trading.exchange.engine import Engine
from trading.exchange.messages import BUY, SELL, Body, Cancel, Direction, Event, Filled, Margin, Submit, TurnAway
from trading.market.ticks import Ticks
from trading.services.command_inputs import order_ids
from trading.services.margin_watch import Key, MarginWatch
from trading.services.ports.broker import Batch, BrokerStore, Command, MarginAccount
from trading.services.settlement import Settlement

CHECK_NS = 1_000_000_000
"""Deposits, withdrawals and interest of watched accounts, and new policies, are known at least this soon."""
REREAD_NS = 60_000_000_000
"""All accounts are read again at least this often: one may have come to owe without trading."""
CLOSE_RETRY_NS = 5_000_000_000
"""A close-out that found nothing is tried again after this; a quote must be younger than this to trade against."""


class Sequencer(Protocol):
    """The broker, as far as margin needs it."""

    @property
    def engine(self) -> Engine:
        """The engine as it is now."""
        ...

    @property
    def settlement(self) -> Settlement:
        """The accounting of open orders and lots."""
        ...

    def sequence(self, now_ns: int, body: Body, command_id: int | None = None) -> None:
        """Take one input."""
        ...

    def flush(self, now_ns: int) -> None:
        """Send what is pending, so that its fills are in the books."""
        ...

    def wait(self) -> None:
        """Until what was sent is durable."""
        ...


class MarginKeeper:
    """Watches the margin accounts of one floor for one epoch of its broker."""

    def __init__(self, broker: Sequencer, store: BrokerStore) -> None:
        self._broker, self._store = broker, store
        self._watch = MarginWatch()
        self._read_ns = self._checked_ns = self._policies = 0
        self._orders: dict[int, tuple[int, int]] = {}  # open orders of margin portfolios: portfolio and instrument
        self._filled = False
        self._rows: list[tuple[str, dict[str, Any]]] = []
        self._tried: dict[tuple[int, int], tuple[int, int]] = {}  # quote and time of a position's last close-out
        broker.settlement.on_fill = self._watch.booked

    # What comes in --------------------------------------------------------------------------------------------------

    def load(self, orders: Mapping[int, OpenOrder]) -> None:
        """Orders that are new or that the desk holds more for; those of margin portfolios are remembered."""
        for order in orders.values():
            if order.margin is not None:
                self._orders[order.id] = (order.portfolio_id, order.instrument.id)

    def note(self, events: Sequence[Event]) -> None:
        """What an input caused."""
        if self._orders and not self._filled:
            self._filled = any(isinstance(event, Filled) and event.order_id in self._orders for event in events)

    def stop(self, ticks: Ticks) -> int:
        """How many ticks may be taken before margin has to be looked at."""
        if not (self._orders or self._watch.accounts):
            return len(ticks)
        open_orders = self._broker.settlement.orders
        for order_id in [each for each in self._orders if each not in open_orders]:
            del self._orders[order_id]
        return self._watch.stop(ticks, {instrument_id for _, instrument_id in self._orders.values()})

    def taken(self, now_ns: int, ticks: Ticks) -> None:
        """Ticks were taken."""
        if self._watch.accounts:
            self._see(set(ticks["instrument_id"].tolist()))
        self.look(now_ns)

    @property
    def has_rows(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._rows)

    def rows(self, batch: Batch) -> None:
        """Give a batch what is to be written with its inputs."""
        rows, self._rows = self._rows, []
        for name, row in rows:
            if row["input_seq"] > batch.last_seq:
                self._rows.append((name, row))
            else:
                (batch.margin_orders if name == "order" else batch.margin_events).append(row)

    def read(self, now_ns: int) -> None:
        """Take the accounts as the database has them, behind all that has been sent."""
        self._broker.wait()
        named = sorted({portfolio_id for portfolio_id, _ in self._orders.values()})
        self._watch.load(self._store.margin_accounts(named, alive=True))
        self._read_ns = self._checked_ns = now_ns
        self._policies = self._store.margin_changes(self._watch.cash_accounts())[0]
        self._see(self._watch.instruments())

    def keep(self, now_ns: int) -> None:
        """Now and then, and when a portfolio trades on margin for the first time, look at what the database has."""
        known = {portfolio_id for portfolio_id, _ in self._watch.accounts} if self._orders else set()
        new = any(portfolio_id not in known for portfolio_id, _ in self._orders.values())
        if new or now_ns - self._read_ns >= REREAD_NS:
            self.read(now_ns)
        elif self._watch.accounts and now_ns - self._checked_ns >= CHECK_NS:
            self._broker.wait()
            self._checked_ns = now_ns
            policies, cash = self._store.margin_changes(self._watch.cash_accounts())
            if policies != self._policies:
                self.read(now_ns)
            self._watch.paid(cash)
        self.look(now_ns)

    def _see(self, instrument_ids: Iterable[int]) -> None:
        for instrument_id in instrument_ids:
            self._watch.seen(instrument_id, self._broker.engine.quote(instrument_id))

    # What is decided ------------------------------------------------------------------------------------------------

    def look(self, now_ns: int) -> None:
        """Judge the accounts that something happened to, before the next input."""
        if self._filled:
            self._filled = False
            self._broker.flush(now_ns)
            if self._watch.incomplete:
                self.read(now_ns)
        while self._watch.due:
            for key in sorted(self._watch.due):
                self._judge(now_ns, key)

    def _judge(self, now_ns: int, key: Key) -> None:
        """Record the levels that an account has crossed; below the close-out level close what must be closed."""
        if self._watch.verdict(key) is not None:
            self._broker.flush(now_ns)
            self._broker.wait()
            accounts = self._store.margin_accounts([key[0]], alive=False)  # cash may have come or gone
            self._watch.replace(key[0], accounts)
        self._tell_levels(now_ns, key)
        account = self._watch.accounts.get(key)
        if account is not None and account.state == "close_out":
            self._close_out(now_ns, key, account)
            self._tell_levels(now_ns, key)
        self._watch.looked(key)

    def _tell_levels(self, now_ns: int, key: Key) -> None:
        while (found := self._watch.verdict(key)) is not None:
            kind, worth = found
            note = Margin(*key, kind, worth.equity, worth.maintenance, worth.close_out)
            self._broker.sequence(now_ns, note)
            row = {**asdict(note), "input_seq": self._broker.engine.seq, "ts_ns": now_ns}
            self._rows.append(("event", row))
            self._watch.accounts[key].state = kind

    def _close_out(self, now_ns: int, key: Key, account: MarginAccount) -> None:
        """Cancel what rests, then close positions, the worst first, until equity covers maintenance again.

        What cannot trade now waits for its next quote.
        """
        settlement, resting = self._broker.settlement, self._broker.engine.orders
        for order in list(settlement.orders.values()):
            if (order.portfolio_id, order.instrument.currency.id) == key and order.id in resting:
                settlement.because[order.id] = "margin_close_out"
                self._broker.sequence(now_ns, Cancel(order.id))
        while True:
            lots = {each: settlement.lots(account.portfolio_id, each) for each in account.holdings}
            basis = {each: sum(lot.remaining_cost for lot in known) for each, known in lots.items()}
            tradable = {each for each in account.holdings if self._tradable(now_ns, account, each)}
            close = self._watch.next_close(key, basis, tradable)
            if close is None:
                return
            self._close(now_ns, account, close)

    def _tradable(self, now_ns: int, account: MarginAccount, instrument_id: int) -> bool:
        """Whether there is a live quote that its close-out has not tried, and no halt."""
        engine = self._broker.engine
        quote = engine.quote(instrument_id)
        if quote is None or now_ns - quote[1] > CLOSE_RETRY_NS:
            return False
        scopes = {
            "floor",
            f"user:{account.owner_id}",
            f"portfolio:{account.portfolio_id}",
            f"instrument:{instrument_id}",
        }
        if engine.halted & scopes:
            return False
        tried, not_before_ns = self._tried.get((account.portfolio_id, instrument_id), (-1, 0))
        return quote[0] != tried and now_ns >= not_before_ns

    def _close(self, now_ns: int, account: MarginAccount, close: Close) -> None:
        """An order at market, immediate or cancelled, written with its effects."""
        engine, instrument, lots = self._broker.engine, close.holding.instrument, close.holding.lots
        mark, band_ppm = self._watch.mark(instrument.id).closing(lots), close.holding.policy.close_band_ppm
        order = OpenOrder(
            id=self._store.order_id(),
            portfolio_id=account.portfolio_id,
            instrument=instrument,
            side=Side.SELL if lots > 0 else Side.BUY,
            quantity_lots=close.lots,
            filled_lots=0,
            price_lots_sum=0,
            notional=0,
            fee=0,
            state=OrderState.ACCEPTED,
            cash=Hold(account.cash_account, 0),
            asset=Hold(account.asset_accounts[instrument.id], close.lots),
            terms=Terms(OrderType.MARKET, risk.protection_ticks(lots < 0, mark, band_ppm)),
            margin=OnMargin(opens=False),
        )
        self._broker.settlement.load({order.id: order})
        self.load({order.id: order})
        self._rows.append(("order", _order_row(order, engine.seq + 1, now_ns)))
        self._broker.sequence(now_ns, _submit(order, account.owner_id))
        self._filled = False
        self._broker.flush(now_ns)
        left = account.holdings.get(instrument.id)
        nothing = left is not None and left.lots == lots
        quote = engine.quote(instrument.id)
        self._tried[account.portfolio_id, instrument.id] = (
            -1 if quote is None else quote[0],
            now_ns + CLOSE_RETRY_NS if nothing else 0,
        )

    # Orders that come too late --------------------------------------------------------------------------------------

    def turn_away(self, now_ns: int, command: Command) -> bool:
        """Whether a command's orders were accepted to close what a close-out has closed since: they are rejected."""
        away = self._uncovered(command)
        for n, order_id in enumerate(away):
            self._broker.sequence(now_ns, TurnAway(order_id, "position_closed"), None if n else command.id)
        return bool(away)

    def _uncovered(self, command: Command) -> list[int]:
        if command.kind not in ("submit", "group"):
            return []
        settlement = self._broker.settlement
        orders = [settlement.orders.get(order_id) for order_id in order_ids([command])]
        closing = [
            order for order in orders if order is not None and order.margin and not (order.opens or order.is_exit)
        ]
        if not closing:
            return []
        one = closing[0]
        place = (one.portfolio_id, one.instrument.id)
        mates = [settlement.orders.get(order_id) for order_id, at in self._orders.items() if at == place]
        holds = {mate.holder_id: mate.asset.left for mate in mates if mate is not None and not mate.opens}
        position = self._watch.position(one.portfolio_id, one.instrument.currency.id, one.instrument.id)
        left = position if one.side is Side.SELL else -position
        return [order.id for order in closing] if sum(holds.values()) > left else []


def _submit(order: OpenOrder, owner_id: int) -> Submit:
    direction: Direction = BUY if order.side is Side.BUY else SELL
    return Submit(
        order_id=order.id,
        portfolio_id=order.portfolio_id,
        user_id=owner_id,
        instrument_id=order.instrument.id,
        direction=direction,
        market=True,
        tif="ioc",
        quantity_lots=order.quantity_lots,
        limit_ticks=order.terms.protection_ticks,
    )


def _order_row(order: OpenOrder, seq: int, ts_ns: int) -> dict[str, Any]:
    """What the database writes of an order that closes a position."""
    return {
        "id": order.id,
        "portfolio_id": order.portfolio_id,
        "instrument_id": order.instrument.id,
        "instrument_version": order.instrument.version,
        "side": order.side,
        "quantity_lots": order.quantity_lots,
        "protection_ticks": order.terms.protection_ticks,
        "asset_account": order.asset.account_id,
        "input_seq": seq,
        "ts_ns": ts_ns,
    }
