"""The audit trail: every deed and every refusal is in it, it is found, and nobody edits it."""

import csv
import importlib
import io
import json
import pkgutil
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from shared_servers import Database
from trading_floor import TradingFloor

import trading.services
from trading.domain.errors import Conflict, Forbidden, Invalid, NotFound
from trading.domain.fees import FeeSchedule
from trading.domain.margin import REG_T
from trading.domain.monitoring import Plan
from trading.domain.orders import Change, OrderType, Side, Ticket
from trading.services import (
    actions,
    audit,
    backups,
    batches,
    compliance,
    desk,
    fees,
    halt,
    interest,
    ledger,
    limits,
    margin,
    monitoring,
    parents,
    people,
    queries,
    research,
    schedules,
    verify,
    wallet,
)
from trading.services.access import OPERATIONS, SYSTEM, Actor, Role
from trading.services.ports.audit import AuditFilter
from trading.services.ports.batches import BatchMode
from trading.services.ports.parents import Style
from trading.services.ports.risk import Figures
from trading.services.reading import READING, TOLD_AFTER

for _module in pkgutil.iter_modules(trading.services.__path__):
    importlib.import_module(f"trading.services.{_module.name}")

PASSWORD = "correct horse battery"
TICKET = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1", "99.00")
EX_DATE = date(2026, 12, 1)
LATER = "2026-12-01T15:00:00+00:00"

PERIODIC = {
    "backups.record",
    "compliance.prune",
    "interest.accrue_due",
    "interest.accrue_interest",
    "monitoring.run_due",
    "parents.work_all",
    "research.keep_backtest",
    "research.keep_model",
    "research.keep_sweep",
    "schedules.fire_due",
    "statements.keep_balances",
    "verify.keep_head",
    "verify.run_new",
    "wallet.expire_due",
}
"""What the floor does by itself: each order, write or deletion in it has a row of its own, a look at nothing none."""


class World:
    """A floor with a trader, two admins and an observer."""

    def __init__(self, floor: TradingFloor) -> None:
        self.kit, self.floor, self.tina, self.portfolio = floor, floor.floor, floor.trader, floor.portfolio
        made = {
            name: self.floor.people.create_user(name, name.title(), role, "no-password", 0)
            for name, role in (("adam", "admin"), ("olga", "observer"), ("gone", "trader"))
        }
        made["eve"] = people.create_user(self.floor, SYSTEM, "eve", "Eve", "admin", PASSWORD)
        self.ids = {name: user.id for name, user in made.items()}
        self.adam = Actor(self.ids["adam"], "adam", Role.ADMIN, "adams-token", "test")
        self.eve = Actor(self.ids["eve"], "eve", Role.ADMIN, "eves-token", "test")
        floor.quote("99.99", "100.00")
        self.account = monitoring.open_account(self.floor, SYSTEM, self.portfolio, "Own", "paper")
        monitoring.switch(self.floor, SYSTEM, self.portfolio, self.account, True, ())

    def order(self) -> int:
        """A fresh order of the trader's that rests."""
        answer = self.kit.accepted("buy", "1", "98.00")
        self.kit.run_broker()
        return answer.order_id

    def split(self, day: int) -> int:
        return actions.enter_split(
            self.floor, self.adam, "MSFT", EX_DATE + timedelta(days=day), 2, 1, reference_price="50.00"
        )

    def request(self) -> int:
        return wallet.request(self.floor, self.tina, self.portfolio, "withdrawal", "10.00", f"r{time.monotonic_ns()}")

    def schedule(self) -> int:
        timing = schedules.Timing(at=LATER)
        made = schedules.create(self.floor, self.tina, self.portfolio, TICKET, timing, f"s{time.monotonic_ns()}")
        assert isinstance(made, schedules.Schedule), made
        return made.id

    def parent(self) -> int:
        working = parents.Working(Style.TWAP, 10, slices=2)
        ticket = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "10", "99.00")
        made = parents.create(self.floor, self.tina, self.portfolio, ticket, working, f"p{time.monotonic_ns()}")
        assert isinstance(made, parents.WorkedParent), made
        return made.id


Deed = Callable[[World], Any]

