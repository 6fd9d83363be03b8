import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_floor import NOW, lake_floor
from shared_servers import Database

from trading.adapters.postgres.pool import Pool, open_pool
from trading.adapters.sources import files
from trading.domain.errors import Forbidden, NotFound, Unavailable
from trading.services import ingest, research_data
from trading.services.access import SYSTEM, Actor, Role
from trading.services.floor import Floor
from trading.services.ingest import IngestReport

HEADER = "date,open,high,low,close,volume\n"
GOOD = HEADER + "2013-02-08,10,11,9,10.5,1000\n2013-02-11,10.5,11.5,9.5,11,1200\n2013-02-12,11,12,10.5,11.7,900\n"


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    """One for all tests here: each starts with an empty manifest."""
    return make_database()


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        connection.execute("truncate lake_file, ingest_report")
    own = open_pool(database.dsn("tf_app"), max_size=4, name="test-ingest")
    yield own
    own.close()


@pytest.fixture
def floor(tmp_path: Path, pool: Pool) -> Floor:
    return lake_floor(tmp_path / "lake", pool)


@pytest.fixture
def take(floor: Floor, tmp_path: Path) -> Callable[..., IngestReport]:
    """Write a file and ingest it."""

    def run(content: str | bytes, name: str = "ACME.csv", **options: str) -> IngestReport:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return ingest.ingest_path(floor, SYSTEM, path, **options)

    return run


Take = Callable[..., IngestReport]


def parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pydict({name: frame[name].tolist() for name in frame.columns}), sink)
    return sink.getvalue()


def frame_of(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), keep_default_na=False)


def code(report: IngestReport) -> str:
    assert not report.taken
    assert report.refusal is not None
    reason = report.refusal["reason"]
    assert reason
    assert "\n" not in reason
    assert "Traceback" not in reason
    assert len(reason) < 300
    return report.refusal["code"]


# What is taken -------------------------------------------------------------------------------------------------------


def test_a_csv_becomes_a_series_of_bars(floor: Floor, take: Take) -> None:
    report = take(GOOD)
    assert (report.taken, report.rows, report.accepted, report.quarantined, report.refused) == (True, 3, 3, 0, 0)
    assert report.symbols == ("ACME",)
    (entry,) = report.series
    assert (entry["series"], entry["first"], entry["last"]) == ("inbox/ACME/D1", "2013-02-08", "2013-02-12")
    bars = research_data.bars(floor, SYSTEM, "inbox/ACME/D1")
    assert bars["close"].tolist() == [10.5, 11, 11.7]
    assert str(bars["ts"].dtype) == "datetime64[ns, UTC]"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (GOOD.encode("utf-8-sig"), "ACME.csv"),
        (GOOD.encode("utf-16"), "ACME.csv"),
        (gzip.compress(GOOD.encode(), mtime=0), "ACME.csv.gz"),
        (gzip.compress(GOOD.encode(), mtime=0), "ACME.csv"),
        (GOOD.replace("\n", "\r\n").encode(), "ACME.csv"),
        (GOOD.replace(",", ";").encode(), "ACME.csv"),
        (GOOD.replace(",", "\t").encode(), "ACME.tsv"),
        (GOOD.replace("date,open", "Date,Open").replace("volume", "Volume").encode(), "acme.csv"),
        (GOOD.replace("date", '"<DATE>"').replace("open", "<OPEN>").encode(), "ACME_daily.csv"),
        (GOOD.replace("date", "").encode(), "ACME.csv"),
        (parquet(frame_of(GOOD)), "ACME.parquet"),
        (parquet(frame_of(GOOD).assign(date=pd.to_datetime(frame_of(GOOD)["date"]))), "ACME.parquet"),
    ],
    ids=["bom", "utf16", "gzip", "gzip by content", "crlf", "semicolon", "tab", "capitals", "metatrader", "index",
         "parquet", "parquet times"],
)  # fmt: skip
def test_the_same_bars_in_other_clothes(floor: Floor, take: Take, content: bytes, name: str) -> None:
    report = take(content, name)
    assert report.refusal is None
    assert report.accepted == 3
    assert research_data.bars(floor, SYSTEM, "inbox/ACME/D1")["close"].tolist() == [10.5, 11, 11.7]


