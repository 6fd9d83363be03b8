"""Fee schedules and corporate actions."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.errors import DatabaseError
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, cursor, scalar
from trading.adapters.postgres.rows import INSTRUMENT_COLUMNS, LOT_COLUMNS, fees_of, instrument_of, lot_of
from trading.domain.actions import Position
from trading.domain.errors import NotFound
from trading.domain.fees import FeeSchedule, charges_to_json
from trading.domain.positions import Lot
from trading.services.ports.actions import ActionRow, BookedSplit, Holder

_ACTIONS = """select c.id, c.instrument_id, v.symbol, v.venue, c.kind, c.ex_date, c.due_ts_ns, c.numerator,
        c.denominator, c.dividend, c.tax_ppm, c.reference_ticks, c.source, c.state, c.entered_ts_ns, c.applied_ts_ns,
        v.tick_size, a.code as currency
    from corporate_action c join instrument_current v on v.instrument_id = c.instrument_id
    join asset a on a.id = v.currency_id
    where (%(id)s::bigint is null or c.id = %(id)s)
        and (%(due)s::bigint is null or (c.state = 'pending' and c.due_ts_ns <= %(due)s))
    order by case when %(due)s::bigint is null then -c.due_ts_ns else c.due_ts_ns end, c.id limit %(limit)s"""

_SPLITS = """select a.instrument_id, a.numerator, a.denominator, a.reference_ticks, c.ts_ns as asked_ts_ns,
        a.applied_ts_ns
    from corporate_action a join command c on c.input_seq = a.input_seq
    where a.kind = 'split' and a.state = 'applied' order by a.applied_ts_ns"""

_OPEN = "state not in ('filled', 'rejected', 'cancelled', 'expired')"
_HOLDERS = f"""select p.id as portfolio_id, p.name as portfolio, u.username as owner,
        coalesce(o.many, 0) as open_orders,
        {INSTRUMENT_COLUMNS}
    from portfolio p join app_user u on u.id = p.owner_id
    join instrument_current v on v.instrument_id = %(id)s
    join asset a on a.id = v.asset_id join asset c on c.id = v.currency_id
    left join (select portfolio_id, count(*) as many from orders where instrument_id = %(id)s and {_OPEN} group by 1) o
        on o.portfolio_id = p.id
    where o.many > 0 or exists (select 1 from lot l where l.portfolio_id = p.id and l.instrument_id = %(id)s
                                and l.remaining_lots > 0) order by p.id"""

_LOTS = f"select portfolio_id, {LOT_COLUMNS} from lot where instrument_id = %(id)s and remaining_lots > 0 order by id"


class PostgresActions:
    """Implements `trading.services.ports.actions.ActionStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def set_fees(self, actor_id: int, instrument_id: int, schedule: FeeSchedule, origin: str) -> int:
        """See the port."""
        terms = {
            "per_lot_millis": schedule.per_lot_millis,
            "rate_ppm": schedule.rate_ppm,
            "minimum": schedule.minimum,
            "maximum": schedule.maximum,
            "maker_ppm": schedule.maker_ppm,
            "charges": charges_to_json(schedule.charges),
        }
        try:
            with connection_of(self._pool) as connection:
                version = scalar(
                    connection,
                    "select set_fee_schedule(%s, %s, %s, %s)",
                    (actor_id, instrument_id, Jsonb(terms), origin),
                )
        except DatabaseError as error:
            if error.sqlstate == "TF006":
                raise NotFound("there is no such instrument") from None
            raise
        return int(version)

    def enter(self, actor_id: int, action: Mapping[str, Any], origin: str, ts_ns: int) -> int | None:
        """See the port."""
        with connection_of(self._pool) as connection:
            entered: int | None = scalar(
                connection, "select enter_action(%s, %s, %s, %s)", (actor_id, Jsonb(dict(action)), origin, ts_ns)
            )
        return entered

    def cancel(self, actor_id: int, action_id: int, origin: str) -> bool:
        """See the port."""
        with connection_of(self._pool) as connection:
            return bool(scalar(connection, "select cancel_action(%s, %s, %s)", (actor_id, action_id, origin)))

    def bring_forward(self, actor_id: int, action_id: int, origin: str, ts_ns: int) -> bool:
        """See the port."""
        with connection_of(self._pool) as connection:
            moved = scalar(
                connection, "select bring_action_forward(%s, %s, %s, %s)", (actor_id, action_id, origin, ts_ns)
            )
        return bool(moved)

    def request(self, actor_id: int, action_id: int, reference_ticks: int | None, origin: str, ts_ns: int) -> bool:
        """See the port."""
        with connection_of(self._pool) as connection:
            return bool(
                scalar(
                    connection,
                    "select request_action(%s, %s, %s, %s, %s)",
                    (actor_id, action_id, reference_ticks, origin, ts_ns),
                )
            )

    def actions(self, limit: int, action_id: int | None = None, due_ts_ns: int | None = None) -> Sequence[ActionRow]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(_ACTIONS, {"limit": limit, "id": action_id, "due": due_ts_ns})
            return [ActionRow(**row) for row in rows]

    def splits(self) -> Sequence[BookedSplit]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(_SPLITS)
            return [BookedSplit(**row) for row in rows]

    def holders(self, instrument_id: int) -> Sequence[Holder]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(_HOLDERS, {"id": instrument_id})
            found = rows.fetchall()
            rows.execute(_LOTS, {"id": instrument_id})
            lots: dict[int, list[Lot]] = {}
            for row in rows:
                lots.setdefault(row["portfolio_id"], []).append(lot_of(row))
        return [
            Holder(
                row["portfolio"],
                row["owner"],
                Position(row["portfolio_id"], instrument_of(row), 0, 0, tuple(lots.get(row["portfolio_id"], ()))),
                row["open_orders"],
            )
            for row in found
        ]

    def calendar(self, instrument_id: int) -> str | None:
        """See the port."""
        with connection_of(self._pool) as connection:
            name: str | None = scalar(
                connection,
                "select profile ->> 'calendar' from instrument_current where instrument_id = %s",
                (instrument_id,),
            )
        return name

    def fee_history(self, instrument_id: int) -> Sequence[dict[str, Any]]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(
                "select v.version, v.valid_from, v.fee_set, v.fee_version, v.fee_per_lot_millis, v.fee_rate_ppm,"
                " v.fee_minimum, v.fee_maximum, v.fee_maker_ppm, v.fee_charges from instrument_version v"
                " where v.instrument_id = %s order by v.version desc",
                (instrument_id,),
            )
            return [
                {
                    "version": row["version"],
                    "valid_from": row["valid_from"],
                    "set_by_admin": row["fee_set"],
                    "schedule": fees_of(row),
                }
                for row in rows
            ]
