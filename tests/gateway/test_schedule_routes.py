"""Scheduled orders over REST."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from trading_floor import TradingFloor

from gateway.api import create_api
from trading.services import people, schedules
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"
TICKET = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "1", "limit_price": "99.00"}


class Client:
    """Ann, logged in, and her portfolio."""

    def __init__(self, floor: TradingFloor, http: TestClient) -> None:
        ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
        self.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
        floor.quote("99.99", "100.00")
        self.http = http
        assert http.post("/login", json={"username": "ann", "password": PASSWORD}).status_code == 200

    def ask(self, method: str, path: str = "", body: Any = None, origin: str = HOST) -> Any:
        headers = {"origin": origin, "idempotency-key": "one"}
        return self.http.request(method, f"/portfolios/{self.portfolio}/schedules{path}", json=body, headers=headers)


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[Client]:
    with TestClient(create_api(floor.floor, time.monotonic), base_url=HOST) as http:
        yield Client(floor, http)


def test_a_schedule_is_kept_looked_at_paused_resumed_fired_and_ended(client: Client, floor: TradingFloor) -> None:
    made = client.ask("POST", body={"ticket": TICKET, "cron": "*/5 * * * *"})
    assert made.status_code == 201
    assert client.ask("POST", body={"ticket": TICKET, "cron": "*/5 * * * *"}).json() == made.json()
    assert (made.json()["zone"], len(made.json()["next_at"])) == ("America/New_York", 5)
    own = f"/{made.json()['id']}"
    assert client.ask("POST", f"{own}/pause").status_code == 200
    again = client.ask("POST", f"{own}/pause")
    assert (again.status_code, again.json()["code"]) == (422, "schedule_state")
    assert client.ask("POST", f"{own}/resume").status_code == 200
    floor.clock.advance(600)
    schedules.fire_due(floor.floor, SYSTEM, "always")
    (told,) = client.ask("GET", f"{own}/firings").json()["firings"]
    assert told["outcome"] == "missed"
    assert client.ask("DELETE", own).status_code == 200
    assert client.ask("GET").json() == {"schedules": []}
    assert client.ask("DELETE", "/999").status_code == 404


def test_what_is_not_kept_says_why(client: Client) -> None:
    wrong = client.ask("POST", body={"ticket": TICKET, "cron": "61 * * * *"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_cron")
    assert (
        client.ask("POST", body={"ticket": TICKET, "cron": "* * * * *"}, origin="http://evil.test").status_code == 403
    )
    client.portfolio = 1
    assert client.ask("POST", body={"ticket": TICKET, "cron": "* * * * *"}).status_code == 403
    assert client.ask("GET").status_code == 403