def test_quote_bars_are_a_kind_of_their_own(floor: Floor, take: Take) -> None:
    names = [f"{side}_{price}" for side in ("bid", "ask") for price in ("open", "high", "low", "close")]
    rows = "ts," + ",".join(names) + "\n"
    rows += "2014-05-05T10:00:00Z,1.30,1.32,1.29,1.31,1.31,1.33,1.30,1.32\n"
    rows += "2014-05-05T11:00:00Z,1.31,1.34,1.30,1.34,1.32,1.34,1.31,1.33\n"
    rows += "2014-05-05T12:00:00Z,1.31,1.33,1.30,1.32,1.32,1.34,1.31,1.33\n"
    report = take(rows, "EURUSD_oanda_1h_quote.csv")
    assert (report.kind, report.accepted, report.quarantined) == ("quote_bars", 2, 1)
    assert [row["date"] for row in report.findings["crossed_quote"]["rows"]] == ["2014-05-05T11:00:00Z"]
    assert research_data.bars(floor, SYSTEM, "inbox/EURUSD/H1")["ask_close"].tolist() == [1.32, 1.33]


def test_many_symbols_in_one_file_are_many_series(floor: Floor, take: Take) -> None:
    rows = "Ticker,Date,Open,High,Low,Close,Volume\n"
    rows += "".join(f"{symbol},2013-02-0{day},10,11,9,10,{day}00\n" for symbol in ("NA", "BRK.B") for day in (5, 6))
    rows += "null,2013-02-05,10,11,9,10,5\n=cmd(),2013-02-05,10,11,9,10,5\n../../x,2013-02-05,10,11,9,10,5\n"
    rows += ",2013-02-05,10,11,9,10,5\n"
    report = take(rows, "all.csv")
    assert [entry["series"] for entry in report.series] == ["inbox/NA/D1", "inbox/BRK.B/D1"]
    assert report.findings["bad_symbol"]["count"] == 4
    assert (report.accepted, report.quarantined) == (4, 4)
    assert len(research_data.bars(floor, SYSTEM, "inbox/NA/D1")) == 2


def test_the_report_names_each_bad_row_with_its_date_and_reason(floor: Floor, take: Take) -> None:
    bad = GOOD + "2013-02-13,11,10,12,11,900\n2013-02-14,abc,12,10,11,900\n2013-02-15,11,12,,11,900\n2013-02-15,11,12\n"
    bad += "soon,11,12,10,11,900\n2013-02-19,1e400,12,10,11,900\n2027-02-19,11,12,10,11,900\n"
    report = take(bad)
    plain = report.as_json()
    assert (plain["accepted"], plain["quarantined"]) == (3, 7)
    found = {rule: [(row["row"], row["date"]) for row in entry["rows"]] for rule, entry in plain["findings"].items()}
    assert found == {
        "ohlc_order": [(4, "2013-02-13")],
        "not_a_number": [(5, "2013-02-14")],
        "missing_value": [(6, "2013-02-15")],
        "field_count": [(7, "2013-02-15")],
        "bad_date": [(8, "soon")],
        "not_finite": [(9, "2013-02-19")],
        "future_date": [(10, "2027-02-19")],
    }
    assert all(row["reason"] for entry in plain["findings"].values() for row in entry["rows"])
    assert json.loads(json.dumps(plain)) == plain


def test_rows_put_aside_are_kept_as_they_stood_in_the_file(floor: Floor, take: Take) -> None:
    take(GOOD + "2013-02-13,11,10,-12,11,900\n2013-02-15,11,12\n")
    kept = floor.lake.read("quarantine").sort_values("row")
    assert kept["row"].tolist() == [4, 5]
    assert set(kept["rules"].iloc[0].split(",")) == {"ohlc_order", "not_positive"}
    assert json.loads(kept["original"].iloc[0])["low"] == "-12"
    assert json.loads(kept["original"].iloc[1]) == ["2013-02-15", "11", "12"]


def test_columns_that_are_not_kept_are_told(take: Take) -> None:
    report = take(GOOD.replace("volume", "volume,open_interest").replace("00\n", "00,7\n"))
    assert report.ignored_columns == ("open_interest",)


def test_the_same_file_twice_changes_nothing(floor: Floor, take: Take) -> None:
    first = take(GOOD + "2013-02-13,11,10,12,11,900\n")
    again = take(GOOD + "2013-02-13,11,10,12,11,900\n", "renamed_ACME.csv")
    assert (first.already_taken, again.already_taken) == (False, True)
    assert (again.taken, again.accepted, again.quarantined) == (True, 3, 1)
    assert len(floor.lake.files("bars")) == len(floor.lake.files("quarantine")) == 1
    assert len(floor.lake.ingest_reports()) == 1
    other = take(GOOD + "2013-02-13,11,10,12,11,900\n", symbol="OTHER")
    assert not other.already_taken


