"""Scheduled orders: a ticket that goes to the desk at a time, once or by cron, in its exchange's time zone.

Nothing is held and no limit is counted before a run's time; then the ticket is judged like one that its owner sends at
that moment, with the owner's rights of that moment. Every run has one key at the desk, so a clerk that is killed and
starts again never sends it twice. Times of exchanges are `trading.market.sessions`', changes of clocks
`trading.domain.cron`'s.

A run that the floor comes to late is still sent within its grace; later it is missed: it is recorded and not made up.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from trading.domain import cron
from trading.domain.errors import Conflict, Forbidden, Halted, Invalid, NotFound
from trading.domain.orders import Acceptance, Refusal, Ticket
from trading.market.sessions import HoursMode, is_open, zone_name
from trading.services import desk
from trading.services.access import CLERK, Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.schedules import DueRun, Firing, Outcome, Schedule, ScheduleState, WhenClosed
from trading.services.tickets import form_refusal

OPEN_MAX = 100
"""Schedules of a portfolio that are not over."""
AHEAD_MAX_NS = 366 * 86_400_000_000_000
GRACE_S = 60
TURN_MAX = 200
"""Runs looked at in one turn of the clerk."""
MISSED_MAX = 100_000

_OWN = {Role.TRADER: Reach.OWN}
_READ = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}


@dataclass(frozen=True, slots=True)
class Timing:
    """When: ``at`` (ISO 8601; without offset in the exchange's zone) or ``cron``, one of the two.

    ``grace_s`` is how late a run may still be sent.
    """

    at: str | None = None
    cron: str | None = None
    when_closed: WhenClosed = WhenClosed.SKIP
    grace_s: int = GRACE_S


@dataclass(frozen=True, slots=True)
class Upcoming:
    """The next runs (ns UTC) of a schedule and the zone of its local times."""

    zone: str
    runs_ns: tuple[int, ...]


@operation(_OWN)
def preview(floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket, timing: Timing) -> Upcoming | Refusal:
    """When it would be sent: what `create` would keep, without keeping it."""
    return _planned(floor, actor, portfolio_id, ticket, timing)


@operation(_OWN)
def create(
    floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket, timing: Timing, key: str
) -> Schedule | Refusal:
    """Keep a ticket for later, once for each ``key`` of this user.

    Refused where the ticket could never be accepted (its form), and with ``bad_cron``, ``bad_time``, ``bad_grace``,
    ``schedule_past``, ``schedule_too_far``, ``schedule_never``, ``too_many_schedules``. What the market, the cash and
    the limits say is asked at each run. Raises `Conflict` (key used for another body), `Invalid` (portfolio_archived),
    `Unavailable`.
    """
    desk.check_key(actor, key)
    planned = _planned(floor, actor, portfolio_id, ticket, timing)
    if isinstance(planned, Refusal):
        return planned
    now_ns = floor.clock.now_ns()
    new = Schedule(
        0, portfolio_id, ticket, timing.cron, planned.zone, timing.when_closed, timing.grace_s,
        ScheduleState.ACTIVE, planned.runs_ns[0], now_ns,
    )  # fmt: skip
    made = floor.schedules.create(actor.user_id, key, new, OPEN_MAX, actor.origin)
    if made is None:
        floor.audit.refused(
            actor.user_id, "schedules.create", f"portfolio:{portfolio_id}", "too_many_schedules", actor.origin
        )
        return Refusal("too_many_schedules", f"A portfolio has at most {OPEN_MAX} schedules that are not over.")
    return _one(floor, portfolio_id, made)


@operation(_OWN)
def pause(floor: Floor, actor: Actor, portfolio_id: int, schedule_id: int) -> Refusal | None:
    """Hold it back; runs that fall into the pause are not made up."""
    return _move(floor, actor, _one(floor, portfolio_id, schedule_id), ScheduleState.ACTIVE, ScheduleState.PAUSED)


@operation(_OWN)
def resume(floor: Floor, actor: Actor, portfolio_id: int, schedule_id: int) -> Refusal | None:
    """Go on with the first run from now on."""
    return _move(floor, actor, _one(floor, portfolio_id, schedule_id), ScheduleState.PAUSED, ScheduleState.ACTIVE)


@operation(_OWN)
def cancel(floor: Floor, actor: Actor, portfolio_id: int, schedule_id: int) -> Refusal | None:
    """End it. Orders that it has made stay as they are."""
    found = _one(floor, portfolio_id, schedule_id)
    return _move(floor, actor, found, found.state, ScheduleState.CANCELLED)


@operation(_READ)
def listing(floor: Floor, actor: Actor, portfolio_id: int, open_only: bool = True) -> list[Schedule]:
    """A portfolio's schedules, newest first."""
    return list(floor.schedules.of(portfolio_id, open_only))


@operation(_READ)
def firings(floor: Floor, actor: Actor, portfolio_id: int, schedule_id: int, limit: int = 100) -> list[Firing]:
    """What became of the runs, newest first."""
    return list(floor.schedules.firings(portfolio_id, schedule_id, limit))


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def fire_due(floor: Floor, actor: Actor, hours: HoursMode) -> str:
    """Send what is due; the clerk's job. Safe to be killed at any line and to run twice at once.

    What cannot be told now (a server is away, the same run is being sent elsewhere) stays due. Returns what it did.
    """
    counts = dict.fromkeys(Outcome, 0)
    for run in floor.schedules.due(floor.clock.now_ns(), TURN_MAX):
        firing, after_ns = _run(floor, run, hours)
        if firing is not None:
            floor.schedules.fired(run.schedule.id, firing, _next_ns(run.schedule, after_ns))
            counts[firing.outcome] += 1
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def upcoming(schedule: Schedule, now_ns: int, count: int) -> list[int]:
    """The next runs of a schedule, ns UTC; none while it is not active."""
    if schedule.next_due_ns is None or schedule.state is not ScheduleState.ACTIVE:
        return []
    if schedule.cron is None:
        return [schedule.next_due_ns]
    expression, zone = cron.parse_cron(schedule.cron), ZoneInfo(schedule.zone)
    return cron.next_runs_ns(expression, zone, max(now_ns, schedule.next_due_ns) - 1, count)


# Planning ------------------------------------------------------------------------------------------------------------


def _planned(floor: Floor, actor: Actor, portfolio_id: int, ticket: Ticket, timing: Timing) -> Upcoming | Refusal:
    context = floor.desk.context(actor.user_id, portfolio_id, ticket.symbol, ticket.venue)
    calendar = floor.schedules.calendar(ticket.symbol, ticket.venue)
    if context is None or calendar is None:
        return Refusal("unknown_instrument", f"{ticket.symbol[:20]!r} is not traded on {ticket.venue[:10]}.")
    refusal = form_refusal(context, ticket)
    if refusal is not None:
        return refusal
    if not 1 <= timing.grace_s <= 86_400:
        return Refusal("bad_grace", "The grace is 1 to 86,400 seconds.")
    zone, now_ns = zone_name(calendar), floor.clock.now_ns()
    try:
        runs = _runs(timing, ZoneInfo(zone), now_ns)
    except Invalid as error:
        return Refusal(error.code, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    if not runs:
        return Refusal("schedule_never", "This never comes.")
    if runs[0] <= now_ns:
        return Refusal("schedule_past", "This time has passed.")
    if timing.cron is None and runs[0] > now_ns + AHEAD_MAX_NS:
        return Refusal("schedule_too_far", "An order may be scheduled a year ahead at most.")
    return Upcoming(zone, tuple(runs))


def _runs(timing: Timing, zone: ZoneInfo, now_ns: int) -> list[int]:
    if (timing.at is None) == (timing.cron is None):
        raise Invalid("say either at which time or by which cron expression", "bad_time")
    if timing.cron is not None:
        return cron.next_runs_ns(cron.parse_cron(timing.cron), zone, now_ns, 5)
    try:
        moment = datetime.fromisoformat((timing.at or "").strip())
    except ValueError:
        raise Invalid(f"{(timing.at or '')[:40]!r} is no time like 2026-12-31T16:00", "bad_time") from None
    if moment.tzinfo is None:
        return [cron.instant_ns(moment, zone)]
    return [cron.instant_ns(moment.astimezone(UTC).replace(tzinfo=None), ZoneInfo("UTC"))]


def _one(floor: Floor, portfolio_id: int, schedule_id: int) -> Schedule:
    found = floor.schedules.one(portfolio_id, schedule_id)
    if found is None:
        raise NotFound("there is no such schedule in this portfolio")
    return found


def _move(
    floor: Floor, actor: Actor, schedule: Schedule, source: ScheduleState, target: ScheduleState
) -> Refusal | None:
    now_ns, due_ns = floor.clock.now_ns(), schedule.next_due_ns
    if target is ScheduleState.ACTIVE and due_ns is not None and due_ns <= now_ns:
        due_ns = _next_ns(schedule, now_ns)
        if due_ns is None:
            return Refusal("schedule_past", "Its time passed while it was paused.")
    over = source in (ScheduleState.DONE, ScheduleState.CANCELLED)
    if over or not floor.schedules.change(
        actor.user_id, schedule.portfolio_id, schedule.id, source, target,
        None if target is ScheduleState.CANCELLED else due_ns, now_ns, actor.origin,
    ):  # fmt: skip
        return Refusal("schedule_state", f"This schedule is {schedule.state} and cannot become {target}.")
    return None


# Running -------------------------------------------------------------------------------------------------------------


def _run(floor: Floor, run: DueRun, hours: HoursMode) -> tuple[Firing | None, int]:
    """What became of a run (None: it stays due) and the time behind which the next one lies."""
    now_ns = floor.clock.now_ns()
    if run.answer is not None:
        return _told(run.due_ns, now_ns, run.answer), run.due_ns
    if now_ns - run.due_ns > run.schedule.grace_s * 1_000_000_000:
        missed, last_ns = _missed(run.schedule, run.due_ns, now_ns - run.schedule.grace_s * 1_000_000_000)
        words = "The floor was closed or could not send it in time."
        return Firing(run.due_ns, now_ns, Outcome.MISSED, "missed", words, runs=missed), last_ns
    if run.schedule.when_closed is WhenClosed.SKIP and not is_open(run.calendar, hours, now_ns):
        words = "The exchange is closed."
        return Firing(run.due_ns, now_ns, Outcome.SKIPPED, "market_closed", words), run.due_ns
    answer = _submitted(floor, run)
    return (None if answer is None else _told(run.due_ns, now_ns, answer)), run.due_ns


def _submitted(floor: Floor, run: DueRun) -> Acceptance | Refusal | None:
    """The desk's answer to a run, asked as its owner; None where it cannot be had now."""
    if run.disabled:
        return Refusal("owner_disabled", "The owner's login is disabled.")
    owner = Actor(run.actor_id, run.username, Role(run.role), origin=CLERK)
    try:
        key = f"schedule:{run.schedule.id}:{run.due_ns}"
        return desk.submit(floor, owner, run.schedule.portfolio_id, run.schedule.ticket, key)
    except Conflict as error:
        return None if error.code == "in_flight" else Refusal(error.code, str(error))
    except (Forbidden, Halted, Invalid, NotFound) as error:
        return Refusal(error.code, str(error))


def _told(due_ns: int, now_ns: int, answer: Acceptance | Refusal) -> Firing:
    if isinstance(answer, Refusal):
        return Firing(due_ns, now_ns, Outcome.REFUSED, answer.code, answer.reason)
    return Firing(due_ns, now_ns, Outcome.ACCEPTED, order_id=answer.order_id)


def _missed(schedule: Schedule, due_ns: int, before_ns: int) -> tuple[int, int]:
    """How many runs from ``due_ns`` on lie before ``before_ns``, and the last of them."""
    count = 1
    while count < MISSED_MAX:
        following = _next_ns(schedule, due_ns)
        if following is None or following >= before_ns:
            break
        count, due_ns = count + 1, following
    return count, due_ns


def _next_ns(schedule: Schedule, after_ns: int) -> int | None:
    if schedule.cron is None:
        return None
    return cron.next_run_ns(cron.parse_cron(schedule.cron), ZoneInfo(schedule.zone), after_ns)
