"""Money moved by many at once: deposits, withdrawals, requests, conversions, orders. Afterwards the books agree."""

import threading
import time
from decimal import Decimal
from itertools import count
from random import Random

from trading_floor import TradingFloor

from trading.domain.errors import Invalid
from trading.domain.orders import OrderType, Side, Ticket
from trading.services import desk, fx, ledger, settled, verify, wallet
from trading.services.access import SYSTEM, Actor, Role

SECONDS = 5.0
THREADS = 8


def test_eight_threads_move_money_and_no_cent_is_lost(floor: TradingFloor) -> None:
    admins = [
        Actor(floor.floor.people.create_user(name, name.title(), "admin", "no-password", 0).id, name, Role.ADMIN)
        for name in ("adam", "ada")
    ]
    theo, second = floor.add_trader("theo", "500.00")
    whose = [(floor.trader, floor.portfolio), (theo, second)]
    floor.quote("99.99", "100.00")
    floor.quote("1.08340", "1.08350", symbol="EURUSD")
    settled.cutoffs(floor.floor, floor.clock.now_ns())  # calendars are read once; the library warns of its pandas then
    keys, stop, failures = count(1), time.monotonic() + SECONDS, list[BaseException]()
    done = [0] * THREADS

    def work(n: int) -> None:
        chance = Random(n)
        while time.monotonic() < stop and not failures:
            who, portfolio = chance.choice(whose)
            amount = f"{chance.randint(1, 40_000) / 100:.2f}"
            key = f"{next(keys)}"
            try:
                match chance.randrange(6):
                    case 0:
                        ledger.deposit(floor.floor, SYSTEM, portfolio, amount, key)
                    case 1:
                        ledger.withdraw(floor.floor, SYSTEM, portfolio, amount, key)
                    case 2:
                        asked = wallet.request(floor.floor, who, portfolio, "withdrawal", amount, key)
                        if chance.random() < 0.5:
                            wallet.approve(floor.floor, chance.choice(admins), asked)
                    case 3:
                        waiting = wallet.waiting(floor.floor, admins[0])
                        if waiting:
                            wallet.decline(floor.floor, chance.choice(admins), chance.choice(waiting).id, "no")
                    case 4:
                        sell, buy = chance.choice([("USD", "EUR"), ("EUR", "USD")])
                        shown = fx.quote(floor.floor, who, portfolio, sell, buy, amount)
                        rate = f"{shown.rate:f}"
                        fx.convert(floor.floor, who, portfolio, sell, buy, amount, rate, shown.quoted_ns, key)
                    case _:
                        ticket = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1", "99.00")
                        desk.submit(floor.floor, who, portfolio, ticket, key)
                done[n] += 1
            except Invalid as refused:
                if refused.code not in ("insufficient_cash", "already_decided", "not_settled"):
                    failures.append(refused)
            except BaseException as error:
                failures.append(error)
                raise

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        verify.run_new(floor.floor, SYSTEM)
        time.sleep(0.2)
    assert failures == []
    assert sum(done) > THREADS
    floor.check()
    for _, portfolio in whose:
        for purse in wallet.cash(floor.floor, SYSTEM, portfolio):
            assert Decimal(0) <= purse.held <= purse.total
    assert {ok for (ok,) in floor.query("select ok from reconciliation")} == {True}
