import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import psycopg
import pytest
from lake_writer import SERIES, version_frame, version_of
from shared_servers import Database

from trading.adapters.lake import Lake
from trading.adapters.postgres.pool import Pool, open_pool
from trading.domain.errors import Inconsistent, Invalid, NotFound, Unavailable


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    """One for all tests here: each starts with an empty manifest."""
    return make_database()


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        connection.execute("truncate lake_file, ingest_report")
    own = open_pool(database.dsn("tf_app"), max_size=4, name="test-lake")
    yield own
    own.close()


@pytest.fixture
def lake(tmp_path: Path, pool: Pool) -> Lake:
    return Lake(tmp_path / "lake", pool)


def bars(*closes: float, start: str = "2024-01-02") -> pd.DataFrame:
    ts = pd.date_range(start, periods=len(closes), freq="D", tz="UTC", unit="ns")
    close = np.array(closes)
    return pd.DataFrame({"ts": ts, "open": close, "high": close, "low": close, "close": close, "volume": 1.0})


def parquet_files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_was_written_is_read_back_to_the_nanosecond(lake: Lake) -> None:
    ts = pd.to_datetime(["2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:06Z"], format="ISO8601")
    frame = bars(1.5, 2.5).assign(ts=ts.as_unit("ns"))
    lake.write("bars", "test/AAPL/S1", frame)
    pd.testing.assert_frame_equal(lake.read("bars", "test/AAPL/S1"), frame)


def test_a_file_is_named_after_its_content_and_the_manifest_knows_it(lake: Lake, tmp_path: Path) -> None:
    file = lake.write("bars", "test/BRK.B/D1", bars(1, 2, 3), meta={"files": ["abc"]})
    assert file.path == f"bars/test/BRK.B/D1/{file.sha256[:12]}.parquet"
    assert (file.rows, file.meta) == (3, {"v": 1, "files": ["abc"]})
    assert pd.Timestamp(file.ts_min_ns, tz="UTC") == pd.Timestamp("2024-01-02", tz="UTC")
    assert pd.Timestamp(file.ts_max_ns, tz="UTC") == pd.Timestamp("2024-01-04", tz="UTC")
    assert parquet_files(tmp_path / "lake") == [file.path]
    assert not os.stat(tmp_path / "lake" / file.path).st_mode & 0o222


def test_the_same_content_twice_is_one_file_and_one_row(lake: Lake) -> None:
    one, two = (lake.write("bars", "test/AAPL/D1", bars(1, 2)) for _ in range(2))
    assert one == two
    assert len(lake.files("bars")) == 1


def test_replacing_retires_what_was_there_and_nothing_else(lake: Lake) -> None:
    lake.write("bars", "test/AAPL/D1", bars(1, 2))
    lake.write("bars", "test/AAPL/D1", bars(3, start="2024-01-08"))
    lake.write("bars", "test/IBM/D1", bars(7))
    assert lake.read("bars", "test/AAPL/D1")["close"].tolist() == [1, 2, 3]
    lake.write("bars", "test/AAPL/D1", bars(9), replace=True)
    assert lake.read("bars", "test/AAPL/D1")["close"].tolist() == [9]
    assert lake.read("bars", "test/IBM/D1")["close"].tolist() == [7]


def test_what_was_retired_comes_back_when_it_is_written_again(lake: Lake) -> None:
    first = lake.write("bars", "test/AAPL/D1", bars(1, 2))
    lake.write("bars", "test/AAPL/D1", bars(3), replace=True)
    lake.write("bars", "test/AAPL/D1", bars(1, 2), replace=True)
    assert [file.id for file in lake.files("bars")] == [first.id]


@pytest.mark.parametrize(
    "series",
    [
        "../../x", "test/../D1", "test//D1", "", "test/AAPL", "test/=cmd()/D1", "test/null/D1", "test/NaN/D1",
        "test/" + "A" * 65 + "/D1", "test/Ä/D1", "test/AAPL\n/D1", "test/a b/D1", "test/.x/D1", "/etc/x/D1", "a/b/c/d",
    ],
)  # fmt: skip
def test_a_name_that_is_no_series_is_refused(lake: Lake, tmp_path: Path, series: str) -> None:
    with pytest.raises(Invalid) as refused:
        lake.write("bars", series, bars(1))
    assert refused.value.code == "bad_series"
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("symbol", ["BRK.B", "BTC-PERP", "NA", "^GSPC", "600519.SS", "M_M"])
def test_symbols_of_real_markets_are_names(lake: Lake, symbol: str) -> None:
    lake.write("bars", f"test/{symbol}/D1", bars(1))
    assert [file.series for file in lake.files("bars")] == [f"test/{symbol}/D1"]


