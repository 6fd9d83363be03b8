"""Pages without a browser: what each role is shown, and what a page says when something is missing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import periodic
from app.components.table import Row
from trading.config import PROJECT_ROOT
from trading.domain.errors import Conflict
from trading.services import backups, halt, people
from trading.services.access import SYSTEM
from trading.services.ports.backups import BackupTry

PASSWORD = "correct horse battery"
MAIN = str(PROJECT_ROOT / "app" / "main.py")
Show = Callable[..., AppTest]


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    yield own
    own.close()


@pytest.fixture
def show(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> Show:
    """The app as a role's new login sees it; an empty role is nobody."""

    def show_to(role: str = "") -> AppTest:
        token = ""
        if role:
            people.create_user(floor.floor, SYSTEM, f"new-{role}", "New", role, PASSWORD)
            login = people.login(floor.floor, f"new-{role}", PASSWORD, "test", "pytest")
            assert isinstance(login, people.Login)
            token = login.token
        # AppTest has no browser and so no cookie: everything behind the cookie is the app's own.
        monkeypatch.setattr(room, "session_token", lambda: token)
        return AppTest.from_file(MAIN, default_timeout=90).run()

    return show_to


def said(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.subheader, *page.title]
    return " | ".join(str(part.value) for part in parts)


def test_nobody_is_asked_to_log_in_and_sees_nothing_else(show: Show) -> None:
    page = show()
    assert not page.exception
    assert [field.label for field in page.text_input] == ["User name", "Password"]
    assert "Log in" in said(page)


def test_the_form_refuses_a_wrong_password_in_words(show: Show, floor: TradingFloor) -> None:
    people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    page = show()
    page.text_input[0].input("ann")
    page.text_input[1].input("not the password")
    page.button[0].click().run()
    assert not page.exception
    assert "do not go together" in said(page)
    assert floor.query("select count(*) from app_session") == [(0,)]


def test_a_right_password_makes_a_code_and_no_session_yet(show: Show, floor: TradingFloor) -> None:
    people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    page = show()
    page.text_input[0].input("Ann")
    page.text_input[1].input(PASSWORD)
    page.button[0].click().run()
    assert not page.exception
    assert floor.query("select user_agent from app_session") == [("handover",)]


def test_a_trader_without_a_portfolio_is_told_whom_to_ask(show: Show) -> None:
    page = show("trader")
    assert not page.exception
    assert "Ask an admin of the floor to open one" in said(page)


def test_a_trader_with_two_portfolios_switches_at_the_top_and_works_in_that_one(
    show: Show, floor: TradingFloor
) -> None:
    page = show("trader")
    user = floor.query("select id from app_user where username = 'new-trader'")[0][0]
    first, second = (people.create_portfolio(floor.floor, SYSTEM, user, name).id for name in ("Main", "Risky"))
    page.run()
    assert not page.exception
    page.selectbox(key=f"works_in_{first}").set_value(second).run()
    assert not page.exception
    assert page.selectbox(key=f"works_in_{second}").value == second
    assert floor.query("select portfolio_id from app_session where portfolio_id is not null") == [(second,)]
    page.switch_page("views/order.py")
    page.query_params["portfolio"] = str(first)
    page.run()
    assert "Switch to it at the top" in said(page)


def test_an_observer_without_a_grant_is_told_whom_to_ask(show: Show) -> None:
    page = show("observer")
    assert not page.exception
    assert "Ask an admin of the floor to share one" in said(page)


def test_an_admin_sees_the_kill_switch_and_must_mean_it(show: Show, floor: TradingFloor) -> None:
    page = show("admin")
    assert not page.exception
    assert "Trading is open" in said(page)
    stop = next(button for button in page.button if button.label == "Stop trading")
    assert stop.disabled
    page.text_input(key="halt_reason").input("prices look wrong")
    page.checkbox(key="halt_sure").check().run()
    next(button for button in page.button if button.label == "Stop trading").click().run()
    assert "Trading is halted" in said(page)
    assert [(each["mode"], each["reason"]) for each in halt.current(floor.floor, SYSTEM)] == [
        ("halted", "prices look wrong")
    ]


