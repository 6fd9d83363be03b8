"""Batches over REST."""

from collections.abc import Iterator

import pytest
from rest_client import RestClient, logged_in
from trading_floor import TradingFloor

GOOD = {"symbol": "AAPL", "side": "buy", "type": "limit", "quantity": "10", "limit_price": "99.00"}
BAD = GOOD | {"limit_price": "120.00"}


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[RestClient]:
    with logged_in(floor, "/") as own:
        yield own


def test_each_ticket_is_answered_at_its_place_once_for_each_key(client: RestClient, floor: TradingFloor) -> None:
    sent = client.ask("POST", "batches", {"mode": "each", "tickets": [GOOD, BAD, GOOD]})
    assert sent.status_code == 201
    assert [(row["place"], row["accepted"], row.get("code")) for row in sent.json()["answers"]] == [
        (1, True, None),
        (2, False, "price_band"),
        (3, True, None),
    ]
    assert client.ask("POST", "batches", {"mode": "each", "tickets": [GOOD, BAD, GOOD]}).json() == sent.json()
    assert floor.query("select count(*) from orders") == [(2,)]
    reused = client.ask("POST", "batches", {"mode": "each", "tickets": [GOOD]})
    assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")


def test_all_or_none_is_422_and_leaves_no_order(client: RestClient, floor: TradingFloor) -> None:
    sent = client.ask("POST", "batches", {"mode": "all", "tickets": [GOOD, BAD]})
    assert (sent.status_code, sent.json()["accepted"]) == (422, 0)
    assert [row["code"] for row in sent.json()["answers"]] == ["batch_refused", "price_band"]
    assert floor.query("select count(*) from orders") == [(0,)]


def test_a_preview_names_no_order(client: RestClient, floor: TradingFloor) -> None:
    told = client.ask("POST", "batches/preview", {"mode": "all", "tickets": [GOOD, BAD]})
    assert told.status_code == 200
    assert told.json()["answers"][0] == {"place": 1, "accepted": True, "cash_held": 99_100, "quantity_lots": 10}
    assert floor.query("select count(*) from orders") == [(0,)]


def test_what_is_no_batch_is_refused(client: RestClient) -> None:
    assert client.ask("POST", "batches", {"mode": "all", "tickets": []}).status_code == 422
    assert client.ask("POST", "batches", {"mode": "some", "tickets": [GOOD]}).status_code == 422
    assert client.ask("POST", "batches", {"mode": "all", "tickets": [GOOD] * 101}).status_code == 422
    assert (
        client.ask("POST", "batches", {"mode": "all", "tickets": [GOOD]}, origin="http://evil.test").status_code == 403
    )
    client.portfolio = 1
    assert client.ask("POST", "batches", {"mode": "all", "tickets": [GOOD]}).status_code == 403
