"""The books by another way: cash, positions and P&L out of fills and deposits, slowly, in decimals.

It shares no code with the ledger. What it takes as given: which fills there were (order, side, price, quantity), the
terms of the instruments, and what was paid in and out. Everything else it works out and compares with the rows that
the floor has booked. The rules: an order's cash and fee are rounded half-even on its cumulative totals; the oldest lot
is sold first; a lot's cost is divided half-even on what is left of it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

Query = Callable[..., list[tuple[Any, ...]]]
Place = tuple[int, int]
"""A portfolio and an instrument."""


@dataclass(frozen=True)
class Terms:
    """An instrument as its contract says: fees in currency for each lot, as a share, and at least."""

    tick: Decimal
    lot: Decimal
    cent: Decimal
    fee_a_lot: Decimal
    fee_share: Decimal
    fee_least: Decimal

    def rounded(self, amount: Decimal) -> Decimal:
        return (amount / self.cent).quantize(Decimal(1), rounding=ROUND_HALF_EVEN) * self.cent

    def fee(self, lots: int, notional: Decimal) -> Decimal:
        return (
            max(self.fee_least, self.rounded(self.fee_a_lot * lots + self.fee_share * notional)) if lots else Decimal(0)
        )


@dataclass
class Traded:
    """One order's fills so far."""

    lots: int = 0
    exact: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)


@dataclass
class Held:
    """A lot that was bought and what is left of it."""

    lots: int
    cost: Decimal


@dataclass
class Books:
    """What the portfolios have."""

    cash: dict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    lots: dict[Place, list[Held]] = field(default_factory=lambda: defaultdict(list))
    realised: dict[Place, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    orders: dict[int, Traded] = field(default_factory=lambda: defaultdict(Traded))

    def fill(self, place: Place, order: int, buys: bool, price: Decimal, lots: int, terms: Terms) -> None:
        """Book one fill."""
        done = self.orders[order]
        done.lots += lots
        done.exact += price * lots * terms.lot
        before = done.notional, done.fee
        done.notional = terms.rounded(done.exact)
        done.fee = terms.fee(done.lots, done.notional)
        notional, fee = done.notional - before[0], done.fee - before[1]
        self.cash[place[0]] += -notional - fee if buys else notional - fee
        if buys:
            self.lots[place].append(Held(lots, notional + fee))
        else:
            self.realised[place] += notional - fee - self._sell(place, lots, terms)

    def _sell(self, place: Place, lots: int, terms: Terms) -> Decimal:
        """The cost of what is sold, oldest first."""
        cost = Decimal(0)
        while lots:
            oldest = self.lots[place][0]
            taken = min(lots, oldest.lots)
            part = terms.rounded(oldest.cost * taken / oldest.lots)
            oldest.lots, oldest.cost = oldest.lots - taken, oldest.cost - part
            cost, lots = cost + part, lots - taken
            if not oldest.lots:
                self.lots[place].pop(0)
        return cost


def differences(query: Query, paid_in: Mapping[int, Decimal]) -> list[str]:
    """What the floor has booked otherwise than this program; ``paid_in`` is deposits less withdrawals by portfolio."""
    with localcontext() as context:
        context.prec = 60
        return _differences(query, paid_in)


def _differences(query: Query, paid_in: Mapping[int, Decimal]) -> list[str]:
    terms = _terms(query)
    books = Books()
    for portfolio, amount in paid_in.items():
        books.cash[portfolio] += amount
    for portfolio, instrument, version, order, side, price_ticks, lots in query(
        "select portfolio_id, instrument_id, instrument_version, order_id, side, price_ticks, quantity_lots"
        " from fill order by input_seq, n, order_id"
    ):
        own = terms[instrument, version]
        books.fill((portfolio, instrument), order, side == "buy", price_ticks * own.tick, lots, own)
    expected = {
        "cash": {key: amount for key, amount in books.cash.items() if amount},
        "position": {key: sum(held.lots for held in lots) for key, lots in books.lots.items() if lots},
        "cost": {key: sum(held.cost for held in lots) for key, lots in books.lots.items() if lots},
        "realised": {key: amount for key, amount in books.realised.items() if amount},
        "order": {key: (done.lots, done.notional, done.fee) for key, done in books.orders.items()},
    }
    found = _booked(query, next(iter(terms.values())).cent)
    return [
        f"{name} of {key}: {expected[name].get(key)} by the oracle, {found[name].get(key)} on the floor"
        for name in expected
        for key in sorted({*expected[name], *found[name]})
        if expected[name].get(key) != found[name].get(key)
    ]


def _booked(query: Query, cent: Decimal) -> dict[str, dict[Any, Any]]:
    """What the floor's rows say."""
    cash = query(
        "select a.portfolio_id, a.posted from account a join asset s on s.id = a.asset_id"
        " where a.kind = 'portfolio' and s.kind = 'currency'"
    )
    positions = query(
        "select distinct a.portfolio_id, v.instrument_id, a.posted from account a"
        " join instrument_version v on v.asset_id = a.asset_id where a.kind = 'portfolio'"
    )
    costs = query(
        "select portfolio_id, instrument_id, sum(remaining_cost) from lot where remaining_lots > 0 group by 1, 2"
    )
    realised = query(
        "select c.portfolio_id, l.instrument_id, sum(c.proceeds - c.cost) from lot_close c"
        " join lot l on l.id = c.lot_id group by 1, 2"
    )
    orders = query("select id, filled_lots, notional, fee from orders where filled_lots > 0")
    return {
        "cash": {portfolio: cents * cent for portfolio, cents in cash if cents},
        "position": {(portfolio, instrument): lots for portfolio, instrument, lots in positions if lots},
        "cost": {(portfolio, instrument): cents * cent for portfolio, instrument, cents in costs},
        "realised": {(portfolio, instrument): cents * cent for portfolio, instrument, cents in realised if cents},
        "order": {order: (lots, notional * cent, fee * cent) for order, lots, notional, fee in orders},
    }


def _terms(query: Query) -> dict[Place, Terms]:
    """By instrument and version."""
    return {
        (instrument, version): Terms(
            tick, lot, cent := Decimal(1).scaleb(-scale), cent * per_lot / 1000, Decimal(ppm) / 10**6, cent * least
        )
        for instrument, version, tick, lot, scale, per_lot, ppm, least in query(
            "select v.instrument_id, v.version, v.tick_size, v.lot_size, c.scale, v.fee_per_lot_millis,"
            " v.fee_rate_ppm, v.fee_minimum from instrument_version v join asset c on c.id = v.currency_id"
        )
    }  # fmt: skip
