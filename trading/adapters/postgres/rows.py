"""Rows into domain values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from trading.domain.instruments import FeeSchedule, Instrument
from trading.domain.money import Asset

INSTRUMENT_COLUMNS = """
    v.instrument_id, v.version, v.symbol, v.venue, v.name, v.asset_id, v.currency_id, v.tick_size, v.lot_size,
    v.max_order_lots, v.fee_version, v.fee_per_lot_millis, v.fee_rate_ppm, v.fee_minimum,
    a.code as asset_code, a.scale as asset_scale, c.code as currency_code, c.scale as currency_scale
"""


def instrument_of(row: Mapping[str, Any]) -> Instrument:
    """An `Instrument` out of a row (or JSON object) with `INSTRUMENT_COLUMNS`."""
    return Instrument(
        id=row["instrument_id"],
        version=row["version"],
        symbol=row["symbol"],
        venue=row["venue"],
        name=row["name"],
        asset=Asset(row["asset_id"], row["asset_code"], row["asset_scale"]),
        currency=Asset(row["currency_id"], row["currency_code"], row["currency_scale"]),
        tick_size=Decimal(str(row["tick_size"])),
        lot_size=Decimal(str(row["lot_size"])),
        max_order_lots=row["max_order_lots"],
        fee=FeeSchedule(row["fee_version"], row["fee_per_lot_millis"], row["fee_rate_ppm"], row["fee_minimum"]),
    )