# How each use case that writes is done once, and by whom: whatever is new has to find its place here.
DEEDS: dict[str, Deed] = {
    "actions.book": lambda w: actions.book(w.floor, w.adam, w.split(1)),
    "actions.bring_forward": lambda w: actions.bring_forward(w.floor, w.adam, w.split(4)),
    "actions.cancel": lambda w: actions.cancel(w.floor, w.adam, w.split(2)),
    "actions.enter_dividend": lambda w: actions.enter_dividend(w.floor, w.adam, "IBM", EX_DATE, "0.10"),
    "actions.enter_file": lambda w: actions.enter_file(
        w.floor, w.adam, "symbol,ex_date,split_ratio,cash_dividend\nIBM,2026-11-30,1,0.25\n", "a test"
    ),
    "actions.enter_split": lambda w: w.split(3),
    "audit.export": lambda w: audit.export(w.floor, w.adam, AuditFilter(), "csv"),
    "backups.ask": lambda w: backups.ask(w.floor, w.adam),
    "batches.submit": lambda w: batches.submit(w.floor, w.tina, w.portfolio, [TICKET], BatchMode.ALL, "b"),
    "compliance.erase_person": lambda w: compliance.erase_person(w.floor, w.adam, w.ids["gone"], "gone"),
    "compliance.export_own": lambda w: compliance.export_own(w.floor, w.tina),
    "compliance.export_person": lambda w: compliance.export_person(w.floor, w.adam, w.tina.user_id),
    "compliance.set_retention": lambda w: compliance.set_retention(w.floor, w.adam, "sessions", 60),
    "desk.cancel": lambda w: desk.cancel(w.floor, w.tina, w.portfolio, w.order()),
    "desk.modify": lambda w: desk.modify(w.floor, w.tina, w.portfolio, w.order(), Change(limit_price="97.00"), "m"),
    "desk.submit": lambda w: desk.submit(w.floor, w.tina, w.portfolio, TICKET, "d"),
    "fees.set_listed": lambda w: fees.set_listed(w.floor, w.adam, "AAPL", sorted(fees.LISTED)[0]),
    "fees.set_schedule": lambda w: fees.set_schedule(w.floor, w.adam, "AAPL", FeeSchedule(2, 500, 0, 100)),
    "halt.set_mode": lambda w: halt.set_mode(w.floor, w.adam, "floor", "running", "a drill"),
    "interest.set_rate": lambda w: interest.set_rate(w.floor, w.adam, "USD", "5.25", "a test"),
    "ledger.deposit": lambda w: ledger.deposit(w.floor, w.adam, w.portfolio, "5.00", "d1"),
    "ledger.withdraw": lambda w: ledger.withdraw(w.floor, w.adam, w.portfolio, "5.00", "w1"),
    "limits.restrict": lambda w: limits.restrict(w.floor, w.adam, w.kit.instrument("MSFT").id, "no_opening", "a test"),
    "limits.set_limits": lambda w: limits.set_limits(
        w.floor, w.adam, f"portfolio:{w.portfolio}", Figures(max_open_orders=100), "a test"
    ),
    "limits.set_tier": lambda w: limits.set_tier(w.floor, w.adam, w.tina.user_id, "standard", "a test"),
    "margin.set_policy": lambda w: margin.set_policy(w.floor, w.adam, "equity", REG_T, "a test"),
    "monitoring.clear_plan": lambda w: (
        monitoring.set_plan(w.floor, w.tina, w.portfolio, w.account, Plan(w.kit.aapl.id)),
        monitoring.clear_plan(w.floor, w.tina, w.portfolio, w.account, w.kit.aapl.id),
    ),
    "monitoring.open_account": lambda w: monitoring.open_account(
        w.floor, w.adam, w.portfolio, "Else", "remote", "https://broker.example", "k"
    ),
    "monitoring.run_now": lambda w: monitoring.run_now(w.floor, w.tina, w.portfolio, w.account),
    "monitoring.set_plan": lambda w: monitoring.set_plan(w.floor, w.tina, w.portfolio, w.account, Plan(w.kit.aapl.id)),
    "monitoring.state_fair_price": lambda w: monitoring.state_fair_price(
        w.floor, w.adam, "AAPL", "100.00", "a model", 60
    ),
    "monitoring.switch": lambda w: monitoring.switch(w.floor, w.tina, w.portfolio, w.account, False, ()),
    "parents.cancel": lambda w: parents.cancel(w.floor, w.tina, w.portfolio, w.parent()),
    "parents.create": lambda w: w.parent(),
    "people.change_own_password": lambda w: people.change_own_password(w.floor, w.eve, PASSWORD, "another password"),
    "people.create_portfolio": lambda w: people.create_portfolio(w.floor, w.adam, w.tina.user_id, "Second"),
    "people.create_user": lambda w: people.create_user(w.floor, w.adam, "new", "New", "trader", PASSWORD),
    "people.grant": lambda w: people.grant(w.floor, w.adam, w.portfolio, w.ids["olga"]),
    "people.revoke_grant": lambda w: (
        people.grant(w.floor, SYSTEM, w.portfolio, w.ids["olga"]),
        people.revoke_grant(w.floor, w.adam, w.portfolio, w.ids["olga"]),
    ),
    "people.set_disabled": lambda w: people.set_disabled(w.floor, w.adam, w.ids["olga"], True),
    "people.set_password": lambda w: people.set_password(w.floor, w.adam, w.ids["olga"], "another password"),
    "people.set_role": lambda w: people.set_role(w.floor, w.adam, w.ids["gone"], "observer"),
    "schedules.cancel": lambda w: schedules.cancel(w.floor, w.tina, w.portfolio, w.schedule()),
    "schedules.create": lambda w: w.schedule(),
    "schedules.pause": lambda w: schedules.pause(w.floor, w.tina, w.portfolio, w.schedule()),
    "schedules.resume": lambda w: [
        act(w.floor, w.tina, w.portfolio, number)
        for number in [w.schedule()]
        for act in (schedules.pause, schedules.resume)
    ],
    "verify.run": lambda w: verify.run(w.floor, w.adam),
    "wallet.approve": lambda w: wallet.approve(w.floor, w.adam, w.request()),
    "wallet.decline": lambda w: wallet.decline(w.floor, w.adam, w.request(), "no"),
    "wallet.request": lambda w: w.request(),
    "wallet.set_limit": lambda w: wallet.set_limit(w.floor, w.adam, "USD", "5000.00"),
    "wallet.reset": lambda w: wallet.reset(w.floor, w.adam, w.kit.add_trader("theo", "1.00")[1], "Main"),
    "wallet.take_back": lambda w: wallet.take_back(w.floor, w.tina, w.request()),
}

