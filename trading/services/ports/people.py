"""Users, sessions, portfolios and grants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class User:
    """A person with a login. The password hash (argon2id) never leaves the people service."""

    id: int
    public_id: str
    username: str
    display_name: str
    role: str
    token_version: int
    disabled: bool


@dataclass(frozen=True, slots=True)
class Portfolio:
    """An account of one trader in one base currency."""

    id: int
    public_id: str
    owner_id: int
    owner: str
    name: str
    kind: str
    currency: str


class PeopleStore(Protocol):
    """Rows about people. Sessions are opaque tokens, kept hashed. Every deed writes its audit row with it."""

    def create_user(self, username: str, display_name: str, role: str, password_hash: str, actor_id: int) -> User:
        """A new user; `Invalid` with code ``username_taken``."""
        ...

    def user_by_name(self, username: str) -> tuple[User, str] | None:
        """A user and the password hash, by case-folded name."""
        ...

    def users(self) -> Sequence[User]:
        """All users by name."""
        ...

    def set_disabled(self, user_id: int, disabled: bool, actor_id: int) -> None:
        """Disable or enable; disabling revokes every session in the same transaction.

        Raises `NotFound`, and `Invalid` with code ``last_admin`` where no enabled admin would be left.
        """
        ...

    def set_password(self, user_id: int, password_hash: str, actor_id: int) -> None:
        """New password; revokes every session and forgets failed attempts."""
        ...

    def set_role(self, user_id: int, role: str, actor_id: int) -> None:
        """New role; revokes every session. `Invalid` with code ``last_admin`` as above."""
        ...

    def open_session(self, user_id: int, token: str, expires_at: datetime, user_agent: str) -> None:
        """Keep the hash of an opaque token."""
        ...

    def open_handover(self, user_id: int, code: str, expires_at: datetime) -> None:
        """Keep the hash of a single-use code that `take_handover` turns into a session; never valid as a token."""
        ...

    def take_handover(self, code: str, token: str, now: datetime, expires_at: datetime, user_agent: str) -> User | None:
        """Use up a live code and open a session for its user in one transaction; None where the code is no good."""
        ...

    def session_user(self, token: str, now: datetime) -> tuple[User, int | None] | None:
        """The user of a live session (not revoked, not expired, user enabled) and the portfolio it works in; else None.

        The portfolio is the chosen one or, where none is or it is archived, the user's first; None without any.
        """
        ...

    def choose_portfolio(self, token: str, portfolio_id: int, origin: str) -> None:
        """Let a live session work in a portfolio of its user's; `NotFound` for a session or portfolio that is not."""
        ...

    def revoke_session(self, token: str) -> None:
        """Log out."""
        ...

    def login_failures(self, username: str, now: datetime) -> tuple[int, datetime | None]:
        """Recent failed attempts for a name, and until when the next attempt must wait."""
        ...

    def record_login(self, username: str, ok: bool, now: datetime, origin: str) -> None:
        """Count an attempt, success clears; audited."""
        ...

    def create_portfolio(self, owner_id: int, name: str, kind: str, currency: str, actor_id: int) -> Portfolio:
        """A portfolio with its ledger account in the base currency and its first limits."""
        ...

    def portfolios_of(self, user_id: int) -> Sequence[Portfolio]:
        """Portfolios a trader owns."""
        ...

    def portfolios_granted_to(self, user_id: int) -> Sequence[Portfolio]:
        """Portfolios an observer may see."""
        ...

    def all_portfolios(self) -> Sequence[Portfolio]:
        """Every portfolio that is not archived."""
        ...

    def grant(self, portfolio_id: int, observer_id: int, actor_id: int) -> None:
        """Let an observer see a portfolio; `Invalid` with code ``not_an_observer`` for another role."""
        ...

    def revoke_grant(self, portfolio_id: int, observer_id: int, actor_id: int) -> None:
        """Take it back."""
        ...

    def grants(self) -> Sequence[dict[str, Any]]:
        """portfolio_id, portfolio, owner, observer_id, observer, granted_at of every grant."""
        ...

    def owns(self, user_id: int, portfolio_id: int) -> bool:
        """Whether the user owns the portfolio."""
        ...

    def is_granted(self, user_id: int, portfolio_id: int) -> bool:
        """Whether the portfolio is granted to the user."""
        ...
