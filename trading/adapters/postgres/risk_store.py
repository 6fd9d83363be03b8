"""Versions of limits, tiers of users, restricted instruments, the drawdown breaker."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, cursor
from trading.adapters.postgres.rows import limits_of
from trading.domain.errors import NotFound
from trading.domain.risk import RATE_WINDOW_NS
from trading.services.ports.risk import Counts, Figures, LimitVersion, Restriction, WorthState

_LOCK = 7004
"""One new version at a time, so that ids are in the order of their commits: an order names the newest that applied."""
_COLUMNS: Mapping[str, LiteralString] = {
    "tier": "tier",
    "user": "user_id",
    "portfolio": "portfolio_id",
    "instrument": "instrument_id",
}
_MISSING: Mapping[str, LiteralString] = {
    "user": "select 1 from app_user where id = %s",
    "portfolio": "select 1 from portfolio where id = %s",
    "instrument": "select 1 from instrument where id = %s",
}
_FIGURES = tuple(each.name for each in fields(Figures))
_VERSIONS = """
    select r.*, case when r.tier is not null then 'tier:' || r.tier when r.user_id is not null then 'user:' || r.user_id
        when r.portfolio_id is not null then 'portfolio:' || r.portfolio_id
        else 'instrument:' || r.instrument_id end as scope,
        coalesce(r.tier, who.username, p.name || ' of ' || owner.username, i.symbol) as name,
        coalesce(setter.username, 'system') as setter
    from risk_limit r left join app_user who on who.id = r.user_id left join portfolio p on p.id = r.portfolio_id
    left join app_user owner on owner.id = p.owner_id left join instrument i on i.id = r.instrument_id
    left join app_user setter on setter.id = r.set_by
"""
_RESTRICTIONS = """
    select r.instrument_id, i.symbol, r.mode, r.reason, coalesce(u.username, 'system') as set_by, r.set_at
    from restricted_instrument r join instrument i on i.id = r.instrument_id left join app_user u on u.id = r.set_by
"""
_WORTH = """
    select s.portfolio_id, p.name, u.username as owner, a.code as currency, a.scale, s.ts_ns, s.equity, s.day_ns,
           s.day_equity, s.peak_equity, s.tripped_ts_ns, s.tripped_ppm
    from risk_state s join portfolio p on p.id = s.portfolio_id join app_user u on u.id = p.owner_id
    join asset a on a.id = p.currency_id
"""
_COUNTS = """
    select u.tier, desk_limits(u.id, p.id, 0) as found,
        (select count(*) from orders o where o.portfolio_id = p.id
         and o.state not in ('filled', 'rejected', 'cancelled', 'expired')) as open_orders,
        (select count(*) from portfolio q join orders o on o.portfolio_id = q.id where q.owner_id = u.id
         and o.state not in ('filled', 'rejected', 'cancelled', 'expired')) as user_open_orders,
        (select count(*) from (select accepted_ts_ns from orders where portfolio_id = p.id
             order by id desc limit 1000) o where accepted_ts_ns > %(since)s) as orders_in_minute,
        (select count(*) from portfolio q cross join lateral (select accepted_ts_ns from orders
             where portfolio_id = q.id order by id desc limit 1000) o
         where q.owner_id = u.id and accepted_ts_ns > %(since)s) as user_orders_in_minute,
        (select coalesce(jsonb_object_agg(v.instrument_id, a.posted), '{}') from account a
         join instrument_current v on v.asset_id = a.asset_id
         where a.portfolio_id = p.id and a.kind = 'portfolio' and a.posted <> 0) as positions
    from portfolio p join app_user u on u.id = p.owner_id where p.id = %(portfolio)s
