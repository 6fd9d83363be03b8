"""The audit trail over REST: for admins alone, narrowed like on the page, paged to its end."""

import warnings

import pytest
from trading_floor import TradingFloor

from gateway.api import create_api
from trading.services import halt, people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    # Starlette would rather have another HTTP client, which the lock does not need for anything else.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"


def client_of(floor: TradingFloor, role: str) -> TestClient:
    people.create_user(floor.floor, SYSTEM, f"rest-{role}", "Rest", role, PASSWORD)
    client = TestClient(create_api(floor.floor, lambda: 0.0))
    assert client.post("/login", json={"username": f"rest-{role}", "password": PASSWORD}).status_code == 200
    return client


def test_an_admin_pages_through_the_trail_to_its_end(floor: TradingFloor) -> None:
    admin = client_of(floor, "admin")
    for n in range(5):
        halt.set_mode(floor.floor, SYSTEM, "floor", "running", f"drill {n}")
    pages, before = [], None
    while True:
        asked = {"action": "halt.", "limit": 2} | ({} if before is None else {"before": before})
        page = admin.get("/audit", params=asked).json()
        pages.append([row["detail"]["reason"] for row in page["rows"]])
        before = page["next_before"]
        if before is None:
            break
    assert pages == [["drill 4", "drill 3"], ["drill 2", "drill 1"], ["drill 0"]]


def test_the_trail_is_narrowed_by_who_what_and_when(floor: TradingFloor) -> None:
    admin = client_of(floor, "admin")
    halt.set_mode(floor.floor, SYSTEM, "floor", "running", "a drill")

    def actions(**asked: str) -> list[str]:
        answer = admin.get("/audit", params=asked)
        assert answer.status_code == 200, answer.text
        return [row["action"] for row in answer.json()["rows"]]

    assert actions(user="rest-admin") == ["login"]
    assert actions(text="a drill") == actions(action="halt.") != []
    assert actions(action="halt.", result="refused") == []
    [row] = admin.get("/audit", params={"action": "halt."}).json()["rows"]
    assert set(row) == {"id", "at", "username", "action", "subject", "result", "code", "origin", "detail"}
    assert actions(action="halt.", since=row["at"]) == actions(action="halt.")
    assert actions(action="halt.", until=row["at"]) == []
    assert actions(action="halt.", since="2020-01-01T00:00", until="2020-01-02") == []


@pytest.mark.parametrize("role", ["trader", "observer"])
def test_nobody_else_reads_it_and_that_they_tried_is_kept(floor: TradingFloor, role: str) -> None:
    answer = client_of(floor, role).get("/audit")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert floor.query("select code from audit where action = 'audit.search'") == [("forbidden",)]


def test_what_cannot_be_asked_is_refused(floor: TradingFloor) -> None:
    assert TestClient(create_api(floor.floor, lambda: 0.0)).get("/audit").status_code == 401
    admin = client_of(floor, "admin")
    for bad in ({"since": "yesterday"}, {"before": "x"}, {"text": "x" * 101}, {"limit": "many"}):
        assert admin.get("/audit", params=bad).status_code == 422, bad
    assert len(admin.get("/audit", params={"limit": -5}).json()["rows"]) == 1
