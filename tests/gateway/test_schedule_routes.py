"""Scheduled orders over REST."""

from collections.abc import Iterator

import pytest
from rest_client import RestClient, logged_in
from trading_floor import TradingFloor

from trading.services import schedules
from trading.services.access import SYSTEM

TICKET = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "1", "limit_price": "99.00"}


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[RestClient]:
    with logged_in(floor, "/schedules") as own:
        yield own


def test_a_schedule_is_kept_looked_at_paused_resumed_fired_and_ended(client: RestClient, floor: TradingFloor) -> None:
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


def test_what_is_not_kept_says_why(client: RestClient) -> None:
    wrong = client.ask("POST", body={"ticket": TICKET, "cron": "61 * * * *"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_cron")
    assert (
        client.ask("POST", body={"ticket": TICKET, "cron": "* * * * *"}, origin="http://evil.test").status_code == 403
    )
    client.portfolio = 1
    assert client.ask("POST", body={"ticket": TICKET, "cron": "* * * * *"}).status_code == 403
    assert client.ask("GET").status_code == 403
