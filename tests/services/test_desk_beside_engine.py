"""Desk, engine and settlement side by side, without a database: any orders, changes and prices keep them in step.

The desk's own judgement, the real engine and the real settlement; only the rows end in dictionaries here.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain import actions
from trading.domain.fees import FeeSchedule
from trading.domain.instruments import Instrument
from trading.domain.ledger import FloorAccounts, Hold, OpenOrder
from trading.domain.money import Asset
from trading.domain.orders import Change, GroupRole, OrderState, OrderType, Refusal, Side, Ticket, TimeInForce
from trading.domain.risk import RiskLimits
from trading.exchange.engine import Engine
from trading.exchange.messages import BUY, SELL, Body, Cancel, Group, Halt, Input, Link, Modify, Submit, Tick
from trading.services.action_rows import Acted
from trading.services.changes import decide_change
from trading.services.command_inputs import adjustment
from trading.services.ports.broker import Batch
from trading.services.ports.desk import Decision, DeskContext, Standing
from trading.services.settlement import Settlement
from trading.services.tickets import BestQuote, decide

START_NS = 1_790_000_000_000_000_000
SHARE = Instrument(
    1, 1, "X", "SIM", "X", Asset(2, "SIM:X", 0), Asset(1, "USD", 2), Decimal("0.01"), Decimal("1"), 10**6,
    FeeSchedule(1, 500, 20, 100),
)  # fmt: skip
LIMITS = RiskLimits(1, 10**12, 200, 50_000)
FLOOR = FloorAccounts(901, 902, 903, 904)
AT_MARKET = (OrderType.MARKET, OrderType.STOP, OrderType.TRAILING_STOP)


def price(ticks: int) -> str:
    return str(Decimal(ticks) / 100)


class Floor:
    """Two traders with 20,000.00 and a hundred shares each; the market at 100.00."""

    def __init__(self) -> None:
        self.engine, self.settlement = Engine(), Settlement({}, lambda *_: [], lambda _: FLOOR)
        self.settlement._lot_rows = lambda *_: None  # type: ignore[method-assign]  # the lots' costs are the ledger's tests
        self.now_ns, self.seq, self.tick_seq, self.last_id = START_NS, 0, 0, 0
        self.posted = {11: 2_000_000, 12: 100, 21: 2_000_000, 22: 100}
        self.holds: dict[tuple[int, str], list[int]] = {}  # account, what is left
        self.quote(10_000, 1, 500)

    def held(self, account: int) -> int:
        return sum(left for own, left in self.holds.values() if own == account)

    def act(self, action: actions.Action) -> None:
        """A split or dividend: positions follow it, and what is open is decided as the broker decides it."""
        made = actions.adjust(action, [self.settlement.orders[key] for key in self.engine.orders])
        held = {account: self.held(account) for account in (11, 21)}
        for account in (12, 22):
            self.posted[account] = int(self.posted[account] * action.ratio)
        self.best = BestQuote(0, 0)
        self.give(adjustment(action, SHARE, made), [Acted(action.id, self.seq + 1, self.now_ns, [], made.changed)])
        assert all(self.held(account) <= before for account, before in held.items()), "nothing costs more than was held"
        for order in made.changed:
            if order.id in self.settlement.orders:
                assert self.settlement.orders[order.id].terms.protection_ticks == order.terms.protection_ticks
        self.quote(10_000, 1, 500)

    def give(self, body: Body, acted: Sequence[Acted] = ()) -> None:
        self.seq += 1
        self.now_ns += 1_000_000
        events = self.engine.apply(Input(self.seq, self.now_ns, body))
        batch = Batch(1, 2, self.seq, self.seq, self.now_ns, b"", b"", b"")
        self.settlement.settle(batch, [(self.seq, self.now_ns, list(events))], range(10_000), acted)
        for row in batch.holds:
            own = self.holds.setdefault((row["order_id"], row["leg"]), [row["account_id"], 0])
            own[1] += row["grown"] - row["used"] - row["released"]
        for holder in batch.over:
            for leg in ("cash", "asset"):
                self.holds.pop((holder, leg), None)
        for row in batch.accounts:
            if row["id"] in self.posted:
                self.posted[row["id"]] += row["posted"]
        self.check()

    def check(self) -> None:
        assert set(self.engine.orders) == set(self.settlement.orders)
        for order in self.settlement.orders.values():
            at_exchange = self.engine.orders[order.id]
            assert (at_exchange.open_lots, at_exchange.planned_lots) == (order.open_lots, order.planned_lots)
            left = {leg: self.holds.get((order.holder_id, leg), [0, 0])[1] for leg in ("cash", "asset")}
            assert (order.cash.left, order.asset.left) == (left["cash"], left["asset"])
            if order.side is Side.SELL:
                assert left["asset"] == order.open_lots, "a sale holds what it may sell, once"
        assert all(left >= 0 for _, left in self.holds.values())
        assert all(posted >= self.held(account) for account, posted in self.posted.items()), "never below zero"
        if not self.settlement.orders:
            assert not self.holds

    # The market -------------------------------------------------------------------------------------------------------

    def quote(self, mid: int, spread: int, lots: int) -> None:
        self.best = BestQuote(mid - spread, mid + spread)
        self.tick_seq += 1
        bid, ask = self.best.bid_ticks, self.best.ask_ticks
        self.give(Tick(1, 1, 0, self.tick_seq, self.now_ns, bid, ask, lots, lots, 0, 0))

    def trade(self, ticks: int, lots: int) -> None:
        self.tick_seq += 1
        self.give(Tick(1, 2, 0, self.tick_seq, self.now_ns, 0, 0, 0, 0, ticks, lots))

    # The desk ---------------------------------------------------------------------------------------------------------

    def context(self, who: int) -> DeskContext:
        cash, shares = 10 * who + 1, 10 * who + 2
        free = self.posted[cash] - self.held(cash)
        return DeskContext(
            SHARE, "cash", False, cash, free, shares, self.posted[shares], self.held(shares), 0, LIMITS, {}
        )

    def place(self, who: int, ticket: Ticket) -> None:
        context = self.context(who)
        decisions = decide(context, ticket, self.best, self.now_ns)
        if isinstance(decisions, Refusal):
            return
        first, self.last_id = self.last_id + 1, self.last_id + len(decisions)
        group = first if len(decisions) > 1 else None
        planned = decisions[-1].quantity_lots if decisions[-1].role is GroupRole.ENTRY else 0
        orders, submits = [], []
        for order_id, decision in enumerate(decisions, first):
            cash, asset = (10 * who + 1, decision.cash_hold), (10 * who + 2, decision.asset_hold)
            for leg, (account, amount) in (("cash", cash), ("asset", asset)):
                if amount:
                    self.holds[order_id, leg] = [account, amount]
            orders.append(self.opened(who, order_id, group, decision, planned))
            submits.append(submit(who, order_id, group, decision))
        for order in orders:
            left = {leg: self.holds.get((order.holder_id, leg), [0, 0])[1] for leg in ("cash", "asset")}
            own = replace(order, cash=Hold(10 * who + 1, left["cash"]), asset=Hold(10 * who + 2, left["asset"]))
            self.settlement.load({order.id: own})
        self.give(submits[0] if group is None else Group(tuple(submits)))

    @staticmethod
    def opened(who: int, order_id: int, group: int | None, decision: Decision, planned: int) -> OpenOrder:
        none = Hold(0, 0)
        order = OpenOrder(
            order_id, who, SHARE, decision.side, decision.quantity_lots, 0, 0, 0, 0, OrderState.ACCEPTED, none, none,
            decision.terms, group, decision.role,
        )  # fmt: skip
        return replace(order, planned_lots=planned) if order.is_exit else order

    def change(self, place: int, change: Change) -> None:
        if not self.settlement.orders:
            return
        order = sorted(self.settlement.orders.items())[place % len(self.settlement.orders)][1]
        mates = [
            each
            for each in self.settlement.orders.values()
            if order.group_id is not None and each.group_id == order.group_id and each.id != order.id
        ]
        standing = Standing(order, None, None, mates, False)  # type: ignore[arg-type]  # no judgement asks for these
        new = decide_change(self.context(order.portfolio_id), standing, change, self.best, self.now_ns)
        if isinstance(new, Refusal):
            return
        accounts = (("cash", order.cash.account_id, new.extra_cash), ("asset", order.asset.account_id, new.extra_asset))
        for leg, account, extra in accounts:
            if extra:
                self.holds.setdefault((order.holder_id, leg), [account, 0])[1] += extra
        cash = replace(order.cash, left=order.cash.left + new.extra_cash)
        asset = replace(order.asset, left=order.asset.left + new.extra_asset)
        self.settlement.load({order.id: replace(order, cash=cash, asset=asset)})
        lots = self.engine.orders[order.id].open_lots + new.quantity_lots - order.quantity_lots
        trail = new.terms.trail or new.terms.trail_ppm or 0
        self.give(Modify(order.id, new.terms.protection_ticks, lots, new.terms.stop_ticks or 0, trail))

    def cancel(self, place: int) -> None:
        if self.settlement.orders:
            self.give(Cancel(sorted(self.settlement.orders)[place % len(self.settlement.orders)]))


def submit(who: int, order_id: int, group: int | None, decision: Decision) -> Submit:
    """What `desk_accept` and the broker make of a decision."""
    link: Link = ""
    if decision.role is GroupRole.ENTRY:
        link = "entry"
    elif decision.role is GroupRole.OCO:
        link = "" if order_id == group else "oco"
    elif decision.role is not None:
        link = "held" if order_id == group else "held_oco"
    terms = decision.terms
    return Submit(
        order_id=order_id,
        portfolio_id=who,
        user_id=who,
        instrument_id=1,
        direction=BUY if decision.side is Side.BUY else SELL,
        market=terms.type in AT_MARKET,
        tif=decision.time_in_force,
        quantity_lots=decision.quantity_lots,
        limit_ticks=terms.protection_ticks,
        post_only=decision.post_only,
        trigger="trail" if terms.trail else "trail_ppm" if terms.trail_ppm else "stop" if terms.stop_ticks else "",
        stop_ticks=terms.stop_ticks or 0,
        trail=terms.trail or terms.trail_ppm or 0,
        link=link,
        link_order_id=0 if order_id == group or group is None else group,
    )


TICKS, AWAY, LOTS = st.integers(9_700, 10_300), st.integers(1, 250), st.integers(1, 80)
STEPS = st.one_of(
    st.tuples(st.just("quote"), TICKS, st.integers(1, 20), st.integers(1, 60)),
    st.tuples(st.just("trade"), TICKS, st.integers(1, 60)),
    st.tuples(st.just("order"), st.integers(1, 2), st.sampled_from(Side), st.sampled_from(OrderType), LOTS, AWAY, AWAY,
              st.sampled_from(["gtc", "gtc", "ioc", "fok"]), st.sampled_from(["", "", "oco", "both", "take", "stop"])),
    st.tuples(st.just("change"), st.integers(0, 9), st.sampled_from(["quantity", "limit_price", "stop_price", "trail"]),
              LOTS, TICKS),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("split"), st.fractions(Fraction(1, 3), 4, max_denominator=5).filter(lambda ratio: ratio != 1)),
    st.tuples(st.just("dividend"), st.integers(1, 9_900)),
    st.tuples(st.just("halt"), st.sampled_from(["floor", "user:1", "instrument:1"])),
)  # fmt: skip


def carry_out(floor: Floor, step: Any) -> None:
    what, *rest = step
    if what == "order":
        who, side, kind, lots, away, further, tif, link = rest
        sign = 1 if side is Side.BUY else -1
        stop = floor.best.opposite(side is Side.BUY) + sign * away
        at_stop = kind in (OrderType.STOP, OrderType.STOP_LIMIT)
        limit = stop + sign * 20 if at_stop else 10_000 + sign * (further - 125)
        floor.place(
            who,
            Ticket(
                "X", side, kind, str(lots),
                limit_price=price(limit) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
                time_in_force=TimeInForce(tif) if kind in (OrderType.MARKET, OrderType.LIMIT) else TimeInForce.GTC,
                stop_price=price(stop) if at_stop else None,
                trail=price(away) if kind is OrderType.TRAILING_STOP else None,
                take_profit=price(10_150 + further) if link in ("both", "take") else None,
                stop_loss=price(9_850 - further) if link in ("both", "stop") else None,
                oco_limit=price(10_000 - sign * further) if link == "oco" else None,
            ),
        )  # fmt: skip
    elif what == "change":
        place, name, lots, ticks = rest
        new = {"quantity": str(lots), "trail": price(lots)}.get(name, price(ticks))
        floor.change(place, Change(**{name: new}))
    elif what == "split":
        floor.act(actions.Action(1, 1, rest[0], 10_000))
    elif what == "dividend":
        floor.act(actions.Action(1, 1, dividend=Decimal(rest[0]) / 1000))
    elif what == "halt":
        floor.give(Halt(rest[0], "halted"))
        floor.give(Halt(rest[0], "running"))
    else:
        getattr(floor, what)(*rest)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=10, max_size=60))
def test_books_and_engine_stay_in_step_whatever_is_ordered(steps: list[Any]) -> None:
    floor = Floor()
    for step in steps:
        carry_out(floor, step)
    floor.give(Halt("floor", "halted"))
    assert not floor.holds
