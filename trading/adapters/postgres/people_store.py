"""Users, sessions, portfolios and grants in Postgres; each deed and its audit row are one transaction."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, cursor
from trading.domain.errors import Invalid, NotFound
from trading.services.ports.people import Portfolio, User

FREE_FAILURES = 5
"""Wrong passwords in a row before a name has to wait."""
WAIT_MAX_S = 60
"""The longest wait: a stranger can slow the owner down, never lock them out."""
FORGET_AFTER = timedelta(minutes=15)
"""Failures older than this no longer count."""

_USER = "id, public_id, username, display_name, role, token_version, disabled_at is not null as disabled"
_PORTFOLIO = """select p.id, p.public_id, p.owner_id, u.display_name as owner, p.name, p.kind, a.code as currency
    from portfolio p join app_user u on u.id = p.owner_id join asset a on a.id = p.currency_id"""

Rows = psycopg.Cursor[DictRow]


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _code_hash(code: str) -> bytes:
    """Another hash than a token's, so that a code is never accepted as a session."""
    return hashlib.blake2b(code.encode(), digest_size=32, person=b"handover").digest()


def _wait_s(failures: int) -> int:
    return 0 if failures < FREE_FAILURES else int(min(WAIT_MAX_S, 2 ** (failures - FREE_FAILURES + 1)))