def test_a_newer_file_adds_its_bars_and_says_which_values_it_changed(floor: Floor, take: Take) -> None:
    take(GOOD)
    report = take(HEADER + "2013-02-12,11,12,10.5,11.8,900\n2013-02-13,12,13,11,12.5,800\n")
    assert report.findings["revision"]["rows"] == [
        {"row": 1, "date": "2013-02-12", "reason": "close 11.7 -> 11.8"},
    ]
    assert research_data.bars(floor, SYSTEM, "inbox/ACME/D1")["close"].tolist() == [10.5, 11, 11.8, 12.5]


def test_times_without_a_zone_are_utc_and_the_report_says_so(floor: Floor, take: Take) -> None:
    rows = "time,open,high,low,close\n2014-05-05 10:00,1,2,1,2\n2014-05-05 10:01,2,3,2,3\n"
    report = take(rows)
    assert report.findings["naive_time"]["severity"] == "warning"
    assert research_data.bars(floor, SYSTEM, "inbox/ACME/M1")["ts"].iloc[0] == pd.Timestamp("2014-05-05T10:00Z")


def test_local_times_need_their_zone(floor: Floor, take: Take) -> None:
    rows = "ts_local,open,high,low,close\n2014-05-05 10:00,1,2,1,2\n2014-05-05 10:01,2,3,2,3\n"
    assert code(take(rows)) == "no_time_zone"
    assert take(rows, zone="Europe/Berlin").taken
    assert research_data.bars(floor, SYSTEM, "inbox/ACME/M1")["ts"].iloc[0] == pd.Timestamp("2014-05-05T08:00Z")


# What is refused whole -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "empty"),
        ("\n\n  \n", "empty"),
        (HEADER, "no_rows"),
        ("just some words\n", "not_a_table"),
        ("<html><body>404</body></html>", "not_a_table"),
        ('{"a": [1, 2]}', "not_a_table"),
        (b"\x00\x01\x02\x03" * 100, "not_a_table"),
        ("Kurs\xe9,a\n".encode("latin-1"), "encoding"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-12], "damaged"),
        (parquet(frame_of(GOOD))[:-20], "damaged"),
        (b"PAR1", "damaged"),
        ("open,high,low,close\n1,2,1,2\n", "no_date_column"),
        ("date,open,high,low\n2013-02-08,1,2,1\n", "no_price_columns"),
        ("date,bid_open,bid_high\n2013-02-08,1,2\n", "no_price_columns"),
        (GOOD.replace("volume", "Close"), "duplicate_columns"),
        ("date," + ",".join(f"c{i}" for i in range(100_000)) + "\n", "too_many_columns"),
        (HEADER + "2013-02-08,10,11,9,10,1\n02/11/2013,10,11,9,10,1\n", "mixed_date_formats"),
        (HEADER + "13/02/2013,10,11,9,10,1\n02/14/2013,10,11,9,10,1\n", "mixed_date_formats"),
        (HEADER + "01/02/2013,10,11,9,10,1\n02/02/2013,10,11,9,10,1\n", "ambiguous_dates"),
        (HEADER + "x,10,11,9,10,1\ny,10,11,9,10,1\n", "no_dates"),
        ("date;open;high;low;close\n2013-02-08;10,1;11,2;9,3;10,4\n2013-02-11;10,1;11,2;9,3;10,4\n", "decimal_comma"),
        (HEADER + "2013-02-08,10,1,11,2,9,3,10,4,1\n2013-02-11,10,1,11,2,9,3,10,4,1\n", "field_count"),
        (HEADER + '2013-02-08,"1,010.5","1,011.5","1,009.5","1,010.5",1\n', "number_format"),
        (HEADER + "2013-02-08,$10,$11,$9,$10,1\n", "number_format"),
        (HEADER + "2013-02-08,10,9,11,10,1\n2013-02-11,0,0,0,0,1\n", "all_bad"),
        (HEADER + "".join(f"2013-03-{d:02},10,{11 - d % 3 * 2},9,10,{d}\n" for d in range(1, 28)), "mostly_bad"),
        (HEADER + "".join(f"2013-03-{1 + d * 7 % 23:02},10,11,9,10,{d}\n" for d in range(1, 23)), "no_time_order"),
        ("ts,bid,ask\n2014-05-05T10:00:00Z,1.3,1.4\n", "not_bars"),
        ("ts,price,size,aggressor\n2014-05-05T10:00:00Z,1.3,5,buy\n", "not_bars"),
        ("symbol,ex_date,split_ratio\nAAPL,2015-02-05,1.0\n", "not_bars"),
        ("date,open,high,low,close\n2013-02-08," + "9" * 200_000 + ",1,1,1\n", "not_a_table"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "file",
)  # fmt: skip
def test_a_bad_file_is_refused_whole_with_one_sentence(
    floor: Floor, take: Take, content: str | bytes, expected: str
) -> None:
    report = take(content)
    assert code(report) == expected
    assert (report.accepted, report.quarantined) == (0, 0)
    assert report.refused == report.rows
    assert floor.lake.files("bars") == floor.lake.files("quarantine") == []
    assert floor.lake.ingest_reports()[0]["refusal"]["code"] == expected


