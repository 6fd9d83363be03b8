"""Broker accounts, their plans and what the monitoring loop records; a deed and its audit row are one transaction."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from trading.adapters.postgres import monitoring_rows as kept
from trading.adapters.postgres.pool import Pool, connection_of, cursor, scalar
from trading.domain.brokerage import Execution
from trading.domain.errors import Invalid
from trading.domain.monitoring import Book, Known, Outcome, Plan, RecordedOrder, Step, Write, deed_json
from trading.services.ports.monitoring import BrokerAccount, CycleReport

LOCK_FAMILY = 7020
"""First number of the advisory locks of accounts; the second is the account."""

_ACCOUNT = """select b.id, b.portfolio_id, p.name as portfolio, p.owner_id, u.username as owner,
        u.disabled_at is not null as owner_disabled, b.name, b.adapter, b.base_url, b.key_name, b.enabled, b.steps,
        b.cycle_s, b.started_ts_ns
    from broker_account b join portfolio p on p.id = b.portfolio_id join app_user u on u.id = p.owner_id
    where p.archived_at is null"""

_KEEP_ORDER = """insert into broker_order (account_id, order_id, client_id, instrument_id, side, type, tif,
        quantity_lots, filled_lots, limit_ticks, stop_ticks, state, reason, purpose, attempt, first_limit_ticks,
        seen_ts_ns, over_ts_ns)
    values (%(account_id)s, %(order_id)s, %(client_id)s, %(instrument_id)s, %(side)s, %(type)s, %(time_in_force)s,
        %(quantity_lots)s, %(filled_lots)s, %(limit_ticks)s, %(stop_ticks)s, %(state)s, %(reason)s, %(purpose)s,
        %(attempt)s, %(first_limit_ticks)s, %(seen_ts_ns)s, %(over_ts_ns)s)
    on conflict (account_id, order_id) do update set quantity_lots = excluded.quantity_lots,
        filled_lots = excluded.filled_lots, limit_ticks = excluded.limit_ticks, stop_ticks = excluded.stop_ticks,
        state = excluded.state, reason = excluded.reason, over_ts_ns = excluded.over_ts_ns"""

Rows = psycopg.Cursor[DictRow]


class PostgresMonitoring:
    """`trading.services.ports.monitoring.MonitoringStore` on the app's role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # Accounts and plans -------------------------------------------------------------------------------------------

    def accounts(self, owner_id: int | None = None) -> Sequence[BrokerAccount]:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            rows.execute(f"{_ACCOUNT} and (%(owner)s::bigint is null or p.owner_id = %(owner)s) order by b.id",
                         {"owner": owner_id})  # fmt: skip
            return [kept.account_of(row) for row in rows]

    def account(self, portfolio_id: int, account_id: int) -> BrokerAccount | None:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            row = rows.execute(
                f"{_ACCOUNT} and b.portfolio_id = %s and b.id = %s", (portfolio_id, account_id)
            ).fetchone()
        return None if row is None else kept.account_of(row)

    def open_account(
        self, portfolio_id: int, name: str, adapter: str, base_url: str, key_name: str, actor_id: int, origin: str
    ) -> int:
        """See `MonitoringStore`."""
        try:
            with cursor(self._pool, transaction=True) as rows:
                rows.execute(
                    "insert into broker_account (portfolio_id, name, adapter, base_url, key_name, steps)"
                    " values (%s, %s, %s, %s, %s, %s) returning id",
                    (portfolio_id, name, adapter, base_url, key_name, list(Step)),
                )
                account_id = int(rows.fetchall()[0]["id"])
                detail = {"portfolio_id": portfolio_id, "name": name, "adapter": adapter, "base_url": base_url}
                _audit(rows, actor_id, "monitoring.open_account", account_id, origin, detail)
                return account_id
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name == "broker_account_paper":
                raise Invalid("this portfolio's own account is watched already", "paper_taken") from None
            raise Invalid(f"the portfolio has an account called {name}", "name_taken") from None

    def switch(
        self, account_id: int, enabled: bool, steps: Collection[Step], cycle_s: int, actor_id: int, origin: str
    ) -> None:
        """See `MonitoringStore`."""
        chosen = [step for step in Step if step in steps]
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "update broker_account set enabled = %s, steps = %s, cycle_s = %s where id = %s",
                (enabled, chosen, cycle_s, account_id),
            )
            detail = {"enabled": enabled, "steps": chosen, "cycle_s": cycle_s}
            _audit(rows, actor_id, "monitoring.switch", account_id, origin, detail)

    def plans(self, account_id: int) -> Mapping[int, Plan]:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            rows.execute(f"select {kept.PLAN_COLUMNS} from broker_plan where account_id = %s", (account_id,))
            return {row["instrument_id"]: kept.plan_of(row) for row in rows}

    def set_plan(self, account_id: int, plan: Plan, actor_id: int, origin: str) -> None:
        """See `MonitoringStore`."""
        values = kept.plan_row(plan)
        names = ", ".join(values)
        marks = ", ".join(f"%({name})s" for name in values)
        changes = ", ".join(f"{name} = excluded.{name}" for name in values)
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                f"insert into broker_plan (account_id, {names}) values (%(account_id)s, {marks})"
                f" on conflict (account_id, instrument_id) do update set {changes}",
                {**values, "account_id": account_id},
            )
            _audit(rows, actor_id, "monitoring.set_plan", account_id, origin, values)

    def clear_plan(self, account_id: int, instrument_id: int, actor_id: int, origin: str) -> bool:
        """See `MonitoringStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "delete from broker_plan where account_id = %s and instrument_id = %s", (account_id, instrument_id)
            )
            if not rows.rowcount:
                return False
            _audit(rows, actor_id, "monitoring.clear_plan", account_id, origin, {"instrument_id": instrument_id})
            return True

    # A cycle ------------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, account_id: int) -> Iterator[bool]:
        """See `MonitoringStore`. A session's lock: no transaction is open while the broker is asked."""
        with connection_of(self._pool) as connection:
            got = bool(scalar(connection, "select pg_try_advisory_lock(%s, %s)", (LOCK_FAMILY, account_id)))
            try:
                yield got
            finally:
                if got and not connection.closed:
                    connection.execute("select pg_advisory_unlock(%s, %s)", (LOCK_FAMILY, account_id))

    def started(self, account_id: int, ts_ns: int) -> None:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            rows.execute("update broker_account set started_ts_ns = %s where id = %s", (ts_ns, account_id))

    def known(self, account_id: int, since_ns: int) -> Known:
        """See `MonitoringStore`."""
        at = {"account": account_id, "since": since_ns}
        with cursor(self._pool, transaction=True) as rows:
            rows.execute("set transaction isolation level repeatable read, read only")
            rows.execute("select cursor, executions from broker_account where id = %(account)s", at)
            account = rows.fetchall()[0]
            rows.execute(
                "select * from broker_order where account_id = %(account)s"
                " and (over_ts_ns is null or over_ts_ns >= %(since)s)",
                at,
            )
            orders = {row["order_id"]: kept.order_of(row) for row in rows}
            books = self._books(rows, account_id)
            rows.execute(
                "select e.* from broker_execution e left join broker_book b using (account_id, instrument_id)"
                " where e.account_id = %(account)s and e.number > coalesce(b.through, 0) order by e.number",
                at,
            )
            unfolded = tuple((row["number"], kept.execution_of(row)) for row in rows)
            rows.execute(
                "select * from broker_write where account_id = %(account)s and (outcome = 'pending'"
                " or settled_ts_ns >= %(since)s or order_id = any(%(ids)s)) order by begun_ts_ns, key",
                {**at, "ids": list(orders)},
            )
            writes = tuple(kept.write_of(row) for row in rows)
        return Known(account["cursor"], account["executions"], orders, books, unfolded, writes)

    def record_books(self, account_id: int, books: Sequence[Book]) -> None:
        """See `MonitoringStore`."""
        with cursor(self._pool, transaction=True) as rows:
            for book in books:
                rows.execute(
                    "insert into broker_book (account_id, instrument_id, through, position_lots, realised, fees, lots)"
                    " values (%s, %s, %s, %s, %s, %s, %s) on conflict (account_id, instrument_id) do update"
                    " set through = excluded.through, position_lots = excluded.position_lots,"
                    " realised = excluded.realised, fees = excluded.fees, lots = excluded.lots"
                    " where broker_book.through < excluded.through",
                    (
                        account_id,
                        book.instrument_id,
                        book.through,
                        book.position_lots,
                        book.realised,
                        book.fees,
                        Jsonb(kept.lots_json(book)),
                    ),
                )

    def record_orders(
        self, account_id: int, orders: Sequence[RecordedOrder], first_number: int, executions: Sequence[Execution]
    ) -> None:
        """See `MonitoringStore`."""
        with cursor(self._pool, transaction=True) as rows:
            for recorded in orders:
                rows.execute(_KEEP_ORDER, kept.order_row(account_id, recorded))
            for number, run in enumerate(executions, first_number):
                rows.execute(
                    "insert into broker_execution (account_id, number, cursor, order_id, instrument_id, side,"
                    " price_ticks, quantity_lots, fee, ts_ns) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (
                        account_id, number, run.cursor, run.order_id, run.instrument_id, run.side, run.price_ticks,
                        run.quantity_lots, run.fee, run.ts_ns,
                    ),
                )  # fmt: skip
            if executions:
                rows.execute(
                    "update broker_account set cursor = %s, executions = %s where id = %s",
                    (executions[-1].cursor, first_number + len(executions) - 1, account_id),
                )

    def begin_write(self, account_id: int, write: Write, ts_ns: int) -> Write:
        """See `MonitoringStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "insert into broker_write (account_id, key, cause, number, step, deed, purpose, attempt, begun_ts_ns)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (account_id, key) do nothing",
                (
                    account_id, write.key, write.cause, write.number, write.step, Jsonb(deed_json(write.deed)),
                    write.purpose, write.attempt, ts_ns,
                ),
            )  # fmt: skip
            if rows.rowcount:
                detail = {"key": write.key, **deed_json(write.deed)}
                _audit(rows, 0, f"monitoring.{write.step}", account_id, "monitor", detail)
            rows.execute("select * from broker_write where account_id = %s and key = %s", (account_id, write.key))
            return kept.write_of(rows.fetchall()[0])

    def settle_write(self, account_id: int, write: Write, order: RecordedOrder | None) -> None:
        """See `MonitoringStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "update broker_write set outcome = %s, order_id = %s, code = %s, reason = %s, settled_ts_ns = %s"
                " where account_id = %s and key = %s and outcome = 'pending'",
                (
                    write.outcome, write.order_id, write.code, write.reason[:500], write.settled_ts_ns, account_id,
                    write.key,
                ),
            )  # fmt: skip
            if rows.rowcount and write.outcome is Outcome.REFUSED:
                detail = {"key": write.key, "reason": write.reason[:500]}
                _audit(rows, 0, f"monitoring.{write.step}", account_id, "monitor", detail, write.code)
            if order is not None:
                rows.execute(_KEEP_ORDER, kept.order_row(account_id, order))

    def drop(self, account_id: int, order_ids: Sequence[str], keys: Sequence[str]) -> None:
        """See `MonitoringStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "update broker_order set dropped = true where account_id = %s and order_id = any(%s)",
                (account_id, list(order_ids)),
            )
            rows.execute(
                "update broker_write set dropped = true where account_id = %s and key = any(%s)",
                (account_id, list(keys)),
            )
            detail = {"orders": list(order_ids), "keys": list(keys)}
            _audit(rows, 0, "monitoring.drop", account_id, "monitor", detail)

    def keep_cycle(self, report: CycleReport) -> None:
        """See `MonitoringStore`."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "insert into monitor_cycle (account_id, ts_ns, took_ms, by_whom, asked) values (%s, %s, %s, %s, %s)"
                " returning id",
                (report.account_id, report.ts_ns, report.took_ms, report.by, report.asked),
            )
            cycle_id = rows.fetchall()[0]["id"]
            rows.executemany(
                "insert into monitor_step (cycle_id, step, state, found, done, took_ms, error, detail)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        cycle_id, step.step, step.state, step.found, step.done, step.took_ms, step.error[:500],
                        Jsonb({"v": 1, **step.detail}),
                    )
                    for step in report.steps
                ],
            )  # fmt: skip

    # Looking ------------------------------------------------------------------------------------------------------

    def cycles(self, account_id: int, limit: int) -> Sequence[CycleReport]:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            rows.execute(
                "select c.id, c.account_id, c.ts_ns, c.took_ms, c.by_whom, c.asked, array_agg(to_jsonb(s)) as steps"
                " from (select * from monitor_cycle where account_id = %s order by id desc limit %s) c"
                " join monitor_step s on s.cycle_id = c.id group by 1, 2, 3, 4, 5, 6 order by c.id desc",
                (account_id, limit),
            )
            return [kept.cycle_of(row) for row in rows]

    def working(self, account_id: int, limit: int) -> Sequence[RecordedOrder]:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            rows.execute(
                "select * from broker_order where account_id = %s and not dropped"
                " order by over_ts_ns is null desc, seen_ts_ns desc, order_id desc limit %s",
                (account_id, limit),
            )
            return [kept.order_of(row) for row in rows]

    def books(self, account_id: int) -> Sequence[Book]:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            return list(self._books(rows, account_id).values())

    def _books(self, rows: Rows, account_id: int) -> dict[int, Book]:
        rows.execute("select * from broker_book where account_id = %s order by instrument_id", (account_id,))
        return {row["instrument_id"]: kept.book_of(row) for row in rows}

    def fair_ticks(self, instrument_ids: Sequence[int], now_ns: int) -> Mapping[int, int]:
        """See `MonitoringStore`."""
        with cursor(self._pool) as rows:
            rows.execute(
                "select instrument_id, price_ticks from fair_price where instrument_id = any(%s) and until_ts_ns > %s",
                (list(instrument_ids), now_ns),
            )
            return {row["instrument_id"]: row["price_ticks"] for row in rows}

    def state_fair_price(
        self, instrument_id: int, price_ticks: int, source: str, until_ts_ns: int, actor_id: int, origin: str
    ) -> None:
        """See `MonitoringStore`."""
        detail: dict[str, Any] = {"price_ticks": price_ticks, "source": source, "until_ts_ns": until_ts_ns}
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "insert into fair_price (instrument_id, price_ticks, source, until_ts_ns) values (%s, %s, %s, %s)"
                " on conflict (instrument_id) do update set price_ticks = excluded.price_ticks,"
                " source = excluded.source, until_ts_ns = excluded.until_ts_ns",
                (instrument_id, price_ticks, source, until_ts_ns),
            )
            rows.execute(
                "insert into audit (user_id, action, subject, result, origin, detail)"
                " values (nullif(%s, 0), 'monitoring.state_fair_price', %s, 'ok', %s, %s)",
                (actor_id, f"instrument:{instrument_id}", origin, Jsonb({"v": 1, **detail})),
            )


def _audit(
    rows: Rows, actor_id: int, action: str, account_id: int, origin: str, detail: Mapping[str, Any], code: str = ""
) -> None:
    """A row of the trail about an account; with a ``code`` it tells of a refusal."""
    rows.execute(
        "insert into audit (user_id, action, subject, result, code, origin, detail)"
        " values (nullif(%s, 0), %s, %s, %s, %s, %s, %s)",
        (
            actor_id, action, f"account:{account_id}", "refused" if code else "ok", code[:80], origin,
            Jsonb({"v": 1, **detail}),
        ),
    )  # fmt: skip
