"""Requests for cash, settlement, conversion and archives: calls of the functions in ``sql/functions/wallet.sql``."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, LiteralString

from trading.adapters.postgres.ledger_store import as_json, called, marks_json
from trading.adapters.postgres.pool import Pool, connection_of, cursor, scalar
from trading.services.ports.desk import Cutoff, Marks
from trading.services.ports.people import Portfolio
from trading.services.ports.wallet import Ask, InterestDay

_REQUEST: LiteralString = """select r.id, r.portfolio_id, p.name as portfolio, o.display_name as owner, r.kind,
        r.amount, c.code as currency, c.scale, r.memo, r.state, r.admins_needed, r.requested_by,
        q.display_name as requested_name, r.requested_ts_ns, r.expires_ns, r.first_by, f.display_name as first_name,
        d.display_name as decided_name, r.decided_ts_ns, r.reason, r.group_id
    from cash_request r join portfolio p on p.id = r.portfolio_id join app_user o on o.id = p.owner_id
    join asset c on c.id = r.asset_id join app_user q on q.id = r.requested_by
    left join app_user f on f.id = r.first_by left join app_user d on d.id = r.decided_by"""

_DEBTS: LiteralString = """select * from (
        select a.portfolio_id, a.asset_id, c.code as currency, c.scale, r.annual_ppm, a.posted - coalesce((
                select sum(case when t.credit_id = a.id then t.amount else -t.amount end) from transfer t
                where t.portfolio_id = a.portfolio_id and t.asset_id = a.asset_id and t.ts_ns >= %(end_ns)s), 0)::bigint
                as balance,
            coalesce((select sum(exact) from interest_day d where d.portfolio_id = a.portfolio_id
                and d.asset_id = a.asset_id), 0) as before
        from account a join portfolio p on p.id = a.portfolio_id and p.kind = 'margin' and p.archived_at is null
        join asset c on c.id = a.asset_id and c.kind = 'currency'
        join lateral (select annual_ppm from debt_rate where currency_id = c.id order by version desc limit 1) r on true
        where not exists (select 1 from interest_day d
            where d.portfolio_id = a.portfolio_id and d.asset_id = a.asset_id and d.day = %(day)s)) debt
    where balance < 0 order by portfolio_id, asset_id"""


class PostgresWallet:
    """Implements `trading.services.ports.wallet.WalletStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def request(self, ask: Ask, cutoffs: Sequence[Cutoff], marks: Marks) -> int:
        """See `WalletStore`."""
        body = repr((ask.portfolio_id, ask.kind, ask.amount, ask.memo))
        answer = called(
            self._pool,
            "select request_cash(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                ask.actor_id,
                ask.portfolio_id,
                ask.kind,
                ask.amount,
                ask.key,
                hashlib.sha256(body.encode()).digest(),
                ask.memo,
                ask.origin,
                ask.ts_ns,
                ask.expires_ns,
                as_json(cutoffs),
                marks_json(marks),
            ),
        )
        return int(answer["request_id"])

    def decide(
        self, actor_id: int, request_id: int, verb: str, reason: str, origin: str, ts_ns: int, marks: Marks
    ) -> str:
        """See `WalletStore`."""
        answer = called(
            self._pool,
            "select decide_cash(%s, %s, %s, %s, %s, %s, %s)",
            (actor_id, request_id, verb, reason, origin, ts_ns, marks_json(marks)),
        )
        return str(answer["state"])

    def expire(self, ts_ns: int) -> int:
        """See `WalletStore`."""
        with connection_of(self._pool) as connection:
            return int(scalar(connection, "select expire_requests(%s)", (ts_ns,)))

    def waiting(self) -> Sequence[dict[str, Any]]:
        """See `WalletStore`."""
        return self._rows(_REQUEST + " where r.state = 'pending' order by r.id", ())

    def requests(self, portfolio_id: int, limit: int) -> Sequence[dict[str, Any]]:
        """See `WalletStore`."""
        return self._rows(_REQUEST + " where r.portfolio_id = %s order by r.id desc limit %s", (portfolio_id, limit))

    def reset(self, actor_id: int, portfolio_id: int, name: str, origin: str, ts_ns: int) -> int:
        """See `WalletStore`."""
        answer = called(
            self._pool, "select reset_portfolio(%s, %s, %s, %s, %s)", (actor_id, portfolio_id, name, origin, ts_ns)
        )
        return int(answer["portfolio_id"])

    def archives(self, owner_id: int | None, observer_id: int | None) -> Sequence[Portfolio]:
        """See `WalletStore`."""
        found = self._rows(
            "select p.id, p.public_id, p.owner_id, u.display_name as owner, p.name, p.kind, a.code as currency"
            " from portfolio p join app_user u on u.id = p.owner_id join asset a on a.id = p.currency_id"
            " where p.archived_at is not null and (%(owner)s::bigint is null or p.owner_id = %(owner)s)"
            " and (%(observer)s::bigint is null or p.id in"
            " (select portfolio_id from portfolio_grant where observer_id = %(observer)s)) order by p.id desc",
            {"owner": owner_id, "observer": observer_id},
        )
        return [Portfolio(**row) for row in found]

    def debts(self, day: date, end_ns: int) -> Sequence[dict[str, Any]]:
        """See `WalletStore`."""
        return self._rows(_DEBTS, {"day": day, "end_ns": end_ns})

    def charge(self, charged: InterestDay, memo: str, ts_ns: int) -> bool:
        """See `WalletStore`."""
        with connection_of(self._pool) as connection:
            return bool(
                scalar(
                    connection,
                    "select charge_interest(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (
                        charged.portfolio_id,
                        charged.asset_id,
                        charged.day,
                        charged.balance,
                        charged.annual_ppm,
                        charged.before,
                        charged.parts,
                        charged.booked,
                        memo,
                        ts_ns,
                    ),
                )
            )

    def rates(self) -> Sequence[dict[str, Any]]:
        """See `WalletStore`."""
        return self._rows(
            "select a.code as currency, r.annual_ppm, r.version, r.source, r.set_at from asset a left join lateral ("
            "select * from debt_rate where currency_id = a.id order by version desc limit 1) r on true"
            " where a.kind = 'currency' order by 1",
            (),
        )

    def set_rate(self, actor_id: int, currency: str, annual_ppm: int, source: str, origin: str) -> None:
        """See `WalletStore`."""
        with connection_of(self._pool) as connection:
            connection.execute(
                "select set_debt_rate(%s, %s, %s, %s, %s)", (actor_id, currency, annual_ppm, source, origin)
            )

    def limits(self) -> Sequence[dict[str, Any]]:
        """See `WalletStore`."""
        return self._rows(
            "select a.code as currency, a.scale, second_admin_above(a.id) as above, coalesce((select max(version)"
            " from cash_limit where asset_id = a.id), 0) as version from asset a where a.kind = 'currency' order by 1",
            (),
        )

    def set_limit(self, actor_id: int, currency: str, above: int, origin: str, ts_ns: int) -> None:
        """See `WalletStore`."""
        called(self._pool, "select set_cash_limit(%s, %s, %s, %s, %s)", (actor_id, currency, above, origin, ts_ns))

    def _rows(self, query: str, parameters: Sequence[Any] | Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        with cursor(self._pool) as rows:
            return rows.execute(query, parameters).fetchall()
