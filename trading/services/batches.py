"""Many tickets in one call: all accepted or none, or each by itself, once for each key."""

from collections.abc import Sequence

from trading.domain.errors import Invalid
from trading.domain.orders import Refusal, Ticket
from trading.services.access import Actor, Reach, Role, operation
from trading.services.desk import best_quote, check_key, marks_of, tell_accepted, ticks_for
from trading.services.floor import Floor
from trading.services.ports.batches import BatchAnswer, BatchMode, DecideTicket
from trading.services.ports.desk import Decision, DeskContext
from trading.services.tickets import decide

TICKETS_MAX = 100
"""Tickets in one batch: what one transaction writes while it holds the portfolio."""

_OWN = {Role.TRADER: Reach.OWN}


@operation(_OWN)
def submit(
    floor: Floor, actor: Actor, portfolio_id: int, tickets: Sequence[Ticket], mode: BatchMode, key: str
) -> BatchAnswer:
    """Accept or refuse the tickets in their order, once for each ``key`` of this user; a retry gets the first answer.

    Limits count the batch together: each ticket is judged on the cash, positions and open orders that those before it
    left. With ``all`` one refusal leaves nothing of any. Raises `Invalid` (``bad_batch``, ``bad_key``) and what
    `trading.services.desk.submit` raises; then nothing of the batch was written.
    """
    check_key(actor, key)
    _check(tickets)
    now_ns = floor.clock.now_ns()
    answer = floor.batches.submit(
        actor.user_id,
        portfolio_id,
        key,
        tickets,
        mode,
        _judge(floor, portfolio_id, tickets, now_ns),
        now_ns,
        actor.origin,
    )
    if answer.accepted:
        tell_accepted(floor, portfolio_id, *answer.answers)
    return answer


@operation(_OWN)
def preview(floor: Floor, actor: Actor, portfolio_id: int, tickets: Sequence[Ticket]) -> BatchAnswer:
    """What `submit` would answer to each ticket now, by the same code; nothing is kept of it."""
    _check(tickets)
    now_ns = floor.clock.now_ns()
    return floor.batches.preview(
        actor.user_id, portfolio_id, tickets, _judge(floor, portfolio_id, tickets, now_ns), now_ns
    )


def _check(tickets: Sequence[Ticket]) -> None:
    if not 1 <= len(tickets) <= TICKETS_MAX:
        raise Invalid(f"a batch has 1 to {TICKETS_MAX} tickets", "bad_batch")


def _judge(floor: Floor, portfolio_id: int, tickets: Sequence[Ticket], now_ns: int) -> DecideTicket:
    ids = {floor.desk.instrument_id(symbol, venue) for symbol, venue in {(one.symbol, one.venue) for one in tickets}}
    ticks = ticks_for(floor, portfolio_id, [known for known in ids if known is not None])

    def judge(context: DeskContext, ticket: Ticket) -> Sequence[Decision] | Refusal:
        quote = best_quote(ticks, context.instrument.id, now_ns)
        return decide(context, ticket, quote, now_ns, marks_of(context, ticks, now_ns))

    return judge
