"""What the screens read: cash, positions at the market, orders down to their ledger lines, returns, health.

A trader reads their own portfolios, an admin any, an observer those granted to them, and an observer's reads run as
the observers' database role. Money is Decimal in units of its currency; times are ``ts_ns``, UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from trading.domain.errors import NotFound
from trading.domain.fx import converted, mid
from trading.domain.money import ledger_to_decimal, minor_to_decimal
from trading.domain.orders import PPM_STEP
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.performance import EquityPoint, MonthlyReturn, monthly_returns
from trading.services.ports.queries import QueryStore

_READ = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.OBSERVER: Reach.GRANTED, Role.SYSTEM: Reach.ANY}
_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Cash:
    """Cash of one currency: all of it, what open orders hold, what is left to spend."""

    currency: str
    total: Decimal
    held: Decimal
    available: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """A holding at the market: longs at the bid, shorts at the ask; without a quote the marked figures are None.

    ``quantity`` and ``value`` of a short are negative, its ``cost`` is what it brought.
    """

    instrument_id: int
    symbol: str
    venue: str
    name: str
    currency: str
    quantity: Decimal
    held: Decimal
    cost: Decimal
    average_cost: Decimal
    mark: Decimal | None
    mark_ts_ns: int | None
    value: Decimal | None
    unrealised: Decimal | None
    realised: Decimal

    @property
    def worth(self) -> Decimal:
        """Its value; without a quote what it cost, or as a short what it brought, which is owed."""
        if self.value is not None:
            return self.value
        return -self.cost if self.quantity < 0 else self.cost


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An order as its owner reads it."""

    id: int
    public_id: str
    symbol: str
    venue: str
    currency: str
    side: str
    type: str
    tif: str
    state: str
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail: Decimal | None
    trail_percent: Decimal | None
    post_only: bool
    expires_ts_ns: int | None
    group_id: int | None
    group_role: str
    parent_id: int | None
    child_n: int | None
    protection_price: Decimal
    average_price: Decimal | None
    notional: Decimal
    fee: Decimal
    reason: str
    accepted_ts_ns: int
    updated_ts_ns: int
    open: bool


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """A change of an order's state or terms, who or what caused it.

    ``changes`` has old and new values by the name of what changed; ``met_price`` is the stop price that was met, ``by``
    a trade or the quote; ``grown`` what a linked order gained, negative what it gave up.
    """

    ts_ns: int
    source: str
    target: str
    cause: str
    actor: str
    input_seq: int | None
    changes: Mapping[str, tuple[Decimal, Decimal]]
    met_price: Decimal | None
    by: str
    grown: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """What an order reserved in one asset and what became of it."""

    leg: str
    asset: str
    amount: Decimal
    used: Decimal
    released: Decimal
    waiting: Decimal


@dataclass(frozen=True, slots=True)
class FillLine:
    """A fill and why it happened: the rule, the quote it met in units, how much was on display, the tick and input.

    ``fee`` is fees and taxes together, ``charges`` names them where the instrument's schedule does.
    """

    order_id: int
    input_seq: int
    n: int
    ts_ns: int
    symbol: str
    venue: str
    currency: str
    side: str
    price: Decimal
    quantity: Decimal
    notional: Decimal
    fee: Decimal
    charges: Sequence[tuple[str, Decimal]]
    liquidity: str
    group_id: int
    rule: str
    bid: Decimal | None
    ask: Decimal | None
    displayed: Decimal | None
    tick_seq: int | None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One side of a transfer on an account of the portfolio. ``balance`` is the account's after this line."""

    id: int
    group_id: int
    ts_ns: int
    kind: str
    asset: str
    is_money: bool
    amount: Decimal
    balance: Decimal
    order_id: int | None
    memo: str


@dataclass(frozen=True, slots=True)
class OrderStory:
    """An order followed to the ledger: what happened to it, what it held, how it filled, what was booked.

    ``group`` are all orders of its bracket or pair, itself among them; empty where it is alone.
    """

    order: OrderLine
    group: Sequence[OrderLine]
    events: Sequence[OrderEvent]
    holds: Sequence[Hold]
    fills: Sequence[FillLine]
    ledger: Sequence[LedgerLine]


