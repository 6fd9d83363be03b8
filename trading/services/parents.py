"""Parents worked on the live floor: a large order that the floor sends in children, as a planner says.

`trading.exchange.planners` plans; this module tells it what the children did and what the market traded, keeps the plan
and sends what it asks for. The plan is kept before its children go out, and each child has one number and one key, so a
clerk that is killed at any line is carried on where it stood. A child is an ordinary order, judged at the desk like any
other with the rights of the owner of that moment.

A refused child, the kill switch's among them, pauses its parent, which says why; its owner resumes or cancels it. A
parent that is still paused at its end time ends there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trading.domain.errors import Conflict, Forbidden, Halted, Invalid, NotFound, TradefloorError, Unavailable
from trading.domain.money import to_units
from trading.domain.orders import PPM_STEP, TERMINAL, OrderState, OrderType, Refusal, Ticket, TimeInForce
from trading.exchange.planners import (
    Child,
    Iceberg,
    Parent,
    Participation,
    Plan,
    Printed,
    Report,
    Sliced,
    Stop,
    advance,
    dump,
    load,
)
from trading.market.bars import unpack_bars
from trading.services import desk
from trading.services.access import CLERK, Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.parents import OPEN, ChildOrder, ParentState, Style, WorkedParent
from trading.services.tickets import form_refusal, invalid

OPEN_MAX = 50
"""Parents of a portfolio that are not over."""
MINUTES_MAX = 7 * 24 * 60
SLICES_MAX = 500
_MINUTE_NS = 60_000_000_000
_SLICE_NS = 30_000_000_000
"""A TWAP's slices are this far apart unless somebody says otherwise."""
_DUST = 100
"""A participating child is at least this part of its parent, so that dust does not pay a minimum fee each."""
_PLAIN = frozenset({OrderType.MARKET, OrderType.LIMIT})

_OWN = {Role.TRADER: Reach.OWN}
_READ = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}


@dataclass(frozen=True, slots=True)
class Working:
    """How a ticket is to be worked, as typed.

    ``minutes`` long; a TWAP in ``slices`` even ones, a VWAP in one for each of ``weights``; POV takes ``rate_percent``
    of what others trade; an iceberg shows ``display`` at a time. ``at_end`` says what becomes of the rest.
    """

    style: Style
    minutes: int
    slices: int | None = None
    weights: tuple[int, ...] = ()
    rate_percent: str | None = None
    display: str | None = None
    at_end: Literal["leave", "take"] = "leave"


@operation(_OWN)
def create(
    floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket, working: Working, key: str
) -> WorkedParent | Refusal:
    """Begin to work a market or limit ticket, once for each ``key`` of this user.

    Refused for what could never be worked (its form, ``bad_plan``, ``not_worked``, ``too_many_parents``); cash,
    position and limits are asked child by child. Raises `Conflict` (key used for another body), `Invalid`
    (portfolio_archived), `Unavailable`.
    """
    desk.check_key(actor, key)
    context = floor.desk.context(actor.user_id, portfolio_id, ticket.symbol, ticket.venue)
    if context is None:
        return Refusal("unknown_instrument", f"{ticket.symbol[:20]!r} is not traded on {ticket.venue[:10]}.")
    instrument, now_ns = context.instrument, floor.clock.now_ns()
    try:
        lots = instrument.quantity_to_lots(ticket.quantity)
        one_lot = replace(ticket, quantity=f"{instrument.lot_size:f}")
        refusal = _plain_refusal(ticket, lots) or form_refusal(context, one_lot)
        if refusal is not None:
            return refusal
        end_ns = now_ns + _minutes(working) * _MINUTE_NS
        display = None if working.display is None else instrument.quantity_to_lots(working.display)
        style = _style(working, ticket, lots, display)
        plan = Plan(Parent(lots, now_ns, end_ns, style, working.at_end))
    except Invalid as error:
        return invalid(error)
    made = floor.parents.create(
        actor.user_id,
        portfolio_id,
        key,
        instrument.id,
        ticket,
        working.style,
        dump(plan),
        OPEN_MAX,
        now_ns,
        actor.origin,
    )
    if made is None:
        floor.audit.refused(
            actor.user_id, "parents.create", f"portfolio:{portfolio_id}", "too_many_parents", actor.origin
        )
        return Refusal("too_many_parents", f"A portfolio has at most {OPEN_MAX} orders that are being worked.")
    _work(floor, made)
    return _one(floor, portfolio_id, made)


