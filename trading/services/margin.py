"""Margin portfolios as people see them: equity, requirement, buying power, calls; and the policies behind them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from trading.domain import margin
from trading.domain.errors import Invalid
from trading.domain.margin import Holding, Mark, Policy, Worth, policy_of
from trading.domain.money import minor_to_decimal
from trading.market.ticks import Ticks
from trading.services.access import Actor, Reach, Role, operation
from trading.services.desk import newest_ticks
from trading.services.floor import Floor
from trading.services.ports.desk import Marks
from trading.services.ports.queries import QueryStore

STALE_NS = 5_000_000_000
"""A quote that is older is told of: opening orders are refused on it."""
SOURCE_MIN = 5

_READ = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.OBSERVER: Reach.GRANTED, Role.SYSTEM: Reach.ANY}
_EVERYONE = dict.fromkeys(Role, Reach.NO_PORTFOLIO)
_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class MarginLine:
    """A margin portfolio in one currency, in units of it.

    ``state`` is ``met``, ``call`` (equity is below maintenance) or ``close_out`` (positions are being closed), since
    ``since_ns``. ``buying_power`` is for shares, by the policy for all markets. Without a price of each position in
    ``unmarked`` all that depends on it is None; ``stale`` have a price that is old.
    """

    currency: str
    cash: Decimal
    reserved: Decimal
    state: str
    since_ns: int | None
    unmarked: tuple[str, ...]
    stale: tuple[str, ...]
    positions: Decimal | None = None
    equity: Decimal | None = None
    initial: Decimal | None = None
    maintenance: Decimal | None = None
    close_out: Decimal | None = None
    excess: Decimal | None = None
    buying_power: Decimal | None = None
    withdrawable: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CallLine:
    """What the broker recorded of a margin account: a call, a close-out or that it is met, and on what figures."""

    ts_ns: int
    input_seq: int
    kind: str
    currency: str
    equity: Decimal
    maintenance: Decimal
    close_out: Decimal


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """The policy of a market (an asset class; empty is all others), its version and where it comes from."""

    asset_class: str
    version: int
    policy: Policy
    source: str


@operation(_READ)
def account(floor: Floor, actor: Actor, portfolio_id: int) -> list[MarginLine]:
    """A margin portfolio by currency, at the newest quotes; nothing for a cash portfolio."""
    store = floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries
    return _lines(floor, store, portfolio_id)


@operation(_READ)
def calls(floor: Floor, actor: Actor, portfolio_id: int, limit: int = 100) -> list[CallLine]:
    """Margin calls and what became of them, newest first."""
    store = floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries
    return [
        CallLine(
            row["ts_ns"],
            row["input_seq"],
            row["kind"],
            row["currency"],
            *(minor_to_decimal(row[name], row["scale"]) for name in ("equity", "maintenance", "close_out")),
        )
        for row in store.margin_events(portfolio_id, limit)
    ]


@operation(_EVERYONE)
def policies(floor: Floor, actor: Actor) -> list[PolicyLine]:
    """What each market asks; the one without a name is for all markets that have none of their own."""
    return [
        PolicyLine(row["asset_class"], row["version"], policy_of(row), row["source"])
        for row in floor.queries.margin_policies()
    ]


@operation(_EVERYONE)
def markets(floor: Floor, actor: Actor) -> list[str]:
    """Markets that may have a policy of their own, after the empty name of all others."""
    return ["", *(row["asset_class"] for row in floor.queries.asset_classes())]


@operation(_ADMIN)
def set_policy(floor: Floor, actor: Actor, asset_class: str, policy: Policy, source: str) -> None:
    """A market's next policy; the broker goes by it within a second. Raises `Invalid` with code ``bad_policy``."""
    if not 0 < policy.initial_ppm <= margin.PPM:
        raise Invalid("the initial requirement is more than 0 and at most 100 percent", "bad_policy")
    if not all(0 < each <= policy.initial_ppm for each in (policy.maintenance_long_ppm, policy.maintenance_short_ppm)):
        raise Invalid("the maintenance requirement is more than 0 and at most the initial one", "bad_policy")
    if not 0 < policy.close_out_ppm <= margin.PPM:
        raise Invalid("the close-out level is more than 0 and at most 100 percent of maintenance", "bad_policy")
    if not 0 < policy.close_band_ppm <= margin.PPM:
        raise Invalid("a close-out trades more than 0 and at most 100 percent through the market", "bad_policy")
    if asset_class not in markets(floor, actor):
        raise Invalid(f"there is no market {asset_class[:20]!r}", "bad_policy")
    if len(source.strip()) < SOURCE_MIN:
        raise Invalid("say where the policy comes from", "bad_policy")
    row = {"asset_class": asset_class, **asdict(policy), "source": source.strip()[:300]}
    floor.desk.set_margin_policy(actor.user_id, actor.origin, row)