# Portfolios --------------------------------------------------------------------------------------------------------


@operation(_READ)
def cash(floor: Floor, actor: Actor, portfolio_id: int) -> list[Cash]:
    """Cash of each currency."""
    return _cash(_store(floor, actor), portfolio_id)


@operation(_READ)
def positions(floor: Floor, actor: Actor, portfolio_id: int) -> list[Position]:
    """Open positions at the market, by symbol."""
    return [line for line in _positions(floor, _store(floor, actor), portfolio_id) if line.quantity]


@operation(_READ)
def realised(floor: Floor, actor: Actor, portfolio_id: int) -> Decimal:
    """Realised P&L of all instruments, after fees, first in first out."""
    lines = _positions(floor, _store(floor, actor), portfolio_id)
    return sum((line.realised for line in lines), Decimal(0))


@operation(_READ)
def orders(floor: Floor, actor: Actor, portfolio_id: int, open_only: bool = False, limit: int = 200) -> list[OrderLine]:
    """Orders, newest first."""
    return [_order(row) for row in _store(floor, actor).orders(portfolio_id, open_only, limit)]


@operation(_READ)
def order(floor: Floor, actor: Actor, portfolio_id: int, order_id: int) -> OrderStory:
    """One order from ticket to ledger lines; raises `NotFound` where the portfolio has no such order."""
    store = _store(floor, actor)
    row = store.order(portfolio_id, order_id)
    if row is None:
        raise NotFound("there is no such order in this portfolio")
    group = row["group_id"]
    return OrderStory(
        _order(row),
        [] if group is None else [_order(mate) for mate in store.group(portfolio_id, group)],
        [_event(event, row) for event in store.order_events(portfolio_id, order_id)],
        [_hold(h, row) for h in store.holds(portfolio_id, order_id)],
        [_fill(f) for f in reversed(store.fills(portfolio_id, 1000, order_id))],
        [_ledger(entry) for entry in reversed(store.ledger(portfolio_id, 4000, order_id))],
    )


@operation(_READ)
def fills(floor: Floor, actor: Actor, portfolio_id: int, limit: int = 200) -> list[FillLine]:
    """Fills with why, newest first."""
    return [_fill(row) for row in _store(floor, actor).fills(portfolio_id, limit)]


@operation(_READ)
def statement(floor: Floor, actor: Actor, portfolio_id: int, limit: int = 500) -> list[LedgerLine]:
    """Ledger lines of the portfolio's accounts with running balances, newest first."""
    return [_ledger(row) for row in _store(floor, actor).ledger(portfolio_id, limit)]


@operation(_READ)
def equity_curve(floor: Floor, actor: Actor, portfolio_id: int) -> list[EquityPoint]:
    """Kept marks, oldest first, and the equity now as the last point.

    A position without a quote is taken at its cost, so the curve has no hole where the market is away.
    """
    store = _store(floor, actor)
    scale, cash_minor = _base_cash(floor, store, portfolio_id)
    points = [
        EquityPoint(
            row["ts_ns"],
            minor_to_decimal(row["equity_minor"], scale),
            minor_to_decimal(row["cash_minor"], scale),
            minor_to_decimal(row["positions_minor"], scale),
            minor_to_decimal(row["flow_minor"], scale),
        )
        for row in store.equity_marks(portfolio_id)
    ]
    since = points[-1].ts_ns if points else 0
    flow = minor_to_decimal(store.flow_since(portfolio_id, since), scale)
    worth = _worth(_positions(floor, store, portfolio_id))
    money = minor_to_decimal(cash_minor, scale)
    return [*points, EquityPoint(floor.clock.now_ns(), money + worth, money, worth, flow)]


@operation(_READ)
def returns(floor: Floor, actor: Actor, portfolio_id: int) -> list[MonthlyReturn]:
    """Time-weighted return of each month, deposits and withdrawals removed."""
    return monthly_returns(equity_curve(floor, actor, portfolio_id))


# The floor ---------------------------------------------------------------------------------------------------------


@operation(_ADMIN)
def processes(floor: Floor, actor: Actor) -> Sequence[dict[str, Any]]:
    """name, state, pid, started_at, beat_at, restarts, detail of every process."""
    return _store(floor, actor).process_status()


