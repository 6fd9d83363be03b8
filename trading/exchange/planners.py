"""Parent orders worked in children: TWAP, VWAP, participation, iceberg. Pure: what happened goes in, orders come out.

A `Plan` is a value. Keep it (`dump`) before its orders go out and a restart goes on where it stood: `resume` names what
is on its way, and whoever sends it uses the child's number as the key, so that nothing is placed twice. Rules:

* Lots are with a child from its placement to its end, not only to the wish to cancel it: a fill that overtakes a
  cancel cannot overfill the parent. Children and fills never sum to more than the parent.
* Reports count from a child's start, so repeats and those that come late change nothing.
* What a child did not fill goes back: to the next slice, to the next print, or, for an iceberg, ends the plan, for
  somebody else decided so.
* At the end time live children are taken back. Then what is left stays unfilled (``leave``) or goes out as one last
  child that is to trade at once (``take``); what that does not get stays unfilled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal

from trading.domain.errors import Invalid
from trading.exchange.draws import PPM, draw_ppm


@dataclass(frozen=True, slots=True)
class Sliced:
    """Slices at even times, sized by weight: the volume expected in each bucket (VWAP), or all alike (TWAP).

    VWAP's schedule is the share of the day's volume that is expected by then: Berkowitz, Logue and Noser, "The Total
    Cost of Transactions on the NYSE", Journal of Finance 43 (1988); TWAP is the same with an even profile.
    """

    weights: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights) < 0 or sum(self.weights) == 0:
            raise Invalid("weights must be at least one number, none negative, not all zero", "bad_plan")


@dataclass(frozen=True, slots=True)
class Participation:
    """A share of what the market trades from the start on (POV): ``rate_ppm`` of the volume printed by others.

    A child goes out when at least ``least_lots`` are due, so that dust does not pay a minimum fee each.
    """

    rate_ppm: int
    least_lots: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.rate_ppm <= PPM or self.least_lots < 1:
            raise Invalid("participation is 1 to 1,000,000 ppm in children of at least one lot", "bad_plan")


@dataclass(frozen=True, slots=True)
class Iceberg:
    """Shows ``display_lots`` at a time; the next child goes out when the one before it has filled."""

    display_lots: int

    def __post_init__(self) -> None:
        if self.display_lots < 1:
            raise Invalid("an iceberg shows at least one lot", "bad_plan")


Style = Sliced | Participation | Iceberg
_STYLES: Mapping[str, type[Style]] = {"sliced": Sliced, "participation": Participation, "iceberg": Iceberg}


@dataclass(frozen=True, slots=True)
class Parent:
    """What is to be traded, between when (ns UTC; the end is outside), and how.

    ``jitter_ppm`` scatters slice times (later, by up to that share of a slice) and sizes (by up to that share, up or
    down), drawn from ``seed``.
    """

    lots: int
    start_ns: int
    end_ns: int
    style: Style
    at_end: Literal["leave", "take"] = "leave"
    seed: int = 0
    jitter_ppm: int = 0

    def __post_init__(self) -> None:
        if self.lots < 1 or self.end_ns <= self.start_ns or not 0 <= self.jitter_ppm < PPM:
            raise Invalid("a parent needs lots, an end after its start, and jitter from 0 to 999,999 ppm", "bad_plan")


@dataclass(frozen=True, slots=True)
class Child:
    """A child that is not over. ``asked`` once a cancel has gone out."""

    n: int
    lots: int
    filled: int = 0
    asked: bool = False
    take: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A parent and how far it is. ``done_lots`` filled in children that are over; ``slices`` gone out so far."""

    parent: Parent
    live: tuple[Child, ...] = ()
    done_lots: int = 0
    next_n: int = 1
    slices: int = 0
    market_lots: int = 0
    now_ns: int = 0
    stopped: bool = False
    taken: bool = False

    @property
    def filled_lots(self) -> int:
        """Lots of the parent that have filled."""
        return self.done_lots + sum(child.filled for child in self.live)

    @property
    def room_lots(self) -> int:
        """Lots that are neither filled nor with a live child."""
        return self.parent.lots - self.done_lots - sum(child.lots for child in self.live)

    @property
    def over(self) -> bool:
        """Nothing more will go out: all is filled, or what is left stays unfilled."""
        if self.live:
            return False
        ended = self.now_ns >= self.parent.end_ns and (self.parent.at_end == "leave" or self.taken)
        return self.room_lots == 0 or self.stopped or ended


@dataclass(frozen=True, slots=True)
class Printed:
    """Others have traded so many lots."""

    lots: int


@dataclass(frozen=True, slots=True)
class Report:
    """A child has filled so many lots since it was placed, and is over or not. A report of its end is final."""

    n: int
    filled_lots: int
    over: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the parent: every live child is taken back and none follows."""


Happened = Printed | Report | Stop | None


@dataclass(frozen=True, slots=True)
class Place:
    """Send child ``n``; ``take`` asks for a price that trades at once."""

    n: int
    lots: int
    take: bool = False


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Cancel child ``n``."""

    n: int


Order = Place | TakeBack


