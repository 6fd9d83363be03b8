"""Fee schedules and corporate actions."""

from collections.abc import Sequence
from typing import Any

from psycopg.errors import DatabaseError
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, cursor, scalar
from trading.adapters.postgres.rows import fees_of
from trading.domain.errors import NotFound
from trading.domain.fees import FeeSchedule, charges_to_json


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