def test_archives_are_named_for_what_they_are(take: Take) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("ACME.csv", GOOD)
    report = take(sink.getvalue(), "ACME.zip")
    assert code(report) == "not_a_table"
    assert report.refusal is not None
    assert "zip archive" in report.refusal["reason"]


def test_a_file_that_is_not_there_a_folder_and_one_that_is_too_big(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code(ingest.ingest_path(floor, SYSTEM, tmp_path / "none.csv")) == "not_found"
    assert code(ingest.ingest_path(floor, SYSTEM, tmp_path)) == "not_a_file"
    for name in ("a\x00b.csv", "a\udcffb.csv"):
        assert code(ingest.ingest_path(floor, SYSTEM, Path(name))) in ("not_found", "unreadable")
    (tmp_path / "ACME.csv").write_text(GOOD)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 50)
    assert code(ingest.ingest_path(floor, SYSTEM, tmp_path / "ACME.csv")) == "too_big"


def test_a_small_gzip_of_endless_text_is_too_big(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 10_000)
    assert (
        code(take(gzip.compress(GOOD.encode() + b"2013-02-13,11,12,10,11,900\n" * 10_000), "ACME.csv.gz")) == "too_big"
    )


@pytest.mark.parametrize("symbol", ["../../x", "null", "NaN", "=cmd()", "", " ", "A" * 65, "ÄÖÜ", "A B", "-rf"])
def test_a_symbol_that_cannot_be_one_is_refused(floor: Floor, take: Take, symbol: str) -> None:
    assert code(take(GOOD, symbol=symbol)) == "bad_symbol"
    assert floor.lake.files("bars") == []


@pytest.mark.parametrize("name", ["data.csv", "historical prices.csv", "export_2013.csv", "=cmd().csv", "null.csv"])
def test_a_file_that_does_not_tell_its_symbol_is_asked_for_one(take: Take, name: str) -> None:
    assert code(take(GOOD, name)) == "no_symbol"
    assert take(GOOD, name, symbol="ACME").taken


@pytest.mark.parametrize(("name", "symbol"), [("ALL.csv", "ALL"), ("600519.SS.csv", "600519.SS"), ("NA.csv", "NA")])
def test_tickers_that_look_like_something_else(take: Take, name: str, symbol: str) -> None:
    assert take(GOOD, name).symbols == (symbol,)


def test_one_given_symbol_cannot_name_a_file_of_many(take: Take) -> None:
    rows = "symbol,date,open,high,low,close\nAAPL,2013-02-08,1,2,1,2\nIBM,2013-02-08,1,2,1,2\n"
    assert code(take(rows, symbol="ACME")) == "symbol_conflict"


@pytest.mark.parametrize("source", ["SIM", "sim", "wiki", "../x", ""])
def test_reserved_and_malformed_sources_are_refused(take: Take, source: str) -> None:
    assert code(take(GOOD, source=source)) == "bad_source"


# Who may, the shipped bars, the inbox --------------------------------------------------------------------------------


def test_only_admin_and_system_may_ingest(floor: Floor, tmp_path: Path) -> None:
    for role in (Role.TRADER, Role.OBSERVER):
        with pytest.raises(Forbidden):
            ingest.ingest_path(floor, Actor(0, "x", role), tmp_path / "ACME.csv")


