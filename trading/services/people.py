"""People: logins, sessions, users, portfolios, grants."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from trading.domain.errors import Forbidden, Invalid
from trading.domain.orders import Refusal
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.people import Portfolio, User

SESSION_LIFETIME = timedelta(hours=12)
"""A session ends this long after the login, whatever happens in it."""
HANDOVER_LIFETIME = timedelta(seconds=30)
"""How long the code lives with which the browser fetches its cookie."""
PASSWORD_LENGTH_MIN = 10
PASSWORD_LENGTH_MAX = 1000

_ALL = {Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO, Role.OBSERVER: Reach.NO_PORTFOLIO}
_ADMIN = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}")
_WRONG = Refusal("wrong_login", "This name and password do not go together.")

# OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True, slots=True)
class Login:
    """A successful login: the opaque token for the cookie and whose it is. The token is shown nowhere else."""

    token: str
    user: User


# Logging in and out -----------------------------------------------------------------------------------------------


def login(floor: Floor, username: str, password: str, origin: str, user_agent: str) -> Login | Refusal:
    """Open a session. Refusals: ``wrong_login``, ``wait`` (too many failures; ``numbers["wait_s"]``)."""
    user = _checked(floor, username, password, origin)
    if isinstance(user, Refusal):
        return user
    token = secrets.token_urlsafe(32)
    floor.people.open_session(user.id, token, floor.clock.now() + SESSION_LIFETIME, user_agent)
    return Login(token, user)


def begin_login(floor: Floor, username: str, password: str, origin: str) -> str | Refusal:
    """Check the password and return a single-use code, with which `finish_login` opens the session.

    For screens that cannot set a cookie themselves: the browser takes the code to a route that can.
    """
    user = _checked(floor, username, password, origin)
    if isinstance(user, Refusal):
        return user
    code = secrets.token_urlsafe(32)
    floor.people.open_handover(user.id, code, floor.clock.now() + HANDOVER_LIFETIME)
    return code


def finish_login(floor: Floor, code: str, user_agent: str) -> Login | Refusal:
    """Turn the code of `begin_login` into a session, once and within `HANDOVER_LIFETIME`; else ``code_used``."""
    token, now = secrets.token_urlsafe(32), floor.clock.now()
    user = floor.people.take_handover(code, token, now, now + SESSION_LIFETIME, user_agent)
    return Login(token, user) if user else Refusal("code_used", "This login has expired. Please log in again.")


def actor_of(floor: Floor, token: str, origin: str) -> Actor:
    """Who a token belongs to, looked up in Postgres on every call; raises `Forbidden` for a dead or unknown one."""
    found = floor.people.session_user(token, floor.clock.now()) if token else None
    if found is None:
        raise Forbidden("this session is over; please log in again", "no_session")
    user, works_in = found
    return Actor(user.id, user.username, Role(user.role), token, origin, works_in)


def logout(floor: Floor, token: str) -> None:
    """End a session; an unknown token is nothing to end."""
    floor.people.revoke_session(token)


def _checked(floor: Floor, username: str, password: str, origin: str) -> User | Refusal:
    """Throttle, then verify. An unknown or disabled name costs the same hash as a known one."""
    name, now = username.strip().lower()[:80], floor.clock.now()
    _, blocked_until = floor.people.login_failures(name, now)
    if blocked_until is not None:
        wait_s = max(1, round((blocked_until - now).total_seconds()))
        return Refusal("wait", f"Too many wrong passwords. Try again in {wait_s} s.", {"wait_s": str(wait_s)})
    found = floor.people.user_by_name(name)
    user, password_hash = found if found else (None, _nobodys_hash())
    right = _verify(password_hash, password)
    if user is None or user.disabled or not right:
        floor.people.record_login(name, False, now, origin)
        return _WRONG
    floor.people.record_login(name, True, now, origin)
    return user


def _verify(password_hash: str, password: str) -> bool:
    if len(password) > PASSWORD_LENGTH_MAX:
        return False
    try:
        return _HASHER.verify(password_hash, password)
    except (Argon2Error, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return _HASHER.hash(secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """argon2id hash; `Invalid` with code ``weak_password`` outside `PASSWORD_LENGTH_MIN` to `PASSWORD_LENGTH_MAX`."""
    if len(password) < PASSWORD_LENGTH_MIN:
        raise Invalid(f"a password has at least {PASSWORD_LENGTH_MIN} characters", "weak_password")
    if len(password) > PASSWORD_LENGTH_MAX:
        raise Invalid(f"a password has at most {PASSWORD_LENGTH_MAX} characters", "weak_password")
    if password != password.strip():
        raise Invalid("a password begins and ends with a character, not with a space", "weak_password")
    return _HASHER.hash(password)


def new_password() -> str:
    """A random password of 96 bits, easy to type."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


