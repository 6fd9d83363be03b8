"""Scheduled orders in Postgres; each deed and its audit row are one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from trading.adapters.postgres.desk_store import SUBMIT, answer_of, digest_of
from trading.adapters.postgres.planned import claim
from trading.adapters.postgres.pool import Pool, cursor
from trading.adapters.postgres.rows import ticket_of
from trading.services.ports.schedules import DueRun, Firing, Outcome, Schedule, ScheduleState, WhenClosed

CREATE = "schedules.create"
LIST_MAX = 500

_COLUMNS = """s.id, s.portfolio_id, s.ticket, s.cron, s.zone, s.when_closed, s.grace_s, s.state, s.next_due_ns,
    s.created_ts_ns"""
_DUE = f"""select {_COLUMNS}, s.actor_id, u.username, u.role, u.disabled_at is not null as disabled,
        coalesce((select v.profile ->> 'calendar' from instrument i join instrument_version v on v.instrument_id = i.id
            where i.symbol = s.ticket ->> 'symbol' and i.venue = s.ticket ->> 'venue' order by v.version desc limit 1),
            '24/7') as calendar,
        (select k.answer from idempotency_key k where k.user_id = s.actor_id and k.operation = '{SUBMIT}'
            and k.key = 'schedule:' || s.id || ':' || s.next_due_ns) as answer
    from schedule s join app_user u on u.id = s.actor_id
    where s.state = 'active' and s.next_due_ns <= %s order by s.next_due_ns, s.id limit %s"""

Rows = psycopg.Cursor[DictRow]


class PostgresSchedules:
    """Implements `trading.services.ports.schedules.ScheduleStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def create(self, user_id: int, key: str, schedule: Schedule, most: int, origin: str) -> int | None:
        """See the port."""
        body = [schedule.portfolio_id, asdict(schedule.ticket), schedule.cron, schedule.when_closed, schedule.grace_s]
        once_ns = schedule.next_due_ns if schedule.cron is None else None
        with cursor(self._pool, transaction=True) as rows:
            known = claim(rows, user_id, CREATE, key, digest_of([*body, once_ns]), schedule.portfolio_id)
            if known is not None:
                kept: int | None = known["schedule_id"]
                return kept
            made = _insert(rows, user_id, schedule, most)
            rows.execute(
                "update idempotency_key set answer = %s where user_id = %s and operation = %s and key = %s",
                (Jsonb({"v": 1, "schedule_id": made}), user_id, CREATE, key),
            )
            if made is None:
                return None
            _audit(rows, user_id, CREATE, made, origin, {"cron": schedule.cron, "due_ns": schedule.next_due_ns})
        return made

    def change(
        self,
        user_id: int,
        portfolio_id: int,
        schedule_id: int,
        source: ScheduleState,
        target: ScheduleState,
        next_due_ns: int | None,
        ts_ns: int,
        origin: str,
    ) -> bool:
        """See the port."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "update schedule set state = %s, next_due_ns = %s, updated_ts_ns = %s"
                " where id = %s and portfolio_id = %s and state = %s returning id",
                (target, next_due_ns, ts_ns, schedule_id, portfolio_id, source),
            )
            if rows.fetchone() is None:
                return False
            _audit(rows, user_id, f"schedules.{target}", schedule_id, origin, {"was": source})
        return True

    def one(self, portfolio_id: int, schedule_id: int) -> Schedule | None:
        """See the port."""
        found = self._schedules("s.portfolio_id = %s and s.id = %s", (portfolio_id, schedule_id))
        return found[0] if found else None

    def of(self, portfolio_id: int, open_only: bool) -> Sequence[Schedule]:
        """See the port."""
        only = " and s.state in ('active', 'paused')" if open_only else ""
        return self._schedules(f"s.portfolio_id = %s{only}", (portfolio_id,))

    def firings(self, portfolio_id: int, schedule_id: int, limit: int) -> Sequence[Firing]:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(
                "select f.due_ns, f.ts_ns, f.outcome, f.code, f.reason, f.order_id, f.runs from schedule_firing f"
                " join schedule s on s.id = f.schedule_id where s.portfolio_id = %s and f.schedule_id = %s"
                " order by f.due_ns desc limit %s",
                (portfolio_id, schedule_id, limit),
            )
            return [Firing(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows]

    def calendar(self, symbol: str, venue: str) -> str | None:
        """See the port."""
        with cursor(self._pool) as rows:
            rows.execute(
                "select coalesce(profile ->> 'calendar', '24/7') as calendar from instrument_current"
                " where symbol = %s and venue = %s",
                (symbol, venue),
            )
            row = rows.fetchone()
        return None if row is None else str(row["calendar"])

    def due(self, now_ns: int, limit: int) -> Sequence[DueRun]:
        """See the port."""
        with cursor(self._pool) as rows:
            return [_due(row) for row in rows.execute(_DUE, (now_ns, limit)).fetchall()]

    def fired(self, schedule_id: int, firing: Firing, next_due_ns: int | None) -> None:
        """See the port."""
        with cursor(self._pool, transaction=True) as rows:
            rows.execute(
                "insert into schedule_firing (schedule_id, due_ns, ts_ns, outcome, code, reason, order_id, runs)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
                (
                    schedule_id, firing.due_ns, firing.ts_ns, firing.outcome, firing.code, firing.reason,
                    firing.order_id, firing.runs,
                ),
            )  # fmt: skip
            if rows.rowcount:
                _fire_audit(rows, schedule_id, firing)
            rows.execute(
                "update schedule set next_due_ns = %(next)s, updated_ts_ns = %(now)s,"
                " state = case when %(next)s::bigint is null then 'done' else state end"
                " where id = %(id)s and next_due_ns = %(due)s and state in ('active', 'paused')",
                {"next": next_due_ns, "now": firing.ts_ns, "id": schedule_id, "due": firing.due_ns},
            )

    def _schedules(self, condition: str, parameters: tuple[int, ...]) -> list[Schedule]:
        with cursor(self._pool) as rows:
            rows.execute(
                f"select {_COLUMNS} from schedule s where {condition} order by s.id desc limit {LIST_MAX}", parameters
            )
            return [_schedule(row) for row in rows]


def _insert(rows: Rows, user_id: int, schedule: Schedule, most: int) -> int | None:
    rows.execute(
        "insert into schedule (portfolio_id, actor_id, ticket, cron, zone, when_closed, grace_s, state,"
        " next_due_ns, created_ts_ns, updated_ts_ns) select %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s"
        " where (select count(*) from schedule where portfolio_id = %s and state in ('active', 'paused')) < %s"
        " returning id",
        (
            schedule.portfolio_id, user_id, Jsonb(asdict(schedule.ticket)), schedule.cron, schedule.zone,
            schedule.when_closed, schedule.grace_s, schedule.state, schedule.next_due_ns,
            schedule.created_ts_ns, schedule.created_ts_ns, schedule.portfolio_id, most,
        ),
    )  # fmt: skip
    row = rows.fetchone()
    return None if row is None else int(row["id"])


def _schedule(row: Mapping[str, Any]) -> Schedule:
    return Schedule(
        row["id"], row["portfolio_id"], ticket_of(row["ticket"]), row["cron"], row["zone"],
        WhenClosed(row["when_closed"]), row["grace_s"], ScheduleState(row["state"]), row["next_due_ns"],
        row["created_ts_ns"],
    )  # fmt: skip


def _due(row: Mapping[str, Any]) -> DueRun:
    return DueRun(
        schedule=_schedule(row),
        due_ns=row["next_due_ns"],
        actor_id=row["actor_id"],
        username=row["username"],
        role=row["role"],
        disabled=row["disabled"],
        calendar=row["calendar"],
        answer=None if row["answer"] is None else answer_of(row["answer"]),
    )


def _audit(rows: Rows, user_id: int, action: str, schedule_id: int, origin: str, detail: Mapping[str, Any]) -> None:
    rows.execute(
        "insert into audit (user_id, action, subject, result, origin, detail) values (%s, %s, %s, 'ok', %s, %s)",
        (user_id, action, f"schedule:{schedule_id}", origin, Jsonb({"v": 1, **detail})),
    )


def _fire_audit(rows: Rows, schedule_id: int, firing: Firing) -> None:
    """The run in the trail: an order of it, and a refusal by the desk, have rows of their own beside it."""
    result = "ok" if firing.outcome is Outcome.ACCEPTED else "refused"
    rows.execute(
        "insert into audit (user_id, action, subject, result, code, origin, detail)"
        " select actor_id, 'schedules.fire', 'schedule:' || id, %s, %s, 'clerk', %s from schedule where id = %s",
        (result, firing.code, Jsonb({"v": 1, "due_ns": firing.due_ns, "runs": firing.runs}), schedule_id),
    )