@operation(_ADMIN)
def reconciliations(floor: Floor, actor: Actor, limit: int = 20) -> Sequence[dict[str, Any]]:
    """Newest reconciliation results."""
    return _store(floor, actor).reconciliations(limit)


# Rows to lines -----------------------------------------------------------------------------------------------------


def _store(floor: Floor, actor: Actor) -> QueryStore:
    return floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries


def _cash(store: QueryStore, portfolio_id: int) -> list[Cash]:
    return [
        Cash(
            row["asset"],
            minor_to_decimal(row["posted"], row["scale"]),
            minor_to_decimal(row["held"], row["scale"]),
            minor_to_decimal(row["posted"] - row["held"], row["scale"]),
        )
        for row in store.cash(portfolio_id)
    ]


def _base_cash(floor: Floor, store: QueryStore, portfolio_id: int) -> tuple[int, int]:
    """Scale of the base currency, and all cash in its minor units: other currencies at the mid of their pair.

    For reports alone. Cash whose pair has never had a price is left out.
    """
    rows = store.cash(portfolio_id)
    if not rows:
        return 2, 0
    quotes = floor.bus.last_ticks() if len(rows) > 1 else {}
    total = rows[0]["posted"]
    for row in rows[1:]:
        newest = quotes.get(row["pair_id"])
        if newest is not None and len(newest):
            price = mid(int(newest["bid_ticks"][0]), int(newest["ask_ticks"][0]), row["tick_size"])
            if price is not None:
                total += converted(row["posted"], row["scale"], row["base_scale"], price, row["sells_base"])
    return rows[0]["scale"], total


def _worth(lines: Sequence[Position]) -> Decimal:
    return sum((line.worth for line in lines), Decimal(0))


def _positions(floor: Floor, store: QueryStore, portfolio_id: int) -> list[Position]:
    rows = store.positions(portfolio_id)
    quotes = floor.bus.last_ticks() if rows else {}
    return [_position(row, quotes.get(row["instrument_id"])) for row in rows]


def _position(row: Mapping[str, Any], quote: Any) -> Position:
    scale, cost = row["scale"], minor_to_decimal(row["cost_minor"], row["scale"])
    quantity = row["lots"] * row["lot_size"]
    mark = value = unrealised = mark_ts_ns = None
    side = "ask_ticks" if quantity < 0 else "bid_ticks"
    if quote is not None and len(quote) and int(quote[side][0]) > 0:
        mark = int(quote[side][0]) * row["tick_size"]
        mark_ts_ns = int(quote["ts_ns"][0])
        value = _round(_EXACT.multiply(mark, quantity), scale)
        unrealised = value + cost if quantity < 0 else value - cost
    return Position(
        instrument_id=row["instrument_id"],
        symbol=row["symbol"],
        venue=row["venue"],
        name=row["name"],
        currency=row["currency"],
        quantity=quantity,
        held=row["held_lots"] * row["lot_size"],
        cost=cost,
        average_cost=_EXACT.divide(cost, abs(quantity)) if quantity else Decimal(0),
        mark=mark,
        mark_ts_ns=mark_ts_ns,
        value=value,
        unrealised=unrealised,
        realised=minor_to_decimal(row["realised_minor"], scale),
    )


def _round(value: Decimal, scale: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-scale), context=_EXACT)


def _order(row: Mapping[str, Any]) -> OrderLine:
    tick, lot, scale = row["tick_size"], row["lot_size"], row["scale"]
    filled = row["filled_lots"]
    return OrderLine(
        id=row["id"],
        public_id=row["public_id"],
        symbol=row["symbol"],
        venue=row["venue"],
        currency=row["currency"],
        side=row["side"],
        type=row["type"],
        tif=row["tif"],
        state=row["state"],
        quantity=row["quantity_lots"] * lot,
        filled=filled * lot,
        limit_price=_times(row["limit_ticks"], tick),
        stop_price=_times(row["stop_ticks"], tick),
        trail=_times(row["trail"], tick),
        trail_percent=_times(row["trail_ppm"], PPM_STEP),
        post_only=row["post_only"],
        expires_ts_ns=row["expires_ns"],
        group_id=row["group_id"],
        group_role=row["group_role"] or "",
        parent_id=row["parent_id"],
        child_n=row["child_n"],
        protection_price=row["protection_ticks"] * tick,
        average_price=_EXACT.divide(row["price_lots_sum"] * tick, Decimal(filled)) if filled else None,
        notional=minor_to_decimal(row["notional"], scale),
        fee=minor_to_decimal(row["fee"], scale),
        reason=row["reason"],
        accepted_ts_ns=row["accepted_ts_ns"],
        updated_ts_ns=row["updated_ts_ns"],
        open=row["state"] not in ("filled", "rejected", "cancelled", "expired"),
    )


