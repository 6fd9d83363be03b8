"""Parents that are worked in children, in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from trading.adapters.postgres.desk_store import digest_of
from trading.adapters.postgres.planned import claim
from trading.adapters.postgres.pool import Pool, connection_of, cursor, scalar
from trading.adapters.postgres.rows import INSTRUMENT_COLUMNS, instrument_of, ticket_of
from trading.domain.orders import OrderState, Ticket
from trading.services.ports.parents import ChildOrder, ParentState, Style, WorkedParent

CREATE = "parents.create"
LIST_MAX = 200
_OPEN = "p.state in ('working', 'paused', 'stopping')"
_PARENTS = f"""select p.id as parent_id, p.portfolio_id, p.actor_id, u.username, u.role,
        u.disabled_at is not null as disabled, p.ticket, p.style, p.quantity_lots, p.state, p.code, p.reason, p.plan,
        p.mark, p.version as plan_version, p.created_ts_ns, {INSTRUMENT_COLUMNS},
        coalesce(o.children, '[]') as children, coalesce(o.notional, 0)::bigint as notional,
        coalesce(o.fee, 0)::bigint as fees
    from parent_order p join app_user u on u.id = p.actor_id
    join instrument_current v on v.instrument_id = p.instrument_id
    join asset a on a.id = v.asset_id join asset c on c.id = v.currency_id
    left join lateral (
        select jsonb_agg(jsonb_build_array(child_n, id, state, quantity_lots, filled_lots) order by child_n) children,
               sum(notional) as notional, sum(fee) as fee
        from orders where parent_id = p.id) o on true"""


class PostgresParents:
    """Implements `trading.services.ports.parents.ParentStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def create(
        self,
        user_id: int,
        portfolio_id: int,
        key: str,
        instrument_id: int,
        ticket: Ticket,
        style: Style,
        plan: Mapping[str, Any],
        most: int,
        ts_ns: int,
        origin: str,
    ) -> int | None:
        """See the port. The key stands for the ticket and the plan's sizes; a plan's times are those of the first."""
        times = ("start_ns", "end_ns")
        asked = {name: value for name, value in plan["parent"].items() if name not in times}
        length_ns = plan["parent"]["end_ns"] - plan["parent"]["start_ns"]
        digest = digest_of([portfolio_id, asdict(ticket), style, asked, length_ns])
        with cursor(self._pool, transaction=True) as rows:
            known = claim(rows, user_id, CREATE, key, digest, portfolio_id)
            if known is not None:
                kept: int | None = known["parent_id"]
                return kept
            rows.execute(
                "insert into parent_order (portfolio_id, actor_id, instrument_id, ticket, style, quantity_lots, state,"
                " plan, created_ts_ns, updated_ts_ns) select %s, %s, %s, %s, %s, %s, 'working', %s, %s, %s"
                f" where (select count(*) from parent_order p where p.portfolio_id = %s and {_OPEN}) < %s returning id",
                (
                    portfolio_id, user_id, instrument_id, Jsonb(asdict(ticket)), style, plan["parent"]["lots"],
                    Jsonb(dict(plan)), ts_ns, ts_ns, portfolio_id, most,
                ),
            )  # fmt: skip
            row = rows.fetchone()
            made = None if row is None else int(row["id"])
            rows.execute(
                "update idempotency_key set answer = %s where user_id = %s and operation = %s and key = %s",
                (Jsonb({"v": 1, "parent_id": made}), user_id, CREATE, key),
            )
            if made is not None:
                rows.execute(
                    "insert into audit (user_id, action, subject, result, origin, detail)"
                    " values (%s, %s, %s, 'ok', %s, %s)",
                    (user_id, CREATE, f"parent:{made}", origin, Jsonb({"v": 1, "style": style, **asdict(ticket)})),
                )
        return made

    def open_ids(self) -> Sequence[int]:
        """See the port."""
        with connection_of(self._pool) as connection:
            return [
                row[0] for row in connection.execute(f"select p.id from parent_order p where {_OPEN} order by p.id")
            ]

    def one(self, parent_id: int, portfolio_id: int | None = None) -> WorkedParent | None:
        """See the port."""
        found = self._parents(
            "p.id = %s and (%s::bigint is null or p.portfolio_id = %s)", (parent_id, portfolio_id, portfolio_id)
        )
        return found[0] if found else None

    def of(self, portfolio_id: int, open_only: bool) -> Sequence[WorkedParent]:
        """See the port."""
        return self._parents(f"p.portfolio_id = %s{f' and {_OPEN}' if open_only else ''}", (portfolio_id,))

    def save(
        self,
        parent: WorkedParent,
        state: ParentState,
        code: str,
        reason: str,
        plan: Mapping[str, Any],
        mark: Mapping[str, int],
        returned: Sequence[int],
        ts_ns: int,
        user_id: int,
        origin: str,
    ) -> bool:
        """See the port."""
        with connection_of(self._pool) as connection:
            return bool(
                scalar(
                    connection,
                    "select parent_save(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (
                        parent.id, parent.version, state, code, reason[:300], Jsonb(dict(plan)), Jsonb(dict(mark)),
                        list(returned), ts_ns, user_id, origin,
                    ),
                )
            )  # fmt: skip

    def _parents(self, condition: str, parameters: tuple[int | None, ...]) -> list[WorkedParent]:
        with cursor(self._pool) as rows:
            rows.execute(f"{_PARENTS} where {condition} order by p.id desc limit {LIST_MAX}", parameters)
            return [_parent(row) for row in rows]


def _parent(row: Mapping[str, Any]) -> WorkedParent:
    return WorkedParent(
        id=row["parent_id"],
        portfolio_id=row["portfolio_id"],
        actor_id=row["actor_id"],
        username=row["username"],
        role=row["role"],
        disabled=row["disabled"],
        instrument=instrument_of(row),
        ticket=ticket_of(row["ticket"]),
        style=Style(row["style"]),
        quantity_lots=row["quantity_lots"],
        state=ParentState(row["state"]),
        code=row["code"],
        reason=row["reason"],
        plan=row["plan"],
        mark=row["mark"],
        version=row["plan_version"],
        created_ts_ns=row["created_ts_ns"],
        children=tuple(
            ChildOrder(n, order, OrderState(state), lots, filled) for n, order, state, lots, filled in row["children"]
        ),
        notional=row["notional"],
        fee=row["fees"],
    )
