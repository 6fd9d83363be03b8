"""Any day on the floor, by Hypothesis: whatever is ordered, cancelled, deposited, halted or killed, the books balance.

An independent account of cash and shares, in decimals and from the fills alone, must agree with the ledger.
"""

from collections.abc import Callable
from datetime import timedelta
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
from trading.services import halt, ledger
from trading.services.access import SYSTEM

CENT = Decimal("0.01")
MID = st.integers(9_500, 10_500)
AWAY = st.integers(1, 400)
LOTS = st.integers(1, 120)
SIDE = st.sampled_from(["buy", "sell"])


def cents(price: int) -> str:
    return str(Decimal(price) / 100)


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
        self.keys = 0
        self.mid = 10_000
        self.floor.quote("99.99", "100.01")

    def teardown(self) -> None:
        self.floor.close()
        self.folder.cleanup()

    @rule(mid=MID, spread=st.integers(1, 60), lots=st.integers(1, 200))
    def quote(self, mid: int, spread: int, lots: int) -> None:
        self.mid = mid
        self.floor.quote(cents(mid - spread), cents(mid + spread), lots)

    @rule(price=MID, lots=st.integers(1, 200))
    def trade(self, price: int, lots: int) -> None:
        self.floor.trade(cents(price), lots)

    @rule(
        who=st.integers(0, 1),
        side=SIDE,
        quantity=LOTS,
        limit=st.none() | MID,
        tif=st.sampled_from(["gtc", "day", "ioc", "fok", "gtd"]),
        post_only=st.booleans(),
    )
    def order(self, who: int, side: str, quantity: int, limit: int | None, tif: str, post_only: bool) -> None:
        terms: dict[str, Any] = {"post_only": post_only and limit is not None and tif in ("gtc", "day", "gtd")}
        if tif == "gtd":
            terms["expires_at"] = (self.floor.clock.now() + timedelta(hours=9)).isoformat()
        self.place(who, side, quantity, None if limit is None else cents(limit), tif=tif, **terms)

    @rule(
        who=st.integers(0, 1),
        side=SIDE,
        quantity=LOTS,
        kind=st.sampled_from(["stop", "stop_limit", "trail", "trail_percent"]),
        away=AWAY,
        tif=st.sampled_from(["gtc", "day"]),
    )
    def conditional(self, who: int, side: str, quantity: int, kind: str, away: int, tif: str) -> None:
        sign = 1 if side == "buy" else -1
        stop = cents(self.mid + sign * (60 + away))
        limit = cents(self.mid + sign * (60 + away + 30)) if kind == "stop_limit" else None
        terms = {"trail": {"trail": cents(away)}, "trail_percent": {"trail_percent": cents(away)}}
        self.place(who, side, quantity, limit, tif=tif, **terms.get(kind, {"stop_price": stop}))

    @rule(
        who=st.integers(0, 1),
        quantity=LOTS,
        entry=st.sampled_from(["market", "limit", "ioc", "stop"]),
        up=AWAY,
        down=AWAY,
        legs=st.sampled_from([(1, 1), (1, 0), (0, 1)]),
    )
    def bracket(self, who: int, quantity: int, entry: str, up: int, down: int, legs: tuple[int, int]) -> None:
        exits = {"take_profit": cents(self.mid + 200 + up), "stop_loss": cents(self.mid - 200 - down)}
        exits = {name: price for (name, price), wanted in zip(exits.items(), legs, strict=True) if wanted}
        limit = cents(self.mid + 60) if entry in ("limit", "ioc") else None
        stop = {"stop_price": cents(self.mid + 61)} if entry == "stop" else {}
        self.place(who, "buy", quantity, limit, tif="ioc" if entry == "ioc" else "gtc", **exits, **stop)

    @rule(who=st.integers(0, 1), side=SIDE, quantity=LOTS, one=AWAY, other=AWAY, trails=st.booleans())
    def pair(self, who: int, side: str, quantity: int, one: int, other: int, trails: bool) -> None:
        sign = 1 if side == "buy" else -1
        first = {"trail": cents(one)} if trails else {"stop_price": cents(self.mid + sign * (60 + one))}
        self.place(who, side, quantity, None, oco_limit=cents(self.mid - sign * (60 + other)), **first)

    def place(self, who: int, side: str, quantity: int, limit: str | None, **terms: Any) -> None:
        answer = self.floor.order(side, str(quantity), limit, who=self.traders[who], **terms)
        if isinstance(answer, Acceptance):
            self.orders += [(who, order_id) for order_id in answer.group or (answer.order_id,)]

    @precondition(lambda self: self.orders)
    @rule(
        data=st.data(),
        what=st.sampled_from(["limit_price", "stop_price", "trail", "trail_percent", "quantity"]),
        price=MID,
        lots=LOTS,
    )
    def modify(self, data: st.DataObject, what: str, price: int, lots: int) -> None:
        who, order_id = data.draw(st.sampled_from(self.orders[-8:]))
        new = {"quantity": str(lots), "trail": cents(lots), "trail_percent": cents(lots)}.get(what, cents(price))
        self.floor.modify(order_id, who=self.traders[who], **{what: new})

    @rule()
    def sequence(self) -> None:
        self.floor.run_broker()

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        who, order_id = data.draw(st.sampled_from(self.orders[-12:]))
        self.floor.cancel(order_id, self.traders[who])

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

    @rule(
        halted=st.sampled_from([True, False, False]),
        scope=st.sampled_from(["floor", "user", "instrument", "portfolio"]),
    )
    def kill_switch(self, halted: bool, scope: str) -> None:
        number = {
            "user": self.floor.trader.user_id,
            "instrument": self.floor.aapl.id,
            "portfolio": self.floor.portfolio,
        }.get(scope)
        mode = "halted" if halted else "running"
        halt.set_mode(self.floor.floor, SYSTEM, scope if number is None else f"{scope}:{number}", mode, "a drill")

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
