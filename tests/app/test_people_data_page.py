"""The admin's audit trail and personal data: searched, paged, exported, erased with the name typed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import audit_trail
from trading.config import PROJECT_ROOT
from trading.services import halt, people
from trading.services.access import SYSTEM

PAGE = str(PROJECT_ROOT / "app" / "views" / "people.py")
PASSWORD = "correct horse battery"


@pytest.fixture
def floor(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    admin = people.create_user(own.floor, SYSTEM, "adam", "Adam", "admin", PASSWORD)
    own.floor.people.open_session(admin.id, "adams-token", own.clock.now().replace(year=2090), "test")
    monkeypatch.setattr(room, "session_token", lambda: "adams-token")
    yield own
    own.close()


def page(view: str) -> AppTest:
    shown = AppTest.from_file(PAGE, default_timeout=90)
    shown.session_state["people_view"] = view
    shown.run()
    assert not shown.exception, shown.exception
    return shown


def test_the_trail_is_paged_narrowed_and_exported(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_trail, "PAGE", 5)
    for _ in range(8):
        halt.set_mode(floor.floor, SYSTEM, "floor", "running", "a drill")
    shown = page("Audit trail")
    assert shown.button(key="audit_newest").disabled
    shown.button(key="audit_older").click().run()
    assert not shown.exception
    assert not shown.button(key="audit_newest").disabled
    shown.text_input(key="audit_action").input("halt.").run()
    assert shown.button(key="audit_newest").disabled  # another search begins with its newest rows
    shown.button(key="audit_export").click().run()
    assert not shown.exception
    assert floor.query("select detail -> 'rows' from audit where action = 'audit.export'") == [(8,)]


def test_a_person_is_erased_only_with_the_name_typed(floor: TradingFloor) -> None:
    user = people.create_user(floor.floor, SYSTEM, "walter", "Walter", "observer", PASSWORD)
    shown = page("Compliance")
    shown.selectbox(key="person").select(user.id).run()
    assert shown.button(key=f"erase_{user.id}").disabled
    shown.button(key=f"export_{user.id}").click().run()
    assert not shown.exception
    shown.text_input(key=f"erase_name_{user.id}").input("walter").run()
    shown.button(key=f"erase_{user.id}").click().run()
    assert not shown.exception
    assert floor.query("select username from app_user where id = %s", user.id) == [(f"erased-{user.id}",)]
    deeds = floor.query("select action from audit where action like 'compliance.%%' order by id")
    assert deeds == [("compliance.export_person",), ("compliance.erase_person",)]


def test_days_of_retention_are_set_on_the_page(floor: TradingFloor) -> None:
    shown = page("Compliance")
    shown.number_input(key="keep_sessions").set_value(90)
    next(each for each in shown.button if each.label == "Keep it so").click().run()
    assert not shown.exception
    assert floor.query("select detail -> 'days' from audit where action = 'compliance.set_retention'") == [
        ({"sessions": 90},)
    ]
