"""A person's data: handed out whole, erased under a pseudonym; and what is over is deleted in its time."""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from shared_servers import Database
from trading_floor import TradingFloor

from trading.domain.errors import Conflict, Forbidden, Invalid, NotFound
from trading.domain.orders import Refusal
from trading.processes.retention import prune
from trading.services import audit, compliance, ledger, monitoring, people
from trading.services.access import SYSTEM, Actor, Role
from trading.services.ports.audit import AuditFilter

PASSWORD = "correct horse battery"


class House:
    """An admin, and Walter Quixote, who logged in, traded, and was watched."""

    def __init__(self, floor: TradingFloor) -> None:
        self.kit, self.floor = floor, floor.floor
        admin = people.create_user(self.floor, SYSTEM, "adam", "Adam", "admin", PASSWORD)
        self.adam = Actor(admin.id, "adam", Role.ADMIN, origin="test")
        user = people.create_user(self.floor, self.adam, "walter", "Walter Quixote", "trader", PASSWORD)
        self.walter = Actor(user.id, "walter", Role.TRADER, origin="app 203.0.113.77")
        self.portfolio = people.create_portfolio(self.floor, self.adam, user.id, "Quixote's windmills").id
        ledger.deposit(self.floor, self.adam, self.portfolio, "10000.00", "opening")
        assert not isinstance(
            people.login(self.floor, "walter", PASSWORD, "gateway 203.0.113.77", "a browser"), Refusal
        )
        assert isinstance(people.login(self.floor, "walter", "wrong", "gateway 203.0.113.77", "x"), Refusal)
        floor.quote("99.99", "100.00")
        self.account = monitoring.open_account(self.floor, SYSTEM, self.portfolio, "Walter's own", "paper")
        monitoring.switch(self.floor, self.walter, self.portfolio, self.account, True, ("compare", "pnl", "orders"))
        self.trade("buy")
        monitoring.run_now(self.floor, self.walter, self.portfolio, self.account)

    def trade(self, side: str) -> None:
        self.kit.accepted(side, "10", who=(self.walter, self.portfolio))
        self.kit.run_broker()

    def leave(self) -> None:
        """Sell everything and take the money out."""
        self.trade("sell")
        self.kit.clock.advance(7 * 86_400)  # until the sale has settled
        cash = self.kit.cash(self.portfolio)[0]
        ledger.withdraw(self.floor, SYSTEM, self.portfolio, f"{cash:.2f}", "all of it")

    def erase(self, confirmation: str = "walter") -> str:
        return compliance.erase_person(self.floor, self.adam, self.walter.user_id, confirmation)

    def everywhere(self) -> dict[str, str]:
        """Every row of every table as text."""
        tables = [
            row[0]
            for row in self.kit.query(
                "select table_name from information_schema.tables where table_schema = 'public'"
                " and table_type = 'BASE TABLE'"
            )
        ]
        return {
            table: str(self.kit.query(f"select coalesce(string_agg(t::text, chr(10)), '') from \"{table}\" t")[0][0])
            for table in tables
        }


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    yield own
    own.close()


@pytest.fixture
def house(floor: TradingFloor) -> House:
    return House(floor)


