"""What the broker reads and writes: lease, log, snapshots, and `commit_batch`."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.types.json import Jsonb

from trading.adapters.postgres.broker_connections import COMMIT, BrokerConnections
from trading.adapters.postgres.pool import scalar
from trading.adapters.postgres.rows import (
    INSTRUMENT_COLUMNS,
    LOT_COLUMNS,
    instrument_of,
    lot_of,
    open_order_of,
)
from trading.domain import actions
from trading.domain.errors import Fenced
from trading.domain.fx import converted, mid
from trading.domain.instruments import Instrument
from trading.domain.ledger import FloorAccounts, Hold, OpenOrder
from trading.domain.margin import Holding, Mark, policy_of
from trading.domain.orders import TERMINAL, OrderState
from trading.domain.positions import Lot
from trading.services.ports.broker import Batch, Command, LogChunk, MarginAccount, Standing

_NO_MARK = Mark(0, 0)
_GROUPS_AT_ONCE = 1000
_EFFECTS = (
    "commands",
    "fills",
    "transfers",
    "accounts",
    "holds",
    "over",
    "orders",
    "events",
    "lots",
    "lot_closes",
    "actions",
    "outbox",
    "margin_events",
    "margin_orders",
)
COMMIT_FORMATS = [Format.TEXT] * 5 + [Format.BINARY] * 3 + [Format.TEXT] * 2

_OPEN = "not in ('filled', 'rejected', 'cancelled', 'expired')"
_ORDER = """
    o.id, o.portfolio_id, o.side, o.quantity_lots, o.filled_lots, o.price_lots_sum, o.notional, o.fee, o.state, o.type,
    o.protection_ticks, o.limit_ticks, o.stop_ticks, o.trail, o.trail_ppm, o.group_id, o.group_role, o.effect,
    o.reserve_ppm, o.reserve_ticks, o.instrument_id, o.instrument_version,
    coalesce(hc.amount - hc.used - hc.released, 0) as cash_left,
    coalesce(ha.amount - ha.used - ha.released, 0) as asset_left
"""
_OPEN_ORDERS = f"""
    select {_ORDER}, cash.id as cash_account, shares.id as asset_account,
           coalesce((select e.quantity_lots - e.filled_lots from orders e where e.group_id = o.group_id
                     and e.group_role = 'entry' and e.state {_OPEN}), 0) as planned,
           case when o.filled_lots = 0 then 0 else coalesce((
               select sum(f.price_ticks::numeric * f.quantity_lots) from fill f where f.order_id = o.id
               and f.liquidity = 'maker'), 0) end as maker_price_lots
    from orders o
    join instrument_version v on v.instrument_id = o.instrument_id and v.version = o.instrument_version
    join account cash on cash.portfolio_id = o.portfolio_id and cash.asset_id = v.currency_id
        and cash.kind = 'portfolio'
    join account shares on shares.portfolio_id = o.portfolio_id and shares.asset_id = v.asset_id
        and shares.kind = 'portfolio'
    cross join lateral (select case when o.group_role is null or o.group_role = 'entry' then o.id else o.group_id end
                        as holder) own
    left join hold hc on hc.order_id = own.holder and hc.leg = 'cash'
    left join hold ha on ha.order_id = own.holder and ha.leg = 'asset'
    where o.state {_OPEN}
"""
_WAITING = f"""
    select c.id as command_id, c.kind, c.order_id, c.payload, o.*
    from (select id, kind, order_id, payload from command where input_seq is null and id <> all(%s)
          order by kind not in ('halt', 'resume'), id limit %s) c
    left join lateral (
        select {_ORDER}, o.tif, o.post_only, o.expires_ns from orders o
        left join hold hc on hc.order_id = o.id and hc.leg = 'cash'
        left join hold ha on ha.order_id = o.id and ha.leg = 'asset'
        where o.id = c.order_id and c.kind = 'submit' limit 1) o on true
    order by c.kind not in ('halt', 'resume'), c.id
