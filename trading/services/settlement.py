"""From the engine's events to the rows of one batch: fills, transfers, holds, lots, order states. Pure but for lookups.

The broker computes everything here, in integers; the database checks it against its constraints and writes it at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from trading.domain.ledger import (
    FloorAccounts,
    OnMargin,
    OpenOrder,
    Posting,
    post_end,
    post_fill,
    post_growth,
    post_over,
    post_release,
    shared_hold,
)
from trading.domain.orders import CONDITIONAL, PRICED, TERMINAL, GroupRole, OrderState, OrderType, Side, Terms
from trading.domain.positions import FillId, Lot, close_fifo, open_lot
from trading.exchange.messages import (
    Adjusted,
    Closed,
    Event,
    Filled,
    Modified,
    Pending,
    Refused,
    Sized,
    Triggered,
    Working,
)
from trading.services.action_rows import Acted, action_rows, transfer_row
from trading.services.ports.broker import Batch

LotsOf = Callable[[int, int], list[Lot]]
AccountsOf = Callable[[OpenOrder], FloorAccounts]


@dataclass(slots=True)
class _Sums:
    """What a batch changes, summed: order rows by id, accounts, parts of holds, and the holds that are over."""

    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    accounts: dict[int, int] = field(default_factory=dict)
    holds: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    over: list[int] = field(default_factory=list)

    def add(self, posting: Posting) -> None:
        """Count a posting's balances and holds. Accounts of holds are named even where nothing is posted to them."""
        self.post(posting.posted)
        for use in posting.uses:
            self.accounts.setdefault(use.account_id, 0)
            if use.over:
                if use.holder_id not in self.over:
                    self.over.append(use.holder_id)
                continue
            key = (use.holder_id, use.leg)
            row = self.holds.setdefault(
                key,
                {
                    "order_id": use.holder_id,
                    "leg": use.leg,
                    "account_id": use.account_id,
                    "used": 0,
                    "released": 0,
                    "grown": 0,
                },
            )
            row["used"] += use.used
            row["released"] += use.released
            row["grown"] += use.grown

    def post(self, posted: Mapping[int, int]) -> None:
        """Count changes of balances by account."""
        for account, change in posted.items():
            self.accounts[account] = self.accounts.get(account, 0) + change