def test_the_shipped_bars_are_taken_once_as_wiki(floor: Floor) -> None:
    report = ingest.ingest_shipped(floor, SYSTEM)
    assert (report.rows, report.accepted, report.quarantined) == (12154, 12153, 1)
    assert [entry["series"] for entry in report.series] == [
        f"wiki/{s}/D1" for s in ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    ]
    (copied,) = report.findings["copied_bar"]["rows"]
    assert (copied["symbol"], copied["date"]) == ("AAPL", "2003-01-28")
    assert ingest.ingest_shipped(floor, SYSTEM).already_taken
    listed = {entry["series"]: entry for entry in research_data.series_list(floor, SYSTEM)}
    assert listed["wiki/MSFT/D1"]["rows"] == 3270
    assert listed["wiki/MSFT/D1"]["last"] == pd.Timestamp("2013-03-01", tz="UTC")


def test_adjusted_bars_have_no_jump_at_a_split(floor: Floor) -> None:
    ingest.ingest_shipped(floor, SYSTEM)
    day = pd.Timestamp("2005-02-28", tz="UTC")
    raw = research_data.bars(floor, SYSTEM, "wiki/AAPL/D1").set_index("ts")["close"].pct_change()[day]
    smooth = research_data.bars(floor, SYSTEM, "wiki/AAPL/D1", adjust=True).set_index("ts")
    assert raw == pytest.approx(-0.4959, abs=1e-4)
    assert abs(smooth["close"].pct_change()[day]) < 0.02
    assert "adj_close" not in smooth.columns
    assert (smooth["low"] <= smooth["close"] * (1 + 1e-9)).all()


def test_an_unknown_series_is_not_found(floor: Floor) -> None:
    with pytest.raises(NotFound):
        research_data.bars(floor, SYSTEM, "wiki/NONE/D1")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def drop(inbox: Path, name: str, content: str, age_s: float = 60.0) -> Path:
    path = inbox / name
    path.write_text(content)
    os.utime(path, (NOW.timestamp() - age_s,) * 2)
    return path


def test_the_inbox_is_emptied_into_taken_and_refused(floor: Floor, inbox: Path) -> None:
    drop(inbox, "ACME.csv", GOOD)
    drop(inbox, "bad.csv", "nothing")
    drop(inbox, ".hidden", "x")
    (inbox / "link.csv").symlink_to("/etc/passwd")
    reports = ingest.ingest_inbox(floor, SYSTEM, inbox)
    assert {report.file: report.taken for report in reports} == {"ACME.csv": True, "bad.csv": False}
    assert sorted(str(p.relative_to(inbox)) for p in inbox.rglob("*") if p.is_file() and not p.is_symlink()) == [
        ".hidden", "refused/bad.csv", "refused/bad.csv.report.json", "taken/ACME.csv", "taken/ACME.csv.report.json",
    ]  # fmt: skip
    assert json.loads((inbox / "taken" / "ACME.csv.report.json").read_text())["accepted"] == 3
    assert json.loads((inbox / "refused" / "bad.csv.report.json").read_text())["refusal"]["code"] == "not_a_table"
    assert ingest.ingest_inbox(floor, SYSTEM, inbox) == []


def test_a_file_that_is_still_being_written_waits(floor: Floor, inbox: Path) -> None:
    path = drop(inbox, "ACME.csv", GOOD, age_s=1.0)
    assert ingest.ingest_inbox(floor, SYSTEM, inbox) == []
    assert path.exists()


def test_a_second_file_of_the_same_name_does_not_replace_the_first(floor: Floor, inbox: Path) -> None:
    drop(inbox, "ACME.csv", GOOD)
    ingest.ingest_inbox(floor, SYSTEM, inbox)
    drop(inbox, "ACME.csv", GOOD.replace("11.7", "11.8"))
    drop(inbox, "ACME.csv.gz", "x")
    ingest.ingest_inbox(floor, SYSTEM, inbox)
    assert len(list((inbox / "taken").glob("ACME*.csv"))) == 2
    assert (inbox / "taken" / "ACME.csv").read_text() == GOOD


def test_a_file_stays_in_the_inbox_while_the_database_is_away(floor: Floor, pool: Pool, inbox: Path) -> None:
    path = drop(inbox, "ACME.csv", GOOD)
    pool.close()
    with pytest.raises(Unavailable):
        ingest.ingest_inbox(floor, SYSTEM, inbox)
    assert path.exists()
