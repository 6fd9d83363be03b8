"""The page of broker accounts: what a trader and an admin see and switch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components import broker_accounts
from trading.config import PROJECT_ROOT
from trading.domain.monitoring import Plan, Step
from trading.services import monitoring, people
from trading.services.access import SYSTEM

PAGE = str(PROJECT_ROOT / "app" / "views" / "monitor.py")
PASSWORD = "correct horse battery"


@pytest.fixture
def floor(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    room.open_room(own.floor)
    own.quote("99.99", "100.00")
    own.accepted("buy", "100")
    own.run_broker()
    yield own
    own.close()


def log_in(floor: TradingFloor, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = f"token-of-{name}"
    user = next(each for each in people.users(floor.floor, SYSTEM) if each.username == name)
    floor.floor.people.open_session(user.id, token, floor.clock.now().replace(year=2090), "test")
    monkeypatch.setattr(room, "session_token", lambda: token)


def page() -> AppTest:
    shown = AppTest.from_file(PAGE, default_timeout=90).run()
    assert not shown.exception, shown.exception
    return shown


def test_a_trader_states_a_plan_switches_the_loop_on_and_runs_it(
    floor: TradingFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(floor, "tina", monkeypatch)
    assert "No broker account is watched yet" in page().info[0].value
    account = monitoring.open_account(floor.floor, SYSTEM, floor.portfolio, "Own", "paper")
    shown = page()
    assert shown.button(key="monitor_run").disabled
    assert shown.button(key=f"monitor_{account}_switch").disabled
    shown.toggle(key=f"monitor_{account}_on").set_value(True)
    shown.checkbox(key=f"monitor_{account}_sure").check().run()
    shown.button(key=f"monitor_{account}_switch").click().run()
    assert "Own is on now." in [each.value for each in shown.success]
    shown.selectbox(key="plan_instrument").select(floor.aapl.id).run()
    key = f"plan_{account}_{floor.aapl.id}"
    shown.text_input(key=f"{key}_stop").input("2.5")
    shown.checkbox(key=f"{key}_sure").check().run()
    shown.button(key=f"{key}_set").click().run()
    assert not shown.exception
    plan = monitoring.view(floor.floor, SYSTEM, floor.portfolio, account).plans[floor.aapl.id]
    assert plan == Plan(floor.aapl.id, stop_loss_ppm=25_000, since_ts_ns=floor.clock.now_ns())
    shown.button(key="monitor_run").click().run()
    assert not shown.exception
    assert floor.query("select type from orders where side = 'sell'") == [("stop",)]
    newest = monitoring.view(floor.floor, SYSTEM, floor.portfolio, account).cycles[0]
    assert (newest.by, newest.ok) == ("tina", True)


def test_an_admin_opens_an_account_and_is_told_why_an_address_is_no_good(
    floor: TradingFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.create_user(floor.floor, SYSTEM, "adam", "Adam", "admin", PASSWORD)
    log_in(floor, "adam", monkeypatch)
    shown = page()
    fields = {each.label: each for each in shown.text_input}
    fields["Name of the account"].input("Elsewhere")
    fields["Address of the other broker"].input("http://broker.example")
    fields["Name of its key in the floor's secrets"].input("elsewhere")
    shown.radio[0].set_value(True)
    next(each for each in shown.button if each.label == "Open").click().run()
    assert any("not_https" in each.value for each in shown.error)
    assert monitoring.accounts(floor.floor, SYSTEM) == []
    account = monitoring.open_account(floor.floor, SYSTEM, floor.portfolio, "Own", "paper")
    monitoring.switch(floor.floor, SYSTEM, floor.portfolio, account, True, set(Step))
    shown = page()
    assert not shown.button(key="monitor_run").disabled
    assert all(each.label != "State the plan" for each in shown.button)


def test_a_position_that_differs_is_named_by_its_symbol_and_in_units(floor: TradingFloor) -> None:
    coin = floor.instrument("BTCUSD")
    told = {"kind": "position", "subject": f"instrument {coin.id}", "recorded": "-1500 lots", "broker": "0 lots"}
    assert broker_accounts.difference(told, {coin.id: coin}) == ("BTCUSD", "−0.15", "0")
    unknown = {"kind": "unknown_order", "subject": "order 7", "recorded": "nothing", "broker": "working buy 0/10"}
    assert broker_accounts.difference(unknown, {coin.id: coin}) == ("order 7", "nothing", "working buy 0/10")