class Settlement:
    """Accounting of the open orders; grows with each event, and is thrown away when a commit fails."""

    def __init__(self, orders: Mapping[int, OpenOrder], lots_of: LotsOf, accounts_of: AccountsOf) -> None:
        self.orders: dict[int, OpenOrder] = {}
        self.because: dict[int, str] = {}
        """Why an order is cancelled that nobody asked to cancel, by its id; taken out when it is."""
        self.on_fill: Callable[[Posting, int], None] | None = None
        """Told of each fill, with its lots."""
        self._groups: dict[int, set[int]] = {}
        self._lots: dict[tuple[int, int], list[Lot]] = {}
        self._lots_of = lots_of
        self._accounts_of = accounts_of
        self.load(orders)

    def load(self, orders: Mapping[int, OpenOrder]) -> None:
        """Take orders as the database has them: new ones, and those for which the desk holds more than before."""
        self.orders.update(orders)
        for order in orders.values():
            if order.group_id is not None:
                self._groups.setdefault(order.group_id, set()).add(order.id)
            self._share(order)

    def settle(
        self,
        batch: Batch,
        steps: Sequence[tuple[int, int, Sequence[Event]]],
        group_ids: Sequence[int],
        acted: Sequence[Acted] = (),
    ) -> None:
        """Add the effects of ``steps`` (input_seq, ts_ns, events) and of corporate actions to ``batch``.

        Needs a group id for each fill and each effect on a holding.
        """
        groups = iter(group_ids)
        sums = _Sums()
        reserves: dict[int, OnMargin] = {}
        for action in acted:
            self._act(batch, sums, action, groups)
            reserves |= {order.id: order.margin for order in action.orders if order.margin is not None}
        for seq, ts_ns, events in steps:
            group = 0
            for event in events:
                order = self.orders.get(event.order_id)
                if order is None:
                    if isinstance(event, Refused):
                        continue  # it was over before its change was sequenced; what that held went back then
                    raise ValueError(f"order {event.order_id} is not open: {event}")
                if isinstance(event, Filled):
                    # The two sides of an internal cross are one group: the maker's fill follows the taker's.
                    if not (event.rule == "internal_cross" and event.liquidity == "maker"):
                        group = next(groups)
                    posting = post_fill(
                        order,
                        event.price_ticks,
                        event.lots,
                        self._accounts_of(order),
                        rested=event.liquidity == "maker",
                    )
                    self._fill_rows(batch, event, posting, seq, ts_ns, group)
                    if self.on_fill is not None:
                        self.on_fill(posting, event.lots)
                else:
                    if isinstance(event, Closed) and order.id in self.because:
                        event = replace(event, reason=self.because.pop(order.id))
                    if isinstance(event, Adjusted):
                        order = replace(order, margin=reserves.get(order.id))
                    posting = self._moved(order, event)
                self._collect(batch, sums, event, order, posting, seq, ts_ns)
                if order.role is GroupRole.ENTRY:
                    self._exits_follow(batch, sums, event, order, seq, ts_ns)
        batch.orders = list(sums.orders.values())
        batch.accounts = [{"id": account, "posted": posted} for account, posted in sorted(sums.accounts.items())]
        batch.holds = list(sums.holds.values())
        batch.over = sums.over

    # From an event to a posting -------------------------------------------------------------------------------------

    def _moved(self, order: OpenOrder, event: Event) -> Posting:
        """The order after an event that is no fill, and what its hold does not need any more."""
        if isinstance(event, Working | Triggered):
            waited = order.state in (OrderState.ACCEPTED, OrderState.PENDING_TRIGGER)
            return Posting(replace(order, state=OrderState.WORKING if waited else order.state))
        if isinstance(event, Pending):
            new = order.state is OrderState.ACCEPTED
            return Posting(replace(order, state=OrderState.PENDING_TRIGGER if new else order.state))
        if isinstance(event, Sized):
            return Posting(_sized(order, event))
        if isinstance(event, Modified):
            lots = order.filled_lots + event.open_lots + order.planned_lots
            return self._trim(replace(order, quantity_lots=lots, terms=_terms(order.terms, event)))
        if isinstance(event, Adjusted):
            lots = order.filled_lots + event.open_lots + event.planned_lots
            terms = _terms(order.terms, event)
            return self._refit(replace(order, quantity_lots=lots, planned_lots=event.planned_lots, terms=terms))
        if isinstance(event, Refused):
            return self._trim(order)
        if isinstance(event, Closed):
            return post_end(order, OrderState(event.state))
        raise TypeError(f"{event} settles nothing")

    def _trim(self, order: OpenOrder) -> Posting:
        """Give back what the order, and those that share its hold, do not need."""
        needs = [each.needed for each in (order, *self._sharing(order))]
        cash, asset = shared_hold(order.instrument, order.side, needs, order.margin)
        return post_release(order, cash=max(order.cash.left - cash, 0), asset=max(order.asset.left - asset, 0))

    def _refit(self, order: OpenOrder) -> Posting:
        """As `_trim`, and shares that have become more stay held."""
        posting = self._trim(order)
        needed = max(each.needed[1] for each in (order, *self._sharing(order)))
        more = needed - posting.order.asset.left
        if more <= 0:
            return posting
        grown = post_growth(posting.order, more)
        return replace(posting, order=grown.order, uses=(*posting.uses, *grown.uses))

    def _exits_follow(self, batch: Batch, sums: _Sums, event: Event, entry: OpenOrder, seq: int, ts_ns: int) -> None:
        """What an entry opened is held for its exits; what it will not open any more is not planned for them.

        ``entry`` is as it was before the event.
        """
        exits = [order for order in self._mates(entry) if order.is_exit]
        if isinstance(event, Filled) and exits:
            posting = post_growth(exits[0], event.lots)
            sums.add(posting)
            self.orders[exits[0].id] = posting.order
            self._share(posting.order)
        if isinstance(event, Closed):
            dropped = entry.quantity_lots - entry.filled_lots
            for order in exits:
                after = replace(
                    order,
                    quantity_lots=order.quantity_lots - dropped,
                    planned_lots=order.planned_lots - dropped,
                )
                if after.quantity_lots > order.filled_lots:  # else it has nothing open, and ends by its own event
                    self._collect(
                        batch, sums, Sized(order.id, after.open_lots, -dropped), order, Posting(after), seq, ts_ns
                    )

    def _mates(self, order: OpenOrder) -> list[OpenOrder]:
        """The other open orders of its group, the first first."""
        if order.group_id is None:
            return []
        ids = sorted(self._groups.get(order.group_id, ()))
        return [self.orders[each] for each in ids if each != order.id]

    def _sharing(self, order: OpenOrder) -> list[OpenOrder]:
        return [mate for mate in self._mates(order) if mate.holder_id == order.holder_id]

    def _share(self, order: OpenOrder) -> None:
        for mate in self._sharing(order):
            self.orders[mate.id] = replace(mate, cash=order.cash, asset=order.asset)

    # From a posting to rows -----------------------------------------------------------------------------------------

    def _collect(
        self, batch: Batch, sums: _Sums, event: Event, order: OpenOrder, posting: Posting, seq: int, ts_ns: int
    ) -> None:
        """Keep what a posting says in memory and in rows; the last of those that share a hold ends it."""
        after = posting.order
        sums.add(posting)
        self.orders[order.id] = after
        self._share(after)
        if after.state in TERMINAL:
            if not self._sharing(after):
                sums.add(post_over(after))
            del self.orders[order.id]
            if after.group_id is not None:
                self._groups[after.group_id].discard(after.id)
        sums.orders[order.id] = {
            "id": order.id,
            "state": after.state,
            "quantity_lots": after.quantity_lots,
            "filled_lots": after.filled_lots,
            "price_lots_sum": after.price_lots_sum,
            "notional": after.notional,
            "fee": after.fee,
            "reason": event.reason if isinstance(event, Closed) else "",
            "ts_ns": ts_ns,
            **_priced(after.terms),
        }
        batch.events.append(
            {
                "order_id": order.id,
                "ts_ns": ts_ns,
                "source": order.state,
                "target": after.state,
                "cause": _cause(event),
                "input_seq": seq,
                "detail": {"v": 1, **_detail(event), **_changed(order, after)},
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
                **_charged(posting),
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
            batch.transfers.append({**key, **transfer_row(transfer, group, order.portfolio_id, ts_ns)})
        self._lot_rows(batch, posting, FillId(order.id, seq, event.n), event.lots, ts_ns)

    def _act(self, batch: Batch, sums: _Sums, action: Acted, groups: Iterator[int]) -> None:
        """What a corporate action does to holdings; its orders come as events."""
        row, transfers = action_rows(action, groups)
        batch.actions.append(row)
        batch.transfers += transfers
        for effect in action.effects:
            place = (effect.holding.portfolio_id, effect.holding.instrument.id)
            sums.post(effect.posted)
            if effect.lots:
                self._lots[place] = [change.after for change in effect.lots if change.after.remaining_lots]
            batch.outbox.append({"v": 1, "topic": "cash", "portfolio_id": place[0]})

    def lots(self, portfolio_id: int, instrument_id: int) -> list[Lot]:
        """Open lots, oldest first, after all that was settled."""
        place = (portfolio_id, instrument_id)
        if place not in self._lots:
            self._lots[place] = self._lots_of(*place)
        return self._lots[place]

    def _lot_rows(self, batch: Batch, posting: Posting, fill: FillId, lots: int, ts_ns: int) -> None:
        order = posting.order
        place = (order.portfolio_id, order.instrument.id)
        self.lots(*place)
        sale = order.side is Side.SELL
        if order.opens:
            lot = open_lot(fill, ts_ns, lots, posting.notional, posting.fee, short=sale)
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
                    "short": lot.short,
                }
            )
            return
        amount = posting.notional - posting.fee if sale else posting.notional + posting.fee
        self._lots[place], closes = close_fifo(self._lots[place], lots, amount)
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