# Everyone ---------------------------------------------------------------------------------------------------------


@operation(_ALL)
def change_own_password(floor: Floor, actor: Actor, old: str, new: str) -> Refusal | None:
    """Set one's own password; ends all of one's sessions. Refusals: ``wrong_login``, ``wait``."""
    user = _checked(floor, actor.username, old, actor.origin)
    if isinstance(user, Refusal):
        if user.code == "wrong_login":
            return Refusal("wrong_login", "The current password is not right.")
        return user
    floor.people.set_password(actor.user_id, hash_password(new), actor.user_id)
    return None


@operation(_ALL)
def portfolios(floor: Floor, actor: Actor) -> Sequence[Portfolio]:
    """The portfolios the actor may look at: a trader's own, those granted to an observer, all for an admin."""
    if actor.role is Role.TRADER:
        return floor.people.portfolios_of(actor.user_id)
    if actor.role is Role.OBSERVER:
        return floor.people.portfolios_granted_to(actor.user_id)
    return floor.people.all_portfolios()


@operation({Role.TRADER: Reach.OWN}, scoped=False)
def switch_portfolio(floor: Floor, actor: Actor, portfolio_id: int) -> None:
    """Let the actor's session work in another one of their portfolios; from the next call on it is bound to that one.

    Raises `NotFound` for an archived portfolio and without a session.
    """
    floor.people.choose_portfolio(actor.session_token, portfolio_id, actor.origin)


# Admins -----------------------------------------------------------------------------------------------------------


@operation(_ADMIN)
def users(floor: Floor, actor: Actor) -> Sequence[User]:
    """All users by name."""
    return floor.people.users()


@operation(_ADMIN)
def create_user(floor: Floor, actor: Actor, username: str, display_name: str, role: str, password: str) -> User:
    """A new login. `Invalid` with code ``bad_username``, ``bad_role``, ``weak_password`` or ``username_taken``."""
    name = username.strip().lower()
    if not _USERNAME.fullmatch(name):
        raise Invalid("a login name is 2 to 40 small letters, digits, dots, dashes", "bad_username")
    return floor.people.create_user(
        name, display_name.strip()[:80] or name, _person_role(role), hash_password(password), actor.user_id
    )


@operation(_ADMIN)
def set_disabled(floor: Floor, actor: Actor, user_id: int, disabled: bool) -> None:
    """Disable a login, which ends its sessions at once, or enable it again."""
    if disabled and user_id == actor.user_id:
        raise Invalid("you cannot disable your own login", "own_login")
    floor.people.set_disabled(user_id, disabled, actor.user_id)


@operation(_ADMIN)
def set_password(floor: Floor, actor: Actor, user_id: int, password: str) -> None:
    """Set another password for a user and end the user's sessions."""
    floor.people.set_password(user_id, hash_password(password), actor.user_id)


@operation(_ADMIN)
def set_role(floor: Floor, actor: Actor, user_id: int, role: str) -> None:
    """Give a user another role and end the user's sessions."""
    if user_id == actor.user_id:
        raise Invalid("you cannot change your own role", "own_login")
    floor.people.set_role(user_id, _person_role(role), actor.user_id)


@operation(_ADMIN)
def create_portfolio(
    floor: Floor, actor: Actor, owner_id: int, name: str, currency: str = "USD", kind: str = "cash"
) -> Portfolio:
    """A portfolio for a trader: ``cash``, or ``margin`` with debt and short sales. It stays what it is."""
    title = name.strip()[:80]
    if not title:
        raise Invalid("a portfolio needs a name", "bad_name")
    if kind not in ("cash", "margin"):
        raise Invalid("a portfolio is of kind cash or margin", "bad_kind")
    return floor.people.create_portfolio(owner_id, title, kind, currency, actor.user_id)


@operation({Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY})
def grant(floor: Floor, actor: Actor, portfolio_id: int, observer_id: int) -> None:
    """Let an observer see a portfolio."""
    floor.people.grant(portfolio_id, observer_id, actor.user_id)


@operation({Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY})
def revoke_grant(floor: Floor, actor: Actor, portfolio_id: int, observer_id: int) -> None:
    """Take an observer's sight of a portfolio back."""
    floor.people.revoke_grant(portfolio_id, observer_id, actor.user_id)


@operation(_ADMIN)
def grants(floor: Floor, actor: Actor) -> Sequence[dict[str, Any]]:
    """Every grant: who may see which portfolio."""
    return floor.people.grants()


def _person_role(role: str) -> str:
    if role not in (Role.TRADER, Role.ADMIN, Role.OBSERVER):
        raise Invalid("a user is a trader, an admin or an observer", "bad_role")
    return str(role)
