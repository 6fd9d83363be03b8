"""Acceptance of orders and of their changes: one transaction, two round trips, everything or nothing."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from typing import Any, LiteralString

from psycopg import Connection, errors
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, scalar
from trading.adapters.postgres.rows import (
    INSTRUMENT_COLUMNS,
    exposure_of,
    holding_of,
    instrument_of,
    limits_of,
    open_order_of,
)
from trading.adapters.postgres.short_transaction import ShortTransaction, ask, short_transaction
from trading.domain.errors import Conflict, Halted
from trading.domain.instruments import Instrument
from trading.domain.ledger import Hold
from trading.domain.margin import policy_of
from trading.domain.orders import Acceptance, Change, Effect, OrderState, Refusal, Terms, Ticket, TimeInForce
from trading.domain.risk import RiskLimits
from trading.services.ports.desk import (
    Alteration,
    Decide,
    DecideChange,
    Decision,
    DeskContext,
    MarginContext,
    Standing,
)

SUBMIT, CHANGE = "desk.submit", "desk.modify"
KEY_WAIT_MS = 1500
"""How long a call waits for one that has its key or its accounts; less than the roles' transaction_timeout."""
BEGIN: LiteralString = f"begin; set local lock_timeout = {KEY_WAIT_MS}; "
OPEN = b"select desk_open($1, $2, $3, $4, $5, $6, $7)"
ACCEPT = b"select desk_accept($1, $2, $3, $4, $5, $6)"
TAKE = b"select desk_take(%b)" % b", ".join(b"$%d" % n for n in range(1, 34))
NOT_COVERED = "TF009"
REMEMBERED_MAX = 10_000
REFUSE = b"select desk_refuse($1, $2, $3, $4, $5, $6, $7)"
OPEN_CHANGE = b"select desk_open_change($1, $2, $3, $4, $5, $6)"
TAKE_CHANGE = b"select desk_change($1, $2, $3, $4, $5, $6)"
_TERMS = tuple(field.name for field in fields(Terms))
_ticket_body = attrgetter(*(field.name for field in fields(Ticket)))
_change_body = attrgetter(*(field.name for field in fields(Change)))


