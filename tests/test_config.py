import pytest
from pydantic import ValidationError

from trading.config import Settings
from trading.exchange.latency import Latency


def test_the_lake_lies_in_the_data_folder_or_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().lake_dir == Settings().data_dir / "lake"
    monkeypatch.setenv("TRADEFLOOR_LAKE", "/srv/lake")
    assert str(Settings().lake_dir) == "/srv/lake"


def test_an_address_of_object_storage_is_refused_and_not_taken_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEFLOOR_LAKE", "s3://bucket/lake")
    with pytest.raises(ValidationError, match="must be a folder"):
        Settings()


def test_the_latency_of_orders_is_read_with_its_seed_and_a_wrong_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().latency.delay_ns(1) == 0
    monkeypatch.setenv("TRADEFLOOR_BROKER_LATENCY", "lognormal:20,200")
    monkeypatch.setenv("TRADEFLOOR_SEED", "7")
    assert Settings().latency == Latency(20.0, 200.0, seed=7)
    monkeypatch.setenv("TRADEFLOOR_BROKER_LATENCY", "slow")
    with pytest.raises(ValidationError, match="lognormal:MEDIAN_MS,P99_MS"):
        Settings()
