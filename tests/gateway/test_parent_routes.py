"""Worked orders over REST."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from trading_floor import TradingFloor

from gateway.api import create_api
from trading.services import ledger, parents, people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"
TICKET = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "30", "limit_price": "99.50"}
TWAP = {"ticket": TICKET, "style": "twap", "minutes": 3, "slices": 3}


class Client:
    """Ann, logged in, and her portfolio."""

    def __init__(self, floor: TradingFloor, http: TestClient) -> None:
        ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
        self.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
        ledger.deposit(floor.floor, SYSTEM, self.portfolio, "10000.00", "opening")
        floor.quote("99.99", "100.00")
        self.http = http
        assert http.post("/login", json={"username": "ann", "password": PASSWORD}).status_code == 200

    def ask(self, method: str, path: str = "", body: Any = None, origin: str = HOST) -> Any:
        headers = {"origin": origin, "idempotency-key": "one"}
        return self.http.request(method, f"/portfolios/{self.portfolio}/parents{path}", json=body, headers=headers)


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[Client]:
    with TestClient(create_api(floor.floor, time.monotonic), base_url=HOST) as http:
        yield Client(floor, http)


def test_a_worked_order_is_begun_looked_at_and_cancelled_with_its_children(client: Client, floor: TradingFloor) -> None:
    made = client.ask("POST", body=TWAP)
    assert made.status_code == 201
    assert [(child["n"], child["quantity"], child["state"]) for child in made.json()["children"]] == [
        (1, "10", "accepted")
    ]
    assert client.ask("POST", body=TWAP).json()["id"] == made.json()["id"]
    own = f"/{made.json()['id']}"
    again = client.ask("POST", f"{own}/resume")
    assert (again.status_code, again.json()["code"]) == (422, "parent_state")
    floor.run_broker()
    assert client.ask("DELETE", own).status_code == 202
    floor.run_broker()
    parents.work_all(floor.floor, SYSTEM)
    assert client.ask("GET").json() == {"parents": []}
    (told,) = client.ask("GET", "?open_only=false").json()["parents"]
    assert (told["state"], told["filled"], told["children"][0]["state"]) == ("cancelled", "0", "cancelled")
    assert client.ask("DELETE", "/999").status_code == 404
    floor.check()


def test_what_is_not_worked_says_why(client: Client) -> None:
    assert client.ask("POST", body=TWAP | {"minutes": 0}).json()["code"] == "bad_plan"
    assert client.ask("POST", body=TWAP | {"style": "guess"}).status_code == 422
    assert client.ask("POST", body=TWAP | {"ticket": TICKET | {"parent_id": 1}}).status_code == 422
    assert client.ask("POST", body=TWAP, origin="http://evil.test").status_code == 403
    client.portfolio = 1
    assert client.ask("POST", body=TWAP).status_code == 403
    assert client.ask("GET").status_code == 403
