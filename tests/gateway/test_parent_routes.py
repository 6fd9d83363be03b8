"""Worked orders over REST."""

from collections.abc import Iterator

import pytest
from rest_client import RestClient, logged_in
from trading_floor import TradingFloor

from trading.services import parents
from trading.services.access import SYSTEM

TICKET = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "30", "limit_price": "99.50"}
TWAP = {"ticket": TICKET, "style": "twap", "minutes": 3, "slices": 3}


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[RestClient]:
    with logged_in(floor, "/parents") as own:
        yield own


def test_a_worked_order_is_begun_looked_at_and_cancelled_with_its_children(
    client: RestClient, floor: TradingFloor
) -> None:
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


def test_what_is_not_worked_says_why(client: RestClient) -> None:
    assert client.ask("POST", body=TWAP | {"minutes": 0}).json()["code"] == "bad_plan"
    assert client.ask("POST", body=TWAP | {"style": "guess"}).status_code == 422
    assert client.ask("POST", body=TWAP | {"ticket": TICKET | {"parent_id": 1}}).status_code == 422
    assert client.ask("POST", body=TWAP, origin="http://evil.test").status_code == 403
    client.portfolio = 1
    assert client.ask("POST", body=TWAP).status_code == 403
    assert client.ask("GET").status_code == 403
