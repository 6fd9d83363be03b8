"""Backups are there to be restored: the whole data folder is destroyed, and the floor comes back."""

import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from house import House
from oracle_books import differences

from trading.adapters.clock import SystemClock
from trading.adapters.embedded import backup, backup_wal
from trading.config import Settings
from trading.domain.errors import Conflict, Inconsistent, Invalid, NotFound, Unavailable
from trading.processes import backups, command_backup
from trading.services import backups as remembered
from trading.services import night
from trading.services.access import SYSTEM

RTO_S, RPO_S = 15 * 60, 5 * 60


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What is written beyond it fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_backup_that_fails_is_not_listed_and_is_remembered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    floor, settings = house.floor, house.settings
    assert floor is not None
    place = settings.backups
    usage = shutil.disk_usage(place)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
        with pytest.raises(Unavailable, match="Only 0 MB are free"):
            backups.back_up(settings, floor.floor)
    with largest_file(1_000_000), pytest.raises(Unavailable, match="The backup failed"):
        backups.back_up(settings, floor.floor)
    assert [path.name for path in place.iterdir() if path.is_dir()] == ["wal"]
    assert backup.listed(place) == []
    assert [made.ok for made in remembered.newest(floor.floor, SYSTEM)] == [False]
    run = backups.job(settings)
    now_ns = SystemClock().now_ns()
    floor.clock.ns = now_ns
    assert run(floor.floor, remembered.newest(floor.floor, SYSTEM)[0].ts_ns) == "", "not again at once"
    assert run(floor.floor, now_ns).startswith("made ")
    assert run(floor.floor, now_ns) == "", "none is due"
    with pytest.raises(Conflict), backup._one_at_a_time(place):
        backups.back_up(settings, floor.floor)


def test_a_backup_that_is_asked_for_is_made_by_the_clerk_and_screens_are_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor, settings = house.floor, house.settings
    assert floor is not None
    told, make = [], backup.make

    def making(*arguments: Any) -> backup.Backup:
        made = make(*arguments)
        told.append(remembered.work(floor.floor, SYSTEM))
        return made

    monkeypatch.setattr(backup, "make", making)
    run, now_ns = backups.asked_job(settings), floor.clock.now_ns()
    assert run(floor.floor, now_ns) == "", "nobody asked"
    remembered.ask(floor.floor, SYSTEM)
    assert run(floor.floor, now_ns).startswith("made ")
    assert [(each.asked_ns, each.making_ns) for each in told] == [(None, now_ns)]
    assert remembered.work(floor.floor, SYSTEM) == remembered.BackupWork(None, None)
    assert run(floor.floor, now_ns) == "", "asked once, made once"
    remembered.ask(floor.floor, SYSTEM)
    with backup._one_at_a_time(settings.backups):
        assert run(floor.floor, now_ns) == "one is being made already"
    remembered.ask(floor.floor, SYSTEM)
    elsewhere = settings.model_copy(update={"database_url": "postgresql://db.example/floor"})
    with pytest.raises(Unavailable):
        backups.asked_job(elsewhere)(floor.floor, now_ns)
    newest = remembered.newest(floor.floor, SYSTEM)[0]
    assert (newest.ok, newest.trouble) == (False, backups.NOT_OURS[:300])


def test_only_the_newest_backups_stay_with_what_they_need(house: House) -> None:
    floor, place = house.floor, house.settings.backups
    assert floor is not None
    settings = house.settings.model_copy(update={"backup_keep": 2})
    made = []
    for _ in range(3):
        made.append(backups.back_up(settings, floor.floor))
        floor.query("select pg_switch_wal()")
        house.trade(0.1)
    backup_wal.compress(place, made[0].line)
    assert [each.name for each in backup.listed(place)] == [made[2].name, made[1].name]
    names = sorted(path.name[:24] for path in backup_wal.folder_of(place, made[0].line).iterdir())
    assert names[0] == made[1].segment
    (place / "20200101T000000Z").mkdir()
    backups.back_up(settings, floor.floor)
    assert not (place / "20200101T000000Z").exists(), "half a backup is removed, and never listed"
    assert [backup.fault(place, each) for each in backup.listed(place)] == ["", ""]


def test_what_can_not_be_restored_says_why_and_leaves_everything_as_it_is(house: House) -> None:
    floor, settings, place = house.floor, house.settings, house.settings.backups
    assert floor is not None
    made = backups.back_up(settings, floor.floor)
    newest = remembered.newest(floor.floor, SYSTEM)[0]
    assert (newest.name, newest.ok, newest.bytes) == (made.name, True, made.bytes)
    before = house.counts()
    with pytest.raises(Unavailable, match="floor is open"):
        command_backup.restore(settings, made.name, None, None)
    house.close()
    early, late = (made.ended + timedelta(hours=hours) for hours in (-1, 1))
    with pytest.raises(Invalid, match="take an older one"):
        command_backup.restore(settings, made.name, early.isoformat(), None)
    with pytest.raises(Invalid, match="ends before"):
        command_backup.restore(settings, made.name, late.isoformat(), None)
    with pytest.raises(NotFound):
        command_backup.restore(settings, "newest", early.isoformat(), None)
    with pytest.raises(NotFound):
        command_backup.restore(settings, "../data", None, None)
    archive = place / made.name / "base" / "base.tar.gz"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(Inconsistent, match="not as it was written"):
        command_backup.restore(settings, made.name, None, None)
    assert command_backup.show(settings, None, True, False) == 1
    house.open()
    assert house.counts() == before
    assert not list(house.server.home.root.glob("postgres.*"))


def test_a_destroyed_floor_comes_back_with_all_that_was_committed(
    house: House, capsys: pytest.CaptureFixture[str], note: Callable[[str], None]
) -> None:
    floor, settings = house.floor, house.settings
    assert floor is not None
    house.trade(0.5)
    assert command_backup.make(settings, None) == 0
    house.trade(0.7)
    named, then = datetime.now(UTC), house.counts()
    time.sleep(0.2)
    last_s = house.trade(1.0)
    lost_at, before = last_s, house.counts()
    house.destroy()

    begun = time.monotonic()
    assert command_backup.restore(settings, "newest", None, None) == 0
    assert "The floor is consistent." in capsys.readouterr().out
    house.open()
    open_s = time.monotonic() - begun
    newest = floor.query("select max(ts) from (select max(created_at) as ts from idempotency_key) t")[0][0]
    rpo_s = lost_at - newest.timestamp()
    after = house.counts()
    assert rpo_s <= RPO_S
    assert open_s <= RTO_S
    assert before[0] - after[0] <= 4, "what was committed within the last moment may be lost, no more"

    house.trade(0.3)
    floor.check()
    assert differences(floor.query, {floor.portfolio: Decimal("100000.00")}) == []
    assert night.replay(floor.floor, SYSTEM).ok
    note(f"lost {max(rpo_s, 0):.2f} s and {before[0] - after[0]} of {before[0]} orders; open after {open_s:.1f} s")

    house.close()
    assert command_backup.restore(settings, "newest", named.isoformat(), None) == 0
    assert len(list(house.server.home.root.glob("postgres.before-*"))) == 1, "what was there is kept aside"
    house.open()
    assert house.counts() == then
    floor.check()


def test_a_server_of_ones_own_is_backed_up_by_its_owner(settings: Settings) -> None:
    for call in (
        lambda: command_backup.make(settings, None),
        lambda: command_backup.restore(settings, "newest", None, None),
    ):
        with pytest.raises(Unavailable, match="its backups are made and restored where it runs"):
            call()
