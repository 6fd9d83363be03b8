"""A trader works in one portfolio at a time: every call of the session is bound to it."""

import time
import warnings

import pytest
from trading_floor import TradingFloor, refusal

from gateway.api import create_api
from trading.domain.errors import Forbidden, NotFound
from trading.domain.orders import Acceptance
from trading.services import ledger, parents, people, queries, schedules
from trading.services.access import SYSTEM, Actor, Role

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"


class Ann:
    """Ann with two portfolios and a session."""

    def __init__(self, floor: TradingFloor) -> None:
        self.floor = floor
        self.user = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
        self.first, self.second = (
            people.create_portfolio(floor.floor, SYSTEM, self.user.id, name).id for name in ("Main", "Risky")
        )
        for portfolio in (self.first, self.second):
            ledger.deposit(floor.floor, SYSTEM, portfolio, "10000.00", f"opening-{portfolio}")
        self.token = self.login()
        floor.quote("99.99", "100.00")

    def login(self) -> str:
        login = people.login(self.floor.floor, "ann", PASSWORD, "test", "pytest")
        assert isinstance(login, people.Login)
        return login.token

    def actor(self, token: str = "") -> Actor:
        return people.actor_of(self.floor.floor, token or self.token, "test")

    def buys(self, portfolio: int, token: str = "") -> object:
        return self.floor.order("buy", "1", "99.00", who=(self.actor(token), portfolio))


@pytest.fixture
def ann(floor: TradingFloor) -> Ann:
    return Ann(floor)


def test_a_session_begins_in_the_first_portfolio_and_reaches_no_other(ann: Ann) -> None:
    assert ann.actor().portfolio_id == ann.first
    assert isinstance(ann.buys(ann.first), Acceptance)
    for call in (ann.buys, lambda portfolio: queries.cash(ann.floor.floor, ann.actor(), portfolio)):
        with pytest.raises(Forbidden) as error:
            call(ann.second)
        assert error.value.code == "other_portfolio"
    assert ann.floor.query("select action, subject from audit where code = 'other_portfolio' order by id") == [
        ("desk.submit", str(ann.second)),
        ("queries.cash", str(ann.second)),
    ]


def test_a_switch_is_written_down_and_binds_the_session_alone(ann: Ann) -> None:
    other = ann.login()
    people.switch_portfolio(ann.floor.floor, ann.actor(), ann.second)
    assert isinstance(ann.buys(ann.second), Acceptance)
    with pytest.raises(Forbidden):
        ann.buys(ann.first)
    assert isinstance(ann.buys(ann.first, other), Acceptance)
    assert ann.floor.query("select user_id, subject from audit where action = 'people.switch_portfolio'") == [
        (ann.user.id, f"portfolio:{ann.second}")
    ]
    with pytest.raises(Forbidden) as error:
        people.switch_portfolio(ann.floor.floor, ann.actor(), ann.floor.portfolio)
    assert error.value.code == "forbidden"


def test_an_archived_portfolio_is_left_and_its_history_can_be_read(ann: Ann) -> None:
    ann.floor.query("update portfolio set archived_at = now() where id = %s", ann.first)
    assert ann.actor().portfolio_id == ann.second
    assert queries.cash(ann.floor.floor, ann.actor(), ann.first)
    assert refusal(ann.buys(ann.first)) == "portfolio_archived"
    with pytest.raises(NotFound):
        people.switch_portfolio(ann.floor.floor, ann.actor(), ann.first)


def test_what_the_floor_does_for_an_owner_is_bound_to_no_session(ann: Ann) -> None:
    clerk = Actor(ann.user.id, "ann", Role.TRADER)
    assert schedules.listing(ann.floor.floor, clerk, ann.second) == []
    assert parents.listing(ann.floor.floor, clerk, ann.first) == []


def test_a_program_chooses_the_portfolio_of_its_session(ann: Ann) -> None:
    order = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "1", "limit_price": "99.00"}
    with TestClient(create_api(ann.floor.floor, time.monotonic), base_url=HOST) as http:
        assert http.post("/login", json={"username": "ann", "password": PASSWORD}).status_code == 200
        headers = {"origin": HOST, "idempotency-key": "one"}
        told = http.get("/portfolio").json()
        assert told["portfolio_id"] == ann.first
        assert [each["name"] for each in told["portfolios"]] == ["Main", "Risky"]
        refused = http.post(f"/portfolios/{ann.second}/orders", json=order, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "other_portfolio")
        assert http.put("/portfolio", json={"portfolio_id": ann.second}, headers=headers).status_code == 200
        assert http.post(f"/portfolios/{ann.second}/orders", json=order, headers=headers).status_code == 201
        elsewhere = {"origin": "http://evil.test"}
        assert http.put("/portfolio", json={"portfolio_id": ann.first}, headers=elsewhere).status_code == 403
        assert http.put("/portfolio", json={"portfolio_id": 1}, headers=headers).status_code == 403
