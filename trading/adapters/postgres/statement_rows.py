"""The rows of a statement: balances at both ends of a period, lines and totals between them.

A portfolio has one account of each asset and every transfer touches one account of its portfolio: the portfolio and
the asset of a transfer name it. The balance at the start comes from the nearest kept balance before it and the lines
since; the one at the end from the nearest kept balance after it, or the account's own now, less the lines until then.
So the two are found independently, and the lines between must lead from one to the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from psycopg import Cursor
from psycopg.rows import DictRow

LOT_SIZES: LiteralString = "(select asset_id, min(lot_size) as lot_size from instrument_current group by asset_id)"
"""Units of an instrument's asset that one of what the ledger counts stands for."""
_SIGNED = "case when t.credit_id = a.id then t.amount else -t.amount end"
_ENDS: LiteralString = f"""select a.id as account_id, c.code as asset, c.kind as asset_kind, c.scale,
        u.lot_size, coalesce(o.balance, 0) + coalesce((select sum({_SIGNED}) from transfer t
            where t.portfolio_id = a.portfolio_id and t.asset_id = a.asset_id
            and t.ts_ns >= coalesce(o.ts_ns, {-(2**63)}) and t.ts_ns < %(from_ns)s), 0)::bigint as opening,
        coalesce(e.balance, a.posted) - coalesce((select sum({_SIGNED}) from transfer t
            where t.portfolio_id = a.portfolio_id and t.asset_id = a.asset_id
            and t.ts_ns >= %(to_ns)s and t.ts_ns < coalesce(e.ts_ns, {2**63 - 1})), 0)::bigint as closing
    from account a join asset c on c.id = a.asset_id left join {LOT_SIZES} u on u.asset_id = a.asset_id
    left join lateral (select ts_ns, balance from balance_mark where account_id = a.id and ts_ns <= %(from_ns)s
                       order by ts_ns desc limit 1) o on true
    left join lateral (select ts_ns, balance from balance_mark where account_id = a.id and ts_ns >= %(to_ns)s
                       order by ts_ns limit 1) e on true
    where a.portfolio_id = %(portfolio_id)s and a.kind = 'portfolio' order by c.kind, c.code"""

_FROM: LiteralString = """from transfer t
    join account a on a.portfolio_id = t.portfolio_id and a.asset_id = t.asset_id and a.kind = 'portfolio'
    where t.portfolio_id = %(portfolio_id)s and t.ts_ns >= %(from_ns)s and t.ts_ns < %(to_ns)s"""

_TOTALS: LiteralString = f"""select a.id as account_id, t.kind, count(*) as lines,
        coalesce(sum(t.amount) filter (where t.credit_id = a.id), 0)::bigint as received,
        coalesce(sum(t.amount) filter (where t.debit_id = a.id), 0)::bigint as paid
    {_FROM} group by a.id, t.kind order by a.id, t.kind"""

_LINES: LiteralString = f"""select t.id, t.group_id, t.ts_ns, t.kind, t.order_id, t.memo, a.id as account_id,
        {_SIGNED} as amount
    {_FROM} order by t.ts_ns, t.id limit %(limit)s"""

_LINE: LiteralString = (
    "t.id, t.group_id, t.ts_ns, t.kind, t.order_id, t.memo, c.code as asset, c.scale, c.kind as asset_kind, u.lot_size"
)

# The newest balance is the account's own; what came after a line is taken off it again.
_NEWEST: LiteralString = f"""select {_LINE}, {_SIGNED} as amount, (a.posted - coalesce(sum({_SIGNED}) over (
        partition by a.id order by t.id desc rows between unbounded preceding and 1 preceding), 0))::bigint as balance
    from (select * from transfer where portfolio_id = %(portfolio_id)s order by id desc limit %(limit)s) t
    join account a on a.portfolio_id = t.portfolio_id and a.asset_id = t.asset_id and a.kind = 'portfolio'
    join asset c on c.id = t.asset_id left join {LOT_SIZES} u on u.asset_id = c.id order by t.id desc"""

# Likewise, from the balances that were first kept after the order's last line, or the accounts' own.
_OF_ORDER: LiteralString = f"""with own as materialized (
        select asset_id, min(ts_ns) as first_ns, max(ts_ns) as last_ns from transfer
        where portfolio_id = %(portfolio_id)s and order_id = %(order_id)s group by asset_id)
    select * from (
        select {_LINE}, {_SIGNED} as amount, (coalesce(m.balance, a.posted) - coalesce(sum({_SIGNED}) over (
            partition by a.id order by t.ts_ns desc, t.id desc rows between unbounded preceding and 1 preceding
            ), 0))::bigint as balance
        from own join account a
            on a.portfolio_id = %(portfolio_id)s and a.asset_id = own.asset_id and a.kind = 'portfolio'
        join asset c on c.id = a.asset_id left join {LOT_SIZES} u on u.asset_id = c.id
        left join lateral (select ts_ns, balance from balance_mark where account_id = a.id and ts_ns > own.last_ns
                           order by ts_ns limit 1) m on true
        join transfer t on t.portfolio_id = a.portfolio_id and t.asset_id = a.asset_id
            and t.ts_ns >= own.first_ns and t.ts_ns < coalesce(m.ts_ns, {2**63 - 1})) line
    where order_id = %(order_id)s order by id desc limit %(limit)s"""

_FIRST: LiteralString = "select min(ts_ns) as ts_ns from transfer where portfolio_id = %(portfolio_id)s"


def read(rows: Cursor[DictRow], portfolio_id: int, from_ns: int, to_ns: int, limit: int) -> Mapping[str, Any]:
    """``ends``, ``totals`` and ``lines``; the cursor's transaction must see one snapshot."""
    asked = {"portfolio_id": portfolio_id, "from_ns": from_ns, "to_ns": to_ns, "limit": limit}
    return {
        "ends": rows.execute(_ENDS, asked).fetchall(),
        "totals": rows.execute(_TOTALS, asked).fetchall(),
        "lines": rows.execute(_LINES, asked).fetchall(),
    }


def newest(rows: Cursor[DictRow], portfolio_id: int, limit: int) -> Sequence[DictRow]:
    """The newest lines, newest first, each with its account's ``balance`` after it."""
    return rows.execute(_NEWEST, {"portfolio_id": portfolio_id, "limit": limit}).fetchall()


def of_order(rows: Cursor[DictRow], portfolio_id: int, order_id: int, limit: int) -> Sequence[DictRow]:
    """The lines of an order, newest first, each with its account's ``balance`` after it."""
    asked = {"portfolio_id": portfolio_id, "order_id": order_id, "limit": limit}
    return rows.execute(_OF_ORDER, asked).fetchall()


def first_line_ns(rows: Cursor[DictRow], portfolio_id: int) -> int | None:
    """When the portfolio's first line was booked."""
    found = rows.execute(_FIRST, {"portfolio_id": portfolio_id}).fetchone()
    return None if found is None else found["ts_ns"]
