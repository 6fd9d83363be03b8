"""Killed at every named point and at random, over a tape and orders that go on: nothing is lost, nothing is doubled.

``CRASH_KILLS`` is the number of random kills, ``CRASH_FREEZES`` of brokers that freeze.
"""

import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest
from nursery import BROKER_POINTS, DESK_POINTS
from nursery_street import CASH, Nursery, Street
from oracle_books import differences

from trading.domain.orders import Acceptance
from trading.processes.broker import FENCED_STATUS
from trading.services import night
from trading.services.access import SYSTEM

FREEZES = int(os.environ.get("CRASH_FREEZES", "3"))
FROZEN_AT = (
    "before a commit is sent",
    "with a commit on its way",
    "after a commit, before it is known",
    "before the lease is renewed",
)
KILLS = int(os.environ.get("CRASH_KILLS", "12"))


def is_whole(street: Street) -> None:
    """The books, the oracle, a clean replay of the log, and each order under its key."""
    street.floor.check()
    assert differences(street.floor.query, {street.floor.portfolio: CASH}) == []
    parity = night.replay(street.floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:5]
    assert parity.first_seq == 1
    assert parity.last_seq == street.cursor()
    for key, (arguments, first) in street.orders.items():
        assert street.floor.order(*arguments, key=key) == first, "the same key is the same order"
    assert set(street.ids) == {order for (order,) in street.floor.query("select id from orders")}


@pytest.mark.timeout(0)
def test_a_broker_killed_at_every_named_point_and_at_random_loses_and_doubles_nothing(
    street: Street, note: Callable[[str], None]
) -> None:
    for point in BROKER_POINTS:
        for count in (1,) if point == "after the lease is taken" else (1, 3):
            doomed = street.broker(point, count)
            street.until(lambda pid=doomed: street.status(pid) is not None, f"death {point}", 30, busy=True)
            assert street.status(doomed) == -signal.SIGKILL
    resumed_s = []
    for n in range(KILLS):
        before, begun = street.cursor(), time.monotonic()
        pid = street.broker(wait_for_lease=n < 2)
        street.until(lambda before=before: street.cursor() > before, "work again", busy=n >= 2)
        resumed_s.append(time.monotonic() - begun)
        street.until(lambda: street.chance.random() < 0.08, "a moment", busy=True)
        street.kill(pid)
    last = street.broker()
    street.until(street.sequenced, "every command to be sequenced", 30)
    os.kill(last, signal.SIGTERM)
    street.until(lambda: street.status(last) is not None, "its end")
    assert street.status(last) in (0, FENCED_STATUS)
    assert len(street.floor.query("select 1 from fill")) > len(BROKER_POINTS)
    is_whole(street)
    assert max(resumed_s[:2]) <= 5, "the lease of the dead included"
    kills = street.killed + 2 * len(BROKER_POINTS) - 1
    note(f"{kills} kills, {len(street.ids)} orders; back after {max(resumed_s[:2]):.1f} s with the lease of the dead")


@pytest.mark.timeout(0)
def test_a_broker_frozen_past_its_lease_writes_nothing_when_it_thaws(
    street: Street, nursery: Nursery, note: Callable[[str], None]
) -> None:
    takeovers_s = []
    for n in range(FREEZES):
        point = FROZEN_AT[n % len(FROZEN_AT)]
        street.floor.query("update broker_lease set expires_at = '-infinity'")
        frozen = street.born("freeze", point, 3 + n)
        street.until(lambda pid=frozen: psutil.Process(pid).status() == psutil.STATUS_STOPPED, point, 30, busy=True)
        epoch = street.epoch()
        standby = street.born("broker", "-", 1)
        takeovers_s.append(street.until(lambda epoch=epoch: street.epoch() > epoch, "a takeover", 20, busy=True))
        before = street.cursor()
        street.until(lambda before=before: street.cursor() > before, "work", busy=True)
        os.kill(frozen, signal.SIGCONT)
        street.until(lambda pid=frozen: street.status(pid) is not None, "its end", busy=True)
        assert street.status(frozen) == FENCED_STATUS, nursery.words()
        late = street.floor.query("select last_seq from input_log where epoch = %s and first_seq > %s", epoch, before)
        assert late == [], "nothing of the old one behind the first of the new one"
        street.kill(standby)
    last = street.broker()
    street.until(street.sequenced, "every command to be sequenced", 30)
    street.kill(last)
    epochs = [epoch for (epoch,) in street.floor.query("select epoch from input_log order by first_seq")]
    assert epochs == sorted(epochs)
    assert max(takeovers_s) <= 10
    note(f"takeover after {max(takeovers_s):.1f} s at most, in {FREEZES} rounds")
    is_whole(street)


def test_an_order_whose_desk_is_killed_at_a_named_point_is_the_same_order_when_it_is_sent_again(
    street: Street, nursery: Nursery
) -> None:
    floor = street.floor
    committed = {}
    for n, point in enumerate(DESK_POINTS):
        key = f"desk-{n}"
        doomed = street.born("desk", point, key=key, portfolio=floor.portfolio, user=floor.trader.user_id)
        street.until(lambda pid=doomed: street.status(pid) is not None, f"death {point}")
        assert street.status(doomed) == -signal.SIGKILL, (point, nursery.words())
        rows = floor.query("select answer ->> 'order_id' from idempotency_key where key = %s", key)
        committed[point] = bool(rows)
        arguments = ("buy", "1", "100.00")
        first = floor.order(*arguments, key=key)
        assert isinstance(first, Acceptance)
        if rows:
            assert int(rows[0][0]) == first.order_id
        assert floor.order(*arguments, key=key) == first
    assert list(committed.values()) == [False, False, True, True, True]
    assert floor.query("select count(*) from orders") == [(len(DESK_POINTS),)]
    floor.check()
