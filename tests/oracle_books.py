"""The books by another way: cash, positions and P&L out of fills, deposits, splits and dividends, slowly, in decimals.

It shares no code with the ledger. What it takes as given: which fills there were (order, side, price, quantity), the
terms of the instruments and of corporate actions, what was paid in and out, and at which price currencies were
converted. Everything else it works out and compares with the rows that the floor has booked. The rules: an order's cash
and fee are rounded half-even on its cumulative totals; the oldest lot is closed first; a lot's cost is divided
half-even on what is left of it. Of a lot that was sold short the cost is what it brought. A split leaves whole lots on
the running total, oldest first, pays the fraction at the price before it, and a lot of which nothing is left hands its
cost on. A conversion brings the nearest cent.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any

Query = Callable[..., list[tuple[Any, ...]]]
Place = tuple[int, int]
"""A portfolio and an instrument."""
Purse = tuple[int, str]
"""A portfolio and a currency."""
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Conversion:
    """So much was sold at the pair's price; ``sells_base`` where its first currency is the one that was sold."""

    portfolio: int
    sell: str
    buy: str
    sold: Decimal
    rate: Decimal
    sells_base: bool


@dataclass(frozen=True)
class Terms:
    """An instrument as its contract says: fees in currency for each lot, as a share, and at least."""

    currency: str
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
    """A lot that was bought, or sold short, and what is left of it; the cost of a short is what it brought."""

    lots: int
    cost: Decimal
    short: bool = False

    @property
    def signed(self) -> int:
        """Lots, negative when short."""
        return -self.lots if self.short else self.lots


