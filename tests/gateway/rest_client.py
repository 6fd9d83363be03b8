"""A trader who is logged in over REST."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trading_floor import TradingFloor

from gateway.api import create_api
from trading.services import ledger, people
from trading.services.access import SYSTEM

with warnings.catch_warnings():
    # Starlette would rather have another HTTP client, which the lock does not need for anything else.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
HOST = "http://testserver"


class RestClient:
    """Ann, logged in, and what is asked of one part of her portfolio, which has ``cash`` dollars."""

    def __init__(self, floor: TradingFloor, http: TestClient, part: str, cash: str) -> None:
        ann = people.create_user(floor.floor, SYSTEM, "ann", "Ann", "trader", PASSWORD)
        self.portfolio = people.create_portfolio(floor.floor, SYSTEM, ann.id, "Main").id
        ledger.deposit(floor.floor, SYSTEM, self.portfolio, cash, "opening", "=first")
        floor.quote("99.99", "100.00")
        self.http, self._part = http, part
        assert http.post("/login", json={"username": "ann", "password": PASSWORD}).status_code == 200

    def ask(self, method: str, path: str = "", body: Any = None, key: str | None = "one", origin: str = HOST) -> Any:
        headers = {"origin": origin, **({} if key is None else {"idempotency-key": key})}
        return self.http.request(method, f"/portfolios/{self.portfolio}{self._part}{path}", json=body, headers=headers)


@contextmanager
def logged_in(floor: TradingFloor, part: str = "", cash: str = "10000.00") -> Iterator[RestClient]:
    """``part`` is the path below the portfolio's, ``/orders`` for one."""
    with TestClient(create_api(floor.floor, time.monotonic), base_url=HOST) as http:
        yield RestClient(floor, http, part, cash)