@pytest.mark.parametrize("dataset", ["Bars", "bars; drop", "", "../bars", "1bars"])
def test_a_name_that_is_no_dataset_is_refused(lake: Lake, dataset: str) -> None:
    with pytest.raises(Invalid):
        lake.write(dataset, "", bars(1))
    with pytest.raises(Invalid):
        lake.read(dataset)


@pytest.mark.parametrize(
    ("dataset", "series"),
    [("bars", "SIM/AAPL/M1"), ("quote_bars", "SIM/AAPL/M1"), ("bars", "sim/AAPL/M1"), ("sim_bars", "wiki/AAPL/D1")],
)
def test_real_and_simulated_bars_never_mix(lake: Lake, dataset: str, series: str) -> None:
    with pytest.raises(Invalid) as refused:
        lake.write(dataset, series, bars(1))
    assert refused.value.code == "mixed_sources"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (bars(1, 2).assign(ts=pd.to_datetime(["2024-01-02", "2024-01-03"])), "naive_timestamp"),
        (bars(1, 2).drop(columns="ts"), "bad_frame"),
        (bars(1, 2).assign(ts=pd.Timestamp("2024-01-02", tz="UTC")), "bad_frame"),
    ],
)
def test_bars_need_one_row_for_each_time_of_a_known_zone(lake: Lake, frame: pd.DataFrame, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        lake.write("bars", "test/AAPL/D1", frame)
    assert refused.value.code == code


def test_a_dataset_can_be_asked_in_sql_across_series(lake: Lake) -> None:
    lake.write("bars", "test/AAPL/D1", bars(1, 2))
    lake.write("bars", "test/IBM/D1", bars(5).assign(adj_close=4.5))
    answer = lake.query("select series, max(close) m from bars where close > ? group by 1 order by 1", ["bars"], [1.5])
    assert answer.to_dict("records") == [{"series": "test/AAPL/D1", "m": 2.0}, {"series": "test/IBM/D1", "m": 5.0}]
    whole = lake.read("bars")
    assert whole["series"].tolist() == ["test/AAPL/D1"] * 2 + ["test/IBM/D1"]


def test_an_empty_lake_answers_with_empty_tables(lake: Lake) -> None:
    assert lake.read("bars", "test/AAPL/D1").empty
    assert lake.query("select count(*) n from bars where close > 1", ["bars"])["n"].tolist() == [0]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("copy (select 1) to '{root}/x.csv'", Invalid),
        ("select * from read_csv('/etc/passwd')", Invalid),
        ("select * from '/etc/passwd'", NotFound),
        ("set enable_external_access = true", Invalid),
        ("select 1; select 2", Invalid),
        ("attach '{root}/x.db'", Invalid),
        ("install httpfs", Invalid),
        ("select * from nothing", NotFound),
        ("select * from frame", NotFound),
    ],
)
def test_a_query_reads_the_lake_and_can_do_nothing_else(lake: Lake, tmp_path: Path, sql: str, error: type) -> None:
    lake.write("bars", "test/AAPL/D1", bars(1))
    before = parquet_files(tmp_path / "lake")
    with pytest.raises(error):
        lake.query(sql.format(root=tmp_path / "lake"), ["bars"])
    assert parquet_files(tmp_path / "lake") == before


