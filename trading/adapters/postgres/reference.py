"""Reference data of the simulated venue: assets, instruments and their versions."""

from collections.abc import Iterable

from psycopg.types.json import Json

from trading.adapters.postgres.pool import FloorConnection, take_time
from trading.domain.fees import charges_to_json
from trading.market.profiles import VENUE, Profile

CURRENCIES = (("USD", 2), ("EUR", 2), ("GBP", 2))
DEBT_RATES = {
    "USD": (55_000, "Federal Reserve primary credit rate, in force since 2023-07-27"),
    "EUR": (47_500, "ECB marginal lending facility, in force since 2023-09-20"),
    "GBP": (52_500, "Bank of England Bank Rate, in force since 2023-08-03"),
}
"""What debt costs a year on a new floor, in ppm, until an admin sets another rate: a published rate, no surcharge."""


def keep_instruments(connection: FloorConnection, profiles: Iterable[Profile]) -> None:
    """Add what is missing; a profile whose units, fees or statistics changed becomes the instrument's next version.

    A currency without a rate on debt gets the shipped one. Fees that an admin has set stay. A floor opens however slow
    the machine is at it.
    """
    with connection.transaction():
        take_time(connection, "1min")
        connection.execute("select pg_advisory_xact_lock(7003)")
        for code, scale in CURRENCIES:
            connection.execute(
                "insert into asset (code, kind, scale) values (%s, 'currency', %s) on conflict do nothing",
                (code, scale),
            )
        for code, (annual_ppm, source) in DEBT_RATES.items():
            connection.execute(
                "select set_debt_rate(0, code, %s, %s, 'system') from asset a where code = %s"
                " and not exists (select 1 from debt_rate where currency_id = a.id)",
                (annual_ppm, source, code),
            )
        for profile in profiles:
            _keep(connection, profile)


def _keep(connection: FloorConnection, profile: Profile) -> None:
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
                   %(minimum)s::bigint as fee_minimum, %(maximum)s::bigint as fee_maximum,
                   %(maker)s::bigint as fee_maker_ppm, %(charges)s::jsonb as fee_charges, %(profile)s::jsonb as profile
            from instrument i join asset a on a.code = %(code)s join asset c on c.code = %(currency)s
            where i.symbol = %(symbol)s and i.venue = %(venue)s),
        last as (select v.* from instrument_current v join wanted w using (instrument_id)),
        fees as (select w.instrument_id, f.* from wanted w left join last l using (instrument_id) cross join lateral (
            select w.fee_per_lot_millis, w.fee_rate_ppm, w.fee_minimum, w.fee_maximum, w.fee_maker_ppm, w.fee_charges,
                   false as fee_set where l.fee_set is not true
            union all select l.fee_per_lot_millis, l.fee_rate_ppm, l.fee_minimum, l.fee_maximum, l.fee_maker_ppm,
                   l.fee_charges, true where l.fee_set) f)
        insert into instrument_version (instrument_id, version, name, asset_class, asset_id, currency_id, tick_size,
            lot_size, max_order_lots, fee_version, fee_per_lot_millis, fee_rate_ppm, fee_minimum, fee_maximum,
            fee_maker_ppm, fee_charges, fee_set, profile)
        select w.instrument_id, coalesce(l.version, 0) + 1, w.name, w.asset_class, w.asset_id, w.currency_id,
               w.tick_size, w.lot_size, w.max_order_lots, coalesce(l.version, 0) + 1, f.fee_per_lot_millis,
               f.fee_rate_ppm, f.fee_minimum, f.fee_maximum, f.fee_maker_ppm, f.fee_charges, f.fee_set, w.profile
        from wanted w join fees f using (instrument_id) left join last l using (instrument_id)
        where l.instrument_id is null
           or (l.name, l.tick_size, l.lot_size, l.max_order_lots, l.fee_per_lot_millis, l.fee_rate_ppm, l.fee_minimum,
               l.fee_maximum, l.fee_maker_ppm, l.fee_charges, l.profile) is distinct from (w.name, w.tick_size,
               w.lot_size, w.max_order_lots, f.fee_per_lot_millis, f.fee_rate_ppm, f.fee_minimum, f.fee_maximum,
               f.fee_maker_ppm, f.fee_charges, w.profile)
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
            "maximum": profile.fee.maximum,
            "maker": profile.fee.maker_ppm,
            "charges": Json(charges_to_json(profile.fee.charges)),
            "profile": Json(profile.to_json()),
            "code": code,
            "currency": profile.currency,
            "symbol": profile.symbol,
            "venue": VENUE,
        },
    )
