import pytest
from pydantic import ValidationError

from trading.config import Settings


def test_the_lake_lies_in_the_data_folder_or_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().lake_dir == Settings().data_dir / "lake"
    monkeypatch.setenv("TRADEFLOOR_LAKE", "/srv/lake")
    assert str(Settings().lake_dir) == "/srv/lake"


def test_an_address_of_object_storage_is_refused_and_not_taken_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEFLOOR_LAKE", "s3://bucket/lake")
    with pytest.raises(ValidationError, match="must be a folder"):
        Settings()