class PostgresDesk:
    """Implements `trading.services.ports.desk.DeskStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._ids: dict[tuple[str, str], int] = {}
        self._newest: dict[int, Instrument] = {}
        self._margin: dict[int, bool] = {}
        self._remembered: dict[tuple[int, int, int], Remembered] = {}

    def submit(
        self, user_id: int, portfolio_id: int, key: str, ticket: Ticket, decide: Decide, ts_ns: int, origin: str
    ) -> Acceptance | Refusal:
        """See the port. A second call with the same key waits for the first, then gets its answer.

        One round trip where what was read for an earlier order still holds, else two.
        """
        instrument_id = self.instrument_id(ticket.symbol, ticket.venue)
        newest = self._newest.get(instrument_id or 0)
        call = _Call(user_id, SUBMIT, key, digest_of([portfolio_id, *_ticket_body(ticket)]), origin, portfolio_id)
        place = (user_id, portfolio_id, instrument_id or 0)
        remembered = self._remembered.get(place)
        if remembered is not None and ticket.parent_id is None:
            answer = self._submit_covered(call, remembered, decide, ts_ns)
            if answer is not None:
                return answer
        with self._transaction() as transaction:
            version = 0 if newest is None else newest.version
            found = call.open(transaction, OPEN, portfolio_id, instrument_id, version)
            known = _known(found)
            if known is not None:
                return known
            if "unknown_instrument" in found:
                return call.refuse(transaction, unknown_instrument(ticket))
            context = self._context(found, newest)
            self._remember(place, context, found)
            judged = decide(context)
            if isinstance(judged, Refusal):
                return call.refuse(transaction, judged)
            row = orders_row(judged, found, portfolio_id, ts_ns)
            if ticket.parent_id is not None:
                row["orders"][0] |= {"parent_id": ticket.parent_id, "child_n": ticket.child_n}
            return call.accept(transaction, ACCEPT, row)

    def _remember(self, place: tuple[int, int, int], context: DeskContext, found: Mapping[str, Any]) -> None:
        covered = context.if_covered()
        if covered is None:
            self._remembered.pop(place, None)
            return
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[place] = Remembered(covered, found, context.limits)

    def _submit_covered(
        self, call: "_Call", remembered: "Remembered", decide: Decide, ts_ns: int
    ) -> Acceptance | Refusal | None:
        """One order judged on what is remembered; None where it must be judged on what is there now."""
        judged = decide(remembered.context)
        if isinstance(judged, Refusal) or len(judged) != 1:
            return None
        (order,) = judged
        if not (order.cash_hold or order.asset_hold):
            return None
        with desk_connection(self._pool) as connection:
            try:
                answer = ask(connection, TAKE, *call.parameters, *taken(order, remembered, call.portfolio_id, ts_ns))
            except errors.DatabaseError as error:
                if error.sqlstate != NOT_COVERED:
                    raise
                return None
        return acceptance_of(json.loads(answer)) if answer else None

    def change(
        self,
        user_id: int,
        portfolio_id: int,
        order_id: int,
        key: str,
        change: Change,
        decide: DecideChange,
        ts_ns: int,
        origin: str,
    ) -> Acceptance | Refusal:
        """See the port."""
        digest = digest_of([portfolio_id, order_id, *_change_body(change)])
        call = _Call(user_id, CHANGE, key, digest, origin, portfolio_id)
        with self._transaction() as transaction:
            found = call.open(transaction, OPEN_CHANGE, portfolio_id, order_id)
            known = _known(found)
            if known is not None:
                return known
            if "unknown_order" in found:
                return call.refuse(transaction, _unknown_order())
            if found["order"]["parent_id"] is not None:
                return call.refuse(transaction, _child_order(found["order"]["parent_id"]))
            instrument = instrument_of(found["instrument"])
            judged = decide(context_of(found, instrument), _standing(found, instrument))
            if isinstance(judged, Refusal):
                return call.refuse(transaction, judged)
            return call.accept(transaction, TAKE_CHANGE, _change_row(judged, found, ts_ns))

    @contextmanager
    def _transaction(self) -> Iterator[ShortTransaction]:
        with desk_connection(self._pool) as connection, short_transaction(connection) as transaction:
            yield transaction

    def context(self, user_id: int, portfolio_id: int, symbol: str, venue: str) -> DeskContext | None:
        """The reads alone."""
        instrument_id = self.instrument_id(symbol, venue)
        with connection_of(self._pool) as connection:
            found = scalar(
                connection, "select desk_context(%s, %s, %s, 0, false)", (user_id, portfolio_id, instrument_id)
            )
        return None if "unknown_instrument" in found else context_of(found)

    def _context(self, found: Mapping[str, Any], newest: Instrument | None) -> DeskContext:
        """What was read. The instrument's terms come only where its newest version is another than ``newest``."""
        if newest is None or found["instrument"] is not None:
            newest = self._newest[found["instrument_id"]] = instrument_of(found["instrument"])
        return context_of(found, newest)

    def cancel(self, user_id: int, portfolio_id: int, order_id: int, ts_ns: int, origin: str) -> str | None:
        """See the port."""
        with connection_of(self._pool) as connection:
            code: str | None = scalar(
                connection,
                "select desk_cancel(%s, %s, %s, %s, %s)",
                (user_id, origin, portfolio_id, order_id, ts_ns),
            )
        return code

    def instrument_id(self, symbol: str, venue: str) -> int | None:
        """See the port. Asked once."""
        known = self._ids.get((symbol, venue))
        if known is None:
            with connection_of(self._pool) as connection:
                statement = "select (select id from instrument where symbol = %s and venue = %s)"
                known = scalar(connection, statement, (symbol, venue))
            if known is not None:
                self._ids[symbol, venue] = known
        return known

    def set_margin_policy(self, admin_id: int, origin: str, policy: Mapping[str, Any]) -> None:
        """See the port."""
        with connection_of(self._pool) as connection:
            connection.execute("select set_margin_policy(%s, %s, %s)", (admin_id, origin, Jsonb(dict(policy))))

    def is_margin(self, portfolio_id: int) -> bool:
        """See the port. Asked once."""
        known = self._margin.get(portfolio_id)
        if known is None:
            with connection_of(self._pool) as connection:
                statement = "select coalesce((select kind = 'margin' from portfolio where id = %s), false)"
                known = self._margin[portfolio_id] = bool(scalar(connection, statement, (portfolio_id,)))
        return known

    def instruments(self, venue: str) -> Sequence[Instrument]:
        """Current versions, by symbol."""
        with connection_of(self._pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                f"select {INSTRUMENT_COLUMNS} from instrument_current v join asset a on a.id = v.asset_id"
                " join asset c on c.id = v.currency_id where v.venue = %s order by v.symbol",
                (venue,),
            )
            return [instrument_of(row) for row in cursor.fetchall()]


