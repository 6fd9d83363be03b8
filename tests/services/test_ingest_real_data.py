"""The importer on real files with their real defects, as their catalogue lists them (../shared/data)."""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lake_floor import lake_floor
from shared_servers import Database

from trading.adapters.postgres.pool import open_pool
from trading.services import ingest
from trading.services.access import SYSTEM
from trading.services.ingest import IngestReport

# All files are taken once, before the first test.
pytestmark = [pytest.mark.shared_data, pytest.mark.timeout(900)]

SP500 = "daily/us_equity_sp500_2013_2018"
Reports = dict[str, IngestReport]


@pytest.fixture(scope="module")
def reports(
    shared_data: Path, make_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reports]:
    """What ingest says of every file, by its path."""
    pool = open_pool(make_database().dsn("tf_app"), name="test-real-data")
    floor = lake_floor(tmp_path_factory.mktemp("real") / "lake", pool)
    found: Reports = {}
    for path in sorted(shared_data.rglob("*.gz")) + sorted(shared_data.rglob("*.parquet")):
        name = str(path.relative_to(shared_data))
        # A source for each folder: two vendors' AAPL are two series.
        source = re.sub(r"[^a-z0-9]+", "-", str(path.parent.relative_to(shared_data)).lower())
        found[name] = ingest.ingest_path(floor, SYSTEM, path, source=source)
    yield found
    pool.close()


@pytest.fixture(scope="module")
def catalogue(shared_data: Path) -> dict[str, str]:
    """Defects of each file as its catalogue lists them."""
    with (shared_data / "MANIFEST.csv").open(newline="") as file:
        return {row["file"]: row["defects"] for row in csv.DictReader(file)}


def dates(report: IngestReport, rule: str) -> list[str]:
    return [row["date"] for row in report.findings.get(rule, {}).get("rows", ())]


def stock(reports: Reports, symbol: str) -> IngestReport:
    return reports[f"{SP500}/{symbol}.csv.gz"]


def test_every_file_of_bars_is_taken_but_the_one_without_a_time_zone(reports: Reports) -> None:
    refused = {
        name: report.refusal["code"]
        for name, report in reports.items()
        if report.refusal is not None and name.startswith(("daily", "hourly", "minute"))
    }
    assert refused == {"minute/futures/EQINDEX_FUT_2006_1m_naive_local.csv.gz": "no_time_zone"}


def test_ticks_and_books_are_refused_for_what_they_are(reports: Reports) -> None:
    said = {
        Path(name).name.split(".")[0].removeprefix("BTCUSDT_binance-"): report.refusal["reason"]
        for name, report in reports.items()
        if name.startswith("ticks") and report.refusal is not None
    }
    assert len(said) == 10
    assert "L3" in said["ETHAUD_independentreserve_l3"]
    assert "L2" in said["spot_20240808_depth_l2"]
    assert "trades" in said["usdm_20240808_trades"]
    assert "quotes" in said["EURUSD_fxcm_quotes"]
    assert "feed" in said["raw_feed_binance_spot_BTCUSDT"]


def test_every_suspected_copy_is_found_and_only_chance_twins_are_kept(
    reports: Reports, catalogue: dict[str, str]
) -> None:
    kept_twins = {}
    for name, report in reports.items():
        listed = {
            day for same in re.findall(r"[\d-]{10}(?:=[\d-]{10})+", catalogue[name]) for day in same.split("=")[:-1]
        }
        copied, repeated = set(dates(report, "copied_bar")), set(dates(report, "repeated_bar"))
        assert listed <= copied | repeated, name
        if "..." not in catalogue[name] and name.startswith("daily"):
            assert copied | repeated == listed, name
        if repeated:
            kept_twins[Path(name).name.removesuffix(".csv.gz")] = len(repeated)
    # Two cheap or coarsely priced stocks whose volumes differ by 20 to 74 percent.
    assert kept_twins == {"AMD": 3, "NWS": 4}
    assert sum(1 for name in reports if name.startswith(SP500) and dates(reports[name], "copied_bar")) == 179
    assert dates(reports["daily/us_equity_wiki_raw/AAPL.csv.gz"], "copied_bar") == ["2003-01-28"]


def test_no_bar_of_currencies_crypto_indices_or_minutes_is_called_a_copy(reports: Reports) -> None:
    others = [name for name in reports if not name.startswith("daily/us_equity")]
    assert [name for name in others if "copied_bar" in reports[name].findings] == []