"""
"""Commands and, of those that submit one order, its accounting; ``limit 1`` has it looked up for each by its key. Such
an order has no group and no fill yet, and its accounts are remembered."""
_SAID_BY_ROW = (
    "portfolio_id",
    "instrument_id",
    "side",
    "type",
    "tif",
    "quantity_lots",
    "limit_ticks",
    "protection_ticks",
    "post_only",
    "expires_ns",
)
_FOREIGN_CASH = """select p.id, a.posted, c.scale, b.scale as base_scale, x.instrument_id as pair_id,
        x.symbol = c.code || b.code as sells_base, x.tick_size
    from portfolio p join account a on a.portfolio_id = p.id and a.asset_id <> p.currency_id and a.posted <> 0
    join asset c on c.id = a.asset_id and c.kind = 'currency' join asset b on b.id = p.currency_id
    join instrument_current x on x.asset_class = 'fx' and x.symbol in (c.code || b.code, b.code || c.code)
    where p.archived_at is null"""


class PostgresBroker(BrokerConnections):
    """Implements `trading.services.ports.broker.BrokerStore`; reconnects when the server comes back."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._groups: list[int] = []
        self._instruments: dict[tuple[int, int], Instrument] = {}
        self._own_accounts: dict[tuple[int, int], int] = {}

    # Lease, cursor, log ---------------------------------------------------------------------------------------------

    def take_lease(self, holder: str, ttl_s: float) -> int | None:
        """See the port."""
        epoch: int | None = self._scalar("select take_lease(%s, %s)", (holder, ttl_s))
        return epoch

    def renew_lease(self, epoch: int, ttl_s: float) -> None:
        """See the port."""
        with self._open("unhurried") as connection:
            if not scalar(connection, "select renew_lease(%s, %s)", (epoch, ttl_s)):
                raise Fenced(f"epoch {epoch} is over")

    def cursor(self) -> tuple[int, bytes]:
        """See the port."""
        row = self._rows("select input_seq, state_hash from broker_cursor where id = 1")[0]
        return row["input_seq"], bytes(row["state_hash"])

    def newest_snapshot(self, engine_rev: int) -> tuple[int, bytes] | None:
        """See the port."""
        rows = self._rows(
            "select input_seq, state from snapshot where engine_rev = %s order by input_seq desc limit 1", (engine_rev,)
        )
        return (rows[0]["input_seq"], bytes(rows[0]["state"])) if rows else None

    def log_after(self, seq: int, engine_rev: int) -> Iterator[LogChunk]:
        """See the port. Reads a thousand chunks at a time."""
        while True:
            rows = self._rows(
                "select first_seq, last_seq, inputs, out_hash, state_hash, engine_rev from input_log"
                " where first_seq > %s and engine_rev = %s order by first_seq limit 1000",
                (seq, engine_rev),
            )
            for row in rows:
                yield LogChunk(
                    row["first_seq"],
                    row["last_seq"],
                    bytes(row["inputs"]),
                    bytes(row["out_hash"]),
                    bytes(row["state_hash"]),
                    row["engine_rev"],
                )
            if not rows:
                return
            seq = rows[-1]["last_seq"]

    def waiting_commands(self, limit: int, known: Collection[int] = ()) -> Sequence[Command]:
        """See the port."""
        return [
            Command(
                row["command_id"],
                row["kind"],
                row["order_id"],
                _payload(row),
                None if row["id"] is None or OrderState(row["state"]) in TERMINAL else self._new_order(row),
            )
            for row in self._rows(_WAITING, (list(known), limit))
        ]

    def standings(self) -> Sequence[Standing]:
        """See the port."""
        rows = self._rows(
            "select o.id as order_id, o.portfolio_id, p.owner_id as user_id, o.instrument_id, o.side, o.type, o.tif,"
            " o.quantity_lots - o.filled_lots as quantity_lots, o.protection_ticks, o.accepted_ts_ns"
            f" from orders o join portfolio p on p.id = o.portfolio_id where o.state {_OPEN} and exists"
            " (select 1 from command c where c.order_id = o.id and c.kind = 'submit' and c.input_seq is not null)"
        )
        return [Standing(row, row["accepted_ts_ns"]) for row in rows]

    def halted(self) -> Mapping[str, Sequence[int]]:
        """See the port."""
        rows = self._rows("select scope, open_orders_of(scope) as ids from halt_state where mode = 'halted'")
        return {row["scope"]: row["ids"] for row in rows}

    def calendars(self) -> Mapping[int, str]:
        """See the port."""
        rows = self._rows("select instrument_id, profile ->> 'calendar' as calendar from instrument_current")
        return {row["instrument_id"]: row["calendar"] for row in rows if row["calendar"]}

    # Accounting -----------------------------------------------------------------------------------------------------

    def open_orders(self, ids: Sequence[int] | None = None) -> Mapping[int, OpenOrder]:
        """See the port."""
        rows = self._rows(
            _OPEN_ORDERS if ids is None else f"{_OPEN_ORDERS} and o.id = any(%s)", [] if ids is None else [ids]
        )
        return {row["id"]: self._open_order(row) for row in rows}

    def _new_order(self, row: Mapping[str, Any]) -> OpenOrder:
        instrument = self._instrument(row["instrument_id"], row["instrument_version"])
        cash, shares = (self._account(row["portfolio_id"], each.id) for each in (instrument.currency, instrument.asset))
        return open_order_of(row, instrument, Hold(cash, row["cash_left"]), Hold(shares, row["asset_left"]), 0)

    def _account(self, portfolio_id: int, asset_id: int) -> int:
        """A portfolio's account, which stays what it is: it is read once."""
        known = self._own_accounts.get((portfolio_id, asset_id))
        if known is None:
            statement = "select id from account where portfolio_id = %s and asset_id = %s and kind = 'portfolio'"
            known = self._own_accounts[portfolio_id, asset_id] = self._scalar(statement, (portfolio_id, asset_id))
        return known

    def _open_order(self, row: Mapping[str, Any]) -> OpenOrder:
        return open_order_of(
            row,
            self._instrument(row["instrument_id"], row["instrument_version"]),
            Hold(row["cash_account"], row["cash_left"]),
            Hold(row["asset_account"], row["asset_left"]),
            row["planned"],
        )

    def _instrument(self, instrument_id: int, version: int) -> Instrument:
        """A version of an instrument never changes: it is read once."""
        known = self._instruments.get((instrument_id, version))
        if known is None:
            rows = self._rows(
                f"select {INSTRUMENT_COLUMNS} from (select i.symbol, i.venue, iv.*"
                " from instrument_version iv join instrument i on i.id = iv.instrument_id) v"
                " join asset a on a.id = v.asset_id join asset c on c.id = v.currency_id"
                " where v.instrument_id = %s and v.version = %s",
                (instrument_id, version),
            )
            known = self._instruments[instrument_id, version] = instrument_of(rows[0])
        return known

    def lots(self, portfolio_id: int, instrument_id: int) -> list[Lot]:
        """See the port."""
        rows = self._rows(
            f"select {LOT_COLUMNS} from lot where portfolio_id = %s and instrument_id = %s and remaining_lots > 0"
            " order by id",
            (portfolio_id, instrument_id),
        )
        return [lot_of(row) for row in rows]

    def holdings(self, instrument_id: int) -> Sequence[actions.Position]:
        """See the port. Units are those of the newest version."""
        rows = self._rows(
            f"select l.*, cash.id as cash_account, shares.id as asset_account, {INSTRUMENT_COLUMNS}"
            f" from (select portfolio_id, {LOT_COLUMNS} from lot where instrument_id = %s and remaining_lots > 0) l"
            " join instrument_current v on v.instrument_id = %s"
            " join asset a on a.id = v.asset_id join asset c on c.id = v.currency_id"
            " join account cash on cash.portfolio_id = l.portfolio_id and cash.asset_id = v.currency_id"
            "  and cash.kind = 'portfolio'"
            " join account shares on shares.portfolio_id = l.portfolio_id and shares.asset_id = v.asset_id"
            "  and shares.kind = 'portfolio' order by l.portfolio_id, l.id",
            (instrument_id, instrument_id),
        )
        by_portfolio: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            by_portfolio.setdefault(row["portfolio_id"], []).append(row)
        return [
            actions.Position(
                key, instrument_of(own[0]), own[0]["cash_account"], own[0]["asset_account"], tuple(map(lot_of, own))
            )
            for key, own in by_portfolio.items()
        ]

    def action_accounts(self, asset_id: int, currency_id: int) -> actions.ActionAccounts:
        """See the port."""
        rows = self._rows(
            "select id, kind, asset_id from account where kind in ('actions', 'dividends', 'taxes')"
            " and asset_id in (%s, %s)",
            (asset_id, currency_id),
        )
        found = {(row["kind"], row["asset_id"]): row["id"] for row in rows}
        return actions.ActionAccounts(
            shares=found["actions", asset_id],
            cash=found["actions", currency_id],
            dividends=found["dividends", currency_id],
            taxes=found["taxes", currency_id],
        )

    def floor_accounts(self, asset_id: int, currency_id: int) -> FloorAccounts:
        """See the port."""
        rows = self._rows(
            "select id, kind, asset_id from account where kind in ('market', 'fees', 'taxes') and asset_id in (%s, %s)",
            (asset_id, currency_id),
        )
        found = {(row["kind"], row["asset_id"]): row["id"] for row in rows}
        return FloorAccounts(
            market_cash=found["market", currency_id],
            market_asset=found["market", asset_id],
            fees=found["fees", currency_id],
            taxes=found["taxes", currency_id],
        )

    def group_ids(self, count: int) -> Sequence[int]:
        """See the port. Taken in blocks; what a crash loses stays a hole in the numbers."""
        while len(self._groups) < count:
            self._groups += [
                row["id"]
                for row in self._rows(
                    "select nextval('transfer_group') as id from generate_series(1, %s)", (_GROUPS_AT_ONCE,)
                )
            ]
        taken, self._groups = self._groups[:count], self._groups[count:]
        return taken

    def order_id(self) -> int:
        """See the port."""
        number: int = self._scalar("select nextval('orders_id_seq')")
        return number

    def margin_changes(self, cash_accounts: Sequence[int]) -> tuple[int, Mapping[int, int]]:
        """See the port."""
        rows = self._rows(
            "select id, posted, (select count(*) from margin_policy) as policies from account where id = any(%s)",
            (list(cash_accounts),),
        )
        return (rows[0]["policies"] if rows else 0), {row["id"]: row["posted"] for row in rows}

    def margin_accounts(self, portfolio_ids: Sequence[int], *, alive: bool) -> Sequence[MarginAccount]:
        """See the port."""
        statement = "select margin_accounts(%s, %s) as account"
        found = [row["account"] for row in self._rows(statement, (list(portfolio_ids), alive))]
        return [
            MarginAccount(
                portfolio_id=row["portfolio_id"],
                owner_id=row["owner_id"],
                currency_id=row["currency_id"],
                cash_account=row["cash_account"],
                cash=row["cash"],
                state=row["state"],
                holdings={held["instrument_id"]: self._holding(held) for held in row["holdings"]},
                asset_accounts={held["instrument_id"]: held["asset_account"] for held in row["holdings"]},
            )
            for row in found
        ]

    def _holding(self, row: Mapping[str, Any]) -> Holding:
        instrument = self._instrument(row["instrument_id"], row["version"])
        return Holding(instrument, row["lots"], policy_of(row["policy"]))

    # Writing --------------------------------------------------------------------------------------------------------

    def begin_commit(self, batch: Batch) -> None:
        """See the port."""
        self.send_commit(commit_parameters(batch))

    def send_commit(self, parameters: Sequence[bytes]) -> None:
        """Send a batch as `commit_parameters` made it."""
        with self._open("commit") as connection:
            connection.pgconn.send_query_prepared(COMMIT, parameters, param_formats=COMMIT_FORMATS)
            self._committing = True

    def end_commit(self) -> Sequence[int]:
        """See the port."""
        if not self._committing:
            return []
        self._committing = False
        with self._open("commit") as connection:
            failed: psycopg.Error | None = None
            told = b""
            for result in connection.wait(generators.execute(connection.pgconn)):
                if result.status == ExecStatus.TUPLES_OK:
                    told = result.get_value(0, 0) or b""
                elif result.status != ExecStatus.COMMAND_OK:
                    failed = failed or error_from_result(result)
            if failed is not None:
                raise failed
        return [int(number) for number in told.strip(b"{}").split(b",") if number]

    def save_snapshot(self, epoch: int, seq: int, engine_rev: int, ts_ns: int, state: bytes, state_hash: bytes) -> None:
        """See the port."""
        with self._open() as connection:
            connection.execute(
                "select save_snapshot(%s, %s, %s, %s, %s, %s)", (epoch, seq, engine_rev, ts_ns, state, state_hash)
            )

    def publish_outbox(self, limit: int, published: Sequence[int] = ()) -> Sequence[Mapping[str, Any]]:
        """See the port."""
        with self._open("unhurried") as connection:
            rows = connection.execute("select publish_outbox(%s, %s)", (limit, list(published))).fetchall()
        return [row[0] for row in rows]

    def seal(self, now: datetime) -> None:
        """See the port."""
        with self._open() as connection:
            connection.execute("select seal_block(%s)", (now,))

    def mark_equity(self, ts_ns: int, marks: Mapping[int, Mark]) -> None:
        """See the port. A position without a mark counts what it cost, or as a short what it brought.

        Cash of other currencies counts at the mid of its pair.
        """
        cash = self._rows(
            "select p.id, a.posted from portfolio p"
            " join account a on a.portfolio_id = p.id and a.asset_id = p.currency_id"
            " where p.archived_at is null and exists (select 1 from transfer t where t.portfolio_id = p.id)"
        )
        foreign: dict[int, int] = {}
        for row in self._rows(_FOREIGN_CASH):
            newest = marks.get(row["pair_id"], _NO_MARK)
            price = mid(newest.bid_ticks, newest.ask_ticks, row["tick_size"])
            if price is not None:
                value = converted(row["posted"], row["scale"], row["base_scale"], price, row["sells_base"])
                foreign[row["id"]] = foreign.get(row["id"], 0) + value
        positions = self._rows(
            f"select l.portfolio_id, l.lots, l.cost, {INSTRUMENT_COLUMNS} from"
            " (select portfolio_id, instrument_id, sum(case when short then -remaining_lots else remaining_lots end)"
            "  ::bigint as lots, sum(case when short then -remaining_cost else remaining_cost end)::bigint as cost"
            "  from lot where remaining_lots > 0 group by 1, 2) l"
            " join instrument_current v on v.instrument_id = l.instrument_id"
            " join asset a on a.id = v.asset_id join asset c on c.id = v.currency_id"
        )
        worth: dict[int, int] = {}
        for row in positions:
            mark = marks.get(row["instrument_id"], _NO_MARK).closing(row["lots"])
            value = instrument_of(row).notional(mark * row["lots"]) if mark else row["cost"]
            worth[row["portfolio_id"]] = worth.get(row["portfolio_id"], 0) + value
        with self._open() as connection, connection.pipeline():
            for row in cash:
                connection.execute(
                    "select mark_equity(%s, %s, %s, %s)",
                    (row["id"], ts_ns, row["posted"] + foreign.get(row["id"], 0), worth.get(row["id"], 0)),
                )

    def report(self, detail: Mapping[str, Any]) -> None:
        """See the port."""
        with self._open("unhurried") as connection:
            connection.execute("update process_status set detail = %s where name = 'broker'", (Jsonb(dict(detail)),))

    def halt_floor(self, reason: str, ts_ns: int) -> None:
        """See the port."""
        with self._open() as connection:
            connection.execute("select set_halt(0, 'floor', 'halted', %s, 'broker', %s)", (reason, ts_ns))


def _payload(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a command says. One that submits a single order may leave its terms to the order's row."""
    said: Mapping[str, Any] = row["payload"]
    if row["id"] is None or "side" in said:
        return said
    terms = {name: row[name] for name in _SAID_BY_ROW}
    trailed = "trail" if row["trail"] is not None else "trail_ppm" if row["trail_ppm"] is not None else ""
    return {
        **said,
        **terms,
        "order_id": row["id"],
        "trigger": trailed or ("stop" if row["stop_ticks"] is not None else ""),
        "stop_ticks": row["stop_ticks"] or 0,
        "trail": row["trail"] or row["trail_ppm"] or 0,
    }


def commit_parameters(batch: Batch) -> list[bytes]:
    """What `COMMIT` is given, in `COMMIT_FORMATS`."""
    effects = {name: getattr(batch, name) for name in _EFFECTS}
    numbers = (batch.epoch, batch.first_seq, batch.last_seq, batch.engine_rev, batch.ts_ns)
    return [
        *(str(number).encode() for number in numbers),
        batch.inputs,
        batch.out_hash,
        batch.state_hash,
        json.dumps(effects, separators=(",", ":")).encode(),
        b"t" if batch.commands or batch.orders or batch.margin_events else b"f",
    ]
