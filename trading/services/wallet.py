"""Money in and out that takes more than one person, and the portfolio's own view of its cash.

A withdrawal is asked for by its trader or an admin, a deposit by an admin; a withdrawal's cash is held at once. An
admin other than who asked decides; a trader's request above the currency's limit takes two admins. Nothing waits
longer than `WAITS_NS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trading.domain.errors import Invalid
from trading.domain.money import minor_to_decimal, to_units
from trading.services import settled
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ledger import minor_amount
from trading.services.margin import marks
from trading.services.ports.desk import Marks
from trading.services.ports.people import Portfolio
from trading.services.ports.wallet import Ask

WAITS_NS = 3 * 86_400_000_000_000
"""How long a request waits for its decision before it expires."""
KINDS = ("deposit", "withdrawal")
NO_QUOTES: Marks = {}

_OWNER = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY}
_READ = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}
_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class Request:
    """A deposit or withdrawal that was asked for. Names are of people; times are ns UTC.

    ``state``: pending, approved, declined, withdrawn (taken back), expired. ``first_name`` is the first of two admins.
    """

    id: int
    portfolio_id: int
    portfolio: str
    owner: str
    kind: str
    amount: Decimal
    currency: str
    memo: str
    state: str
    admins_needed: int
    requested_by: int
    requested_name: str
    requested_ts_ns: int
    expires_ns: int
    first_by: int | None
    first_name: str
    decided_name: str
    decided_ts_ns: int | None
    reason: str
    group_id: int | None


@dataclass(frozen=True, slots=True)
class Limit:
    """Above this much a person's deposit or withdrawal takes a second admin."""

    currency: str
    above: Decimal
    version: int


@dataclass(frozen=True, slots=True)
class Purse:
    """Cash of one currency. ``held`` is reserved by orders and requests; ``unsettled`` proceeds trade at once and leave
    from ``settles_ns`` on (the last of them)."""

    currency: str
    total: Decimal
    held: Decimal
    available: Decimal
    unsettled: Decimal
    settles_ns: int | None
    withdrawable: Decimal


@operation({Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.OBSERVER: Reach.GRANTED, Role.SYSTEM: Reach.ANY})
def cash(floor: Floor, actor: Actor, portfolio_id: int) -> list[Purse]:
    """Cash of each currency and how much of it can be withdrawn now."""
    store = floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries
    waits = settled.unsettled(floor, store, portfolio_id)
    purses = []
    for row in store.cash(portfolio_id):
        total, held = (minor_to_decimal(row[name], row["scale"]) for name in ("posted", "held"))
        wait = waits.get(row["asset"])
        unsettled = Decimal(0) if wait is None else wait.amount
        free = max(total - held - unsettled, Decimal(0))
        at_ns = None if wait is None else wait.settles_ns
        purses.append(Purse(row["asset"], total, held, total - held, unsettled, at_ns, free))
    return purses


@operation(_OWNER)
def request(floor: Floor, actor: Actor, portfolio_id: int, kind: str, amount: str, key: str, memo: str = "") -> int:
    """Ask for a withdrawal or, as an admin, for a deposit, in the portfolio's base currency; returns the request's id.

    The same ``key`` asks once. `Invalid`: ``bad_kind``, those of `ledger.withdraw`, and those of amounts.
    """
    if kind not in KINDS or (kind == "deposit" and actor.role is not Role.ADMIN):
        raise Invalid("a trader asks for a withdrawal, an admin for a deposit or a withdrawal", "bad_kind")
    now_ns = floor.clock.now_ns()
    cents = minor_amount(floor, portfolio_id, amount)
    ask = Ask(
        actor.user_id, portfolio_id, kind, cents, key, memo.strip()[:200], actor.origin, now_ns, now_ns + WAITS_NS
    )
    if kind == "deposit":
        return floor.wallet.request(ask, (), {})
    with settled.explained(floor, portfolio_id):
        return floor.wallet.request(ask, settled.cutoffs(floor, now_ns), marks(floor, portfolio_id))