@operation(_OWN)
def cancel(floor: Floor, actor: Actor, portfolio_id: int, parent_id: int) -> Refusal | None:
    """Stop working it and take back every child; a fill may overtake that. Asking again is nothing new."""
    for _ in range(3):
        found = _one(floor, portfolio_id, parent_id)
        if found.state is ParentState.STOPPING:
            return None
        if found.state not in OPEN:
            return Refusal("order_over", "This order is already over; there is nothing left to cancel.")
        if _kept(floor, found, ParentState.STOPPING, user_id=actor.user_id, origin=actor.origin):
            _work(floor, parent_id)
            return None
    raise Conflict("the order is being worked on; ask again", "in_flight")


@operation(_OWN)
def resume(floor: Floor, actor: Actor, portfolio_id: int, parent_id: int) -> Refusal | None:
    """Go on with one that is paused."""
    found = _one(floor, portfolio_id, parent_id)
    if found.state is not ParentState.PAUSED:
        return Refusal("parent_state", f"This order is {found.state}, not paused.")
    if not _kept(floor, found, ParentState.WORKING, user_id=actor.user_id, origin=actor.origin):
        raise Conflict("the order is being worked on; ask again", "in_flight")
    _work(floor, parent_id)
    return None


@operation(_READ)
def listing(floor: Floor, actor: Actor, portfolio_id: int, open_only: bool = True) -> list[WorkedParent]:
    """A portfolio's worked orders, newest first."""
    return list(floor.parents.of(portfolio_id, open_only))


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def work_all(floor: Floor, actor: Actor) -> str:
    """Carry every open parent on by a step; the clerk's job. Safe to be killed at any line and to run twice at once."""
    moved, trouble = 0, None
    for parent_id in floor.parents.open_ids():
        try:
            moved += _work(floor, parent_id)
        except TradefloorError as error:
            trouble = error  # told when the others have had their turn
    if trouble is not None:
        raise trouble
    return f"{moved} moved on" if moved else ""


# What is asked for ---------------------------------------------------------------------------------------------------


def _plain_refusal(ticket: Ticket, lots: int) -> Refusal | None:
    if lots <= 0:
        return Refusal("not_positive", "The quantity must be more than zero.")
    linked = (ticket.take_profit, ticket.stop_loss, ticket.oco_limit)
    plain = ticket.type in _PLAIN and ticket.time_in_force is TimeInForce.GTC and not ticket.post_only
    if not plain or any(each is not None for each in linked):
        return Refusal("not_worked", "Only a plain market or limit order, good till cancelled, can be worked.")
    return None


def _minutes(working: Working) -> int:
    if not 1 <= working.minutes <= MINUTES_MAX:
        raise Invalid(f"an order is worked for 1 to {MINUTES_MAX:,} minutes", "bad_plan")
    return working.minutes