ELSEWHERE = {
    "fx.convert": "the tests of conversion, which have two currencies and a price between them",
    "ingest.ingest_inbox": "a folder of files; told after the deed like those below",
    "ingest.ingest_path": "the same",
    "ingest.ingest_shipped": "the same",
    "limits.reset_drawdown": "tests/services/test_limits.py, where a breaker trips first",
    "night.archive_log": "moves proven segments; told after the deed",
    "night.tidy_lake": "the same",
    "parents.resume": "tests of parents, where one stopped first",
    "people.switch_portfolio": "tests of portfolio sessions, where there is a session to switch",
    "research.run_nightly": "a run of Dagster's; told after the deed",
}


@pytest.fixture
def world(floor: TradingFloor) -> World:
    return World(floor)


def rows_since(world: World, last: int) -> list[tuple[Any, ...]]:
    return world.kit.query("select user_id, action, result, code from audit where id > %s order by id", last)


def last_row(world: World) -> int:
    return int(world.kit.query("select coalesce(max(id), 0) from audit")[0][0])


def test_every_use_case_is_known_to_read_or_to_write() -> None:
    placed = set(READING) | set(DEEDS) | set(ELSEWHERE) | PERIODIC
    assert sorted(OPERATIONS) == sorted(placed), (
        "a use case that nobody placed: does it read, write, or run by the clock?"
    )
    assert not set(READING) & set(DEEDS)
    assert set(DEEDS) | set(ELSEWHERE) >= TOLD_AFTER


def test_every_deed_leaves_its_row_with_who_did_it(world: World) -> None:
    silent = []
    for name, deed in DEEDS.items():
        last = last_row(world)
        deed(world)
        told = [row for row in rows_since(world, last) if row[2] == "ok" and row[1] != "access.portfolio"]
        who = {world.tina.user_id, world.adam.user_id, world.eve.user_id}
        if not [row for row in told if row[0] in who]:
            silent.append(name)
    assert silent == []


def test_every_call_outside_its_rule_is_refused_with_a_row(world: World) -> None:
    stranger = Actor(world.tina.user_id, "tina", "stranger")  # type: ignore[arg-type]
    for name, each in OPERATIONS.items():
        last = last_row(world)
        with pytest.raises(Forbidden):
            each.call(world.floor, stranger, world.portfolio)
        assert rows_since(world, last) == [(world.tina.user_id, name, "refused", "forbidden")]


