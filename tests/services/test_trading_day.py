"""Any day on the floor, by Hypothesis: whatever is ordered, cancelled, deposited, halted or killed, the books balance.

An independent account of cash and shares, in decimals and from the fills alone, must agree with the ledger.
"""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from shared_servers import Database
from trading_floor import TradingFloor

from trading.domain.errors import Invalid
from trading.domain.orders import Acceptance
from trading.services import desk, halt, ledger
from trading.services.access import SYSTEM

CENT = Decimal("0.01")
MID = st.integers(9_500, 10_500)


class TradingDay(RuleBasedStateMachine):
    """Two traders, one instrument, one broker that is killed now and then."""

    make_database: Callable[[], Database]

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.floor = TradingFloor(type(self).make_database(), Path(self.folder.name) / "lake", "20000.00")
        self.traders = [(self.floor.trader, self.floor.portfolio), self.floor.add_trader("tom", "15000.00")]
        self.deposited = {self.traders[0][1]: Decimal(20000), self.traders[1][1]: Decimal(15000)}
        self.orders: list[tuple[int, int]] = []
        self.halted = False
        self.keys = 0
        self.floor.quote("99.99", "100.01")

    def teardown(self) -> None:
        self.floor.close()
        self.folder.cleanup()

    @rule(mid=MID, spread=st.integers(1, 60), lots=st.integers(1, 200))
    def quote(self, mid: int, spread: int, lots: int) -> None:
        self.floor.quote(str(Decimal(mid - spread) / 100), str(Decimal(mid + spread) / 100), lots)

    @rule(price=MID, lots=st.integers(1, 200))
    def trade(self, price: int, lots: int) -> None:
        self.floor.trade(str(Decimal(price) / 100), lots)

    @rule(
        who=st.integers(0, 1),
        side=st.sampled_from(["buy", "sell"]),
        quantity=st.integers(1, 120),
        limit=st.none() | MID,
        tif=st.sampled_from(["gtc", "day", "ioc"]),
    )
    def order(self, who: int, side: str, quantity: int, limit: int | None, tif: str) -> None:
        price = None if limit is None else str(Decimal(limit) / 100)
        answer = self.floor.order(side, str(quantity), price, tif=tif, who=self.traders[who])
        if isinstance(answer, Acceptance):
            self.orders.append((who, answer.order_id))

    @rule()
    def sequence(self) -> None:
        self.floor.run_broker()

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        who, order_id = data.draw(st.sampled_from(self.orders))
        actor, portfolio = self.traders[who]
        desk.cancel(self.floor.floor, actor, portfolio, order_id)

    @rule(who=st.integers(0, 1), cents=st.integers(1, 500_000), out=st.booleans())
    def move_cash(self, who: int, cents: int, out: bool) -> None:
        self.keys += 1
        portfolio, amount = self.traders[who][1], Decimal(cents) / 100
        move: Callable[..., Any] = ledger.withdraw if out else ledger.deposit
        try:
            move(self.floor.floor, SYSTEM, portfolio, str(amount), f"cash-{self.keys}")
        except Invalid as refused:
            if refused.code != "insufficient_cash":
                raise
            return
        self.deposited[portfolio] += -amount if out else amount

    @rule()
    def kill_the_broker(self) -> None:
        self.floor.restart_broker()

    @rule()
    def snapshot(self) -> None:
        self.floor.run_broker()
        self.floor.broker.snapshot(self.floor.clock.now_ns())

    @rule()
    def kill_switch(self) -> None:
        self.halted = not self.halted
        mode = "halted" if self.halted else "running"
        halt.set_mode(self.floor.floor, SYSTEM, "floor", mode, "a drill")

    @rule()
    def midnight(self) -> None:
        self.floor.clock.advance(86_400)
        self.floor.run_broker()

    @invariant()
    def the_books_balance(self) -> None:
        self.floor.check()

    @invariant()
    def an_independent_account_agrees(self) -> None:
        for _, portfolio in self.traders:
            fills = self.floor.query(
                "select order_id, side, price_ticks, quantity_lots from fill where portfolio_id = %s", portfolio
            )
            cash, shares = self.deposited[portfolio], 0
            for order_id in {row[0] for row in fills}:
                own = [row for row in fills if row[0] == order_id]
                lots = sum(row[3] for row in own)
                value = sum((Decimal(row[2]) * CENT * row[3] for row in own), Decimal(0))
                fee = max(Decimal(1), (Decimal(lots) * Decimal("0.005")).quantize(CENT, ROUND_HALF_EVEN))
                sign = 1 if own[0][1] == "buy" else -1
                cash -= sign * value.quantize(CENT, ROUND_HALF_EVEN) + fee
                shares += sign * lots
            assert self.floor.cash(portfolio)[0] == cash
            assert self.floor.shares(portfolio=portfolio)[0] == shares


def test_the_books_balance_on_any_day(make_database: Callable[[], Database]) -> None:
    TradingDay.make_database = staticmethod(make_database)
    run_state_machine_as_test(
        TradingDay,
        settings=settings(
            max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