def test_a_file_that_someone_removed_is_an_inconsistency_and_not_an_empty_answer(lake: Lake, tmp_path: Path) -> None:
    file = lake.write("bars", "test/AAPL/D1", bars(1))
    (tmp_path / "lake" / file.path).unlink()
    with pytest.raises(Inconsistent):
        lake.read("bars", "test/AAPL/D1")


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_behind(lake: Lake, tmp_path: Path) -> None:
    lake.write("bars", "test/AAPL/D1", bars(1))
    before = parquet_files(tmp_path / "lake")
    random = np.random.default_rng(1).random(200_000)
    big = pd.DataFrame({"x": random})
    old_limit, old_handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old_limit[1]))
    try:
        with pytest.raises(Unavailable, match="no space left") as refused:
            lake.write("features", "test/AAPL/D1", big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert refused.value.code == "disk_full"
    assert "\n" not in str(refused.value)
    assert parquet_files(tmp_path / "lake") == before
    assert lake.read("bars", "test/AAPL/D1")["close"].tolist() == [1]


def test_without_its_database_the_lake_says_so(lake: Lake, pool: Pool, tmp_path: Path) -> None:
    pool.close()
    with pytest.raises(Unavailable):
        lake.write("bars", "test/AAPL/D1", bars(1))
    assert parquet_files(tmp_path / "lake") == []


def test_orphans_and_long_retired_files_are_swept_and_live_ones_stay(lake: Lake, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    lake.write("bars", "test/AAPL/D1", bars(1))
    live = lake.write("bars", "test/AAPL/D1", bars(2), replace=True)
    (root / ".staging" / "left.parquet").write_bytes(b"half")
    (root / "bars" / "test" / "AAPL" / "D1" / "000000000000.parquet").write_bytes(b"orphan")
    assert lake.sweep() == 0, "young files may belong to a writer at work"
    assert lake.sweep(grace_s=-10) == 2
    assert lake.sweep(grace_s=-10, retired_grace_s=-10) == 1
    assert parquet_files(root) == [live.path]
    assert lake.read("bars", "test/AAPL/D1")["close"].tolist() == [2]


def test_two_who_merge_into_one_series_do_not_lose_each_others_rows(lake: Lake) -> None:
    def add(day: int) -> None:
        with lake.changing("bars", "test/AAPL/D1"):
            new = bars(day, start=f"2024-01-{day:02}")
            old = lake.read("bars", "test/AAPL/D1")
            lake.write("bars", "test/AAPL/D1", pd.concat([old, new]) if len(old) else new, replace=True)

    threads = [threading.Thread(target=add, args=(day,)) for day in (2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lake.read("bars", "test/AAPL/D1")["close"].tolist() == [2, 3, 4]


def test_a_writer_killed_at_any_line_leaves_the_old_data_or_the_new(
    database: Database, lake: Lake, tmp_path: Path
) -> None:
    lake.write("bars", SERIES, version_frame(1), replace=True)
    seen: list[int] = []
    faults: list[BaseException] = []
    stop = threading.Event()

    def read_on_and_on() -> None:
        while not stop.wait(0.02):
            try:
                seen.append(version_of(lake.read("bars", SERIES)))
            except BaseException as fault:
                faults.append(fault)
                return

    reader = threading.Thread(target=read_on_and_on)
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(Path(__file__).with_name("lake_writer.py")),
        database.dsn("tf_app"),
        str(tmp_path / "lake"),
    ]
    kills, line, visible = 0, 0, 1
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        reader.start()
        while True:
            line += 1
            version = line + 1
            writer.stdin.write(f"{version} {line}\n")
            writer.stdin.flush()
            answer = writer.stdout.readline().strip()
            now = version_of(lake.read("bars", SERIES))
            assert now in (visible, version)
            visible = now
            if answer != "killed":
                assert (answer, now) == ("ended 0", version)
                break
            kills += 1
        writer.stdin.close()
    stop.set()
    reader.join()
    assert faults == []
    assert kills >= 60, "every line of a write was a place to die"
    assert seen == sorted(seen), "no reader saw older data after newer"
    assert len(lake.files("bars", SERIES)) == 1
    lake.sweep(grace_s=-10, retired_grace_s=-10)
    assert len(parquet_files(tmp_path / "lake")) == 1


def test_the_engine_that_reads_is_locked(lake: Lake) -> None:
    with lake._duckdb() as engine:
        for statement in ("set lock_configuration = false", "set allowed_directories = ['/']"):
            with pytest.raises(duckdb.InvalidInputException):
                engine.execute(statement)
