"""What tests of a trader's pages share."""

from types import ModuleType

import pytest
from streamlit.testing.v1 import AppTest
from trading_floor import TradingFloor

from app import room
from app.components.table import Row
from trading.config import PROJECT_ROOT
from trading.services import ledger, people
from trading.services.access import SYSTEM

PASSWORD = "correct horse battery"
Tables = dict[str, list[Row]]


def enter(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app as ann sees it, who has 10,000 dollars in the floor's portfolio."""
    ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    floor.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "10000.00", "opening")
    login = people.login(floor.floor, "ann", PASSWORD, "test", "pytest")
    assert isinstance(login, people.Login)
    monkeypatch.setattr(room, "session_token", lambda: login.token)
    return AppTest.from_file(str(PROJECT_ROOT / "app" / "main.py"), default_timeout=90).run()


def tables_of(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Rows of the tables that a module shows from now on, which are drawn in the browser, by key."""
    found: Tables = {}

    def keep(key: str, _columns: list[str], rows: list[Row], _empty: str, **_more: object) -> None:
        found[key] = rows

    monkeypatch.setattr(module, "table", keep)
    return found


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()
