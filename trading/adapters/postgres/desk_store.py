"""Acceptance of orders and of their changes: one transaction, two round trips, everything or nothing."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, LiteralString

from psycopg import ClientCursor, Connection, errors
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, scalar
from trading.adapters.postgres.rows import INSTRUMENT_COLUMNS, instrument_of, open_order_of
from trading.domain.errors import Conflict, Halted
from trading.domain.instruments import Instrument
from trading.domain.ledger import Hold
from trading.domain.orders import Acceptance, Change, Effect, OrderState, Refusal, Ticket, TimeInForce
from trading.services.ports.desk import (
    Alteration,
    Decide,
    DecideChange,
    Decision,
    DeskContext,
    RiskLimits,
    Standing,
)

SUBMIT, CHANGE = "desk.submit", "desk.modify"
KEY_WAIT_MS = 1500
"""How long a retry waits for the call that holds its key; less than the roles' transaction_timeout."""
BEGIN: LiteralString = f"begin; set local lock_timeout = {KEY_WAIT_MS}; "


class PostgresDesk:
    """Implements `trading.services.ports.desk.DeskStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._ids: dict[tuple[str, str], int] = {}

    def submit(
        self, user_id: int, portfolio_id: int, key: str, ticket: Ticket, decide: Decide, ts_ns: int, origin: str
    ) -> Acceptance | Refusal:
        """See the port. A second call with the same key waits for the first, then gets its answer."""
        call = _Call(user_id, SUBMIT, key, origin, portfolio_id)
        digest = digest_of([portfolio_id, asdict(ticket)])
        with desk_connection(self._pool) as connection:
            found = _told(
                connection,
                BEGIN + "select desk_open(%s, %s, %s, %s, %s, %s, %s)",
                (user_id, SUBMIT, key, digest, portfolio_id, ticket.symbol, ticket.venue),
            )
            known = _known(found)
            if known is not None:
                return known
            if "unknown_instrument" in found:
                judged: Sequence[Decision] | Refusal = unknown_instrument(ticket)
            else:
                judged = decide(context_of(found))
            if isinstance(judged, Refusal):
                return call.refuse(connection, judged)
            orders = [order_row(decision, found, portfolio_id, ts_ns) for decision in judged]
            return call.accept(connection, "select desk_accept(%s, %s, %s, %s, %s); commit", {"orders": orders})

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
        call = _Call(user_id, CHANGE, key, origin, portfolio_id)
        digest = digest_of([portfolio_id, order_id, asdict(change)])
        with desk_connection(self._pool) as connection:
            found = _told(
                connection,
                BEGIN + "select desk_open_change(%s, %s, %s, %s, %s, %s)",
                (user_id, CHANGE, key, digest, portfolio_id, order_id),
            )
            known = _known(found)
            if known is not None:
                return known
            if "unknown_order" in found:
                return call.refuse(connection, _unknown_order())
            judged = decide(context_of(found), _standing(found))
            if isinstance(judged, Refusal):
                return call.refuse(connection, judged)
            row = _change_row(judged, found, ts_ns)
            return call.accept(connection, "select desk_change(%s, %s, %s, %s, %s); commit", row)

    def context(self, user_id: int, portfolio_id: int, symbol: str, venue: str) -> DeskContext | None:
        """The reads alone."""
        with connection_of(self._pool) as connection:
            found = scalar(
                connection, "select desk_context(%s, %s, %s, %s, false)", (user_id, portfolio_id, symbol, venue)
            )
        return None if "unknown_instrument" in found else context_of(found)

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
    """For one transaction, begun and committed in the statements: what is open at the end, the pool ends."""
    try:
        with connection_of(pool) as connection:
            yield connection
    except (errors.LockNotAvailable, errors.TransactionTimeout):
        raise Conflict("the same call is still being worked on; ask again", "in_flight") from None
    except errors.DatabaseError as error:
        if error.sqlstate == "TF001":
            raise Halted("trading is halted: the kill switch is on") from None
        raise


@dataclass(frozen=True, slots=True)
class _Call:
    """A call under its idempotency key."""

    user_id: int
    operation: str
    key: str
    origin: str
    portfolio_id: int

    def refuse(self, connection: Connection[Any], refusal: Refusal) -> Refusal:
        """Keep the refusal as the key's answer."""
        _told(
            connection,
            "select desk_refuse(%s, %s, %s, %s, %s, %s); commit",
            (
                self.user_id,
                self.operation,
                self.key,
                self.origin,
                self.portfolio_id,
                Jsonb({"v": 1, **asdict(refusal)}),
            ),
        )
        return refusal

    def accept(self, connection: Connection[Any], statement: LiteralString, row: Mapping[str, Any]) -> Acceptance:
        """Let a server function write everything and answer."""
        return acceptance_of(
            _told(connection, statement, (self.user_id, self.operation, self.key, self.origin, Jsonb(dict(row))))
        )