@operation(_ADMIN)
def approve(floor: Floor, actor: Actor, request_id: int, reason: str = "") -> str:
    """Agree: ``approved`` when that was enough and the money has moved, ``pending`` when another admin must agree too.

    `Invalid`: ``same_person`` for who asked or agreed before, ``already_decided``, ``expired``; for a withdrawal that
    a margin portfolio's positions have come to require meanwhile, those of `ledger.withdraw`.
    """
    asked = next((row for row in floor.wallet.waiting() if row["id"] == request_id), None)
    return _decide(
        floor, actor, request_id, "approve", reason, {} if asked is None else marks(floor, asked["portfolio_id"])
    )


@operation(_ADMIN)
def decline(floor: Floor, actor: Actor, request_id: int, reason: str) -> str:
    """Say no, with a reason; what was held is free again."""
    if not reason.strip():
        raise Invalid("say why: who asked will read it", "no_reason")
    return _decide(floor, actor, request_id, "decline", reason)


@operation({Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO})
def take_back(floor: Floor, actor: Actor, request_id: int) -> str:
    """Take one's own request back; `Invalid` with ``not_yours`` for another's."""
    return _decide(floor, actor, request_id, "withdraw", "")


@operation(_ADMIN)
def waiting(floor: Floor, actor: Actor) -> list[Request]:
    """What waits for an admin, oldest first."""
    return [_request(row) for row in floor.wallet.waiting()]


@operation(_READ)
def requests(floor: Floor, actor: Actor, portfolio_id: int, limit: int = 50) -> list[Request]:
    """A portfolio's requests, newest first."""
    return [_request(row) for row in floor.wallet.requests(portfolio_id, limit)]


@operation(_OWNER)
def reset(floor: Floor, actor: Actor, portfolio_id: int, name: str) -> int:
    """Begin anew: the portfolio becomes an archive that can still be read; returns the one that goes on in its place.

    ``name`` is the portfolio's, typed by who means it. The new one starts with the old one's first deposit. `Invalid`:
    ``wrong_name``, ``open_orders``, ``open_parents``, ``open_schedules``, ``requests_wait``, ``open_positions`` (of a
    margin portfolio).
    """
    return floor.wallet.reset(actor.user_id, portfolio_id, name.strip(), actor.origin, floor.clock.now_ns())


@operation(dict.fromkeys((Role.TRADER, Role.ADMIN, Role.OBSERVER), Reach.NO_PORTFOLIO))
def archives(floor: Floor, actor: Actor) -> Sequence[Portfolio]:
    """Archived portfolios that the actor may read, newest first."""
    if actor.role is Role.OBSERVER:
        return floor.wallet.archives(None, actor.user_id)
    return floor.wallet.archives(actor.user_id if actor.role is Role.TRADER else None, None)


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def expire_due(floor: Floor, actor: Actor) -> int:
    """End what nobody decided in time; returns how many. Safe to repeat."""
    return floor.wallet.expire(floor.clock.now_ns())


@operation({Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO})
def limits(floor: Floor, actor: Actor) -> list[Limit]:
    """The limit of each currency."""
    return [
        Limit(row["currency"], minor_to_decimal(row["above"], row["scale"]), row["version"])
        for row in floor.wallet.limits()
    ]


@operation({Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO})
def set_limit(floor: Floor, actor: Actor, currency: str, amount: str) -> None:
    """Set a currency's limit anew. An admin may lower it (``only_lower``); the floor's operator may raise it."""
    scales = {row["currency"]: row["scale"] for row in floor.wallet.limits()}
    if currency not in scales:
        raise Invalid(f"the floor keeps no accounts in {currency[:12]}", "unknown_currency")
    above = to_units(amount, Decimal(1).scaleb(-scales[currency]), "limit")
    if above < 0:
        raise Invalid("a limit is not below zero", "out_of_range")
    floor.wallet.set_limit(actor.user_id, currency, above, actor.origin, floor.clock.now_ns())


def _decide(floor: Floor, actor: Actor, request_id: int, verb: str, reason: str, judged_on: Marks = NO_QUOTES) -> str:
    return floor.wallet.decide(
        actor.user_id, request_id, verb, reason.strip()[:200], actor.origin, floor.clock.now_ns(), judged_on
    )


def _request(row: Mapping[str, Any]) -> Request:
    kept = {name: row[name] or "" for name in ("first_name", "decided_name")}
    amount = minor_to_decimal(row["amount"], row["scale"])
    return Request(**{**{k: v for k, v in row.items() if k != "scale"}, **kept, "amount": amount})
