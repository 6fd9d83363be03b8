"""Rows into domain values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from trading.domain.fees import FeeSchedule, charges_of_json
from trading.domain.instruments import Instrument
from trading.domain.ledger import Hold, OnMargin, OpenOrder
from trading.domain.margin import Holding, policy_of
from trading.domain.money import Asset
from trading.domain.orders import EXITS, GroupRole, OrderState, OrderType, Side, Terms, Ticket, TimeInForce
from trading.domain.positions import FillId, Lot
from trading.domain.risk import Exposure, LimitSet, RiskLimits, strictest

INSTRUMENT_COLUMNS = """
    v.instrument_id, v.version, v.symbol, v.venue, v.name, v.asset_id, v.currency_id, v.tick_size, v.lot_size,
    v.max_order_lots, v.fee_version, v.fee_per_lot_millis, v.fee_rate_ppm, v.fee_minimum, v.fee_maximum,
    v.fee_maker_ppm, v.fee_charges,
    a.code as asset_code, a.scale as asset_scale, c.code as currency_code, c.scale as currency_scale
"""
LOT_COLUMNS = """
    id, order_id, input_seq, n, acquired_ts_ns, quantity_lots, remaining_lots, cost, remaining_cost, short
"""


def lot_of(row: Mapping[str, Any]) -> Lot:
    """A `Lot` out of a row with `LOT_COLUMNS`."""
    return Lot(
        FillId(row["order_id"], row["input_seq"], row["n"]),
        row["acquired_ts_ns"],
        row["quantity_lots"],
        row["remaining_lots"],
        row["cost"],
        row["remaining_cost"],
        row["short"],
    )


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
        fee=fees_of(row),
    )


def fees_of(row: Mapping[str, Any]) -> FeeSchedule:
    """The schedule of a row of ``instrument_version``."""
    return FeeSchedule(
        version=row["fee_version"],
        per_lot_millis=row["fee_per_lot_millis"],
        rate_ppm=row["fee_rate_ppm"],
        minimum=row["fee_minimum"],
        maximum=row["fee_maximum"],
        maker_ppm=row["fee_maker_ppm"],
        charges=charges_of_json(row["fee_charges"]),
    )


def open_order_of(row: Mapping[str, Any], instrument: Instrument, cash: Hold, asset: Hold, planned: int) -> OpenOrder:
    """The accounting of an open order out of a row (or JSON object) of ``orders`` and what is left of its holds.

    ``planned`` is what the entry of its group has yet to buy, 0 where there is none. What rested in the book is known
    to the broker alone; without it an order is charged as if it had taken all.
    """
    role = None if row["group_role"] is None else GroupRole(row["group_role"])
    return OpenOrder(
        id=row["id"],
        portfolio_id=row["portfolio_id"],
        instrument=instrument,
        side=Side(row["side"]),
        quantity_lots=row["quantity_lots"],
        filled_lots=row["filled_lots"],
        price_lots_sum=int(row["price_lots_sum"]),
        notional=row["notional"],
        fee=row["fee"],
        state=OrderState(row["state"]),
        cash=cash,
        asset=asset,
        terms=Terms(
            OrderType(row["type"]),
            row["protection_ticks"],
            row["limit_ticks"],
            row["stop_ticks"],
            row["trail"],
            row["trail_ppm"],
        ),
        group_id=row["group_id"],
        role=role,
        planned_lots=planned if role in EXITS else 0,
        margin=None
        if row["reserve_ppm"] is None
        else OnMargin(row["effect"] == "open", row["reserve_ppm"], row["reserve_ticks"]),
        maker_price_lots=int(row.get("maker_price_lots", 0)),
    )


def holding_of(row: Mapping[str, Any]) -> Holding:
    """A position as ``margin_holdings`` of the database tells it, without its basis."""
    return Holding(instrument_of(row), row["lots"], policy_of(row["policy"]))


def limits_of(found: Mapping[str, Any]) -> RiskLimits:
    """The strictest limits out of what the server function ``desk_limits`` says."""
    return strictest(found["version"], [LimitSet(*each) for each in found["sets"]])


def exposure_of(found: Mapping[str, Any]) -> Exposure:
    """What limits are compared with, out of the same."""
    day_ns, day_equity, equity, drawdown_ppm = found["state"] or (0, 0, 0, None)
    return Exposure(
        other_orders=found["others"],
        recent_ns=tuple(found["recent"]),
        user_recent_ns=tuple(found["user_recent"]),
        buying_lots=int(found["buys"]),
        selling_lots=int(found["sells"]),
        day_ns=day_ns,
        day_equity=day_equity,
        equity=equity,
        drawdown_ppm=drawdown_ppm,
        ban=None if found["ban"] is None else tuple(found["ban"]),
    )


def ticket_of(stored: Mapping[str, Any]) -> Ticket:
    """A ticket out of the JSON object of its fields."""
    words = {"side": Side(stored["side"]), "type": OrderType(stored["type"])}
    return Ticket(**{**stored, **words, "time_in_force": TimeInForce(stored["time_in_force"])})
