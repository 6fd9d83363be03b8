"""Limits, restrictions and the kill switch over REST."""

import warnings

import pytest
from trading_floor import TradingFloor, refusal

from gateway.api import create_api
from trading.services import people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    # Starlette would rather have another HTTP client, which the lock does not need for anything else.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
TIER = {"max_order_notional": 100_000_000, "max_open_orders": 200, "price_band_ppm": 50_000}


def client_of(floor: TradingFloor, role: str) -> TestClient:
    people.create_user(floor.floor, SYSTEM, f"rest-{role}", "Rest", role, PASSWORD)
    client = TestClient(create_api(floor.floor, lambda: 0.0), headers={"origin": "http://testserver"})
    assert client.post("/login", json={"username": f"rest-{role}", "password": PASSWORD}).status_code == 200
    return client


@pytest.fixture
def admin(floor: TradingFloor) -> TestClient:
    return client_of(floor, "admin")


def test_an_admin_sets_limits_and_reads_their_history(admin: TestClient, floor: TradingFloor) -> None:
    user = floor.trader.user_id
    made = admin.put("/limits/tier:intern", json=TIER | {"max_order_lots": 5, "reason": "new"}).json()
    assert (made["scope"], made["version"], made["figures"]["max_order_lots"]) == ("tier:intern", 1, 5)
    assert admin.put(f"/users/{user}/tier", json={"tier": "intern", "reason": "new"}).status_code == 200
    assert refusal(floor.order("buy", "6", "99.00")) == "max_order_quantity"
    (version,) = admin.get("/limits/tier:intern").json()["versions"]
    assert (version["set_by"], version["reason"]) == ("rest-admin", "new")
    assert "tier:intern" in {each["scope"] for each in admin.get("/limits").json()["limits"]}
    told = admin.get(f"/portfolios/{floor.portfolio}/limits").json()
    assert told["tier"] == "intern"
    assert {
        "name": "max_order_lots",
        "limit": 5,
        "used": None,
        "unit": "lots",
        "scope": "tier:intern",
        "of": "",
    } in told["uses"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/limits/moon:1", {"reason": "x"}, 422, "unknown_scope"),
        ("/limits/user:1", {"max_open_orders": 0, "reason": "x"}, 422, "bad_limit"),
        ("/limits/user:1", {"max_open_orders": 5, "reason": " "}, 422, "reason_missing"),
        ("/limits/user:999999", {"max_open_orders": 5, "reason": "x"}, 404, "not_found"),
        ("/limits/user:1", {"max_open_ordersx": 5, "reason": "x"}, 422, None),
        ("/restricted/1", {"mode": "never", "reason": "x"}, 422, "unknown_restriction"),
        ("/halts", {"scope": "user:nobody", "mode": "halted", "reason": "x"}, 404, "not_found"),
        ("/halts", {"scope": "floor", "mode": "halted"}, 422, "reason_missing"),
    ],
)
def test_what_cannot_be_is_answered_with_a_status_and_a_code(
    admin: TestClient, path: str, body: dict[str, object], status: int, code: str | None
) -> None:
    answer = admin.put(path, json=body)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_an_admin_restricts_halts_and_resets_and_a_trader_only_looks(admin: TestClient, floor: TradingFloor) -> None:
    assert admin.put(f"/restricted/{floor.aapl.id}", json={"mode": "no_trading", "reason": "news"}).status_code == 200
    assert refusal(floor.order("buy", "1", "99.00")) == "restricted"
    halted = admin.put("/halts", json={"scope": "instrument:aapl", "mode": "halted", "reason": "news"}).json()
    assert halted == {"scope": f"instrument:{floor.aapl.id}", "mode": "halted"}
    nothing = admin.post(f"/portfolios/{floor.portfolio}/drawdown/reset", json={"reason": "x"})
    assert (nothing.status_code, nothing.json()["code"]) == (422, "not_tripped")
    trader = client_of(floor, "trader")
    assert [each["symbol"] for each in trader.get("/restricted").json()["restricted"]] == ["AAPL"]
    assert [each["name"] for each in trader.get("/halts").json()["halts"]] == ["AAPL"]
    for path, body in (
        ("/limits/tier:basic", TIER | {"reason": "x"}),
        (f"/restricted/{floor.aapl.id}", {"mode": "free", "reason": "x"}),
        ("/halts", {"scope": "floor", "mode": "halted", "reason": "x"}),
    ):
        assert trader.put(path, json=body).status_code == 403
    assert trader.get(f"/portfolios/{floor.portfolio}/limits").status_code == 403
