"""What the monitoring loop asks of a broker: missing protection, moved limits, entries again. Pure decisions.

Each repair has a cause that does not depend on the cycle: the state it answers. A cause whose last write still stands
asks for nothing, so a second look at the same account finds nothing to do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

from trading.domain.brokerage import Holding
from trading.domain.instruments import Instrument
from trading.domain.monitoring import (
    PROTECTIONS,
    Book,
    Cancel,
    Deed,
    FairSource,
    Move,
    Outcome,
    Place,
    Plan,
    Purpose,
    RecordedOrder,
    Step,
    Write,
    average_ticks,
    open_orders,
    rejected,
)
from trading.domain.orders import TERMINAL, OrderState, OrderType, Side, TimeInForce

_AGAIN = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT})
"""Types whose terms a broker tells in full; a trailing stop's distance it does not."""
HALT_WAIT_NS = 60_000_000_000
"""Protection that was refused because trading was halted is asked for again after this long, however often."""


@dataclass(frozen=True, slots=True)
class Situation:
    """An account after the record was brought up to date. ``fair_ticks`` has what is known and fresh.

    ``modes`` are the kill switch's scopes that are not running: ``floor``, ``user:ID``, ``instrument:ID``.
    """

    orders: Mapping[str, RecordedOrder]
    books: Mapping[int, Book]
    holdings: Mapping[int, Holding]
    plans: Mapping[int, Plan]
    writes: Sequence[Write]
    instruments: Mapping[int, Instrument]
    fair_ticks: Mapping[int, int]
    modes: Mapping[str, str]
    owner_id: int
    now_ns: int


@dataclass(frozen=True, slots=True)
class Repair:
    """Something to ask of the broker, and why."""

    step: Step
    cause: str
    deed: Deed
    purpose: Purpose
    attempt: int = 0


def repairs(situation: Situation) -> list[Repair]:
    """Everything the plans want and the kill switch lets through, in the order of the steps."""
    found = [
        *_protections(situation),
        *_orphans(situation),
        *_moves(situation),
        *_reentries(situation),
        *_replacements(situation),
    ]
    order = list(Step)
    allowed = [repair for repair in found if _may(situation, repair)]
    return sorted(allowed, key=lambda repair: order.index(repair.step))


def _may(at: Situation, repair: Repair) -> bool:
    """Halted: cancels alone. Reducing: protection besides."""
    if isinstance(repair.deed, Cancel):
        return True
    deed = repair.deed
    instrument_id = deed.instrument_id if isinstance(deed, Place) else at.orders[deed.order_id].order.instrument_id
    scopes = ("floor", f"user:{at.owner_id}", f"instrument:{instrument_id}")
    modes = {at.modes[scope] for scope in scopes if scope in at.modes}
    return not modes or ("halted" not in modes and repair.purpose in PROTECTIONS)


def write_of(repair: Repair, writes: Sequence[Write], prefix: str) -> Write:
    """The write that carries a repair out: the one that was begun and whose answer is not known, else a new one.

    ``prefix`` makes keys of accounts differ.
    """
    line = [write for write in writes if write.cause == repair.cause]
    begun = next((write for write in line if write.outcome is Outcome.PENDING), None)
    if begun is not None:
        return begun
    number = max((write.number for write in line), default=-1) + 1
    key = f"{prefix}{repair.cause}:{number}"
    return Write(key, repair.cause, number, repair.step, repair.deed, repair.purpose, repair.attempt)


def unwanted(writes: Sequence[Write], wanted: Sequence[Repair]) -> list[Write]:
    """Writes that were begun, whose answer never came, and that nothing asks for any more."""
    causes = {repair.cause for repair in wanted}
    return [write for write in writes if write.outcome is Outcome.PENDING and write.cause not in causes]


def drops(orders: Mapping[str, RecordedOrder], writes: Sequence[Write]) -> tuple[list[str], list[str]]:
    """Ids of rejected orders and keys of refused ones that are still on the list of what is worked on."""
    ids = sorted(order_id for order_id, each in orders.items() if rejected(each) and not each.dropped)
    keys = [
        write.key
        for write in writes
        if write.outcome is Outcome.REFUSED and isinstance(write.deed, Place) and not write.dropped
    ]
    return ids, keys


# Protection ---------------------------------------------------------------------------------------------------------


