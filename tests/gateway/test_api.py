"""The gateway: the cookie, where requests may come from, and live quotes."""

import time
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect
from trading_floor import TradingFloor

from gateway.api import SESSION_OVER, create_api
from gateway.sessions import COOKIE
from trading.market.ticks import DEPTH, TICK
from trading.services import people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    # Starlette would rather have another HTTP client, which the lock does not need for anything else.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"
OWN = {"origin": HOST}


@pytest.fixture
def client(floor: TradingFloor) -> Iterator[TestClient]:
    people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
    with TestClient(create_api(floor.floor, time.monotonic), base_url=HOST, follow_redirects=False) as client:
        yield client


def log_in(client: TestClient) -> str:
    answer = client.post("/login", json={"username": "ann", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return str(client.cookies[COOKIE])


def test_health_says_whether_the_database_answers(client: TestClient, floor: TradingFloor) -> None:
    assert client.get("/health").json() == {"healthy": True}
    floor.pool.close()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(client: TestClient) -> None:
    answer = client.post("/login", json={"username": "ann", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert answer.json() == {"username": "ann", "role": "trader"}
    assert client.cookies[COOKIE] not in answer.text


def test_a_wrong_password_is_401_and_too_many_are_429(client: TestClient) -> None:
    codes = [client.post("/login", json={"username": "ann", "password": "wrong wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in codes] == [401] * 5 + [429]
    assert codes[-1].json()["code"] == "wait"
    assert COOKIE not in client.cookies


def test_another_site_can_neither_log_in_nor_out(client: TestClient, floor: TradingFloor) -> None:
    elsewhere = {"sec-fetch-site": "cross-site"}
    body = {"username": "ann", "password": PASSWORD}
    assert client.post("/login", json=body, headers=elsewhere).status_code == 403
    token = log_in(client)
    for headers in ({}, {"origin": "http://evil.test"}, {"origin": "null"}, {"origin": "http://testserver.evil.test"}):
        assert client.post("/logout", headers=headers).status_code == 403
    assert people.actor_of(floor.floor, token, "test").username == "ann"


def test_a_code_becomes_a_cookie_once_and_only_from_our_own_pages(client: TestClient, floor: TradingFloor) -> None:
    def code() -> str:
        made = people.begin_login(floor.floor, "ann", PASSWORD, "test")
        assert isinstance(made, str)
        return made

    pushed = code()
    answer = client.get("/session", params={"code": pushed}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 303
    assert COOKIE not in client.cookies
    own = code()
    answer = client.get("/session", params={"code": own}, headers={"sec-fetch-site": "same-origin"})
    assert (answer.status_code, answer.headers["location"], answer.headers["cache-control"]) == (303, "/", "no-store")
    assert people.actor_of(floor.floor, client.cookies[COOKIE], "test").username == "ann"
    client.cookies.clear()
    client.get("/session", params={"code": own})
    assert COOKIE not in client.cookies


def test_logout_kills_the_session_and_takes_the_cookie_back(client: TestClient, floor: TradingFloor) -> None:
    token = log_in(client)
    assert client.post("/logout", headers=OWN).status_code == 204
    assert COOKIE not in client.cookies
    assert floor.floor.people.session_user(token, floor.clock.now()) is None


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.test"}, {"origin": "null"}])
def test_a_socket_from_another_origin_is_refused_before_it_opens(client: TestClient, headers: dict[str, str]) -> None:
    log_in(client)
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws/ticks", headers=headers):
        pytest.fail("the socket was opened")


def test_a_socket_without_a_session_is_told_to_log_in(client: TestClient) -> None:
    with client.websocket_connect("/ws/ticks", headers=OWN) as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == SESSION_OVER


def test_quotes_come_in_units_then_only_what_changed_then_the_news_that_nothing_comes(
    client: TestClient, floor: TradingFloor
) -> None:
    floor.quote("99.90", "100.00", lots=70)
    floor.quote("50.10", "50.20", symbol="IBM")
    log_in(client)
    with client.websocket_connect("/ws/ticks", headers=OWN) as socket:
        first: dict[str, dict[str, object]] = {}
        while len(first) < 2:
            message = socket.receive_json()
            first |= {quote["symbol"]: quote for quote in message["quotes"]}
        assert (message["v"], message["stale"]) == (1, False)
        aapl = first["AAPL"]
        assert [aapl[key] for key in ("bid", "ask", "bid_size", "ask_size")] == ["99.90", "100.00", "70", "70"]
        floor.quote("99.80", "99.95", lots=5)
        changed = next_with_quotes(socket)
        assert [(quote["symbol"], quote["bid"]) for quote in changed["quotes"]] == [("AAPL", "99.80")]
        began_s = time.monotonic()
        while not socket.receive_json()["stale"]:
            assert time.monotonic() - began_s < 5
        assert 2.2 < time.monotonic() - began_s < 4.5


def test_a_ladder_is_sent_to_whom_asks_for_it_and_only_when_it_changed(client: TestClient, floor: TradingFloor) -> None:
    def show(seq: int, *asks: tuple[int, int]) -> None:
        book = np.zeros(len(asks), TICK)
        book["seq"], book["kind"], book["bid_lots"] = seq, DEPTH, -1
        book["ask_ticks"], book["ask_lots"] = zip(*asks, strict=True)
        floor.bus.books[floor.aapl.id] = book

    floor.quote("99.90", "100.00", lots=70)
    show(1, (10_001, 8), (10_000, 70))
    log_in(client)
    with client.websocket_connect("/ws/ticks", headers=OWN) as socket:
        assert "book" not in socket.receive_json(), "nobody has asked yet"
        for nonsense in ("", "{", "[]", '{"ladder": 7}', "[" * 5000):
            socket.send_text(nonsense)
        socket.send_text('{"ladder": "AAPL"}')
        assert next_book(socket) == {"symbol": "AAPL", "bids": [], "asks": [["100.00", 70.0], ["100.01", 8.0]]}
        show(2, (10_001, 3))
        assert next_book(socket)["asks"] == [["100.01", 3.0]]
        floor.quote("99.80", "99.95", lots=5)
        assert "book" not in next_with_quotes(socket), "it has not changed"
        socket.send_text('{"ladder": null}')
        show(3, (10_001, 4))
        assert all("book" not in socket.receive_json() for _ in range(3))


def test_a_revoked_session_is_cut_within_a_second(client: TestClient, floor: TradingFloor) -> None:
    floor.quote("99.90", "100.00")
    user = next(each for each in people.users(floor.floor, SYSTEM) if each.username == "ann")
    log_in(client)
    with client.websocket_connect("/ws/ticks", headers=OWN) as socket:
        socket.receive_json()
        people.set_disabled(floor.floor, SYSTEM, user.id, True)
        began_s = time.monotonic()
        with pytest.raises(WebSocketDisconnect) as closed:
            listen_for_ever(socket)
        assert closed.value.code == SESSION_OVER
        assert time.monotonic() - began_s < 1.2


def listen_for_ever(socket: object) -> None:
    while True:
        socket.receive_json()  # type: ignore[attr-defined]


def next_book(socket: object) -> dict[str, object]:
    while True:
        message: dict[str, dict[str, object]] = socket.receive_json()  # type: ignore[attr-defined]
        if "book" in message:
            return message["book"]


def next_with_quotes(socket: object) -> dict[str, list[dict[str, str]]]:
    while True:
        message: dict[str, list[dict[str, str]]] = socket.receive_json()  # type: ignore[attr-defined]
        if message["quotes"]:
            return message
