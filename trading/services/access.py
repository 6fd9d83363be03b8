"""Who may call what: every use case carries its rule, and the rule is checked before its body runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from trading.domain.errors import Conflict, Forbidden, Halted, Invalid, NotFound, already_told
from trading.services.floor import Floor
from trading.services.reading import READING, TOLD_AFTER


class Role(StrEnum):
    """The three kinds of people on the floor, and the floor itself (supervisor, pipelines, command line)."""

    TRADER = "trader"
    ADMIN = "admin"
    OBSERVER = "observer"
    SYSTEM = "system"


class Reach(StrEnum):
    """Which portfolios a role may name in a call."""

    NO_PORTFOLIO = "no_portfolio"
    OWN = "own"
    GRANTED = "granted"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who calls: resolved from a session (or the command line) against Postgres for each call, never cached.

    ``portfolio_id`` is the portfolio that a trader's session works in: a call that names another one of theirs is
    refused with code ``other_portfolio``. None: no session, so no such bound.
    """

    user_id: int
    username: str
    role: Role
    session_token: str = ""
    origin: str = "app"
    portfolio_id: int | None = None


SYSTEM = Actor(0, "system", Role.SYSTEM, origin="system")
CLERK = "clerk"
"""Origin of what the floor's clerk does for an owner: runs of schedules, children of parents."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A registered use case: its name, its rule, and the function itself."""

    name: str
    rule: Mapping[Role, Reach]
    call: Callable[..., Any]


OPERATIONS: dict[str, Operation] = {}
"""Every use case by its name ``module.function``; the access tests walk through it."""

_REFUSALS = (Invalid, NotFound, Conflict, Halted, Forbidden)

P = ParamSpec("P")
R = TypeVar("R")


def operation(
    rule: Mapping[Role, Reach], *, scoped: bool = True
) -> Callable[[Callable[Concatenate[Floor, Actor, P], R]], Callable[Concatenate[Floor, Actor, P], R]]:
    """Register a use case ``f(floor, actor, ...)`` with its rule.

    Where a role's reach is OWN, GRANTED or ANY the third argument must be ``portfolio_id``. A call outside the rule
    raises `Forbidden` before anything is read or written, and leaves an audit row. So does what a use case that writes
    refuses by raising, and the use of another's portfolio, once for each session and hour.

    Unless not ``scoped``, a call for another portfolio than the one the actor's session works in is refused likewise.
    """

    def register(function: Callable[Concatenate[Floor, Actor, P], R]) -> Callable[Concatenate[Floor, Actor, P], R]:
        name = f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}"
        names_portfolio = list(signature(function).parameters)[2:3] == ["portfolio_id"]
        if not names_portfolio and set(rule.values()) - {Reach.NO_PORTFOLIO}:
            raise ValueError(f"{name} has a rule on portfolios, but its third argument is not portfolio_id")

        @wraps(function)
        def checked(floor: Floor, actor: Actor, *args: P.args, **kwargs: P.kwargs) -> R:
            reach = rule.get(actor.role)
            portfolio_id: Any = None
            if names_portfolio:
                portfolio_id = args[0] if args else kwargs.get("portfolio_id")
            if reach is None or not _within(floor, actor, reach, portfolio_id):
                floor.audit.refused(actor.user_id, name, str(portfolio_id or "")[:40], "forbidden", actor.origin)
                where = " on this portfolio" if portfolio_id else ""
                raise already_told(Forbidden(f"{actor.role} may not call {name}{where}"))
            if scoped and reach is Reach.OWN and _works_in_another(floor, actor, portfolio_id):
                floor.audit.refused(actor.user_id, name, str(portfolio_id), "other_portfolio", actor.origin)
                raise already_told(
                    Forbidden(f"this session works in portfolio {actor.portfolio_id}", "other_portfolio")
                )
            if reach in (Reach.ANY, Reach.GRANTED) and actor.role is not Role.SYSTEM:
                _note_look(floor, actor, portfolio_id, name)  # another's: whose own it is, is let in by OWN
            subject = f"portfolio:{portfolio_id}" if names_portfolio else ""
            try:
                answer = function(floor, actor, *args, **kwargs)
            except _REFUSALS as error:
                if name not in READING and not error.audited:
                    floor.audit.refused(actor.user_id, name, subject, error.code[:80], actor.origin)
                    already_told(error)
                raise
            if name in TOLD_AFTER and actor.role is not Role.SYSTEM:
                floor.audit.did(actor.user_id, name, subject, actor.origin, {})
            return answer

        if name in OPERATIONS:
            raise ValueError(f"two use cases named {name}")
        OPERATIONS[name] = Operation(name, rule, checked)
        return cast(Callable[Concatenate[Floor, Actor, P], R], checked)

    return register


def _works_in_another(floor: Floor, actor: Actor, portfolio_id: Any) -> bool:
    """An archived portfolio is history that any session of its owner may look at."""
    if actor.portfolio_id is None or portfolio_id == actor.portfolio_id:
        return False
    return any(each.id == portfolio_id for each in floor.people.portfolios_of(actor.user_id))


def _note_look(floor: Floor, actor: Actor, portfolio_id: int, name: str) -> None:
    now_ns = floor.clock.now_ns()
    floor.audit.looked(actor.user_id, actor.session_token, portfolio_id, now_ns, name, actor.origin)


def _within(floor: Floor, actor: Actor, reach: Reach, portfolio_id: Any) -> bool:
    if reach is Reach.NO_PORTFOLIO:
        return True
    if not isinstance(portfolio_id, int):
        return False
    if reach is Reach.ANY:
        return True
    if reach is Reach.OWN:
        return floor.people.owns(actor.user_id, portfolio_id)
    return floor.people.is_granted(actor.user_id, portfolio_id)