def test_an_admin_sees_what_the_clerk_did(show: Show, floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    job = {"name": "tidy", "every_s": 60.0, "at_ns": floor.clock.now_ns(), "took_ms": 3.0, "ok": False}
    detail = json.dumps({"v": 1, "jobs": [{**job, "result": "no disk", "runs": 2, "failures": 1}]})
    floor.query(
        "insert into process_status (name, state, beat_at, detail) values ('clerk', 'running', now(), %s)", detail
    )
    shown: list[Row] = []
    monkeypatch.setattr(periodic, "table", lambda _key, _columns, rows, _empty: shown.extend(rows))
    assert not show("admin").exception
    assert [cell if isinstance(cell, str) else cell[0] for cell in shown[0].cells] == [
        "Tidy", "Failing", "60 s", "0 s ago", "3 ms", "1", "no disk",
    ]  # fmt: skip


def test_an_admin_sees_when_the_floor_was_last_backed_up_and_what_went_wrong_since(
    show: Show, floor: TradingFloor
) -> None:
    page = show("admin")
    assert "There is no backup yet" in said(page)
    now_ns = floor.clock.now_ns()
    for made in (
        BackupTry(now_ns - 3 * 3600 * 10**9, "20260921T110000Z", True, 41_200_000, ""),
        BackupTry(now_ns - 10**9, "", False, 0, "Only 3 MB are free"),
    ):
        backups.record(floor.floor, SYSTEM, made)
    words = said(page.run())
    assert "Last backup 3 h ago: 20260921T110000Z, 41.2 MB" in words
    assert "Only 3 MB are free" in words


def test_an_admin_asks_for_a_backup_and_sees_it_asked_for_made_and_done(show: Show, floor: TradingFloor) -> None:
    page = show("admin")
    page.button(key="backup_now").click().run()
    assert not page.exception
    assert floor.bus.backup == (floor.clock.now_ns(), None)
    assert floor.query("select username from audit join app_user u on u.id = user_id where action = 'backups.ask'") == [
        ("new-admin",)
    ]
    assert "the clerk begins it within seconds" in said(page)
    assert page.button(key="backup_now").disabled
    floor.clock.advance(31)
    assert "the clerk does not take it" in said(page.run())
    floor.bus.take_backup()
    floor.bus.tell_backup(floor.clock.now_ns() - 12 * 10**9)
    assert "is being made, for 12 s so far" in said(page.run())
    assert page.button(key="backup_now").disabled
    with pytest.raises(Conflict):
        backups.ask(floor.floor, SYSTEM)
    backups.record(floor.floor, SYSTEM, BackupTry(floor.clock.now_ns(), "20260921T141400Z", True, 41_200_000, ""))
    floor.bus.tell_backup(None)
    assert "Last backup 0 s ago: 20260921T141400Z" in said(page.run())
    assert not page.button(key="backup_now").disabled


@pytest.mark.parametrize("role", ["trader", "admin", "observer"])
def test_everybody_takes_their_own_data_away_from_the_account_page(show: Show, floor: TradingFloor, role: str) -> None:
    page = show(role).switch_page("views/account.py").run()
    page.button(key="own_data").click().run()
    assert not page.exception
    [save] = page.get("download_button")
    assert save.proto.label.startswith("Save ")
    assert floor.query(
        "select username, subject from audit join app_user u on u.id = user_id where action like 'compliance.export%%'"
    ) == [(f"new-{role}", floor.query("select 'user:' || id from app_user where username = %s", f"new-{role}")[0][0])]


def test_a_halt_is_shown_to_everybody_with_its_reason(show: Show, floor: TradingFloor) -> None:
    halt.set_mode(floor.floor, SYSTEM, "floor", "halted", "prices look wrong")
    assert "prices look wrong" in said(show("observer"))


def test_a_database_that_is_away_is_told_in_words(show: Show, floor: TradingFloor) -> None:
    page = show("admin")
    floor.pool.close()
    page.run()
    assert not page.exception
    assert "database does not answer right now" in said(page)
