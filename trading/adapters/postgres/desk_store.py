"""Acceptance of orders: one transaction, two round trips, everything or nothing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from psycopg import Connection, errors
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from trading.adapters.postgres.pool import Pool, connection_of, scalar
from trading.adapters.postgres.rows import INSTRUMENT_COLUMNS, instrument_of
from trading.domain.errors import Conflict, Halted
from trading.domain.instruments import Instrument
from trading.domain.orders import Acceptance, OrderState, Refusal, Ticket
from trading.services.ports.desk import Decide, Decision, DeskContext, RiskLimits

OPERATION = "desk.submit"
KEY_WAIT_MS = 1500
"""How long a retry waits for the call that holds its key; less than the roles' transaction_timeout."""


class PostgresDesk:
    """Implements `trading.services.ports.desk.DeskStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def submit(
        self, user_id: int, portfolio_id: int, key: str, ticket: Ticket, decide: Decide, ts_ns: int, origin: str
    ) -> Acceptance | Refusal:
        """See the port. A second call with the same key waits for the first, then gets its answer."""
        body = json.dumps([portfolio_id, asdict(ticket)], sort_keys=True, default=str)
        digest = hashlib.sha256(body.encode()).digest()
        try:
            with connection_of(self._pool) as connection, connection.transaction():
                connection.execute(f"set local lock_timeout = {KEY_WAIT_MS}")
                found: dict[str, Any] = scalar(
                    connection,
                    "select desk_open(%s, %s, %s, %s, %s, %s, %s)",
                    (user_id, OPERATION, key, digest, portfolio_id, ticket.symbol, ticket.venue),
                )
                if "conflict" in found:
                    raise Conflict("this key was used for another order", "key_reused")
                if "answer" in found:
                    return _answer(found["answer"])
                judged = _judge(found, ticket, decide)
                if isinstance(judged, Refusal):
                    return _refuse(connection, user_id, key, origin, portfolio_id, judged)
                return _accept(connection, user_id, key, origin, portfolio_id, judged, found, ts_ns)
        except (errors.LockNotAvailable, errors.TransactionTimeout):
            raise Conflict("the same order is still being accepted; ask again", "in_flight") from None
        except errors.DatabaseError as error:
            if error.sqlstate == "TF001":
                raise Halted("trading is halted: the kill switch is on") from None
            raise

    def context(self, user_id: int, portfolio_id: int, symbol: str, venue: str) -> DeskContext | None:
        """The reads alone."""
        with connection_of(self._pool) as connection:
            found = scalar(
                connection, "select desk_context(%s, %s, %s, %s, false)", (user_id, portfolio_id, symbol, venue)
            )
        return None if "unknown_instrument" in found else _context(found)

    def cancel(self, user_id: int, portfolio_id: int, order_id: int, ts_ns: int, origin: str) -> str | None:
        """See the port."""
        with connection_of(self._pool) as connection:
            code: str | None = scalar(
                connection,
                "select desk_cancel(%s, %s, %s, %s, %s)",
                (user_id, origin, portfolio_id, order_id, ts_ns),
            )
        return code

    def instruments(self, venue: str) -> Sequence[Instrument]:
        """Current versions, by symbol."""
        with connection_of(self._pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                f"select {INSTRUMENT_COLUMNS} from instrument_current v join asset a on a.id = v.asset_id"
                " join asset c on c.id = v.currency_id where v.venue = %s order by v.symbol",
                (venue,),
            )
            return [instrument_of(row) for row in cursor.fetchall()]


def _judge(found: Mapping[str, Any], ticket: Ticket, decide: Decide) -> Decision | Refusal:
    if "unknown_instrument" in found:
        return Refusal("unknown_instrument", f"{ticket.symbol[:20]!r} is not traded on {ticket.venue[:10]}.")
    return decide(_context(found))


def _context(found: Mapping[str, Any]) -> DeskContext:
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
        halts=found["halt"] or {},
    )


def _refuse(
    connection: Connection[Any], user_id: int, key: str, origin: str, portfolio_id: int, refusal: Refusal
) -> Refusal:
    answer = {"v": 1, **asdict(refusal)}
    connection.execute(
        "select desk_refuse(%s, %s, %s, %s, %s, %s)", (user_id, OPERATION, key, origin, portfolio_id, Jsonb(answer))
    )
    return refusal


def _accept(
    connection: Connection[Any],
    user_id: int,
    key: str,
    origin: str,
    portfolio_id: int,
    decision: Decision,
    found: Mapping[str, Any],
    ts_ns: int,
) -> Acceptance:
    holds = [
        {"leg": leg, "account_id": account, "amount": amount}
        for leg, account, amount in (
            ("cash", found["cash_account"], decision.cash_hold),
            ("asset", found["asset_account"], decision.asset_hold),
        )
        if amount
    ]
    order = {
        "portfolio_id": portfolio_id,
        "instrument_id": found["instrument"]["instrument_id"],
        "instrument_version": found["instrument"]["version"],
        "limit_version": found["limits"]["version"],
        "side": decision.side,
        "type": decision.type,
        "effect": decision.effect,
        "tif": decision.time_in_force,
        "quantity_lots": decision.quantity_lots,
        "limit_ticks": decision.limit_ticks,
        "protection_ticks": decision.protection_ticks,
        "ts_ns": ts_ns,
        "holds": holds,
    }
    return _acceptance(
        scalar(connection, "select desk_accept(%s, %s, %s, %s, %s)", (user_id, OPERATION, key, origin, Jsonb(order)))
    )


def _answer(stored: Mapping[str, Any]) -> Acceptance | Refusal:
    if "code" in stored:
        return Refusal(stored["code"], stored["reason"], dict(stored["numbers"]))
    return _acceptance(stored)


def _acceptance(stored: Mapping[str, Any]) -> Acceptance:
    return Acceptance(
        stored["order_id"],
        stored["public_id"],
        OrderState(stored["state"]),
        stored["quantity_lots"],
        stored["protection_ticks"],
        stored["cash_held"],
    )
