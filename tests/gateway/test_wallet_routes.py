"""Cash, statements, withdrawals and conversions over REST."""

from collections.abc import Iterator

import pytest
from rest_client import RestClient, logged_in
from trading_floor import START_NS, TradingFloor


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[RestClient]:
    with logged_in(floor, "/", "5000.00") as own:
        yield own


def test_a_program_asks_for_a_withdrawal_once_and_sees_it_held(client: RestClient) -> None:
    first = client.ask("POST", "withdrawals", {"amount": "100.00"})
    assert first.status_code == 202
    assert client.ask("POST", "withdrawals", {"amount": "100.00"}).json() == first.json()
    assert client.ask("GET", "withdrawals").json()["requests"][0]["state"] == "pending"
    cash = client.ask("GET", "cash").json()["cash"][0]
    assert (cash["held"], cash["withdrawable"]) == ("100.00", "4900.00")
    refused = client.ask("POST", "withdrawals", {"amount": "4900.01"}, origin="http://elsewhere")
    assert refused.status_code == 403


def test_a_program_takes_a_price_it_was_shown(client: RestClient, floor: TradingFloor) -> None:
    floor.quote("1.08340", "1.08350", symbol="EURUSD")
    shown = client.ask("GET", "conversions/quote?sell=USD&buy=EUR&amount=1000.00").json()
    body = {name: shown[name] for name in ("sell", "buy", "rate", "quoted_ns")} | {"amount": "1000.00"}
    assert client.ask("POST", "conversions", body).status_code == 201
    assert {each["currency"]: each["total"] for each in client.ask("GET", "cash").json()["cash"]} == {
        "USD": "4000.00",
        "EUR": "922.93",
    }


def test_a_statement_comes_as_json_and_as_csv_and_of_ones_own_portfolio_alone(
    client: RestClient, floor: TradingFloor
) -> None:
    period = f"statement?from_ns={START_NS}&to_ns={START_NS + 10**12}"
    found = client.ask("GET", period).json()
    assert found["agrees"] is True
    assert (found["assets"][0]["opening"], found["assets"][0]["closing"]) == ("0.00", "5000.00")
    assert "'=first" in client.ask("GET", period + "&form=csv").text
    assert client.http.get(f"/portfolios/{floor.portfolio}/{period}").status_code == 403
    assert client.ask("GET", "statement?from_ns=5&to_ns=4").json()["code"] == "bad_period"