def opened(content: bytes) -> dict[str, list[dict[str, Any]]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {
            name.removesuffix(".jsonl"): [json.loads(line) for line in archive.read(name).decode().splitlines()]
            for name in archive.namelist()
            if name.endswith(".jsonl")
        }


def test_an_export_has_every_row_about_the_person_and_none_about_another(house: House) -> None:
    tables = opened(compliance.export_person(house.floor, house.adam, house.walter.user_id))
    assert [row["username"] for row in tables["app_user"]] == ["walter"]
    assert len(tables["fill"]) == 1
    assert {row["portfolio_id"] for name in ("orders", "transfer", "lot") for row in tables[name]} == {house.portfolio}
    for name in ("app_session", "login_attempt", "order_event", "hold", "audit", "account", "monitor_step"):
        assert tables[name], name
    counted = house.kit.query("select count(*) from audit where user_id = %s", house.walter.user_id)
    assert [(len(tables["audit"]),)] == counted
    text = json.dumps(tables)
    assert "argon2" not in text
    assert "token_hash" not in text
    assert '"tina"' not in text
    told = house.kit.query("select user_id, subject from audit where action = 'compliance.export_person'")
    assert told == [(house.adam.user_id, f"user:{house.walter.user_id}")]


def test_everybody_gets_their_own_data_and_nobody_else_s(house: House) -> None:
    tables = opened(compliance.export_own(house.floor, house.kit.trader))
    assert [row["username"] for row in tables["app_user"]] == ["tina"]
    assert "walter" not in json.dumps(tables)
    with pytest.raises(Forbidden):
        compliance.export_person(house.floor, house.walter, house.kit.trader.user_id)
    with pytest.raises(NotFound):
        compliance.export_person(house.floor, house.adam, 999_999)


def test_a_person_is_erased_everywhere_and_what_was_done_stays(house: House) -> None:
    house.leave()
    kept = ("transfer", "fill", "orders", "order_event", "lot", "lot_close", "ledger_block")
    before, trail = (
        house.everywhere(),
        house.kit.query("select id, user_id, action, result, code from audit order by id"),
    )
    assert house.erase() == f"erased-{house.walter.user_id}"
    after = house.everywhere()
    assert {table: after[table] for table in kept} == {table: before[table] for table in kept}
    for word in ("walter", "Walter", "Quixote", "203.0.113.77"):
        assert [table for table, text in after.items() if word in text] == [], word
    assert house.kit.query("select id, user_id, action, result, code from audit order by id")[: len(trail)] == trail
    assert isinstance(people.login(house.floor, "walter", PASSWORD, "x", "x"), Refusal)
    assert house.kit.query("select count(*) from app_session where user_id = %s", house.walter.user_id) == [(0,)]
    found = audit.search(house.floor, house.adam, AuditFilter(user=f"erased-{house.walter.user_id}"), limit=500).rows
    assert "desk.submit" in {row["action"] for row in found}
    assert not monitoring.accounts(house.floor, SYSTEM)[0].enabled
    house.kit.check()
    with pytest.raises(Conflict):
        house.erase(f"erased-{house.walter.user_id}")


def refused(house: House, confirmation: str = "walter") -> str:
    before = house.everywhere()["app_user"]
    with pytest.raises(Invalid) as error:
        house.erase(confirmation)
    assert house.everywhere()["app_user"] == before
    told = house.kit.query("select code from audit where action = 'compliance.erase_person' order by id desc limit 1")
    assert told == [(error.value.code,)]
    return error.value.code


def test_an_erasure_is_refused_while_anything_is_open_and_without_the_name_typed(house: House) -> None:
    assert refused(house, "adam") == "not_confirmed"
    assert refused(house) == "balances_left"  # shares and cash
    house.kit.accepted("buy", "1", "90.00", who=(house.walter, house.portfolio))
    house.kit.run_broker()
    assert refused(house) == "open_orders"
    order = house.kit.query("select max(id) from orders")[0][0]
    house.kit.cancel(order, who=(house.walter, house.portfolio))
    house.kit.run_broker()
    house.trade("sell")
    assert refused(house) == "balances_left"  # cash
    with pytest.raises(Invalid) as own:
        compliance.erase_person(house.floor, house.adam, house.adam.user_id, "adam")
    assert own.value.code == "own_login"
    with pytest.raises(Invalid) as last:
        compliance.erase_person(house.floor, SYSTEM, house.adam.user_id, "adam")
    assert last.value.code == "last_admin"


# Retention ------------------------------------------------------------------------------------------------------------


def test_what_is_over_is_deleted_in_its_time_counted_and_told(house: House, tmp_path: Path) -> None:
    kit = house.kit
    kit.accepted("buy", "1", "90.00", who=(house.walter, house.portfolio), key="of an open order")
    kit.run_broker()
    kit.clock.ns = int(kit.query("select extract(epoch from now()) * 1e9")[0][0]) + 40 * 86_400_000_000_000
    house.floor.people.open_session(house.adam.user_id, "fresh", kit.clock.now() + timedelta(hours=1), "x")
    kit.query("insert into outbox (event, published_at) values ('{}', now()), ('{}', null)")
    waiting = kit.query("select count(*) from outbox where published_at is null")
    before = {
        table: kit.query(f"select count(*) from {table}")[0][0] for table in ("audit", "transfer", "orders", "fill")
    }
    old, young, held = (tmp_path / name for name in ("app.log.2", "app.log.1", "app.log"))
    for path, days in ((old, 50), (young, 1), (held, 50)):
        path.write_text("x")
        at = kit.clock.now().timestamp() - days * 86_400
        os.utime(path, (at, at))
    told = prune(house.floor, tmp_path)
    for word in ("sessions", "login attempts", "idempotency keys", "1 outbox", "monitor cycles", "1 process logs"):
        assert word in told, told
    assert kit.query("select user_id from app_session") == [(house.adam.user_id,)]
    assert kit.query("select key from idempotency_key") == [("of an open order",)]
    assert kit.query("select count(*) from outbox") == waiting
    assert kit.query("select count(*) from monitor_step") == [(0,)]
    assert (old.exists(), young.exists(), held.exists()) == (False, True, True)
    rows = kit.query("select subject, (detail ->> 'rows')::int > 0 from audit where action = 'compliance.prune'")
    assert {row[0] for row in rows} >= {"sessions", "login_attempts", "idempotency_keys", "outbox", "process_logs"}
    assert all(row[1] for row in rows)
    after = {table: kit.query(f"select count(*) from {table}")[0][0] for table in before}
    assert after == {**before, "audit": before["audit"] + len(rows)}
    assert prune(house.floor, tmp_path) == ""


def test_policies_have_a_least_number_of_days_and_changes_are_told(house: House) -> None:
    compliance.set_retention(house.floor, house.adam, "sessions", 3)
    assert compliance.retention(house.floor, house.adam)["sessions"].days == 3
    assert compliance.retention(house.floor, house.adam)["outbox"].days == 7
    for what, days in (("idempotency_keys", 6), ("sessions", 0), ("sessions", 4_000), ("transfer", 30)):
        with pytest.raises(Invalid) as bad:
            compliance.set_retention(house.floor, house.adam, what, days)
        assert bad.value.code == "bad_retention"
    told = house.kit.query("select result from audit where action = 'compliance.set_retention' order by id")
    assert told == [("ok",)] + [("refused",)] * 4