"""
"""Orders within the minute are looked for among the newest thousand of each portfolio."""


class PostgresRisk:
    """Implements `trading.services.ports.risk.RiskStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def current(self) -> Sequence[LimitVersion]:
        """See the port."""
        return self._versions(
            f"select distinct on (scope) * from ({_VERSIONS}) v order by scope, version desc",
            (),
        )

    def history(self, scope: str) -> Sequence[LimitVersion]:
        """See the port."""
        return self._versions(f"select * from ({_VERSIONS}) v where scope = %s order by version desc", (scope,))

    def _versions(self, statement: str, parameters: Sequence[Any]) -> Sequence[LimitVersion]:
        with cursor(self._pool) as rows:
            rows.execute(statement.encode(), parameters)
            return [_version(row) for row in rows]

    def set(self, actor_id: int, scope: str, figures: Figures, reason: str, origin: str) -> LimitVersion:
        """See the port."""
        kind, _, name = scope.partition(":")
        key: str | int = name if kind == "tier" else int(name)
        column = _COLUMNS[kind]
        values = [list(each) if isinstance(each := getattr(figures, name), tuple) else each for name in _FIGURES]
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            if kind == "tier":
                rows.execute("insert into risk_tier (name) values (%s) on conflict do nothing", (key,))
            elif rows.execute(_MISSING[kind], (key,)).fetchone() is None:
                raise NotFound(f"there is no {kind} {key}")
            rows.execute(
                f"insert into risk_limit ({column}, version, set_by, reason, {', '.join(_FIGURES)})"
                f" values (%s, (select coalesce(max(version), 0) + 1 from risk_limit where {column} = %s),"
                f" (select id from app_user where id = %s), %s{', %s' * len(_FIGURES)})",
                (key, key, actor_id, reason, *values),
            )
            detail = {"v": 1, "reason": reason, **asdict(figures)}
            rows.execute(
                "insert into audit (user_id, action, subject, result, origin, detail)"
                " values (nullif(%s, 0), 'limits.set', %s, 'ok', %s, %s)",
                (actor_id, scope, origin, Jsonb(detail)),
            )
        return self.history(scope)[0]

    def tiers(self) -> Sequence[str]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute("select name from risk_tier order by name")
            return [row["name"] for row in rows]

    def tier_of(self, user_id: int) -> str:
        """See the port."""
        with cursor(self._pool) as rows:
            row = rows.execute("select tier from app_user where id = %s", (user_id,)).fetchone()
        if row is None:
            raise NotFound("no such user")
        return str(row["tier"])

    def set_tier(self, actor_id: int, user_id: int, tier: str, reason: str, origin: str) -> None:
        """See the port."""
        with cursor(self._pool, transaction=True) as rows:
            if rows.execute("select 1 from risk_tier where name = %s", (tier,)).fetchone() is None:
                raise NotFound(f"there is no tier {tier[:40]!r}")
            rows.execute("select tier from app_user where id = %s for update", (user_id,))
            before = rows.fetchone()
            if before is None:
                raise NotFound("no such user")
            rows.execute("update app_user set tier = %s where id = %s", (tier, user_id))
            rows.execute(
                "insert into audit (user_id, action, subject, result, origin, detail)"
                " values (nullif(%s, 0), 'limits.set_tier', %s, 'ok', %s, %s)",
                (
                    actor_id,
                    f"user:{user_id}",
                    origin,
                    Jsonb({"v": 1, "reason": reason, "tier": tier, "before": before["tier"]}),
                ),
            )

    def restrict(self, actor_id: int, instrument_id: int, mode: str, reason: str, origin: str) -> None:
        """See the port."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            if rows.execute(_MISSING["instrument"], (instrument_id,)).fetchone() is None:
                raise NotFound(f"there is no instrument {instrument_id}")
            rows.execute(
                "insert into restricted_instrument (instrument_id, version, mode, reason, set_by)"
                " select %s, coalesce(max(version), 0) + 1, %s, %s, (select id from app_user where id = %s)"
                " from restricted_instrument where instrument_id = %s",
                (instrument_id, mode, reason, actor_id, instrument_id),
            )
            rows.execute(
                "insert into audit (user_id, action, subject, result, origin, detail)"
                " values (nullif(%s, 0), 'limits.restrict', %s, 'ok', %s, %s)",
                (actor_id, f"instrument:{instrument_id}", origin, Jsonb({"v": 1, "mode": mode, "reason": reason})),
            )

    def restrictions(self) -> Sequence[Restriction]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(
                f"select * from (select distinct on (instrument_id) * from ({_RESTRICTIONS} order by r.version desc) v"
                " order by instrument_id) newest where mode <> 'free' order by symbol"
            )
            return [Restriction(**row) for row in rows]

    def restriction_history(self, instrument_id: int) -> Sequence[Restriction]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(f"{_RESTRICTIONS} where r.instrument_id = %s order by r.version desc", (instrument_id,))
            return [Restriction(**row) for row in rows]

    def worth(self) -> Sequence[WorthState]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(f"{_WORTH} where p.archived_at is null order by u.username, p.id")
            return [WorthState(**row) for row in rows]

    def reset_drawdown(self, actor_id: int, portfolio_id: int, reason: str, origin: str) -> bool:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute("select reset_drawdown(%s, %s, %s, %s) as done", (actor_id, portfolio_id, reason, origin))
            row = rows.fetchone()
        return bool(row and row["done"])

    def counts(self, portfolio_id: int, now_ns: int) -> Counts:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(_COUNTS, {"portfolio": portfolio_id, "since": now_ns - RATE_WINDOW_NS})
            row = rows.fetchone()
            if row is None:
                raise NotFound("no such portfolio")
            worth = rows.execute(f"{_WORTH} where s.portfolio_id = %s", (portfolio_id,)).fetchone()
        return Counts(
            tier=row["tier"],
            limits=limits_of(row["found"]),
            open_orders=row["open_orders"],
            user_open_orders=row["user_open_orders"],
            orders_in_minute=row["orders_in_minute"],
            user_orders_in_minute=row["user_orders_in_minute"],
            positions={int(key): lots for key, lots in row["positions"].items()},
            worth=None if worth is None else WorthState(**worth),
        )


def _version(row: Mapping[str, Any]) -> LimitVersion:
    figures = {name: row[name] for name in _FIGURES}
    figures["instruments"] = None if row["instruments"] is None else tuple(row["instruments"])
    return LimitVersion(
        row["id"],
        row["scope"],
        row["name"],
        row["version"],
        Figures(**figures),
        row["setter"],
        row["set_at"],
        row["reason"],
    )
