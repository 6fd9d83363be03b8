"""Orders over REST: what is taken, what is answered, and who may not."""

from collections.abc import Iterator
from typing import Any

import pytest
from rest_client import HOST, RestClient, logged_in
from trading_floor import TradingFloor

from trading.services import halt, ledger, people
from trading.services.access import SYSTEM

LIMIT = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "10", "limit_price": "99.00"}


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[RestClient]:
    with logged_in(floor, "/orders", "100000.00") as own:
        yield own


def test_an_order_is_placed_once_looked_at_changed_and_cancelled(client: RestClient, floor: TradingFloor) -> None:
    placed = client.ask("POST", body=LIMIT, key="one")
    assert (placed.status_code, placed.json()["cash_held"]) == (201, 99_100)
    assert client.ask("POST", body=LIMIT, key="one").json() == placed.json()
    floor.run_broker()
    order = placed.json()["order_id"]
    (line,) = client.ask("GET").json()["orders"]
    assert (line["id"], line["state"], line["limit_price"], line["expires_at"]) == (order, "working", "99.00", None)
    changed = client.ask("PATCH", f"/{order}", {"limit_price": "98.00"}, key="two")
    assert changed.status_code == 202
    floor.run_broker()
    assert client.ask("GET", f"/{order}").json()["order"]["limit_price"] == "98.00"
    assert client.ask("DELETE", f"/{order}").status_code == 202
    floor.run_broker()
    assert client.ask("GET").json() == {"orders": []}
    floor.check()


def test_a_bracket_is_one_call_and_is_found_again_as_a_group(client: RestClient, floor: TradingFloor) -> None:
    placed = client.ask("POST", body=LIMIT | {"take_profit": "110", "stop_loss": "95"}, key="one").json()
    floor.run_broker()
    told = client.ask("GET", f"/{placed['order_id']}").json()
    assert [line["id"] for line in told["group"]] == placed["group"]
    assert [line["group_role"] for line in told["group"]] == ["take_profit", "stop_loss", "entry"]


def test_a_preview_writes_nothing(client: RestClient, floor: TradingFloor) -> None:
    answer = client.ask("POST", "/preview", LIMIT).json()
    assert (answer["cash_hold"], answer["estimated_price"], answer["currency"]) == (99_100, "99.00", "USD")
    assert answer["refusals"] == []
    dear = client.ask("POST", "/preview", LIMIT | {"quantity": "11000"}).json()
    assert [each["code"] for each in dear["refusals"]] == ["max_order_notional", "insufficient_cash"]
    assert floor.query("select count(*) from orders") == [(0,)]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (LIMIT | {"limit_price": "120"}, 422, "price_band"),
        (LIMIT | {"symbol": "../../x"}, 404, "unknown_instrument"),
        (LIMIT | {"quantity": "1e400"}, 422, "out_of_range"),
        (LIMIT | {"price": "1"}, 422, None),
        (LIMIT | {"quantity": "1" * 61}, 422, None),
        (LIMIT | {"type": "iceberg"}, 422, None),
        ([LIMIT], 422, None),
    ],
)
def test_what_is_not_taken_is_answered_with_a_status_and_a_code(
    client: RestClient, body: Any, status: int, code: str | None
) -> None:
    answer = client.ask("POST", body=body, key="one")
    assert answer.status_code == status
    assert answer.json().get("code") == code


def test_a_key_is_needed_and_belongs_to_one_body(client: RestClient) -> None:
    assert client.ask("POST", body=LIMIT, key=None).status_code == 422
    assert client.ask("POST", body=LIMIT, key="one").status_code == 201
    reused = client.ask("POST", body=LIMIT | {"quantity": "11"}, key="one")
    assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")
    assert client.ask("PATCH", "/999", {"quantity": "1"}, key="two").status_code == 404


def test_a_halt_is_423(client: RestClient, floor: TradingFloor) -> None:
    halt.set_mode(floor.floor, SYSTEM, "floor", "halted", "a drill")
    assert client.ask("POST", body=LIMIT, key="one").status_code == 423


def test_nobody_places_orders_from_elsewhere_without_a_session_or_for_others(
    client: RestClient, floor: TradingFloor
) -> None:
    for origin in ("http://evil.test", "null", ""):
        assert client.ask("POST", body=LIMIT, key="one", origin=origin).status_code == 403
        assert client.ask("DELETE", "/1", origin=origin).status_code == 403
    own, client.portfolio = client.portfolio, floor.portfolio
    assert client.ask("POST", body=LIMIT, key="one").status_code == 403
    assert client.ask("GET").status_code == 403
    client.portfolio = own
    client.http.cookies.clear()
    assert client.ask("POST", body=LIMIT, key="one").status_code == 401
    assert client.ask("GET").status_code == 401
    assert floor.query("select count(*) from orders") == [(0,)]


def test_a_program_sees_where_its_margin_portfolio_stands(client: RestClient, floor: TradingFloor) -> None:
    ann = next(user for user in people.users(floor.floor, SYSTEM) if user.username == "ann")
    assert client.http.get(f"/portfolios/{client.portfolio}/margin").json() == {"accounts": []}
    client.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Levered", kind="margin").id
    client.http.put("/portfolio", json={"portfolio_id": client.portfolio}, headers={"origin": HOST})
    ledger.deposit(floor.floor, SYSTEM, client.portfolio, "10000.00", "margin")
    order = {**LIMIT, "side": "sell", "limit_price": "99.99"}
    seen = client.ask("POST", "/preview", order).json()
    assert (seen["effect"], seen["initial_requirement"], seen["buying_power"]) == ("open", 51_600, 2_000_000)
    client.ask("POST", body=order, key="short")
    floor.run_broker()
    (account,) = client.http.get(f"/portfolios/{client.portfolio}/margin").json()["accounts"]
    assert (account["state"], account["cash"], account["positions"]) == ("met", "10998.90", "-1000.00")
    assert client.http.get(f"/portfolios/{client.portfolio}/margin/calls").json() == {"calls": []}
    assert {each["asset_class"] for each in client.http.get("/margin/policies").json()["policies"]} == {
        "",
        "crypto",
        "fx",
    }