def _protections(at: Situation) -> Iterator[Repair]:
    for instrument_id, holding in sorted(at.holdings.items()):
        plan, book = at.plans.get(instrument_id), at.books.get(instrument_id)
        if plan is None or book is None or holding.quantity_lots != book.position_lots:
            continue  # no plan, or fills do not say what the position cost: the comparison shows it
        average = average_ticks(book, at.instruments[instrument_id])
        if average is None:
            continue
        for part, place in _missing(at, holding, plan, average):
            purpose = Purpose.TAKE_PROFIT if part == "take" else Purpose.STOP_LOSS
            cause = f"protect:{instrument_id}:{book.through}:{part}:{place.quantity_lots}"
            repair = _again_or_first(at, plan, Repair(Step.PROTECT, cause, place, purpose))
            if repair is not None:
                yield repair


def _missing(at: Situation, holding: Holding, plan: Plan, average: Fraction) -> Iterator[tuple[str, Place]]:
    """Protection that the plan states and no open order gives: a ``stop`` (with the take profit where that is missing
    too), ``more`` lots of stop alone, a ``take`` alone.

    A limit order that holds the lots a stop needs is replaced by a pair with the same limit. A stop is never taken
    away to make room for a take profit.
    """
    lots, instrument_id = abs(holding.quantity_lots), holding.instrument_id
    side = Side.SELL if holding.quantity_lots > 0 else Side.BUY
    stop, take = _stop_ticks(average, plan, side), _take_ticks(average, plan, side)
    closing = [
        each
        for each in open_orders(at.orders.values())
        if each.order.instrument_id == instrument_id and each.order.side is side
    ]
    limits = [each for each in closing if each.order.stop_ticks is None and each.order.limit_ticks is not None]
    stopped = sum(_left(each) for each in closing if each.order.stop_ticks is not None)
    need_stop = max(0, lots - stopped) if stop else 0
    need_take = max(0, lots - sum(map(_left, limits))) if take else 0
    free = lots - holding.held_lots
    good = TimeInForce.GTC
    if stop and need_stop and free < need_stop and limits:
        taken = tuple(each.order.order_id for each in limits)
        kept = max(limits, key=_left).order.limit_ticks
        yield "stop", Place(instrument_id, side, OrderType.STOP, need_stop, good, None, stop, kept, taken)
        return
    pair = min(need_stop, need_take)
    if pair:
        yield "stop", Place(instrument_id, side, OrderType.STOP, pair, good, None, stop, take)
    if need_stop > pair:
        rest = Place(instrument_id, side, OrderType.STOP, need_stop - pair, good, None, stop)
        yield "more" if pair else "stop", rest
    if need_take > pair and free - need_stop >= need_take - pair:
        yield "take", Place(instrument_id, side, OrderType.LIMIT, need_take - pair, good, take)


def _stop_ticks(average: Fraction, plan: Plan, side: Side) -> int | None:
    """Where the loss ends: at least a tick beyond the average cost, rounded away from it."""
    if plan.stop_loss_ppm is None:
        return None
    distance = average * plan.stop_loss_ppm / 1_000_000
    return max(1, floor(average - distance)) if side is Side.SELL else ceil(average + distance)


def _take_ticks(average: Fraction, plan: Plan, side: Side) -> int | None:
    if plan.take_profit_ppm is None:
        return None
    distance = average * plan.take_profit_ppm / 1_000_000
    return ceil(average + distance) if side is Side.SELL else max(1, floor(average - distance))


def _left(each: RecordedOrder) -> int:
    return each.order.quantity_lots - each.order.filled_lots


def _orphans(at: Situation) -> Iterator[Repair]:
    """Our own protection whose position is gone: it could open a new one."""
    for each in open_orders(at.orders.values()):
        holding = at.holdings.get(each.order.instrument_id)
        lots = holding.quantity_lots if holding else 0
        if each.purpose not in PROTECTIONS or (lots > 0 if each.order.side is Side.SELL else lots < 0):
            continue
        cause = f"cancel:{each.order.order_id}"
        if _last(at.writes, cause) is None:
            yield Repair(Step.PROTECT, cause, Cancel(each.order.order_id), each.purpose)


# Moves --------------------------------------------------------------------------------------------------------------