class PostgresPeople:
    """`PeopleStore` on the app's role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._owned: set[tuple[int, int]] = set()

    # Users ------------------------------------------------------------------------------------------------------

    def create_user(self, username: str, display_name: str, role: str, password_hash: str, actor_id: int) -> User:
        """See `PeopleStore`."""
        try:
            with cursor(self._pool, transaction=True) as rows:
                rows.execute(
                    "insert into app_user (username, display_name, role, password_hash) values (%s, %s, %s, %s)"
                    f" returning {_USER}",
                    (username, display_name, role, password_hash),
                )
                user = User(**_one(rows))
                _audit(rows, actor_id, "create_user", username, {"role": role})
                return user
        except psycopg.errors.UniqueViolation:
            raise Invalid(f"the name {username} is taken", "username_taken") from None

    def user_by_name(self, username: str) -> tuple[User, str] | None:
        """See `PeopleStore`."""
        with cursor(self._pool) as rows:
            rows.execute(f"select {_USER}, password_hash from app_user where username = lower(%s)", (username,))
            row = rows.fetchone()
        if row is None:
            return None
        password_hash = row.pop("password_hash")
        return User(**row), password_hash

    def users(self) -> Sequence[User]:
        """See `PeopleStore`."""
        with cursor(self._pool) as rows:
            rows.execute(f"select {_USER} from app_user order by username")
            return [User(**row) for row in rows]

    def set_disabled(self, user_id: int, disabled: bool, actor_id: int) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            if disabled:
                _keep_an_admin(rows, user_id)
            name = _changed_user(
                rows, user_id, "disabled_at = case when %s then coalesce(disabled_at, now()) end", disabled
            )
            if disabled:
                _revoke_all(rows, user_id)
            _audit(rows, actor_id, "disable_user" if disabled else "enable_user", name)

    def set_password(self, user_id: int, password_hash: str, actor_id: int) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            name = _changed_user(rows, user_id, "password_hash = %s", password_hash)
            _revoke_all(rows, user_id)
            rows.execute("update login_attempt set failures = 0, blocked_until = null where username = %s", (name,))
            _audit(rows, actor_id, "set_password", name)

    def set_role(self, user_id: int, role: str, actor_id: int) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            if role != "admin":
                _keep_an_admin(rows, user_id)
            name = _changed_user(rows, user_id, "role = %s", role)
            _revoke_all(rows, user_id)
            _audit(rows, actor_id, "set_role", name, {"role": role})

    # Sessions ---------------------------------------------------------------------------------------------------

    def open_session(self, user_id: int, token: str, expires_at: datetime, user_agent: str) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool) as rows:
            _open(rows, user_id, _token_hash(token), expires_at, user_agent)

    def open_handover(self, user_id: int, code: str, expires_at: datetime) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool) as rows:
            _open(rows, user_id, _code_hash(code), expires_at, "handover")

    def take_handover(self, code: str, token: str, now: datetime, expires_at: datetime, user_agent: str) -> User | None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "update app_session set revoked_at = %s where token_hash = %s and revoked_at is null"
                " and expires_at > %s returning user_id",
                (now, _code_hash(code), now),
            )
            taken = rows.fetchone()
            if taken is None:
                return None
            rows.execute(
                f"select {_USER} from app_user where id = %s and disabled_at is null for share", (taken["user_id"],)
            )
            row = rows.fetchone()
            if row is None:
                return None
            _open(rows, taken["user_id"], _token_hash(token), expires_at, user_agent)
            return User(**row)

    def session_user(self, token: str, now: datetime) -> tuple[User, int | None] | None:
        """See `PeopleStore`."""
        with cursor(self._pool) as rows:
            rows.execute(
                f"select {_USER}, coalesce("
                "   (select p.id from portfolio p where p.id = s.portfolio_id and p.owner_id = u.id"
                "    and p.archived_at is null),"
                "   (select min(p.id) from portfolio p where p.owner_id = u.id and p.archived_at is null)) as works_in"
                " from (select user_id, portfolio_id from app_session"
                "   where token_hash = %s and revoked_at is null and expires_at > %s) s"
                " join app_user u on u.id = s.user_id where u.disabled_at is null",
                (_token_hash(token), now),
            )
            row = rows.fetchone()
        if row is None:
            return None
        works_in = row.pop("works_in")
        return User(**row), works_in

    def choose_portfolio(self, token: str, portfolio_id: int, origin: str) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "update app_session s set portfolio_id = p.id from portfolio p"
                " where s.token_hash = %s and s.revoked_at is null and p.id = %s and p.owner_id = s.user_id"
                " and p.archived_at is null returning s.user_id",
                (_token_hash(token), portfolio_id),
            )
            row = rows.fetchone()
            if row is None:
                raise NotFound("this session cannot work in that portfolio")
            rows.execute(
                "insert into audit (user_id, action, subject, result, origin) values (%s, %s, %s, 'ok', %s)",
                (row["user_id"], "people.switch_portfolio", f"portfolio:{portfolio_id}", origin),
            )

    def revoke_session(self, token: str) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "update app_session set revoked_at = now() where token_hash = %s and revoked_at is null"
                " returning user_id",
                (_token_hash(token),),
            )
            row = rows.fetchone()
            if row:
                _audit(rows, row["user_id"], "logout", "")

    # Throttle ---------------------------------------------------------------------------------------------------

    def login_failures(self, username: str, now: datetime) -> tuple[int, datetime | None]:
        """See `PeopleStore`."""
        with cursor(self._pool) as rows:
            rows.execute("select failures, blocked_until, last_at from login_attempt where username = %s", (username,))
            row = rows.fetchone()
        if row is None or row["last_at"] < now - FORGET_AFTER:
            return 0, None
        blocked_until = row["blocked_until"]
        return row["failures"], blocked_until if blocked_until and blocked_until > now else None

    def record_login(self, username: str, ok: bool, now: datetime, origin: str) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "insert into login_attempt (username, failures, last_at) values (%(name)s, %(add)s, %(now)s)"
                " on conflict (username) do update set last_at = excluded.last_at, blocked_until = null, failures ="
                " case when %(add)s = 0 then 0 when login_attempt.last_at < %(forget)s then 1"
                " else login_attempt.failures + 1 end returning failures",
                {"name": username, "add": 0 if ok else 1, "now": now, "forget": now - FORGET_AFTER},
            )
            wait_s = _wait_s(_one(rows)["failures"])
            if wait_s:
                rows.execute(
                    "update login_attempt set blocked_until = %s where username = %s",
                    (now + timedelta(seconds=wait_s), username),
                )
            rows.execute(
                "insert into audit (user_id, action, subject, result, code, origin)"
                " values ((select id from app_user where username = %s), 'login', %s, %s, %s, %s)",
                (username, username, "ok" if ok else "refused", "" if ok else "wrong_login", origin),
            )

    # Portfolios and grants --------------------------------------------------------------------------------------

    def create_portfolio(self, owner_id: int, name: str, kind: str, currency: str, actor_id: int) -> Portfolio:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("select id from asset where code = %s and kind = 'currency'", (currency,))
            asset = rows.fetchone()
            if asset is None:
                raise Invalid(f"the floor does not keep accounts in {currency}", "unknown_currency")
            rows.execute("select role from app_user where id = %s", (owner_id,))
            owner = rows.fetchone()
            if owner is None or owner["role"] != "trader":
                raise Invalid("a portfolio belongs to a trader", "not_a_trader")
            rows.execute(
                "insert into portfolio (owner_id, name, kind, currency_id) values (%s, %s, %s, %s) returning id",
                (owner_id, name, kind, asset["id"]),
            )
            portfolio_id = _one(rows)["id"]
            rows.execute("select account_of(%s, %s)", (portfolio_id, asset["id"]))
            _audit(rows, actor_id, "create_portfolio", name, {"owner_id": owner_id, "portfolio_id": portfolio_id})
            rows.execute(f"{_PORTFOLIO} where p.id = %s", (portfolio_id,))
            return Portfolio(**_one(rows))

    def portfolios_of(self, user_id: int) -> Sequence[Portfolio]:
        """See `PeopleStore`."""
        return self._portfolios("p.owner_id = %s", (user_id,))

    def portfolios_granted_to(self, user_id: int) -> Sequence[Portfolio]:
        """See `PeopleStore`."""
        return self._portfolios("p.id in (select portfolio_id from portfolio_grant where observer_id = %s)", (user_id,))

    def all_portfolios(self) -> Sequence[Portfolio]:
        """See `PeopleStore`."""
        return self._portfolios("true", ())

    def _portfolios(self, condition: str, parameters: tuple[Any, ...]) -> Sequence[Portfolio]:
        with cursor(self._pool) as rows:
            rows.execute(f"{_PORTFOLIO} where p.archived_at is null and {condition} order by p.id", parameters)
            return [Portfolio(**row) for row in rows]

    def grant(self, portfolio_id: int, observer_id: int, actor_id: int) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("select username, role from app_user where id = %s", (observer_id,))
            observer = rows.fetchone()
            if observer is None or observer["role"] != "observer":
                raise Invalid("only an observer is given sight of a portfolio", "not_an_observer")
            rows.execute(
                "insert into portfolio_grant (portfolio_id, observer_id, granted_by)"
                " select id, %s, (select id from app_user where id = %s) from portfolio where id = %s"
                " on conflict do nothing",
                (observer_id, actor_id, portfolio_id),
            )
            _audit(rows, actor_id, "grant", observer["username"], {"portfolio_id": portfolio_id})

    def revoke_grant(self, portfolio_id: int, observer_id: int, actor_id: int) -> None:
        """See `PeopleStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "delete from portfolio_grant where portfolio_id = %s and observer_id = %s returning observer_id",
                (portfolio_id, observer_id),
            )
            if rows.fetchone() is None:
                raise NotFound("this portfolio is not open to that observer")
            _audit(rows, actor_id, "revoke_grant", str(observer_id), {"portfolio_id": portfolio_id})

    def grants(self) -> Sequence[dict[str, Any]]:
        """See `PeopleStore`."""
        with cursor(self._pool) as rows:
            rows.execute(
                "select g.portfolio_id, p.name as portfolio, o.display_name as owner, g.observer_id,"
                " u.display_name as observer, g.granted_at from portfolio_grant g"
                " join portfolio p on p.id = g.portfolio_id join app_user o on o.id = p.owner_id"
                " join app_user u on u.id = g.observer_id order by u.username, p.id"
            )
            return rows.fetchall()

    def owns(self, user_id: int, portfolio_id: int) -> bool:
        """See `PeopleStore`. A portfolio keeps its owner, so what was found once is remembered."""
        if (user_id, portfolio_id) in self._owned:
            return True
        found = self._exists("select 1 from portfolio where owner_id = %s and id = %s", (user_id, portfolio_id))
        if found:
            self._owned.add((user_id, portfolio_id))
        return found

    def is_granted(self, user_id: int, portfolio_id: int) -> bool:
        """See `PeopleStore`."""
        return self._exists(
            "select 1 from portfolio_grant where observer_id = %s and portfolio_id = %s", (user_id, portfolio_id)
        )

    def _exists(self, query: str, parameters: tuple[int, int]) -> bool:
        with cursor(self._pool) as rows:
            return rows.execute(query, parameters).fetchone() is not None


def _one(rows: Rows) -> DictRow:
    row = rows.fetchone()
    if row is None:
        raise NotFound("no such row")
    return row


def _audit(rows: Rows, actor_id: int, action: str, subject: str, detail: dict[str, Any] | None = None) -> None:
    rows.execute(
        "insert into audit (user_id, action, subject, result, detail) values (nullif(%s, 0), %s, %s, 'ok', %s)",
        (actor_id, action, subject, Jsonb({"v": 1} | (detail or {}))),
    )


def _open(rows: Rows, user_id: int, token_hash: bytes, expires_at: datetime, user_agent: str) -> None:
    rows.execute(
        "insert into app_session (token_hash, user_id, expires_at, user_agent) values (%s, %s, %s, %s)",
        (token_hash, user_id, expires_at, user_agent[:200]),
    )


def _changed_user(rows: Rows, user_id: int, change: str, value: Any) -> str:
    """Apply ``change`` (a fixed SQL text of this module) to a user; returns the name or raises `NotFound`."""
    rows.execute(
        f"update app_user set {change}, token_version = token_version + 1 where id = %s returning username",
        (value, user_id),
    )
    row = rows.fetchone()
    if row is None:
        raise NotFound("no such user")
    return str(row["username"])


def _keep_an_admin(rows: Rows, user_id: int) -> None:
    """Refuse to take away the last enabled admin; the rows are locked, so two admins cannot remove each other."""
    rows.execute("select id from app_user where role = 'admin' and disabled_at is null order by id for update")
    if [row["id"] for row in rows] == [user_id]:
        raise Invalid("this is the last admin of the floor; make another one first", "last_admin")


def _revoke_all(rows: Rows, user_id: int) -> None:
    rows.execute("update app_session set revoked_at = now() where user_id = %s and revoked_at is null", (user_id,))