REFUSED: dict[str, tuple[Deed, str]] = {
    "actions.cancel": (lambda w: actions.cancel(w.floor, w.adam, 999_999), "not_pending"),
    "compliance.erase_person": (
        lambda w: compliance.erase_person(w.floor, w.adam, w.ids["gone"], "x"),
        "not_confirmed",
    ),
    "fees.set_listed": (lambda w: fees.set_listed(w.floor, w.adam, "AAPL", "none"), "not_found"),
    "halt.set_mode": (lambda w: halt.set_mode(w.floor, w.adam, "floor", "halted", ""), "reason_missing"),
    "ledger.deposit": (lambda w: ledger.deposit(w.floor, w.adam, w.portfolio, "0.001", "k"), "off_step"),
    "ledger.withdraw": (lambda w: ledger.withdraw(w.floor, w.adam, w.portfolio, "999999999", "k2"), ""),
    "monitoring.switch": (
        lambda w: monitoring.switch(w.floor, w.tina, w.portfolio, w.account, True, ("x",)),
        "bad_step",
    ),
    "people.create_user": (
        lambda w: people.create_user(w.floor, w.adam, "adam", "A", "admin", PASSWORD),
        "username_taken",
    ),
    "people.set_role": (lambda w: people.set_role(w.floor, w.adam, w.adam.user_id, "trader"), "own_login"),
    "wallet.approve": (lambda w: wallet.approve(w.floor, w.adam, 999_999), ""),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_a_use_case_refuses_is_told_once(world: World, name: str) -> None:
    deed, code = REFUSED[name]
    last = last_row(world)
    with pytest.raises((Invalid, NotFound, Conflict)) as refused:
        deed(world)
    told = [row for row in rows_since(world, last) if row[2] == "refused"]
    assert len(told) == 1, told
    assert (told[0][0], told[0][3]) == (world.adam.user_id if told[0][0] != world.tina.user_id else told[0][0],
                                        code or refused.value.code)  # fmt: skip


def test_the_desk_s_own_refusal_is_told_once(world: World) -> None:
    last = last_row(world)
    assert world.kit.order("sell", "1")
    assert [row[3] for row in rows_since(world, last)] == ["insufficient_position"]


def test_a_read_that_finds_nothing_is_no_refusal(world: World) -> None:
    last = last_row(world)
    with pytest.raises(NotFound):
        queries.order(world.floor, world.tina, world.portfolio, 999_999)
    assert rows_since(world, last) == []


# Looks ----------------------------------------------------------------------------------------------------------------


def test_a_look_at_another_s_portfolio_is_told_once_for_each_session_portfolio_and_hour(world: World) -> None:
    def looks() -> list[tuple[Any, ...]]:
        return world.kit.query(
            "select user_id, subject, detail ->> 'first' from audit where action = 'access.portfolio' order by id"
        )

    _, other = world.kit.add_trader("theo", "100.00")
    for _ in range(5):
        queries.cash(world.floor, world.adam, world.portfolio)
        queries.orders(world.floor, world.adam, world.portfolio)
    adams = (world.adam.user_id, f"portfolio:{world.portfolio}", "queries.cash")
    assert looks() == [adams]
    queries.cash(world.floor, world.adam, other)
    queries.cash(world.floor, world.eve, world.portfolio)
    assert len(looks()) == 3
    world.kit.clock.advance(3600)
    queries.cash(world.floor, world.adam, world.portfolio)
    assert looks()[3:] == [adams]
    queries.cash(world.floor, world.tina, world.portfolio)  # her own
    verify.run(world.floor, SYSTEM)
    assert len(looks()) == 4


def test_a_look_in_another_process_is_the_same_look(world: World) -> None:
    from trading.adapters.postgres.audit_store import PostgresAudit

    for store in (PostgresAudit(world.kit.pool), PostgresAudit(world.kit.pool)):
        store.looked(world.adam.user_id, "t", world.portfolio, world.kit.clock.now_ns(), "queries.cash", "test")
    assert world.kit.query("select count(*) from audit where action = 'access.portfolio'") == [(1,)]


# Search and export ----------------------------------------------------------------------------------------------------


def found(world: World, **wanted: Any) -> list[tuple[str, str, str]]:
    rows = audit.search(world.floor, world.adam, AuditFilter(**wanted), limit=500).rows
    return [(row["username"], row["action"], row["code"]) for row in rows]


def test_the_trail_is_searched_by_user_deed_subject_result_time_and_text(world: World) -> None:
    desk.submit(world.floor, world.tina, world.portfolio, TICKET, "one")
    world.kit.order("sell", "1")
    assert ("tina", "desk.submit", "") in found(world, user="Tina")
    assert {row[0] for row in found(world, user="tina")} == {"tina"}
    assert {row[1] for row in found(world, action="desk.")} == {"desk.submit"}
    assert found(world, action="desk.submit", result="refused") == [("tina", "desk.submit", "insufficient_position")]
    assert {row[1] for row in found(world, subject=f"account:{world.account}")} == {
        "monitoring.open_account",
        "monitoring.switch",
    }
    assert found(world, text="insufficient_pos") == [("tina", "desk.submit", "insufficient_position")]
    assert found(world, text="%") == []
    (now,) = world.kit.query("select now()")[0]
    assert found(world, since=now + timedelta(hours=1)) == []
    assert len(found(world, since=now - timedelta(hours=1), until=now + timedelta(hours=1))) == len(found(world))
    assert found(world, user="nobody-of-this-name") == []


def test_pages_follow_each_other_without_a_gap_while_rows_come_in(world: World) -> None:
    def ids(before: int | None) -> tuple[list[int], int | None]:
        page = audit.search(world.floor, world.adam, AuditFilter(), before, 7)
        return [row["id"] for row in page.rows], page.next_before

    whole = [row[0] for row in world.kit.query("select id from audit order by id desc")]
    seen, before = ids(None)
    while before is not None:
        halt.set_mode(world.floor, world.adam, "floor", "running", "a drill")
        more, before = ids(before)
        seen += more
    assert seen == whole


def test_a_search_for_text_reads_a_bounded_piece_and_says_where_to_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trading.adapters.postgres import audit_store

    monkeypatch.setattr(audit_store, "SCANNED_MAX", 5)
    for _ in range(12):
        halt.set_mode(world.floor, world.adam, "floor", "running", "a drill")
    page = audit.search(world.floor, world.adam, AuditFilter(text="monitoring.open_account"))
    steps = 0
    while not page.rows and page.next_before is not None:
        page = audit.search(world.floor, world.adam, AuditFilter(text="monitoring.open_account"), page.next_before)
        steps += 1
    assert (len(page.rows), steps >= 2) == (1, True)


def test_searches_use_an_index(world: World) -> None:
    world.kit.query("insert into audit (user_id, action, subject, result) select 1 + mod(n, 50), 'a.' || mod(n, 40),"
                    " 's:' || n, 'ok' from generate_series(1, 20000) n")  # fmt: skip
    world.kit.query("analyze audit")
    for condition in ("user_id = 7", "subject = 's:77'", "action >= 'a.7' and action < 'a.8'"):
        plan = world.kit.query(f"explain select * from audit where {condition} order by id desc limit 100")
        assert any("Index" in row[0] or "Bitmap" in row[0] for row in plan), plan


def test_an_export_is_safe_for_spreadsheets_whole_and_leaves_its_own_row(world: World) -> None:
    world.kit.query("insert into audit (action, subject, result, code, origin) values"
                    " ('login', '=cmd|x', 'refused', '+1', '@home')")  # fmt: skip
    content = audit.export(world.floor, world.adam, AuditFilter(), "csv").decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert (rows[0]["subject"], rows[0]["code"], rows[0]["origin"]) == ("'=cmd|x", "'+1", "'@home")
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    lines = audit.export(world.floor, world.adam, AuditFilter(result="refused"), "jsonl").decode().splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["=cmd|x"]
    newest = world.kit.query("select user_id, subject, detail from audit where action = 'audit.export' order by id")
    assert newest == [
        (world.adam.user_id, "csv", {"v": 1, "rows": len(rows), "filter": {}}),
        (world.adam.user_id, "jsonl", {"v": 1, "rows": 1, "filter": {"result": "refused"}}),
    ]


def test_nobody_edits_the_trail_not_even_with_the_erasing_switch(world: World) -> None:
    with psycopg.connect(world.kit.database.dsn("tf_app"), autocommit=True) as connection:
        connection.execute("select set_config('tradefloor.erasing', 'on', false)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update audit set subject = 'x'")
    with psycopg.connect(world.kit.database.dsn(), autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="history is kept"):
            connection.execute("update audit set subject = 'x'")
        connection.execute("set role tf_owner")
        connection.execute("select set_config('tradefloor.erasing', 'on', false)")
        with pytest.raises(psycopg.Error, match="history is kept"):
            connection.execute("update audit set result = 'ok', action = 'x'")


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    yield own
    own.close()


def test_a_look_at_what_research_found_is_no_deed(world: World) -> None:
    kept = pd.DataFrame({"fast": [10], "slow": [50], "sharpe": [0.5]})
    research.keep_sweep(world.floor, SYSTEM, "sma_cross", kept, {})
    before = last_row(world)
    assert len(research.sweep(world.floor, world.adam)) == 1
    with pytest.raises(NotFound):
        research.backtest(world.floor, world.adam, "no such thing")
    assert rows_since(world, before) == []