def _charged(posting: Posting) -> dict[str, Any]:
    """The named lines of what a fill was charged, where its schedule has any."""
    if not posting.lines:
        return {}
    return {"tax": posting.tax, "charges": [[line.name, line.levy, line.amount] for line in posting.lines]}


def _sized(order: OpenOrder, event: Sized) -> OpenOrder:
    """A linked order after another's fill. Raises ValueError where the engine and the books count differently."""
    if event.change_lots < 0:
        after = replace(order, quantity_lots=order.quantity_lots + event.change_lots)
    else:
        after = replace(order, planned_lots=order.planned_lots - event.change_lots)
        if order.state is OrderState.PENDING_TRIGGER and order.terms.type not in CONDITIONAL:
            after = replace(after, state=OrderState.WORKING)
    if after.open_lots != event.open_lots or after.planned_lots < 0:
        raise ValueError(f"order {order.id}: {after.open_lots} open in the books, {event.open_lots} in the engine")
    return after


def _terms(before: Terms, event: Modified | Adjusted) -> Terms:
    """Terms after a change."""
    trailing = before.type is OrderType.TRAILING_STOP
    return Terms(
        type=before.type,
        protection_ticks=event.limit_ticks,
        limit_ticks=event.limit_ticks if before.type in PRICED else None,
        stop_ticks=event.stop_ticks if before.type in CONDITIONAL else None,
        trail=event.trail if trailing and before.trail is not None else None,
        trail_ppm=event.trail if trailing and before.trail_ppm is not None else None,
    )


def _priced(terms: Terms) -> dict[str, Any]:
    return {
        "protection_ticks": terms.protection_ticks,
        "limit_ticks": terms.limit_ticks,
        "stop_ticks": terms.stop_ticks,
        "trail": terms.trail,
        "trail_ppm": terms.trail_ppm,
    }


def _changed(before: OpenOrder, after: OpenOrder) -> dict[str, Any]:
    """Old and new terms, where an accepted order's terms changed: what it was at any input can be read back."""
    if before.quantity_lots == after.quantity_lots and before.terms == after.terms:
        return {}
    was, terms = ({"quantity_lots": order.quantity_lots, **_priced(order.terms)} for order in (before, after))
    return {"was": was, "terms": terms}


_CAUSES: Mapping[type[Event], str] = {
    Working: "rested",
    Pending: "pending",
    Triggered: "triggered",
    Sized: "sized",
    Modified: "modified",
    Adjusted: "corporate_action",
    Refused: "modify_refused",
}


def _cause(event: Event) -> str:
    if isinstance(event, Filled):
        return event.rule
    return event.reason if isinstance(event, Closed) else _CAUSES[type(event)]


def _detail(event: Event) -> dict[str, Any]:
    if isinstance(event, Filled):
        return {"n": event.n, "price_ticks": event.price_ticks, "lots": event.lots}
    return {name: value for name, value in asdict(event).items() if name != "order_id"}
