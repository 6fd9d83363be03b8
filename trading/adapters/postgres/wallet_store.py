"""Requests for cash, settlement, conversion and archives: calls of the functions in ``sql/functions/wallet.sql``."""

import hashlib
from collections.abc import Sequence
from typing import Any, LiteralString

from trading.adapters.postgres.ledger_store import as_json, called
from trading.adapters.postgres.pool import Pool, connection_of, cursor, scalar
from trading.services.ports.desk import Cutoff
from trading.services.ports.wallet import Ask

_REQUEST: LiteralString = """select r.id, r.portfolio_id, p.name as portfolio, o.display_name as owner, r.kind,
        r.amount, c.code as currency, c.scale, r.memo, r.state, r.admins_needed, r.requested_by,
        q.display_name as requested_name, r.requested_ts_ns, r.expires_ns, r.first_by, f.display_name as first_name,
        d.display_name as decided_name, r.decided_ts_ns, r.reason, r.group_id
    from cash_request r join portfolio p on p.id = r.portfolio_id join app_user o on o.id = p.owner_id
    join asset c on c.id = r.asset_id join app_user q on q.id = r.requested_by
    left join app_user f on f.id = r.first_by left join app_user d on d.id = r.decided_by"""


class PostgresWallet:
    """Implements `trading.services.ports.wallet.WalletStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def request(self, ask: Ask, cutoffs: Sequence[Cutoff]) -> int:
        """See `WalletStore`."""
        body = repr((ask.portfolio_id, ask.kind, ask.amount, ask.memo))
        answer = called(
            self._pool,
            "select request_cash(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
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
            ),
        )
        return int(answer["request_id"])

    def decide(self, actor_id: int, request_id: int, verb: str, reason: str, origin: str, ts_ns: int) -> str:
        """See `WalletStore`."""
        answer = called(
            self._pool,
            "select decide_cash(%s, %s, %s, %s, %s, %s)",
            (actor_id, request_id, verb, reason, origin, ts_ns),
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

    def _rows(self, query: str, parameters: Sequence[Any]) -> Sequence[dict[str, Any]]:
        with cursor(self._pool) as rows:
            return rows.execute(query, parameters).fetchall()
