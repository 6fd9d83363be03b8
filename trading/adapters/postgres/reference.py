"""Reference data of the simulated venue: assets, instruments and their versions."""

from collections.abc import Iterable

from psycopg import Connection
from psycopg.types.json import Json

from trading.market.profiles import VENUE, Profile

CURRENCIES = (("USD", 2), ("EUR", 2), ("GBP", 2))


def keep_instruments(connection: Connection[tuple[object, ...]], profiles: Iterable[Profile]) -> None:
    """Add what is missing; a profile whose units, fees or statistics changed becomes the instrument's next version."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(7003)")
        for code, scale in CURRENCIES:
            connection.execute(
                "insert into asset (code, kind, scale) values (%s, 'currency', %s) on conflict do nothing",
                (code, scale),
            )
        for profile in profiles:
            _keep(connection, profile)


def _keep(connection: Connection[tuple[object, ...]], profile: Profile) -> None:
    code = f"{VENUE}:{profile.symbol}"
    connection.execute(
        "insert into asset (code, kind, scale) values (%s, 'instrument', 0) on conflict do nothing", (code,)
    )
    connection.execute(
        "insert into instrument (symbol, venue) values (%s, %s) on conflict do nothing", (profile.symbol, VENUE)
    )
    connection.execute(
        """
        with wanted as (
            select i.id as instrument_id, %(name)s::text as name, %(asset_class)s::text as asset_class,
                   a.id as asset_id, c.id as currency_id, %(tick_size)s::numeric as tick_size,
                   %(lot_size)s::numeric as lot_size, %(max_order_lots)s::bigint as max_order_lots,
                   %(per_lot)s::bigint as fee_per_lot_millis, %(rate)s::bigint as fee_rate_ppm,
                   %(minimum)s::bigint as fee_minimum, %(profile)s::jsonb as profile
            from instrument i join asset a on a.code = %(code)s join asset c on c.code = %(currency)s
            where i.symbol = %(symbol)s and i.venue = %(venue)s),
        last as (select v.* from instrument_current v join wanted w using (instrument_id))
        insert into instrument_version (instrument_id, version, name, asset_class, asset_id, currency_id, tick_size,
            lot_size, max_order_lots, fee_version, fee_per_lot_millis, fee_rate_ppm, fee_minimum, profile)
        select w.instrument_id, coalesce(l.version, 0) + 1, w.name, w.asset_class, w.asset_id, w.currency_id,
               w.tick_size, w.lot_size, w.max_order_lots, coalesce(l.version, 0) + 1, w.fee_per_lot_millis,
               w.fee_rate_ppm, w.fee_minimum, w.profile
        from wanted w left join last l using (instrument_id)
        where l.instrument_id is null
           or (l.name, l.tick_size, l.lot_size, l.max_order_lots, l.fee_per_lot_millis, l.fee_rate_ppm, l.fee_minimum,
               l.profile) is distinct from (w.name, w.tick_size, w.lot_size, w.max_order_lots, w.fee_per_lot_millis,
               w.fee_rate_ppm, w.fee_minimum, w.profile)
        """,
        {
            "name": profile.name,
            "asset_class": profile.asset_class,
            "tick_size": profile.tick_size,
            "lot_size": profile.lot_size,
            "max_order_lots": profile.max_order_lots,
            "per_lot": profile.fee.per_lot_millis,
            "rate": profile.fee.rate_ppm,
            "minimum": profile.fee.minimum,
            "profile": Json(profile.to_json()),
            "code": code,
            "currency": profile.currency,
            "symbol": profile.symbol,
            "venue": VENUE,
        },
    )
