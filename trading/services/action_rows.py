"""From what a corporate action did to the rows of a batch. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trading.domain.actions import Effect
from trading.domain.ledger import OpenOrder, Transfer


@dataclass(frozen=True, slots=True)
class Acted:
    """A corporate action of a batch: its input, what it does to each holding, and open orders as they are after it."""

    action_id: int
    input_seq: int
    ts_ns: int
    effects: Sequence[Effect]
    orders: Sequence[OpenOrder] = ()


def action_rows(action: Acted, groups: Iterator[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of the action, with what it did to holdings, lots and reserves, and its transfers."""
    effects: list[dict[str, Any]] = []
    lots: list[dict[str, Any]] = []
    transfers: list[dict[str, Any]] = []
    for effect in action.effects:
        portfolio_id, group = effect.holding.portfolio_id, next(groups)
        for transfer in effect.transfers:
            row = transfer_row(transfer, group, portfolio_id, action.ts_ns)
            transfers.append({**row, "input_seq": action.input_seq})
        effects.append(
            {
                "portfolio_id": portfolio_id,
                "lots_before": effect.lots_before,
                "lots_after": effect.lots_after,
                "cash": effect.cash,
                "tax": effect.tax,
                "dropped": effect.dropped,
                "group_id": group,
            }
        )
        for change in effect.lots:
            before = {"lots_before": change.before.remaining_lots, "cost_before": change.before.remaining_cost}
            after = {"lots_after": change.after.remaining_lots, "cost_after": change.after.remaining_cost}
            lots.append({**asdict(change.before.opened_by), **before, **after})
    reserves = [
        {"order_id": order.id, "reserve_ticks": order.margin.reserve_ticks}
        for order in action.orders
        if order.margin is not None
    ]
    told = {"id": action.action_id, "input_seq": action.input_seq, "ts_ns": action.ts_ns}
    return {**told, "effects": effects, "lots": lots, "reserves": reserves}, transfers


def transfer_row(transfer: Transfer, group: int, portfolio_id: int, ts_ns: int) -> dict[str, Any]:
    """A row of `commit_batch` for one transfer, without the fill it may belong to."""
    return {
        "group_id": group,
        "asset_id": transfer.asset_id,
        "debit_id": transfer.debit_id,
        "credit_id": transfer.credit_id,
        "amount": transfer.amount,
        "kind": transfer.kind,
        "portfolio_id": portfolio_id,
        "ts_ns": ts_ns,
    }
