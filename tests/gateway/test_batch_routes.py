"""Batches over REST."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from trading_floor import TradingFloor

from gateway.api import create_api
from trading.services import ledger, people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"
GOOD = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "10", "limit_price": "99.00"}
BAD = GOOD | {"limit_price": "120.00"}


class Client:
    """Ann, logged in, and her portfolio."""

    def __init__(self, floor: TradingFloor, http: TestClient) -> None:
        ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
        self.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
        ledger.deposit(floor.floor, SYSTEM, self.portfolio, "10000.00", "opening")
        floor.quote("99.99", "100.00")
        self.http = http
        assert http.post("/login", json={"username": "ann", "password": PASSWORD}).status_code == 200

    def post(self, path: str, body: Any, key: str = "one", origin: str = HOST) -> Any:
        headers = {"origin": origin, "idempotency-key": key}
        return self.http.post(f"/portfolios/{self.portfolio}/{path}", json=body, headers=headers)


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[Client]:
    with TestClient(create_api(floor.floor, time.monotonic), base_url=HOST) as http:
        yield Client(floor, http)


def test_each_ticket_is_answered_at_its_place_once_for_each_key(client: Client, floor: TradingFloor) -> None:
    sent = client.post("batches", {"mode": "each", "tickets": [GOOD, BAD, GOOD]})
    assert sent.status_code == 201
    assert [(row["place"], row["accepted"], row.get("code")) for row in sent.json()["answers"]] == [
        (1, True, None),
        (2, False, "price_band"),
        (3, True, None),
    ]
    assert client.post("batches", {"mode": "each", "tickets": [GOOD, BAD, GOOD]}).json() == sent.json()
    assert floor.query("select count(*) from orders") == [(2,)]
    reused = client.post("batches", {"mode": "each", "tickets": [GOOD]})
    assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")


def test_all_or_none_is_422_and_leaves_no_order(client: Client, floor: TradingFloor) -> None:
    sent = client.post("batches", {"mode": "all", "tickets": [GOOD, BAD]})
    assert (sent.status_code, sent.json()["accepted"]) == (422, 0)
    assert [row["code"] for row in sent.json()["answers"]] == ["batch_refused", "price_band"]
    assert floor.query("select count(*) from orders") == [(0,)]


def test_a_preview_names_no_order(client: Client, floor: TradingFloor) -> None:
    told = client.post("batches/preview", {"mode": "all", "tickets": [GOOD, BAD]})
    assert told.status_code == 200
    assert told.json()["answers"][0] == {"place": 1, "accepted": True, "cash_held": 99_100, "quantity_lots": 10}
    assert floor.query("select count(*) from orders") == [(0,)]


def test_what_is_no_batch_is_refused(client: Client) -> None:
    assert client.post("batches", {"mode": "all", "tickets": []}).status_code == 422
    assert client.post("batches", {"mode": "some", "tickets": [GOOD]}).status_code == 422
    assert client.post("batches", {"mode": "all", "tickets": [GOOD] * 101}).status_code == 422
    assert client.post("batches", {"mode": "all", "tickets": [GOOD]}, origin="http://evil.test").status_code == 403
    client.portfolio = 1
    assert client.post("batches", {"mode": "all", "tickets": [GOOD]}).status_code == 403