@dataclass
class Books:
    """What the portfolios have."""

    cash: dict[Purse, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
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
        self.cash[place[0], terms.currency] += -notional - fee if buys else notional - fee
        held = self.lots[place]
        if not held or held[0].short is not buys:  # nothing there yet, or more of it
            held.append(Held(lots, notional + fee if buys else notional - fee, not buys))
        elif buys:
            self.realised[place] += self._close(place, lots, terms) - notional - fee
        else:
            self.realised[place] += notional - fee - self._close(place, lots, terms)

    def split(self, place: Place, ratio: Fraction, reference: Decimal, terms: Terms) -> None:
        """Book a split on what a portfolio holds; ``reference`` is the price before it."""
        held = self.lots[place]
        sign, exact = -1 if held[0].short else 1, sum(each.lots for each in held) * ratio
        rest = (exact - int(exact)) / ratio
        paid = sign * terms.rounded(reference * terms.lot * rest.numerator / rest.denominator)
        self.cash[place[0], terms.currency] += paid
        self.realised[place] += paid
        before = after = 0
        carried, left = Decimal(0), list[Held]()
        for each in held:
            before += each.lots
            kept, after = int(before * ratio) - after, int(before * ratio)
            if kept:
                left.append(Held(kept, each.cost + carried, each.short))
            carried = Decimal(0) if kept else carried + each.cost
        if left:
            left[-1].cost += carried
        else:
            self.realised[place] -= sign * carried
        self.lots[place] = left

    def dividend(self, place: Place, a_share: Decimal, tax: Decimal, terms: Terms) -> None:
        """Book a dividend: who is long gets it less the tax, who is short pays all of it."""
        lots = sum(each.signed for each in self.lots[place])
        gross = terms.rounded(a_share * terms.lot * lots)
        self.cash[place[0], terms.currency] += gross - (terms.rounded(gross * tax) if lots > 0 else 0)

    def convert(self, done: Conversion) -> None:
        """Book a conversion."""
        brought = done.sold * done.rate if done.sells_base else done.sold / done.rate
        self.cash[done.portfolio, done.sell] -= done.sold
        self.cash[done.portfolio, done.buy] += brought.quantize(CENT, rounding=ROUND_HALF_EVEN)

    def _close(self, place: Place, lots: int, terms: Terms) -> Decimal:
        """The cost of what is closed, oldest first."""
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


def differences(query: Query, paid_in: Mapping[int, Decimal], conversions: Sequence[Conversion] = ()) -> list[str]:
    """What the floor has booked otherwise than this program.

    ``paid_in`` is deposits less withdrawals by portfolio, in its base currency.
    """
    with localcontext() as context:
        context.prec = 60
        return _differences(query, paid_in, conversions)


def may_leave(
    query: Query, portfolio: int, currency: str, prices: Mapping[int, tuple[Decimal, ...]], on_margin: bool
) -> Decimal | None:
    """What is neither held nor required of a portfolio's cash; None where a position on margin has no price.

    ``prices`` are bid and ask by instrument, zero where there is none. Longs are worth the bid, shorts cost the ask;
    the market's policy requires a share of each, rounded up to the cent.
    """
    purses = query(
        "select a.posted, a.held from account a join asset s on s.id = a.asset_id"
        " where a.kind = 'portfolio' and a.portfolio_id = %s and s.code = %s",
        portfolio,
        currency,
    )
    cash, held = (amount * CENT for amount in purses[0]) if purses else (Decimal(0), Decimal(0))
    if not on_margin:
        return cash - held
    equity, required = cash, Decimal(0)
    newest = "select distinct on (asset_class) asset_class, initial_ppm from margin_policy"
    shares = {market: Decimal(ppm) / 10**6 for market, ppm in query(f"{newest} order by asset_class, version desc")}
    for instrument, market, lot, lots in query(
        "select distinct on (v.instrument_id) v.instrument_id, v.asset_class, v.lot_size, a.posted"
        " from account a join instrument_version v on v.asset_id = a.asset_id join asset c on c.id = v.currency_id"
        " where a.kind = 'portfolio' and a.portfolio_id = %s and a.posted <> 0 and c.code = %s"
        " order by v.instrument_id, v.version desc",
        portfolio,
        currency,
    ):
        price = prices[instrument][0 if lots > 0 else 1] if instrument in prices else 0
        if not price:
            return None
        value = (price * lots * lot).quantize(CENT, rounding=ROUND_HALF_EVEN)
        equity += value
        required += (abs(value) * shares.get(market, shares[""])).quantize(CENT, rounding=ROUND_CEILING)
    return max(min(cash, equity - required - held), Decimal(0))


def _differences(query: Query, paid_in: Mapping[int, Decimal], conversions: Sequence[Conversion]) -> list[str]:
    terms = _terms(query)
    books = Books()
    base = dict(query("select p.id, s.code from portfolio p join asset s on s.id = p.currency_id"))
    for portfolio, amount in paid_in.items():
        books.cash[portfolio, base[portfolio]] += amount
    for done in conversions:
        books.convert(done)
    actions = query(
        "select input_seq, instrument_id, numerator, denominator, dividend, tax_ppm, reference_ticks"
        " from corporate_action where state = 'applied' order by input_seq"
    )
    newest = {instrument: own for (instrument, _), own in sorted(terms.items())}
    for seq, portfolio, instrument, version, order, side, price_ticks, lots in query(
        "select input_seq, portfolio_id, instrument_id, instrument_version, order_id, side, price_ticks, quantity_lots"
        " from fill order by input_seq, n, order_id"
    ):
        while actions and actions[0][0] < seq:
            _act(books, actions.pop(0), newest)
        own = terms[instrument, version]
        books.fill((portfolio, instrument), order, side == "buy", price_ticks * own.tick, lots, own)
    for action in actions:
        _act(books, action, newest)
    expected = {
        "cash": {key: amount for key, amount in books.cash.items() if amount},
        "position": {key: sum(held.signed for held in lots) for key, lots in books.lots.items() if lots},
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


def _act(books: Books, action: tuple[Any, ...], newest: Mapping[int, Terms]) -> None:
    _, instrument, numerator, denominator, dividend, tax_ppm, reference_ticks = action
    own = newest[instrument]
    for place in [place for place, lots in books.lots.items() if lots and place[1] == instrument]:
        if dividend:
            books.dividend(place, dividend, Decimal(tax_ppm) / 10**6, own)
        else:
            books.split(place, Fraction(numerator, denominator), reference_ticks * own.tick, own)


def _booked(query: Query, cent: Decimal) -> dict[str, dict[Any, Any]]:
    """What the floor's rows say."""
    cash = query(
        "select a.portfolio_id, s.code, a.posted from account a join asset s on s.id = a.asset_id"
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
        "select portfolio_id, instrument_id, sum(gain)::bigint from ("
        " select c.portfolio_id, l.instrument_id, c.proceeds - c.cost as gain from lot_close c"
        " join lot l on l.id = c.lot_id"
        " union all select e.portfolio_id, s.instrument_id, e.cash - sign(e.lots_before) * e.dropped"
        " from action_effect e join corporate_action s on s.id = e.action_id and s.kind = 'split') gains group by 1, 2"
    )
    orders = query("select id, filled_lots, notional, fee from orders where filled_lots > 0")
    return {
        "cash": {(portfolio, currency): cents * cent for portfolio, currency, cents in cash if cents},
        "position": {(portfolio, instrument): lots for portfolio, instrument, lots in positions if lots},
        "cost": {(portfolio, instrument): cents * cent for portfolio, instrument, cents in costs},
        "realised": {(portfolio, instrument): cents * cent for portfolio, instrument, cents in realised if cents},
        "order": {order: (lots, notional * cent, fee * cent) for order, lots, notional, fee in orders},
    }


def _terms(query: Query) -> dict[Place, Terms]:
    """By instrument and version."""
    return {
        (instrument, version): Terms(
            currency, tick, lot, cent := Decimal(1).scaleb(-scale), cent * per_lot / 1000, Decimal(ppm) / 10**6,
            cent * least,
        )
        for instrument, version, currency, tick, lot, scale, per_lot, ppm, least in query(
            "select v.instrument_id, v.version, c.code, v.tick_size, v.lot_size, c.scale, v.fee_per_lot_millis,"
            " v.fee_rate_ppm, v.fee_minimum from instrument_version v join asset c on c.id = v.currency_id"
        )
    }  # fmt: skip