@contextmanager
def desk_connection(pool: Pool) -> Iterator[Connection[Any]]:
    """For one transaction: what is open at the end, the pool ends."""
    try:
        with connection_of(pool) as connection:
            yield connection
    except errors.LockNotAvailable:
        raise Conflict("the same call is still being worked on; ask again", "in_flight") from None
    except errors.DatabaseError as error:
        if error.sqlstate == "TF001":
            raise Halted("trading is halted: the kill switch is on") from None
        if error.sqlstate == "TF007":
            raise Conflict("its parent does not ask for this child any more", "stale_child") from None
        raise


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was read for an order of a user in a portfolio and an instrument, to judge the next one on."""

    context: DeskContext
    found: Mapping[str, Any]
    limits: RiskLimits


@dataclass(frozen=True, slots=True)
class _Call:
    """A call under its idempotency key."""

    user_id: int
    operation: str
    key: str
    digest: bytes
    origin: str
    portfolio_id: int

    def open(self, transaction: ShortTransaction, statement: bytes, *about: object) -> dict[str, Any]:
        """Claim the key and read what is to be judged, or what was answered before."""
        found: dict[str, Any] = json.loads(
            transaction.ask(statement, self.user_id, self.operation, self.key, self.digest, *about)
        )
        return found

    def refuse(self, transaction: ShortTransaction, refusal: Refusal) -> Refusal:
        """Keep the refusal as the key's answer."""
        answer = _json({"v": 1, **asdict(refusal)})
        parameters = (self.user_id, self.operation, self.key, self.digest, self.origin, self.portfolio_id, answer)
        transaction.end(REFUSE, *parameters)
        return refusal

    def accept(self, transaction: ShortTransaction, statement: bytes, row: Mapping[str, Any]) -> Acceptance:
        """Let a server function write everything and answer."""
        return acceptance_of(json.loads(transaction.end(statement, *self.parameters, _json(row))))

    @property
    def parameters(self) -> tuple[object, ...]:
        """Of whatever accepts."""
        return self.user_id, self.operation, self.key, self.digest, self.origin


def unknown_instrument(ticket: Ticket) -> Refusal:
    """The symbol is not traded on the venue."""
    return Refusal("unknown_instrument", f"{ticket.symbol[:20]!r} is not traded on {ticket.venue[:10]}.")


def _unknown_order() -> Refusal:
    """The portfolio has no such order."""
    return Refusal("unknown_order", "There is no such order in this portfolio.")


def _child_order(parent_id: int) -> Refusal:
    """The floor itself sizes and prices children."""
    words = f"This is a child of order P{parent_id}, which the floor is working; cancel the child or the whole."
    return Refusal("child_order", words, {"parent": str(parent_id)})


def digest_of(body: Any) -> bytes:
    """What tells whether a key is used again for the same call."""
    return hashlib.sha256(json.dumps(body).encode()).digest()


def _known(found: Mapping[str, Any]) -> Acceptance | Refusal | None:
    """What the key was answered before; None when it is ours now."""
    if "conflict" in found:
        raise Conflict("this key was used for another order", "key_reused")
    if "answer" not in found:
        return None
    return answer_of(found["answer"])


def answer_of(stored: Mapping[str, Any]) -> Acceptance | Refusal:
    """An answer as it was kept."""
    if "code" in stored:
        return Refusal(stored["code"], stored["reason"], dict(stored["numbers"]))
    return acceptance_of(stored)


_json = json.JSONEncoder(separators=(",", ":")).encode


def context_of(found: Mapping[str, Any], instrument: Instrument | None = None) -> DeskContext:
    """What ``desk_context`` read, with the instrument where it is known."""
    limits = found["limits"]
    return DeskContext(
        instrument=instrument or instrument_of(found["instrument"]),
        portfolio_kind=found["portfolio"]["kind"],
        portfolio_archived=found["portfolio"]["archived"],
        cash_account=found["cash_account"],
        cash_available=found["cash_available"],
        asset_account=found["asset_account"],
        position_lots=found["position"],
        position_held=found["position_held"],
        open_orders=limits["own"],
        limits=limits_of(limits),
        action_waits=found["action_waits"],
        halts=found["halt"] or {},
        exposure=exposure_of(limits),
        margin=_margin(found["portfolio"]["margin"]),
    )


def _margin(found: Mapping[str, Any] | None) -> MarginContext | None:
    if found is None:
        return None
    holdings = [holding_of(row) for row in found["holdings"]]
    return MarginContext(policy_of(found["policy"]), found["cash"], found["held"], holdings, found["opening"])


