"""Rows of the monitoring loop into domain values and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trading.domain.brokerage import Execution
from trading.domain.monitoring import (
    Book,
    FairSource,
    Outcome,
    Plan,
    Purpose,
    RecordedOrder,
    Step,
    Write,
    deed_of,
)
from trading.domain.orders import Side
from trading.domain.positions import FillId, Lot
from trading.services import brokerage
from trading.services.ports.monitoring import BrokerAccount, CycleReport, StepReport

PLAN_COLUMNS = ", ".join(Plan.__slots__)

Row = Mapping[str, Any]


def account_of(row: Row) -> BrokerAccount:
    """An account with its portfolio and owner."""
    return BrokerAccount(**{**row, "steps": frozenset(Step(step) for step in row["steps"])})


def plan_of(row: Row) -> Plan:
    """A row with `PLAN_COLUMNS`."""
    return Plan(**{**row, "fair_source": FairSource(row["fair_source"])})


def plan_row(plan: Plan) -> dict[str, Any]:
    """The columns of a plan."""
    return asdict(plan)


def order_of(row: Row) -> RecordedOrder:
    """A row of ``broker_order``."""
    return RecordedOrder(
        brokerage.order_of(row, row["order_id"]),
        Purpose(row["purpose"]),
        row["attempt"],
        row["first_limit_ticks"],
        row["seen_ts_ns"],
        row["over_ts_ns"],
        row["dropped"],
    )


def order_row(account_id: int, recorded: RecordedOrder) -> dict[str, Any]:
    """Parameters that keep an order."""
    own = {name: getattr(recorded, name) for name in RecordedOrder.__slots__ if name != "order"}
    return {"account_id": account_id, **asdict(recorded.order), **own}


def execution_of(row: Row) -> Execution:
    """A row of ``broker_execution``."""
    return Execution(
        row["cursor"],
        row["order_id"],
        row["instrument_id"],
        Side(row["side"]),
        row["price_ticks"],
        row["quantity_lots"],
        row["fee"],
        row["ts_ns"],
    )


def lots_json(book: Book) -> dict[str, Any]:
    """The open lots of a book."""
    lots = [
        [
            lot.opened_by.input_seq,
            lot.acquired_ts_ns,
            lot.quantity_lots,
            lot.remaining_lots,
            lot.cost,
            lot.remaining_cost,
        ]
        for lot in book.lots
    ]
    return {"v": 1, "short": book.short, "lots": lots}


def book_of(row: Row) -> Book:
    """A row of ``broker_book``."""
    lots = tuple(
        Lot(FillId(0, number, 0), ts_ns, quantity, remaining, cost, remaining_cost, row["lots"]["short"])
        for number, ts_ns, quantity, remaining, cost, remaining_cost in row["lots"]["lots"]
    )
    return Book(row["instrument_id"], row["through"], lots, row["realised"], row["fees"])


def write_of(row: Row) -> Write:
    """A row of ``broker_write``."""
    return Write(
        key=row["key"],
        cause=row["cause"],
        number=row["number"],
        step=Step(row["step"]),
        deed=deed_of(row["deed"]),
        purpose=Purpose(row["purpose"]),
        attempt=row["attempt"],
        outcome=Outcome(row["outcome"]),
        order_id=row["order_id"],
        code=row["code"],
        reason=row["reason"],
        dropped=row["dropped"],
        settled_ts_ns=row["settled_ts_ns"],
    )


def cycle_of(row: Row) -> CycleReport:
    """A row of ``monitor_cycle`` with its steps as JSON."""
    order = list(Step)
    steps = [
        StepReport(
            Step(each["step"]),
            each["state"],
            each["found"],
            each["done"],
            each["took_ms"],
            each["error"],
            each["detail"],
        )
        for each in row["steps"]
    ]
    steps.sort(key=lambda step: order.index(step.step))
    return CycleReport(row["account_id"], row["ts_ns"], row["took_ms"], row["by_whom"], row["asked"], steps)
