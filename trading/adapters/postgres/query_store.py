"""Reads for the screens, on the app's role or, for observers, on their own with row level security."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow

from trading.adapters.postgres import statement_rows
from trading.adapters.postgres.ledger_store import as_json
from trading.adapters.postgres.pool import Pool, cursor
from trading.adapters.postgres.rows import INSTRUMENT_COLUMNS, holding_of
from trading.domain.margin import Holding
from trading.services.ports.desk import Cutoff

Row = dict[str, Any]

_CASH = """select c.code as asset, c.scale, a.posted, a.held, a.asset_id = p.currency_id as is_base,
        b.scale as base_scale, x.instrument_id as pair_id, x.symbol = c.code || b.code as sells_base, x.tick_size
    from account a join asset c on c.id = a.asset_id join portfolio p on p.id = a.portfolio_id
    join asset b on b.id = p.currency_id
    left join instrument_current x on a.asset_id <> p.currency_id and x.asset_class = 'fx'
        and x.symbol in (c.code || b.code, b.code || c.code)
    where a.kind = 'portfolio' and a.portfolio_id = %s and c.kind = 'currency' order by is_base desc, c.code"""

_POSITIONS = """select v.instrument_id, v.symbol, v.venue, v.name, v.tick_size, v.lot_size, c.code as currency, c.scale,
        a.posted as lots, a.held as held_lots,
        coalesce((select sum(l.remaining_cost) from lot l where l.portfolio_id = a.portfolio_id
            and l.instrument_id = v.instrument_id and l.remaining_lots > 0), 0)::bigint as cost_minor,
        (coalesce((select sum(x.proceeds - x.cost) from lot_close x join lot l on l.id = x.lot_id
            where x.portfolio_id = a.portfolio_id and l.instrument_id = v.instrument_id), 0)
         + coalesce((select sum(e.cash - sign(e.lots_before) * e.dropped) from action_effect e
            join corporate_action s on s.id = e.action_id and s.kind = 'split'
            where e.portfolio_id = a.portfolio_id and s.instrument_id = v.instrument_id), 0))::bigint as realised_minor
    from account a join instrument_current v on v.asset_id = a.asset_id join asset c on c.id = v.currency_id
    where a.kind = 'portfolio' and a.portfolio_id = %s order by v.symbol"""

_MARGIN_POSITIONS = f"""select {INSTRUMENT_COLUMNS}, own.posted as lots,
        (select to_jsonb(m) from margin_policy m where m.asset_class in (v.asset_class, '')
         order by m.asset_class desc, m.version desc limit 1) as policy
    from account own join instrument_current v on v.asset_id = own.asset_id
    join asset a on a.id = v.asset_id join asset c on c.id = v.currency_id
    where own.kind = 'portfolio' and own.portfolio_id = %s and own.posted <> 0 order by v.instrument_id"""

_MARGIN_EVENTS = """select e.ts_ns, e.input_seq, e.kind, c.code as currency, c.scale, e.equity, e.maintenance,
        e.close_out
    from margin_event e join asset c on c.id = e.currency_id where e.portfolio_id = %s order by e.id desc limit %s"""

_MARGIN_STATES = """select distinct on (e.currency_id) c.code as currency, e.kind, e.ts_ns
    from margin_event e join asset c on c.id = e.currency_id where e.portfolio_id = %s
    order by e.currency_id, e.id desc"""

_ORDERS = """select o.id, o.public_id, o.instrument_id, i.symbol, i.venue, v.tick_size, v.lot_size, c.code as currency,
        c.scale, o.side, o.type, o.effect, o.tif, o.quantity_lots, o.limit_ticks, o.protection_ticks, o.stop_ticks,
        o.trail, o.trail_ppm, o.post_only, o.expires_ns, o.group_id, o.group_role, o.parent_id, o.child_n, o.state,
        o.filled_lots,
        o.price_lots_sum, o.notional, o.fee, o.reason, o.accepted_ts_ns, o.updated_ts_ns
    from orders o join instrument_version v on v.instrument_id = o.instrument_id and v.version = o.instrument_version
    join instrument i on i.id = o.instrument_id join asset c on c.id = v.currency_id
    where o.portfolio_id = %(portfolio_id)s"""

_OPEN = " and o.state not in ('filled', 'rejected', 'cancelled', 'expired')"

_CLIENT_ORDERS = """select o.*, coalesce(k.key, '') as client_id
    from orders o left join idempotency_key k on k.user_id = o.actor_id and k.operation = 'desk.submit'
        and coalesce(k.answer #>> '{group,0}', k.answer ->> 'order_id')::bigint = coalesce(o.group_id, o.id)
    where o.portfolio_id = %s"""

_EVENTS = """select e.ts_ns, e.source, e.target, e.cause, e.actor, e.input_seq, e.detail
    from order_event e join orders o on o.id = e.order_id
    where o.portfolio_id = %s and e.order_id = %s order by e.id"""

_HOLDS = """select h.leg, a.code as asset, a.scale, h.amount, h.used, h.released, h.resolved
    from hold h join orders o on o.id = h.order_id join asset a on a.id = h.asset_id
    where o.portfolio_id = %s and h.order_id = %s order by h.leg desc"""

_FILLS = """select f.order_id, f.input_seq, f.n, f.ts_ns, i.symbol, i.venue, v.tick_size, v.lot_size,
        c.code as currency, c.scale, f.side, f.price_ticks, f.quantity_lots, f.notional, f.fee, f.charges, f.liquidity,
        f.why, f.group_id
    from fill f join instrument_version v on v.instrument_id = f.instrument_id and v.version = f.instrument_version
    join instrument i on i.id = f.instrument_id join asset c on c.id = v.currency_id
    where f.portfolio_id = %(portfolio_id)s and (%(order_id)s::bigint is null or f.order_id = %(order_id)s)
    order by f.input_seq desc, f.n desc limit %(limit)s"""

_FILLS_FROM = """select order_id, input_seq, n, instrument_id, side, price_ticks, quantity_lots, fee, ts_ns from fill
    where portfolio_id = %s and (input_seq, n) >= (%s, %s) order by input_seq, n limit %s"""

_UNITS = """v.symbol, v.venue, v.tick_size, v.lot_size, c.code as currency, c.scale,
        v.profile ->> 'calendar' as calendar"""
_OF_LOT = "join instrument_current v on v.instrument_id = l.instrument_id join asset c on c.id = v.currency_id"
_DISPOSALS = f"""select l.acquired_ts_ns, x.disposed_ts_ns, x.quantity_lots, x.cost, x.proceeds, l.short, {_UNITS}
    from lot_close x join lot l on l.id = x.lot_id {_OF_LOT}
    where x.portfolio_id = %s order by x.disposed_ts_ns, l.id"""

_OPEN_LOTS = f"""select l.acquired_ts_ns, l.remaining_lots as lots, l.remaining_cost as cost, l.short,
        (select count(*) from lot_action a where a.lot_id = l.id) as splits, {_UNITS}
    from lot l {_OF_LOT}
    where l.portfolio_id = %s and l.remaining_lots > 0 order by l.acquired_ts_ns, l.id"""

_ACTION_EFFECTS = f"""select s.kind, s.ex_date, s.numerator, s.denominator, s.dividend, s.tax_ppm, s.reference_ticks,
        e.ts_ns, e.lots_before, e.lots_after, e.cash, e.tax, e.dropped, {_UNITS},
        (select min(l.acquired_ts_ns) from lot_action a join lot l on l.id = a.lot_id
         where a.action_id = e.action_id and a.portfolio_id = e.portfolio_id) as oldest_ts_ns
    from action_effect e join corporate_action s on s.id = e.action_id
    join instrument_current v on v.instrument_id = s.instrument_id join asset c on c.id = v.currency_id
    where e.portfolio_id = %s order by e.ts_ns desc"""

_MARKS = """select ts_ns, equity as equity_minor, cash as cash_minor, positions as positions_minor, flow as flow_minor
    from equity_mark where portfolio_id = %s order by ts_ns"""

_FLOW = """select coalesce(sum(case when t.credit_id = a.id then t.amount else -t.amount end), 0)::bigint as flow
    from transfer t join portfolio p on p.id = t.portfolio_id
    join account a on a.portfolio_id = p.id and a.asset_id = p.currency_id and a.id in (t.debit_id, t.credit_id)
    where t.portfolio_id = %s and t.kind in ('deposit', 'withdrawal') and t.ts_ns > %s"""

_UNSETTLED = """select c.code as asset, c.scale, m.* from account a join asset c on c.id = a.asset_id
    cross join jsonb_to_recordset(unsettled(a.portfolio_id, a.asset_id, %s)) m (asset_class text, calendar text,
        amount bigint, last_ns bigint)
    where a.portfolio_id = %s and a.kind = 'portfolio' and c.kind = 'currency' order by c.code"""


class PostgresQueries:
    """`QueryStore` on a pool; with ``session_token`` each read tells row level security whose session it is."""

    def __init__(self, pool: Pool, session_token: str | None = None) -> None:
        self._pool = pool
        self._session_token = session_token

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[DictRow]]:
        if self._session_token is None:
            with cursor(self._pool) as rows:
                yield rows
            return
        # Local to the transaction: it ends with it, so the next checkout of the connection starts without a session.
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("select set_config('tradefloor.session', %s, true)", (self._session_token,))
            yield rows

    @contextmanager
    def _moment(self) -> Iterator[psycopg.Cursor[DictRow]]:
        """As `_cursor`, for reads that must see one moment."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("set transaction isolation level repeatable read, read only")
            if self._session_token is not None:
                rows.execute("select set_config('tradefloor.session', %s, true)", (self._session_token,))
            yield rows

    def _all(self, query: str, parameters: Any) -> Sequence[Row]:
        with self._cursor() as rows:
            return rows.execute(query, parameters).fetchall()

    def cash(self, portfolio_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_CASH, (portfolio_id,))

    def positions(self, portfolio_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_POSITIONS, (portfolio_id,))

    def margin_currency(self, portfolio_id: int) -> str | None:
        """See `QueryStore`."""
        query = (
            "select c.code from portfolio p join asset c on c.id = p.currency_id where p.id = %s and p.kind = 'margin'"
        )
        found = self._all(query, (portfolio_id,))
        return found[0]["code"] if found else None

    def margin_positions(self, portfolio_id: int) -> Sequence[Holding]:
        """See `QueryStore`."""
        return [holding_of(row) for row in self._all(_MARGIN_POSITIONS, (portfolio_id,))]

    def margin_states(self, portfolio_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_MARGIN_STATES, (portfolio_id,))

    def margin_events(self, portfolio_id: int, limit: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_MARGIN_EVENTS, (portfolio_id, limit))

    def margin_policies(self) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all("select distinct on (asset_class) * from margin_policy order by asset_class, version desc", ())

    def asset_classes(self) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all("select distinct asset_class from instrument_version order by 1", ())

    def orders(self, portfolio_id: int, open_only: bool, limit: int) -> Sequence[Row]:
        """See `QueryStore`."""
        query = _ORDERS + (_OPEN if open_only else "") + " order by o.id desc limit %(limit)s"
        return self._all(query, {"portfolio_id": portfolio_id, "limit": limit})

    def order(self, portfolio_id: int, order_id: int) -> Row | None:
        """See `QueryStore`."""
        found = self._all(_ORDERS + " and o.id = %(order_id)s", {"portfolio_id": portfolio_id, "order_id": order_id})
        return found[0] if found else None

    def client_orders(self, portfolio_id: int, order_id: int | None = None) -> Sequence[Row]:
        """See `QueryStore`."""
        if order_id is not None:
            return self._all(_CLIENT_ORDERS + " and o.id = %s", (portfolio_id, order_id))
        return self._all(_CLIENT_ORDERS + _OPEN + " order by o.id", (portfolio_id,))

    def group(self, portfolio_id: int, group_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        query = _ORDERS + " and o.group_id = %(group_id)s order by o.id"
        return self._all(query, {"portfolio_id": portfolio_id, "group_id": group_id})

    def order_events(self, portfolio_id: int, order_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_EVENTS, (portfolio_id, order_id))

    def holds(self, portfolio_id: int, order_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_HOLDS, (portfolio_id, order_id))

    def fills(self, portfolio_id: int, limit: int, order_id: int | None = None) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_FILLS, {"portfolio_id": portfolio_id, "limit": limit, "order_id": order_id})

    def fills_from(self, portfolio_id: int, input_seq: int, n: int, limit: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_FILLS_FROM, (portfolio_id, input_seq, n, limit))

    def ledger(self, portfolio_id: int, limit: int, order_id: int | None = None) -> Sequence[Row]:
        """See `QueryStore`."""
        with self._cursor() as rows:
            if order_id is None:
                return statement_rows.newest(rows, portfolio_id, limit)
            return statement_rows.of_order(rows, portfolio_id, order_id, limit)

    def statement(self, portfolio_id: int, from_ns: int, to_ns: int, limit: int) -> Mapping[str, Any]:
        """See `QueryStore`."""
        with self._moment() as rows:
            return statement_rows.read(rows, portfolio_id, from_ns, to_ns, limit)

    def first_line_ns(self, portfolio_id: int) -> int | None:
        """See `QueryStore`."""
        with self._cursor() as rows:
            return statement_rows.first_line_ns(rows, portfolio_id)

    def markets(self) -> Sequence[tuple[str, str]]:
        """See `QueryStore`."""
        found = self._all("select distinct asset_class, profile ->> 'calendar' as calendar from instrument_version", ())
        return [(row["asset_class"], row["calendar"] or "24/7") for row in found]

    def unsettled(self, portfolio_id: int, cutoffs: Sequence[Cutoff]) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_UNSETTLED, (as_json(cutoffs), portfolio_id))

    def disposals(self, portfolio_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_DISPOSALS, (portfolio_id,))

    def open_lots(self, portfolio_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_OPEN_LOTS, (portfolio_id,))

    def action_effects(self, portfolio_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_ACTION_EFFECTS, (portfolio_id,))

    def equity_marks(self, portfolio_id: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(_MARKS, (portfolio_id,))

    def flow_since(self, portfolio_id: int, ts_ns: int) -> int:
        """See `QueryStore`."""
        return int(self._all(_FLOW, (portfolio_id, ts_ns))[0]["flow"])

    def process_status(self) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(
            "select name, state, pid, started_at, beat_at, restarts, detail from process_status order by name", ()
        )

    def reconciliations(self, limit: int) -> Sequence[Row]:
        """See `QueryStore`."""
        return self._all(
            "select id, ts_ns, scope, ok, breaks, counts from reconciliation order by id desc limit %s", (limit,)
        )


class ObserverSessions:
    """`ObserverQueries` on the pool of the observers' database role, which may only read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def of(self, session_token: str) -> PostgresQueries:
        """A store that sees what the user of this session may see; with a dead token it sees nothing."""
        return PostgresQueries(self._pool, session_token)