def test_a_copy_with_another_close_is_told(reports: Reports) -> None:
    assert dates(stock(reports, "AAPL"), "partly_copied_bar") == ["2017-08-01"]


@pytest.mark.parametrize(
    ("symbol", "day"),
    [
        ("LNT", "2016-05-19"), ("BBY", "2016-03-14"), ("CHK", "2014-06-30"), ("DHR", "2014-11-06"),
        ("IP", "2014-07-01"), ("O", "2014-08-27"), ("UA", "2016-06-10"), ("WRK", "2016-05-13"),
    ],
)  # fmt: skip
def test_bars_out_of_order_are_put_aside(reports: Reports, symbol: str, day: str) -> None:
    assert day in dates(stock(reports, symbol), "ohlc_order")


@pytest.mark.parametrize(
    ("symbol", "days"),
    [("DHR", {"2015-07-17", "2016-01-12"}), ("O", {"2015-07-17", "2016-01-12"}), ("UA", {"2016-04-07"}),
     ("WRK", {"2015-06-26"}), ("VRTX", {"2015-05-12"})],
)  # fmt: skip
def test_bars_that_miss_prices_are_put_aside(reports: Reports, symbol: str, days: set[str]) -> None:
    assert set(dates(stock(reports, symbol), "missing_value")) == days


@pytest.mark.parametrize(
    ("symbol", "day"),
    [
        ("VRTX", "2013-04-19"), ("AMD", "2016-04-22"), ("STZ", "2013-02-14"),
        ("EBAY", "2015-07-20"), ("BAX", "2015-07-01"), ("BHGE", "2017-07-05"),
    ],
)  # fmt: skip
def test_large_moves_true_or_not_are_kept_with_a_word(reports: Reports, symbol: str, day: str) -> None:
    report = stock(reports, symbol)
    assert day in dates(report, "large_move")
    assert day not in {
        row["date"] for e in report.findings.values() if e["severity"] == "quarantine" for row in e["rows"]
    }


def test_the_volatility_index_keeps_its_flat_years_and_its_great_day(reports: Reports) -> None:
    report = reports["daily/index/VIX_1990_2026.csv.gz"]
    assert (report.rows, report.accepted, report.quarantined) == (9235, 9188, 47)
    assert report.findings["ohlc_order"]["count"] == 47
    assert dates(report, "ohlc_order")[0] == "1992-02-11"
    assert "2018-02-05" in dates(report, "large_move")


def test_an_index_from_1950_is_kept_whole(reports: Reports) -> None:
    report = reports["daily/index/SP500_1950_2015.csv.gz"]
    assert (report.accepted, report.quarantined) == (16607, 0)
    assert "2001-09-17" in dates(report, "long_gap")


def test_crossed_minutes_are_put_aside(reports: Reports) -> None:
    euro, pound = (reports[f"minute/fx/{pair}_fxcm_1m_quote.csv.gz"] for pair in ("EURUSD", "GBPUSD"))
    assert (euro.quarantined, euro.findings["crossed_quote"]["count"]) == (436, 436)
    assert (pound.quarantined, pound.findings["crossed_quote"]["count"]) == (347, 347)


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("minute/crypto/BTC-PERP_1m_2021-12-31_2022-01-15.csv.gz", "minute-crypto/BTC-PERP/M1"),
        ("minute/crypto/BTCUSD_coinbase_1s_trade.csv.gz", "minute-crypto/BTCUSD/S1"),
        ("minute/crypto/ETHBTC_5m.csv.gz", "minute-crypto/ETHBTC/M5"),
        ("hourly/EURUSD_oanda_1h_quote.csv.gz", "hourly/EURUSD/H1"),
        ("minute/in_equity/YESBANK_nse_1m.csv.gz", "minute-in-equity/YESBANK/M1"),
    ],
)
def test_symbol_and_resolution_are_told_from_the_file(reports: Reports, name: str, series: str) -> None:
    report = reports[name]
    assert [entry["series"] for entry in report.series] == [series]
    assert report.quarantined == 0


def test_nothing_is_lost(reports: Reports) -> None:
    for name, report in reports.items():
        assert report.accepted + report.quarantined + report.refused == report.rows, name
    stocks = [report for name, report in reports.items() if name.startswith(SP500)]
    assert (len(stocks), sum(r.rows for r in stocks), sum(r.quarantined for r in stocks)) == (240, 294_490, 519)