def advance(plan: Plan, now_ns: int, happened: Happened = None) -> tuple[Plan, Sequence[Order]]:
    """The plan after what happened at ``now_ns`` (None: only time passed) and the orders to send. Time never goes back.

    Raises `Invalid`, code ``bad_report``, for a child that was never placed or filled beyond its lots.
    """
    plan = replace(plan, now_ns=max(now_ns, plan.now_ns))
    if isinstance(happened, Stop):
        plan = replace(plan, stopped=True)
    elif isinstance(happened, Report):
        plan = _reported(plan, happened)
    elif isinstance(happened, Printed) and plan.parent.start_ns <= plan.now_ns < plan.parent.end_ns:
        plan = replace(plan, market_lots=plan.market_lots + max(0, happened.lots))
    if plan.stopped or plan.now_ns >= plan.parent.end_ns:
        return _end(plan)
    plan, lots = _due(plan, isinstance(happened, Printed))
    return _place(plan, lots) if lots > 0 else (plan, ())


def resume(plan: Plan) -> Sequence[Order]:
    """What must be on its way after a restart: every live child, and the cancels that were asked for.

    Placing is repeated under the child's number, which the receiver takes once.
    """
    placed = [Place(child.n, child.lots, child.take) for child in plan.live]
    return [*placed, *(TakeBack(child.n) for child in plan.live if child.asked)]


@lru_cache(maxsize=256)
def schedule(parent: Parent) -> tuple[tuple[int, int], ...]:
    """Slices of a `Sliced` parent as (due ns, lots due by then), the last with all lots; others have none.

    The total is rounded down at each slice, so remainders move to the next one.
    """
    if not isinstance(parent.style, Sliced):
        return ()
    jitter, count, length_ns = parent.jitter_ppm, len(parent.style.weights), parent.end_ns - parent.start_ns
    late_ppm2 = [draw_ppm(parent.seed, "time", k) * jitter for k in range(count)]
    due = [parent.start_ns + (k * PPM**2 + late_ppm2[k]) * length_ns // (count * PPM**2) for k in range(count)]
    weights = [
        weight * (PPM + (2 * draw_ppm(parent.seed, "size", k) - PPM) * jitter // PPM)
        for k, weight in enumerate(parent.style.weights)
    ]
    whole = sum(weights)
    return tuple(zip(due, (parent.lots * total // whole for total in accumulate(weights)), strict=True))


def _reported(plan: Plan, report: Report) -> Plan:
    child = next((child for child in plan.live if child.n == report.n), None)
    if child is None and 1 <= report.n < plan.next_n:
        return plan
    if child is None or not 0 <= report.filled_lots <= child.lots:
        raise Invalid(f"child {report.n} cannot have filled {report.filled_lots} lots", "bad_report")
    filled = max(child.filled, report.filled_lots)
    others = tuple(other for other in plan.live if other.n != child.n)
    if not report.over and filled < child.lots:
        live = tuple(replace(child, filled=filled) if other.n == child.n else other for other in plan.live)
        return replace(plan, live=live)
    refused = filled < child.lots and not child.asked and isinstance(plan.parent.style, Iceberg)
    return replace(plan, live=others, done_lots=plan.done_lots + filled, stopped=plan.stopped or refused)


def _due(plan: Plan, printed: bool) -> tuple[Plan, int]:
    """Lots to place now."""
    parent, style = plan.parent, plan.parent.style
    with_children = parent.lots - plan.room_lots
    if isinstance(style, Sliced):
        slices = schedule(parent)
        passed = plan.slices
        while passed < len(slices) and slices[passed][0] <= plan.now_ns:
            passed += 1
        if passed == plan.slices:
            return plan, 0
        return replace(plan, slices=passed), slices[passed - 1][1] - with_children
    if isinstance(style, Participation):
        due = min(parent.lots, plan.market_lots * style.rate_ppm // PPM) - with_children
        return plan, due if printed and due >= min(style.least_lots, plan.room_lots) else 0
    if plan.live or plan.now_ns < parent.start_ns:
        return plan, 0
    scatter = (2 * draw_ppm(parent.seed, "size", plan.next_n) - PPM) * parent.jitter_ppm // PPM
    return plan, min(plan.room_lots, max(1, style.display_lots * (PPM + scatter) // PPM))


def _place(plan: Plan, lots: int, take: bool = False) -> tuple[Plan, Sequence[Order]]:
    child = Child(plan.next_n, lots, take=take)
    return replace(plan, live=(*plan.live, child), next_n=child.n + 1), (Place(child.n, lots, take),)


def _end(plan: Plan) -> tuple[Plan, Sequence[Order]]:
    leaving = [child.n for child in plan.live if not child.asked and (plan.stopped or not child.take)]
    if leaving:
        live = tuple(replace(child, asked=child.asked or child.n in leaving) for child in plan.live)
        return replace(plan, live=live), [TakeBack(n) for n in leaving]
    if plan.live or plan.over:
        return plan, ()
    return _place(replace(plan, taken=True), plan.room_lots, take=True)


def dump(plan: Plan) -> dict[str, Any]:
    """The plan as a JSON object."""
    style = next(name for name, kind in _STYLES.items() if isinstance(plan.parent.style, kind))
    return {"v": 1, "style": style, **asdict(plan)}


def load(saved: Mapping[str, Any]) -> Plan:
    """The plan out of `dump`, also after it has been through JSON."""
    fields = {name: value for name, value in saved.items() if name not in ("v", "style")}
    shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in saved["parent"]["style"].items()}
    fields["parent"] = Parent(**{**saved["parent"], "style": _STYLES[saved["style"]](**shape)})
    fields["live"] = tuple(Child(**child) for child in saved["live"])
    return Plan(**fields)
