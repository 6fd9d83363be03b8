"""From the engine's events to the rows of one batch: fills, transfers, holds, lots, order states. Pure but for lookups.

The broker computes everything here, in integers; the database checks it against its constraints and writes it at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trading.domain.ledger import FloorAccounts, OpenOrder, Posting, post_end, post_fill
from trading.domain.orders import OrderState, Side
from trading.domain.positions import FillId, Lot, close_fifo, open_lot
from trading.exchange.messages import Closed, Event, Filled, Working
from trading.services.ports.broker import Batch

LotsOf = Callable[[int, int], list[Lot]]
AccountsOf = Callable[[OpenOrder], FloorAccounts]


class Settlement:
    """Accounting of the open orders; grows with each event, and is thrown away when a commit fails."""

    def __init__(self, orders: Mapping[int, OpenOrder], lots_of: LotsOf, accounts_of: AccountsOf) -> None:
        self.orders = dict(orders)
        self._lots: dict[tuple[int, int], list[Lot]] = {}
        self._lots_of = lots_of
        self._accounts_of = accounts_of

    def settle(self, batch: Batch, steps: Sequence[tuple[int, int, Sequence[Event]]], group_ids: Sequence[int]) -> None:
        """Add the effects of ``steps`` (input_seq, ts_ns, events) to ``batch``. Needs a group id for each fill."""
        groups = iter(group_ids)
        touched: dict[int, dict[str, Any]] = {}
        balances: dict[int, list[int]] = {}
        holds: dict[tuple[int, str], dict[str, Any]] = {}
        for seq, ts_ns, events in steps:
            group = 0
            for event in events:
                order = self.orders[event.order_id]
                reason = ""
                if isinstance(event, Working):
                    posting = Posting(_moved(order, OrderState.WORKING), 0, 0, (), (), {})
                elif isinstance(event, Filled):
                    # The two sides of an internal cross are one group: the maker's fill follows the taker's.
                    if not (event.rule == "internal_cross" and event.liquidity == "maker"):
                        group = next(groups)
                    posting = post_fill(order, event.price_ticks, event.lots, self._accounts_of(order))
                    self._fill_rows(batch, event, posting, seq, ts_ns, group)
                else:
                    reason = event.reason
                    posting = post_end(order, OrderState(event.state))
                self._collect(batch, event, order, posting, seq, ts_ns, reason, touched, balances, holds)
        batch.orders = list(touched.values())
        batch.accounts = [
            {"id": account, "posted": posted, "held": held} for account, (posted, held) in sorted(balances.items())
        ]
        batch.holds = list(holds.values())

    def _collect(
        self,
        batch: Batch,
        event: Event,
        order: OpenOrder,
        posting: Posting,
        seq: int,
        ts_ns: int,
        reason: str,
        touched: dict[int, dict[str, Any]],
        balances: dict[int, list[int]],
        holds: dict[tuple[int, str], dict[str, Any]],
    ) -> None:
        after = posting.order
        for account, (posted, held) in posting.balances.items():
            line = balances.setdefault(account, [0, 0])
            line[0] += posted
            line[1] += held
        for use in posting.uses:
            row = holds.setdefault(
                (order.id, use.leg), {"order_id": order.id, "leg": use.leg, "used": 0, "released": 0}
            )
            row["used"] += use.used
            row["released"] += use.released
            row["resolved"] = use.resolved
        touched[order.id] = {
            "id": order.id,
            "state": after.state,
            "filled_lots": after.filled_lots,
            "price_lots_sum": after.price_lots_sum,
            "notional": after.notional,
            "fee": after.fee,
            "reason": reason,
            "ts_ns": ts_ns,
        }
        batch.events.append(
            {
                "order_id": order.id,
                "ts_ns": ts_ns,
                "source": order.state,
                "target": after.state,
                "cause": reason or _cause(event),
                "input_seq": seq,
                "detail": _detail(event),
            }
        )
        batch.outbox.append(
            {
                "v": 1,
                "topic": "fill" if isinstance(event, Filled) else "order",
                "portfolio_id": order.portfolio_id,
                "order_id": order.id,
                "state": after.state,
            }
        )
        if after.state in (OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED):
            del self.orders[order.id]
        else:
            self.orders[order.id] = after

    def _fill_rows(self, batch: Batch, event: Filled, posting: Posting, seq: int, ts_ns: int, group: int) -> None:
        order = posting.order
        key = {"order_id": order.id, "input_seq": seq, "n": event.n}
        batch.fills.append(
            {
                **key,
                "portfolio_id": order.portfolio_id,
                "instrument_id": order.instrument.id,
                "instrument_version": order.instrument.version,
                "fee_version": order.instrument.fee.version,
                "side": order.side,
                "price_ticks": event.price_ticks,
                "quantity_lots": event.lots,
                "notional": posting.notional,
                "fee": posting.fee,
                "liquidity": event.liquidity,
                "why": {
                    "v": 1,
                    "rule": event.rule,
                    "bid_ticks": event.bid_ticks,
                    "ask_ticks": event.ask_ticks,
                    "tick_seq": event.tick_seq,
                    "tick_ts_ns": event.tick_ts_ns,
                    "displayed_lots": event.displayed_lots,
                },
                "group_id": group,
                "ts_ns": ts_ns,
            }
        )
        for transfer in posting.transfers:
            batch.transfers.append(
                {
                    **key,
                    "group_id": group,
                    "asset_id": transfer.asset_id,
                    "debit_id": transfer.debit_id,
                    "credit_id": transfer.credit_id,
                    "amount": transfer.amount,
                    "kind": transfer.kind,
                    "portfolio_id": order.portfolio_id,
                    "ts_ns": ts_ns,
                }
            )
        self._lot_rows(batch, posting, FillId(order.id, seq, event.n), event.lots, ts_ns)

    def _lot_rows(self, batch: Batch, posting: Posting, fill: FillId, lots: int, ts_ns: int) -> None:
        order = posting.order
        place = (order.portfolio_id, order.instrument.id)
        if place not in self._lots:
            self._lots[place] = self._lots_of(*place)
        if order.side is Side.BUY:
            lot = open_lot(fill, ts_ns, lots, posting.notional, posting.fee)
            self._lots[place].append(lot)
            batch.lots.append(
                {
                    "portfolio_id": order.portfolio_id,
                    "instrument_id": order.instrument.id,
                    "order_id": fill.order_id,
                    "input_seq": fill.input_seq,
                    "n": fill.n,
                    "acquired_ts_ns": ts_ns,
                    "quantity_lots": lots,
                    "cost": lot.cost,
                }
            )
            return
        self._lots[place], closes = close_fifo(self._lots[place], lots, posting.notional - posting.fee)
        for close in closes:
            batch.lot_closes.append(
                {
                    "lot_order_id": close.opened_by.order_id,
                    "lot_input_seq": close.opened_by.input_seq,
                    "lot_n": close.opened_by.n,
                    "order_id": fill.order_id,
                    "input_seq": fill.input_seq,
                    "n": fill.n,
                    "portfolio_id": order.portfolio_id,
                    "disposed_ts_ns": ts_ns,
                    "quantity_lots": close.quantity_lots,
                    "cost": close.cost,
                    "proceeds": close.proceeds,
                }
            )


def _moved(order: OpenOrder, state: OrderState) -> OpenOrder:
    return replace(order, state=order.state if order.state is OrderState.CANCEL_PENDING else state)


def _cause(event: Event) -> str:
    return event.rule if isinstance(event, Filled) else "rested"


def _detail(event: Event) -> dict[str, Any]:
    if isinstance(event, Filled):
        return {"v": 1, "n": event.n, "price_ticks": event.price_ticks, "lots": event.lots}
    if isinstance(event, Closed):
        return {"v": 1, "reason": event.reason}
    return {"v": 1}
