"""What a broker tells the client of one account, in whole units: orders with the client's keys, fills, holdings."""

from collections.abc import Mapping, Sequence
from typing import Any

from trading.domain.brokerage import Balance, BrokerOrder, Execution, Holding
from trading.domain.errors import Invalid, NotFound
from trading.domain.orders import OrderState, OrderType, Side, TimeInForce
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

_CLIENT = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}


@operation(_CLIENT)
def order(floor: Floor, actor: Actor, portfolio_id: int, order_id: int) -> BrokerOrder:
    """One order, open or over; raises `NotFound` with code ``unknown_order``."""
    rows = floor.queries.client_orders(portfolio_id, order_id)
    if not rows:
        raise NotFound("there is no such order in this account", "unknown_order")
    return order_of(rows[0], str(rows[0]["id"]))


@operation(_CLIENT)
def open_orders(floor: Floor, actor: Actor, portfolio_id: int) -> list[BrokerOrder]:
    """Orders that are not over, oldest first."""
    return [order_of(row, str(row["id"])) for row in floor.queries.client_orders(portfolio_id)]


@operation(_CLIENT)
def executions(
    floor: Floor, actor: Actor, portfolio_id: int, since: str = "", limit: int = 1000
) -> Sequence[Execution]:
    """Fills behind a cursor, by input and count.

    The one broker commits inputs in their order, so no fill can appear later behind a cursor that was given out.
    """
    input_seq, _, n = (since or "0:0").partition(":")
    if not (input_seq.isdecimal() and n.isdecimal()) or max(len(input_seq), len(n)) > 18:
        raise Invalid(f"{since[:40]!r} is no cursor of executions", "bad_cursor")
    return [
        Execution(
            cursor=f"{row['input_seq']}:{row['n'] + 1}",
            order_id=str(row["order_id"]),
            instrument_id=row["instrument_id"],
            side=Side(row["side"]),
            price_ticks=row["price_ticks"],
            quantity_lots=row["quantity_lots"],
            fee=row["fee"],
            ts_ns=row["ts_ns"],
        )
        for row in floor.queries.fills_from(portfolio_id, int(input_seq), int(n), limit)
    ]


@operation(_CLIENT)
def holdings(floor: Floor, actor: Actor, portfolio_id: int) -> list[Holding]:
    """What the account holds, by instrument."""
    rows = sorted(floor.queries.positions(portfolio_id), key=lambda row: int(row["instrument_id"]))
    return [Holding(row["instrument_id"], row["lots"], row["held_lots"]) for row in rows if row["lots"]]


@operation(_CLIENT)
def balances(floor: Floor, actor: Actor, portfolio_id: int) -> list[Balance]:
    """Cash by currency."""
    return [Balance(row["asset"], row["scale"], row["posted"], row["held"]) for row in floor.queries.cash(portfolio_id)]


def order_of(row: Mapping[str, Any], order_id: str) -> BrokerOrder:
    """An order as a row of the floor's own or of a recorded broker's says it."""
    return BrokerOrder(
        order_id=order_id,
        client_id=row["client_id"],
        instrument_id=row["instrument_id"],
        side=Side(row["side"]),
        type=OrderType(row["type"]),
        time_in_force=TimeInForce(row["tif"]),
        quantity_lots=row["quantity_lots"],
        filled_lots=row["filled_lots"],
        limit_ticks=row["limit_ticks"],
        stop_ticks=row["stop_ticks"],
        state=OrderState(row["state"]),
        reason=row["reason"],
    )