def _style(working: Working, ticket: Ticket, lots: int, display: int | None) -> Sliced | Participation | Iceberg:
    if working.style is Style.VWAP:
        if not 1 <= len(working.weights) <= SLICES_MAX or max(working.weights) > 1_000_000:
            raise Invalid(f"a profile has 1 to {SLICES_MAX} weights of at most a million", "bad_plan")
        return Sliced(working.weights)
    if working.style is Style.TWAP:
        usual = max(1, working.minutes * _MINUTE_NS // _SLICE_NS)
        slices = min(usual, SLICES_MAX) if working.slices is None else working.slices
        if not 1 <= slices <= SLICES_MAX:
            raise Invalid(f"an order is worked in 1 to {SLICES_MAX} slices", "bad_plan")
        return Sliced((1,) * min(slices, lots))
    if working.style is Style.POV:
        rate = to_units(working.rate_percent or "", PPM_STEP, "rate in percent")
        return Participation(rate, max(1, lots // _DUST))
    if ticket.type is not OrderType.LIMIT:
        raise Invalid("an iceberg rests at a limit price", "limit_missing")
    if display is None or display > lots:
        raise Invalid("an iceberg shows a part of its quantity", "bad_plan")
    return Iceberg(display)


def _one(floor: Floor, portfolio_id: int, parent_id: int) -> WorkedParent:
    found = floor.parents.one(parent_id, portfolio_id)
    if found is None:
        raise NotFound("there is no such worked order in this portfolio")
    return found


# A step --------------------------------------------------------------------------------------------------------------


def _work(floor: Floor, parent_id: int) -> bool:
    """Carry a parent on: what happened, then what the plan asks for. True where its plan has moved."""
    parent = floor.parents.one(parent_id)
    if parent is None or parent.state not in OPEN:
        return False
    now_ns, plan = floor.clock.now_ns(), load(parent.plan)
    if parent.state is ParentState.PAUSED and now_ns < plan.parent.end_ns:
        return False
    try:
        after, returned, mark = _advanced(floor, parent, plan, now_ns)
    except Invalid as error:
        return _kept(floor, parent, ParentState.PAUSED, code=error.code, reason=str(error))
    state = _state(parent, after)
    if state is ParentState.WORKING and _is_resized(parent, plan):
        words = "Its instrument was split while a child was out: cancel it and begin anew."
        return _kept(floor, parent, ParentState.PAUSED, code="resized", reason=words)
    moved = (replace(after, now_ns=plan.now_ns), mark, state) != (plan, dict(parent.mark), parent.state)
    if moved:
        code, reason = _ending(parent, after) if state is ParentState.ENDED else ("", "")
        if not _kept(floor, parent, state, code=code, reason=reason, plan=after, mark=mark, returned=returned):
            return False
        parent = replace(parent, state=state, version=parent.version + 1, mark=mark, plan=dump(after))
    if state in OPEN:
        _see_to_children(floor, parent, after)
    return moved


def _advanced(
    floor: Floor, parent: WorkedParent, plan: Plan, now_ns: int
) -> tuple[Plan, Sequence[int], Mapping[str, int]]:
    """The plan after what children did, what the market traded and what time it is; children that were never sent."""
    volume, mark = 0, dict(parent.mark)
    if isinstance(plan.parent.style, Participation):
        volume, mark = _volume(floor, parent)
    stopping = parent.state is not ParentState.WORKING
    if stopping:
        plan, _ = advance(plan, now_ns, Stop())
    known, returned = {child.n: child for child in parent.children}, []
    for child in plan.live:
        order = known.get(child.n)
        if order is not None and (order.filled_lots > child.filled or order.state in TERMINAL):
            filled = min(order.filled_lots, child.lots)
            plan, _ = advance(plan, now_ns, Report(child.n, filled, order.state in TERMINAL))
        elif order is None and child.asked:
            plan, _ = advance(plan, now_ns, Report(child.n, 0, over=True))
            returned.append(child.n)
    plan, _ = advance(plan, now_ns, Printed(volume) if volume else None)
    return plan, returned, mark


def _is_resized(parent: WorkedParent, plan: Plan) -> bool:
    """Whether a child that is out has another size than it was sent with: a split did that; the plan is in old lots."""
    sent = {child.n: child.lots for child in plan.live}
    return any(sent.get(order.n, order.quantity_lots) != order.quantity_lots for order in parent.children)


def _state(parent: WorkedParent, plan: Plan) -> ParentState:
    if not plan.over:
        return parent.state
    if plan.filled_lots == plan.parent.lots:
        return ParentState.FILLED
    return ParentState.CANCELLED if parent.state is ParentState.STOPPING else ParentState.ENDED


def _ending(parent: WorkedParent, plan: Plan) -> tuple[str, str]:
    """Why it is over with lots that have not filled."""
    if parent.state is ParentState.PAUSED:
        return "paused_to_end", f"It was paused until its time was over ({parent.code})."
    if plan.stopped:
        return "child_ended", "A child of it was ended by somebody else."
    return "time_over", "Its time was over."


def _see_to_children(floor: Floor, parent: WorkedParent, plan: Plan) -> None:
    """Send what the plan has out and the desk has not, and take back what it wants back."""
    known = {child.n: child for child in parent.children}
    owner = Actor(parent.actor_id, parent.username, Role(parent.role), origin=CLERK)
    for child in plan.live:
        order = known.get(child.n)
        if order is None and not child.asked:
            refusal = _sent(floor, owner, parent, child)
            if refusal is not None:
                _pause(floor, parent, plan, child, refusal)
                return
        elif order is not None and child.asked and _may_be_cancelled(order):
            # Taking back needs no rights of the owner's: not even those that a disabled one has lost.
            floor.desk.cancel(parent.actor_id, parent.portfolio_id, order.order_id, floor.clock.now_ns(), CLERK)
            floor.bus.wake_broker()


def _may_be_cancelled(order: ChildOrder) -> bool:
    return order.state not in TERMINAL and order.state is not OrderState.CANCEL_PENDING


def _sent(floor: Floor, owner: Actor, parent: WorkedParent, child: Child) -> Refusal | None:
    """Send a child; a refusal where it was not taken, None where it was or somebody else sees to it."""
    if parent.disabled:
        return Refusal("owner_disabled", "The owner's login is disabled.")
    ticket = replace(
        parent.ticket,
        quantity=f"{parent.instrument.quantity(child.lots):f}",
        time_in_force=TimeInForce.IOC if child.take else TimeInForce.GTC,
        parent_id=parent.id,
        child_n=child.n,
    )
    try:
        answer = desk.submit(floor, owner, parent.portfolio_id, ticket, f"parent:{parent.id}:child:{child.n}")
    except Conflict as error:
        return Refusal(error.code, str(error)) if error.code == "key_reused" else None
    except (Forbidden, Halted, Invalid) as error:
        return Refusal(error.code, str(error))
    return answer if isinstance(answer, Refusal) else None


def _pause(floor: Floor, parent: WorkedParent, plan: Plan, child: Child, refusal: Refusal) -> None:
    """The child that was refused goes back to what is to be sent, and nothing more is sent until somebody says so."""
    live = tuple(other for other in plan.live if other.n != child.n)
    back = replace(plan, live=live, slices=max(0, plan.slices - 1), taken=plan.taken and not child.take)
    _kept(floor, parent, ParentState.PAUSED, code=refusal.code, reason=refusal.reason, plan=back, returned=(child.n,))


def _kept(
    floor: Floor,
    parent: WorkedParent,
    state: ParentState,
    *,
    code: str = "",
    reason: str = "",
    plan: Plan | None = None,
    mark: Mapping[str, int] | None = None,
    returned: Sequence[int] = (),
    user_id: int | None = None,
    origin: str = CLERK,
) -> bool:
    if not code and state not in (ParentState.WORKING, ParentState.FILLED):
        code, reason = parent.code, parent.reason  # why it was paused stays with it to its end
    return floor.parents.save(
        parent,
        state,
        code,
        reason,
        parent.plan if plan is None else dump(plan),
        parent.mark if mark is None else mark,
        returned,
        floor.clock.now_ns(),
        parent.actor_id if user_id is None else user_id,
        origin,
    )


def _volume(floor: Floor, parent: WorkedParent) -> tuple[int, dict[str, int]]:
    """Lots that others have traded since the mark, out of the minute bars, and the new mark.

    Users' own orders are not on the simulated tape. Bars that are lost (the market or Redis restarted) count nothing.
    """
    try:
        parts = [unpack_bars(packed) for packed in floor.bus.get_bars()]
    except Unavailable:
        return 0, dict(parent.mark)
    bars = np.concatenate(parts)
    own = bars[(bars["instrument_id"] == parent.instrument.id) & (bars["frame"] == 0)]
    by_start: dict[int, int] = {}
    for start_ns, lots in zip(own["ts_ns"].tolist(), own["volume"].tolist(), strict=True):
        by_start[start_ns] = max(lots, by_start.get(start_ns, 0))
    if not by_start:
        return 0, dict(parent.mark)
    newest = max(by_start)
    mark = {"ts_ns": newest, "lots": by_start[newest]}
    if not parent.mark:
        return 0, mark
    seen_ns, seen = parent.mark["ts_ns"], parent.mark["lots"]
    if newest < seen_ns:
        return 0, dict(parent.mark)
    later = sum(lots for start_ns, lots in by_start.items() if start_ns > seen_ns)
    return later + max(0, by_start.get(seen_ns, seen) - seen), mark