def _standing(found: Mapping[str, Any], instrument: Instrument) -> Standing:
    row, holds = found["order"], found["holds"]
    cash = Hold(found["cash_account"], holds.get("cash", 0))
    asset = Hold(found["asset_account"], holds.get("asset", 0))
    everyone = [row, *found["mates"]]
    entry = next((each for each in everyone if each["group_role"] == "entry"), None)
    planned = 0 if entry is None else entry["quantity_lots"] - entry["filled_lots"]
    order, *mates = (open_order_of(each, instrument, cash, asset, planned) for each in everyone)
    return Standing(
        order, Effect(row["effect"]), TimeInForce(row["tif"]), mates, found["change_waits"], row["strategy"]
    )


def _holds(found: Mapping[str, Any], cash: int, asset: int) -> list[dict[str, Any]]:
    legs = (
        ("cash", found["cash_account"], found["currency_id"], cash),
        ("asset", found["asset_account"], found["asset_id"], asset),
    )
    return [
        {"leg": leg, "account_id": account, "asset_id": asset_id, "amount": amount}
        for leg, account, asset_id, amount in legs
        if amount
    ]


def orders_row(judged: Sequence[Decision], found: Mapping[str, Any], portfolio_id: int, ts_ns: int) -> dict[str, Any]:
    """The orders of a ticket as ``desk_accept`` takes them."""
    orders = [_order_row(decision, found, portfolio_id, ts_ns) for decision in judged]
    return {"owner_id": found["portfolio"]["owner_id"], "orders": orders}


def _order_row(decision: Decision, found: Mapping[str, Any], portfolio_id: int, ts_ns: int) -> dict[str, Any]:
    return {
        "portfolio_id": portfolio_id,
        "instrument_id": found["instrument_id"],
        "instrument_version": found["version"],
        "limit_version": found["limits"]["version"],
        "side": decision.side,
        "effect": decision.effect,
        "tif": decision.time_in_force,
        "quantity_lots": decision.quantity_lots,
        **{name: getattr(decision.terms, name) for name in _TERMS},
        "post_only": decision.post_only,
        "expires_ns": decision.expires_ns,
        "group_role": decision.role,
        "reserve_ppm": None if decision.margin is None else decision.margin.reserve_ppm,
        "reserve_ticks": None if decision.margin is None else decision.margin.reserve_ticks,
        "strategy": decision.strategy,
        "accepted_ts_ns": ts_ns,
        "holds": _holds(found, decision.cash_hold, decision.asset_hold),
    }


def taken(order: Decision, remembered: Remembered, portfolio_id: int, ts_ns: int) -> tuple[object, ...]:
    """An order as ``desk_take`` takes it, behind what every acceptance begins with."""
    found, limits, terms = remembered.found, remembered.limits, order.terms
    return (
        found["epoch"],
        limits.max_open_orders,
        limits.max_user_open_orders,
        portfolio_id,
        found["instrument_id"],
        found["version"],
        found["limits"]["version"],
        order.side,
        order.effect,
        order.time_in_force,
        order.quantity_lots,
        terms.type,
        terms.protection_ticks,
        terms.limit_ticks,
        terms.stop_ticks,
        terms.trail,
        terms.trail_ppm,
        order.post_only,
        order.expires_ns,
        order.strategy,
        ts_ns,
        f'{{"v":1,"user_id":{found["portfolio"]["owner_id"]}}}',
        found["cash_account"],
        found["currency_id"],
        order.cash_hold,
        found["asset_account"],
        found["asset_id"],
        order.asset_hold,
    )


def _change_row(judged: Alteration, found: Mapping[str, Any], ts_ns: int) -> dict[str, Any]:
    terms = judged.terms
    return {
        "order_id": found["order"]["id"],
        "ts_ns": ts_ns,
        "terms": {
            "limit_ticks": terms.protection_ticks,
            "quantity_lots": judged.quantity_lots,
            "change_lots": judged.quantity_lots - found["order"]["quantity_lots"],
            "stop_ticks": terms.stop_ticks or 0,
            "trail": terms.trail or terms.trail_ppm or 0,
        },
        "holds": _holds(found, judged.extra_cash, judged.extra_asset),
    }


def acceptance_of(stored: Mapping[str, Any]) -> Acceptance:
    """What ``desk_accept`` answered."""
    return Acceptance(
        stored["order_id"],
        stored["public_id"],
        OrderState(stored["state"]),
        stored["quantity_lots"],
        stored["protection_ticks"],
        stored["cash_held"],
        tuple(stored.get("group", ())),
    )
