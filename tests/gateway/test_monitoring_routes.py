"""Broker accounts over REST."""

import time
import warnings

from trading_floor import TradingFloor

from gateway.api import create_api
from trading.services import monitoring, people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    # Starlette would rather have another HTTP client.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"


def test_an_account_is_looked_at_switched_and_run_by_its_owner_alone(floor: TradingFloor) -> None:
    ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
    account = monitoring.open_account(floor.floor, SYSTEM, portfolio, "Own", "paper")
    others = monitoring.open_account(floor.floor, SYSTEM, floor.portfolio, "Tina's", "paper")
    with TestClient(create_api(floor.floor, time.monotonic), base_url=HOST) as http:
        assert http.get("/broker-accounts").status_code == 401
        assert http.post("/login", json={"username": "ann", "password": PASSWORD}).status_code == 200
        assert [each["id"] for each in http.get("/broker-accounts").json()["accounts"]] == [account]
        path = f"/portfolios/{portfolio}/broker-accounts/{account}"
        switch = {"enabled": True, "steps": ["compare", "pnl", "orders"], "cycle_s": 30}
        assert http.put(f"{path}/switch", json=switch).status_code == 403  # from nowhere
        own = {"origin": HOST}
        answer = http.put(f"{path}/switch", json=switch, headers=own).json()
        assert (answer["enabled"], answer["cycle_s"]) == (True, 30)
        assert answer["steps"] == ["compare", "fetch", "orders", "pnl"]
        assert http.put(f"{path}/switch", json={**switch, "steps": ["x"]}, headers=own).json()["code"] == "bad_step"
        ran = http.post(f"{path}/cycles", headers=own)
        assert (ran.status_code, ran.json()["ok"]) == (201, True)
        status = http.get(path).json()
        assert [each["by"] for each in status["cycles"]] == ["ann"]
        assert {each["step"] for each in status["cycles"][0]["steps"] if each["state"] == "off"} == {
            "protect", "reprice", "drop", "reenter", "replace"
        }  # fmt: skip
        assert http.get(f"/portfolios/{floor.portfolio}/broker-accounts/{others}").status_code == 403