def marks(floor: Floor, portfolio_id: int) -> Marks:
    """What cash that would leave a margin portfolio is judged on, in the transaction that moves it.

    The newest quotes of all instruments, whatever their age; none for a cash portfolio, which has its floor of zero,
    and none while the bus is away.
    """
    if not floor.desk.is_margin(portfolio_id):
        return {}
    found: dict[int, tuple[int, int, int]] = {}
    for key, tick in newest_ticks(floor).items():
        quote = _mark(tick)
        found[key] = (quote.bid_ticks, quote.ask_ticks, int(tick["ts_ns"][0]))
    return found


def _lines(floor: Floor, store: QueryStore, portfolio_id: int) -> list[MarginLine]:
    """Of each currency."""
    if store.margin_currency(portfolio_id) is None:
        return []
    held = store.margin_positions(portfolio_id)
    ticks = newest_ticks(floor, [holding.instrument.id for holding in held]) if held else {}
    now_ns, found = floor.clock.now_ns(), {row["currency"]: row for row in store.margin_states(portfolio_id)}
    default = policy_of(next(row for row in store.margin_policies() if row["asset_class"] == ""))
    lines = []
    for row in store.cash(portfolio_id):
        own = [each for each in held if each.instrument.currency.code == row["asset"]]
        lines.append(_line(row, own, ticks, now_ns, found, default))
    return lines


def _line(
    row: Mapping[str, Any],
    held: Sequence[Holding],
    ticks: Mapping[int, Ticks],
    now_ns: int,
    states: Mapping[str, Mapping[str, Any]],
    default: Policy,
) -> MarginLine:
    marks = {each.instrument.id: _mark(ticks.get(each.instrument.id)) for each in held}
    worth = margin.assess(row["posted"], held, marks)
    state = states.get(row["asset"])

    def money(minor: int) -> Decimal:
        return minor_to_decimal(minor, row["scale"])

    line = MarginLine(
        currency=row["asset"],
        cash=money(row["posted"]),
        reserved=money(row["held"]),
        state="met" if state is None else state["kind"],
        since_ns=None if state is None else state["ts_ns"],
        unmarked=tuple(each.instrument.symbol for each in held if marks[each.instrument.id].closing(each.lots) <= 0),
        stale=tuple(
            each.instrument.symbol
            for each in held
            if each.instrument.id in ticks and now_ns - int(ticks[each.instrument.id]["ts_ns"][0]) > STALE_NS
        ),
    )
    return line if worth is None else _figures(line, worth, row["held"], money, default)


def _figures(line: MarginLine, worth: Worth, held: int, money: Callable[[int], Decimal], default: Policy) -> MarginLine:
    return replace(
        line,
        positions=money(worth.value),
        equity=money(worth.equity),
        initial=money(worth.initial),
        maintenance=money(worth.maintenance),
        close_out=money(worth.close_out),
        excess=money(worth.excess),
        buying_power=money(margin.buying_power(worth, held, default)),
        withdrawable=money(margin.withdrawable(worth, held)),
    )


def _mark(tick: Ticks | None) -> Mark:
    if tick is None or not len(tick):
        return Mark(0, 0)
    row = tick[0]
    return Mark(
        int(row["bid_ticks"]) if row["bid_lots"] > 0 else 0, int(row["ask_ticks"]) if row["ask_lots"] > 0 else 0
    )
