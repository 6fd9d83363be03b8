"""Cash, statements, withdrawals and conversions over REST."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from trading_floor import START_NS, TradingFloor

from gateway.api import create_api
from trading.services import ledger, people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"


class Client:
    """Ann, logged in, and her portfolio."""

    def __init__(self, floor: TradingFloor, http: TestClient) -> None:
        ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
        self.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
        ledger.deposit(floor.floor, SYSTEM, self.portfolio, "5000.00", "opening", "=first")
        self.http = http
        assert http.post("/login", json={"username": "ann", "password": PASSWORD}).status_code == 200

    def get(self, path: str, portfolio: int | None = None) -> Any:
        return self.http.get(f"/portfolios/{portfolio or self.portfolio}/{path}")

    def post(self, path: str, body: Any, origin: str = HOST) -> Any:
        headers = {"origin": origin, "idempotency-key": "one"}
        return self.http.post(f"/portfolios/{self.portfolio}/{path}", json=body, headers=headers)


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[Client]:
    with TestClient(create_api(floor.floor, time.monotonic), base_url=HOST) as http:
        yield Client(floor, http)


def test_a_program_asks_for_a_withdrawal_once_and_sees_it_held(client: Client) -> None:
    first = client.post("withdrawals", {"amount": "100.00"})
    assert first.status_code == 202
    assert client.post("withdrawals", {"amount": "100.00"}).json() == first.json()
    assert client.get("withdrawals").json()["requests"][0]["state"] == "pending"
    cash = client.get("cash").json()["cash"][0]
    assert (cash["held"], cash["withdrawable"]) == ("100.00", "4900.00")
    refused = client.post("withdrawals", {"amount": "4900.01"}, origin="http://elsewhere")
    assert refused.status_code == 403


def test_a_program_takes_a_price_it_was_shown(client: Client, floor: TradingFloor) -> None:
    floor.quote("1.08340", "1.08350", symbol="EURUSD")
    shown = client.get("conversions/quote?sell=USD&buy=EUR&amount=1000.00").json()
    body = {name: shown[name] for name in ("sell", "buy", "rate", "quoted_ns")} | {"amount": "1000.00"}
    assert client.post("conversions", body).status_code == 201
    assert {each["currency"]: each["total"] for each in client.get("cash").json()["cash"]} == {
        "USD": "4000.00",
        "EUR": "922.93",
    }


def test_a_statement_comes_as_json_and_as_csv_and_of_ones_own_portfolio_alone(
    client: Client, floor: TradingFloor
) -> None:
    period = f"statement?from_ns={START_NS}&to_ns={START_NS + 10**12}"
    found = client.get(period).json()
    assert found["agrees"] is True
    assert (found["assets"][0]["opening"], found["assets"][0]["closing"]) == ("0.00", "5000.00")
    assert "'=first" in client.get(period + "&form=csv").text
    assert client.get(period, floor.portfolio).status_code == 403
    assert client.get("statement?from_ns=5&to_ns=4").json()["code"] == "bad_period"