def _event(event: Mapping[str, Any], order_row: Mapping[str, Any]) -> OrderEvent:
    detail, tick = event["detail"], order_row["tick_size"]
    was, terms = detail.get("was", {}), detail.get("terms", {})
    units = {
        "quantity": ("quantity_lots", order_row["lot_size"]),
        "limit_price": ("limit_ticks", tick),
        "stop_price": ("stop_ticks", tick),
        "trail": ("trail", tick),
        "trail_percent": ("trail_ppm", PPM_STEP),
    }
    return OrderEvent(
        ts_ns=event["ts_ns"],
        source=event["source"],
        target=event["target"],
        cause=event["cause"],
        actor=event["actor"],
        input_seq=event["input_seq"],
        changes={
            name: (was[key] * unit, terms[key] * unit)
            for name, (key, unit) in units.items()
            if was.get(key) is not None and was[key] != terms[key]
        },
        met_price=_times(detail.get("stop_ticks"), tick) if event["cause"] == "triggered" else None,
        by=detail.get("by", ""),
        grown=_times(detail.get("change_lots"), order_row["lot_size"]) if event["cause"] == "sized" else None,
        reason=detail.get("reason", ""),
    )


def _hold(row: Mapping[str, Any], order_row: Mapping[str, Any]) -> Hold:
    def amount(minor: int) -> Decimal:
        lots = row["leg"] == "asset"
        return minor * order_row["lot_size"] if lots else minor_to_decimal(minor, row["scale"])

    waiting = row["amount"] - row["used"] - row["released"]
    return Hold(
        row["leg"], row["asset"], amount(row["amount"]), amount(row["used"]), amount(row["released"]), amount(waiting)
    )


def _times(count: int | None, unit: Decimal) -> Decimal | None:
    return count * unit if count else None


def _fill(row: Mapping[str, Any]) -> FillLine:
    why = row["why"]
    return FillLine(
        order_id=row["order_id"],
        input_seq=row["input_seq"],
        n=row["n"],
        ts_ns=row["ts_ns"],
        symbol=row["symbol"],
        venue=row["venue"],
        currency=row["currency"],
        side=row["side"],
        price=row["price_ticks"] * row["tick_size"],
        quantity=row["quantity_lots"] * row["lot_size"],
        notional=minor_to_decimal(row["notional"], row["scale"]),
        fee=minor_to_decimal(row["fee"], row["scale"]),
        charges=[(name, minor_to_decimal(amount, row["scale"])) for name, _, amount in row["charges"]],
        liquidity=row["liquidity"],
        group_id=row["group_id"],
        rule=str(why.get("rule", "")),
        bid=_times(why.get("bid_ticks"), row["tick_size"]),
        ask=_times(why.get("ask_ticks"), row["tick_size"]),
        displayed=_times(why.get("displayed_lots"), row["lot_size"]),
        tick_seq=why.get("tick_seq"),
    )


def _ledger(row: Mapping[str, Any]) -> LedgerLine:
    return LedgerLine(
        id=row["id"],
        group_id=row["group_id"],
        ts_ns=row["ts_ns"],
        kind=row["kind"],
        asset=row["asset"],
        is_money=row["asset_kind"] == "currency",
        amount=ledger_to_decimal(row["amount"], row["scale"], row["lot_size"]),
        balance=ledger_to_decimal(row["balance"], row["scale"], row["lot_size"]),
        order_id=row["order_id"],
        memo=row["memo"],
    )