def _told(connection: Connection[Any], statements: LiteralString, parameters: Sequence[Any]) -> Any:
    """What the one query among ``statements`` answers; all of them are one message, and so one round trip."""
    cursor = ClientCursor(connection)
    cursor.execute(statements, parameters)
    for result in cursor.results():
        if result.description is not None:
            return result.fetchall()[0][0]
    raise LookupError("the statements answered nothing")


def unknown_instrument(ticket: Ticket) -> Refusal:
    """The symbol is not traded on the venue."""
    return Refusal("unknown_instrument", f"{ticket.symbol[:20]!r} is not traded on {ticket.venue[:10]}.")


def _unknown_order() -> Refusal:
    """The portfolio has no such order."""
    return Refusal("unknown_order", "There is no such order in this portfolio.")


def digest_of(body: Any) -> bytes:
    """What tells whether a key is used again for the same call."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).digest()


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


def context_of(found: Mapping[str, Any]) -> DeskContext:
    """What ``desk_context`` read."""
    limits = found["limits"]
    return DeskContext(
        instrument=instrument_of(found["instrument"]),
        portfolio_kind=found["portfolio"]["kind"],
        portfolio_archived=found["portfolio"]["archived"],
        cash_account=found["cash_account"],
        cash_available=found["cash_available"],
        asset_account=found["asset_account"],
        position_lots=found["position"],
        position_held=found["position_held"],
        open_orders=found["open_orders"],
        limits=RiskLimits(
            limits["version"], limits["max_order_notional"], limits["max_open_orders"], limits["price_band_ppm"]
        ),
        action_waits=found["action_waits"],
        halts=found["halt"] or {},
    )


def _standing(found: Mapping[str, Any]) -> Standing:
    row, holds = found["order"], found["holds"]
    instrument = instrument_of(found["instrument"])
    cash = Hold(found["cash_account"], holds.get("cash", 0))
    asset = Hold(found["asset_account"], holds.get("asset", 0))
    everyone = [row, *found["mates"]]
    entry = next((each for each in everyone if each["group_role"] == "entry"), None)
    planned = 0 if entry is None else entry["quantity_lots"] - entry["filled_lots"]
    order, *mates = (open_order_of(each, instrument, cash, asset, planned) for each in everyone)
    return Standing(order, Effect(row["effect"]), TimeInForce(row["tif"]), mates, found["change_waits"])


def _holds(found: Mapping[str, Any], cash: int, asset: int) -> list[dict[str, Any]]:
    accounts = (("cash", found["cash_account"], cash), ("asset", found["asset_account"], asset))
    return [{"leg": leg, "account_id": account, "amount": amount} for leg, account, amount in accounts if amount]


def order_row(decision: Decision, found: Mapping[str, Any], portfolio_id: int, ts_ns: int) -> dict[str, Any]:
    """An order as ``desk_accept`` takes it."""
    return {
        "portfolio_id": portfolio_id,
        "instrument_id": found["instrument"]["instrument_id"],
        "instrument_version": found["instrument"]["version"],
        "limit_version": found["limits"]["version"],
        "side": decision.side,
        "effect": decision.effect,
        "tif": decision.time_in_force,
        "quantity_lots": decision.quantity_lots,
        **asdict(decision.terms),
        "post_only": decision.post_only,
        "expires_ns": decision.expires_ns,
        "role": decision.role,
        "ts_ns": ts_ns,
        "holds": _holds(found, decision.cash_hold, decision.asset_hold),
    }


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