def _moves(at: Situation) -> Iterator[Repair]:
    for each in open_orders(at.orders.values()):
        order, plan = each.order, at.plans.get(each.order.instrument_id)
        fair = at.fair_ticks.get(order.instrument_id)
        if plan is None or plan.fair_source is FairSource.OFF or fair is None or order.limit_ticks is None:
            continue
        resting = order.state in (OrderState.WORKING, OrderState.PARTIALLY_FILLED)
        if each.purpose is not Purpose.ENTRY or order.type is not OrderType.LIMIT or not resting:
            continue
        target = _target(each, plan, fair)
        move, cause = Move(order.order_id, order.limit_ticks, target), f"move:{order.order_id}"
        last = _last(at.writes, cause)
        if abs(target - order.limit_ticks) >= plan.move_least_ticks and (last is None or last.deed != move):
            yield Repair(Step.REPRICE, cause, move, each.purpose, each.attempt)


def _target(each: RecordedOrder, plan: Plan, fair: int) -> int:
    """The fair price less the edge, never further from the order's first limit than the plan allows."""
    wanted = fair - plan.fair_edge_ticks if each.order.side is Side.BUY else fair + plan.fair_edge_ticks
    first = each.first_limit_ticks or wanted
    most = first * plan.move_most_ppm // 1_000_000
    return max(1, first - most, min(first + most, wanted))


# Again --------------------------------------------------------------------------------------------------------------


def _reentries(at: Situation) -> Iterator[Repair]:
    """Entries that expired before they were filled."""
    for each in at.orders.values():
        order, plan = each.order, at.plans.get(each.order.instrument_id)
        cause = f"enter:{order.order_id}"
        if (
            plan is not None
            and order.state is OrderState.EXPIRED
            and order.type is OrderType.LIMIT
            and _allowed(each, plan, plan.reentries_max)
            and _last(at.writes, cause) is None
        ):
            yield Repair(Step.REENTER, cause, _same(each), Purpose.ENTRY, each.attempt + 1)


def _replacements(at: Situation) -> Iterator[Repair]:
    """Entries that the broker turned down, at once or later."""
    for each in at.orders.values():
        plan, cause = at.plans.get(each.order.instrument_id), f"again:{each.order.order_id}"
        allowed = plan is not None and rejected(each) and _allowed(each, plan, plan.replacements_max)
        if allowed and each.order.type in _AGAIN and _last(at.writes, cause) is None:
            yield Repair(Step.REPLACE, cause, _same(each), Purpose.ENTRY, each.attempt + 1)
    for write in at.writes:
        if not isinstance(write.deed, Place) or write.outcome is not Outcome.REFUSED:
            continue
        plan, cause = at.plans.get(write.deed.instrument_id), f"again:{write.key}"
        allowed = plan is not None and write.attempt < plan.replacements_max and write.settled_ts_ns >= plan.since_ts_ns
        if write.purpose is Purpose.ENTRY and allowed and _last(at.writes, cause) is None:
            yield Repair(Step.REPLACE, cause, write.deed, Purpose.ENTRY, write.attempt + 1)


def _allowed(each: RecordedOrder, plan: Plan, most: int) -> bool:
    recent = each.over_ts_ns is not None and each.over_ts_ns >= plan.since_ts_ns
    return each.purpose is Purpose.ENTRY and _left(each) > 0 and each.attempt < most and recent


def _same(each: RecordedOrder) -> Place:
    """What is left of an order, on the same terms; a date that is over becomes the day."""
    order = each.order
    force = TimeInForce.DAY if order.time_in_force is TimeInForce.GTD else order.time_in_force
    return Place(order.instrument_id, order.side, order.type, _left(each), force, order.limit_ticks, order.stop_ticks)


def _again_or_first(at: Situation, plan: Plan, repair: Repair) -> Repair | None:
    """Protection is placed where it is missing, and placed again after a refusal only as often as the plan allows."""
    last = _last(at.writes, repair.cause)
    if last is None:
        return repair
    if last.code == "halted":
        return repair if at.now_ns - last.settled_ts_ns >= HALT_WAIT_NS else None
    placed = at.orders.get(last.order_id)
    if last.outcome is Outcome.REFUSED or (placed is not None and rejected(placed)):
        again = last.attempt < plan.replacements_max
        return replace(repair, step=Step.REPLACE, attempt=last.attempt + 1) if again else None
    return repair if placed is not None and placed.order.state in TERMINAL else None


def _last(writes: Sequence[Write], cause: str) -> Write | None:
    """The newest write of a cause whose answer is known."""
    settled = (Outcome.TAKEN, Outcome.REFUSED)
    line = [write for write in writes if write.cause == cause and write.outcome in settled]
    return max(line, key=lambda write: write.number, default=None)
