"""Deposits and withdrawals that one admin may do alone."""

from trading.domain.errors import Invalid, NotFound
from trading.domain.money import INT64_MAX, parse_decimal
from trading.services import settled
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.margin import marks

_ADMIN = {Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}
POSTING_MAX = 10**15
"""Largest single posting in minor units (ten trillion dollars): far from int64 so that sums can't overflow."""


@operation(_ADMIN)
def deposit(floor: Floor, actor: Actor, portfolio_id: int, amount: str, key: str, memo: str = "") -> int:
    """Put cash into a portfolio, in its base currency; returns the transfer group.

    ``amount`` is a decimal text with at most the currency's places. The same ``key`` posts once. Raises `Invalid`,
    `NotFound`, `Conflict` (key used for another body); ``second_admin_needed`` above the currency's limit, where a
    person asks: that is a request (`trading.services.wallet`).
    """
    cents = minor_amount(floor, portfolio_id, amount)
    return floor.ledger.deposit(
        actor.user_id, portfolio_id, cents, key, memo.strip()[:200], actor.origin, floor.clock.now_ns()
    )


@operation(_ADMIN)
def withdraw(floor: Floor, actor: Actor, portfolio_id: int, amount: str, key: str, memo: str = "") -> int:
    """Take cash out. Refused with ``insufficient_cash`` beyond what is not held, with ``not_settled`` beyond what has
    settled. Else like `deposit`.

    Out of a margin portfolio goes what its positions and open orders do not require: ``insufficient_margin``,
    ``no_mark`` where a position has no price, ``corporate_action`` while one is being booked.
    """
    cents, now_ns = minor_amount(floor, portfolio_id, amount), floor.clock.now_ns()
    with settled.explained(floor, portfolio_id):
        return floor.ledger.withdraw(
            actor.user_id,
            portfolio_id,
            cents,
            key,
            memo.strip()[:200],
            actor.origin,
            now_ns,
            settled.cutoffs(floor, now_ns),
            marks(floor, portfolio_id),
        )


def minor_amount(floor: Floor, portfolio_id: int, text: str) -> int:
    """Minor units of a portfolio's base currency in a decimal text; `Invalid` says what is wrong with it."""
    scale = floor.ledger.scale(portfolio_id)
    if scale is None:
        raise NotFound(f"no portfolio {portfolio_id}")
    value = parse_decimal(text, "amount")
    cents = value.scaleb(scale)
    if cents != cents.to_integral_value():
        raise Invalid(f"amount {value} has more than {scale} decimal places", "off_step")
    if cents <= 0:
        raise Invalid("amount must be more than zero", "not_positive")
    if cents > min(POSTING_MAX, INT64_MAX):
        raise Invalid("amount is out of range", "out_of_range")
    return int(cents)
